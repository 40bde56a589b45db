//! Where the files of a build come from: tars that clients send, repositories, addresses.

pub mod git;
pub mod http;
