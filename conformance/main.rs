//! Everything black-box: tests that see only what a client of the running server sees.
//! One test binary, so that it is linked once; a family of tests is a module here.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod backends;
mod bundles;
mod clock;
mod connections;
mod damage;
mod decoders;
mod differential;
mod documents;
mod durability;
mod entrance;
mod faults;
mod files;
mod hostile;
mod kube_rs;
mod kubectl;
mod kubelets;
mod metrics;
mod operator;
mod replay;
mod runtime;
mod secrecy;
mod server;
mod session;
mod shared;
mod stand_in;
mod upgrades;
mod webhook;
mod webhooks;
mod workloads;

/// Tells a line to whoever watches a long run.
#[expect(clippy::print_stdout, reason = "a long run tells how far it is")]
fn tell(line: &str) {
    println!("{line}");
}
