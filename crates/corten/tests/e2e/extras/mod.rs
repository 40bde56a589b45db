//! What only Corten does, or does better than the reference engine.

mod archives;
mod autostart;
mod builds;
mod caches;
mod check;
mod contents;
mod disk;
mod faults;
mod foreign;
mod harmed_builds;
mod hostile_builds;
mod interrupted;
mod isolation;
mod layouts;
mod links;
mod names;
mod networks;
mod precautions;
mod privileged;
mod relay;
mod repositories;
mod trees;
