//! The networks of one container: what may be asked for, joining them at a start, and which of them is the way out.

mod check;
mod gateway;
mod join;
mod live;

pub(crate) use check::{check, is_user_defined, use_names};
pub(crate) use gateway::Asked;
pub(crate) use join::join;
pub(crate) use live::Running;
