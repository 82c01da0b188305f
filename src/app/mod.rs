//! Configuration and wiring; the only folder that knows all others.

mod actions;
mod admission;
mod authentication;
mod authorization;
mod bootstrap;
mod cluster;
mod command;
mod config;
mod files;
mod flags;
mod foreign;
mod in_process;
mod kubelets;
mod port;

pub use cluster::{CONTEXT, Cluster};
pub use command::run;
pub use config::{Authentication, Config, Controllers, Data};
pub use kubelets::Kubelets;

#[cfg(test)]
mod tests;
