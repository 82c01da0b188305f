#![cfg_attr(rustfmt, rustfmt_skip)] // the order of the modules is the order of the layers
//! Coracle: a whole Kubernetes control plane over one file. The layers, bottom to top; a module uses only
//! modules above it in this list (controllers, scheduler, node and network never use each other).

pub mod base;
pub mod api;
pub mod resources;
pub mod storage;
pub mod remote;
pub mod auth;
pub mod admission;
pub mod registry;
pub mod server;
pub mod client;
pub mod controllers;
pub mod scheduler;
pub mod node;
pub mod network;
pub mod app;

#[cfg(test)]
mod tidy;
