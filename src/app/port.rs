//! Binding the port of the server, and who holds it when it is taken.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Listens on an address.
///
/// # Errors
/// With what to do about it.
pub(super) fn bind(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let at = SocketAddr::new(address, port);
    TcpListener::bind(at).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = holder(port).map_or_else(String::new, |holder| format!(" by {holder}"));
            anyhow::anyhow!("{at} is in use{holder}: stop it, or choose another port with --secure-port (0: any)")
        }
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!("{at} may not be used: choose a port above 1023 with --secure-port")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is no address of this machine: choose one with --bind-address")
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on {at}")),
    })
}

/// The process that listens on a port, as far as the system tells (Linux: of the same user).
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_inode(table, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|at| at.to_string_lossy() == wanted);
        if open.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let text = fs::read_to_string(table).ok()?;
    let port = format!(":{port:04X}");
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let here = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
        here.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_in_use_names_its_holder_and_the_flag() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let held = bind(address, 0).unwrap();
        let error = bind(address, held.local_addr().unwrap().port()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        assert!(error.contains("--secure-port"), "{error}");
    }
}
