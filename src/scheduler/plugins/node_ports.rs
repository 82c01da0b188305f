//! `NodePorts`: no two pods take the same port of a node.

use super::Plugin;
use crate::scheduler::cycle::Unfit;
use crate::scheduler::pod::HostPort;

const ANY: &str = "0.0.0.0";

pub(super) const NODE_PORTS: Plugin = Plugin {
    name: "NodePorts",
    filter: Some(|pod, _, info, _| {
        if pod.host_ports.iter().any(|port| info.ports.iter().any(|taken| collide(port, taken))) {
            return Err(Unfit::now("node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    }),
    score: None,
};

fn collide(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == ANY || b.ip == ANY)
}
