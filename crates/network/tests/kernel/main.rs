//! What the kernel really does with what this crate tells it. Every test is a machine of its own: a fresh network
//! namespace in which the engine's bridges and rules are made. Needs root.

mod advertisements;
mod connect;
mod firewall;
mod foreign;
mod gateway_modes;
mod macvlan;
mod names;
mod networks;
mod pool;
mod publish;
mod restore;
mod support;
