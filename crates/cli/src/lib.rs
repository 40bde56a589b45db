//! The command line.

#![allow(dead_code, unused_imports)]
mod failure;
mod flag;
mod format;
mod opts;
mod text;
