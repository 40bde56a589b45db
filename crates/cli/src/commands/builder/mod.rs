//! `builder` and `buildx`: building, and what builds keep.

mod prune;
mod record;
mod usage;

use super::build::Build;
use crate::command::Command;

/// The commands of `builder`.
pub(super) const BUILDER: &[Command] =
    &[Command::of::<Build>(), Command::of::<usage::Usage>(), Command::of::<prune::Prune>()];

/// The same for those who are used to `buildx`.
pub(super) const BUILDX: &[Command] =
    &[Command::of::<Build>(), Command::of::<usage::Usage>(), Command::of::<prune::BuildxPrune>()];
