//! Where a server is and how it is known: the `clientConfig` of webhooks, the `service` of an APIService.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use serde_json::Value;

/// A server outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub place: Place,
    pub trust: Trust,
}

/// How a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// As it stands in the configuration.
    Url(String),
    Service {
        namespace: String,
        name: String,
        port: u16,
        path: String,
    },
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// These authorities, in PEM.
    Bundle(Bytes),
    /// The authorities of the machine.
    System,
    /// Any certificate.
    Anyone,
}

impl Site {
    /// From a `clientConfig`.
    pub fn of_client_config(config: &Value) -> Self {
        let bundle = config.get("caBundle").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        let trust = match bundle {
            Some(pem) if !pem.is_empty() => Trust::Bundle(pem.into()),
            Some(_) | None => Trust::System,
        };
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = match config.get("service").filter(|service| service.is_object()) {
            Some(service) => Place::Service {
                namespace: text(service, "namespace"),
                name: text(service, "name"),
                port: port_of(service),
                path: text(service, "path"),
            },
            None => Place::Url(text(config, "url")),
        };
        Self { place, trust }
    }

    /// From the `spec` of an APIService that leads to a service.
    pub fn of_api_service(spec: &Value) -> Self {
        let insecure = spec.get("insecureSkipTLSVerify").and_then(Value::as_bool).unwrap_or(false);
        let site = Self::of_client_config(spec);
        if insecure { Self { trust: Trust::Anyone, ..site } } else { site }
    }

    /// The address that is asked, with the limit as a parameter, as client-go writes it.
    pub(super) fn url(&self, limit: Duration) -> String {
        let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
        let limit = if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) };
        let path = clean(match &self.place {
            Place::Url(url) => url.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default(),
            Place::Service { path, .. } => path.clone(),
        });
        format!("https://{}{path}?timeout={limit}", self.authority())
    }

    /// Host and port as they stand in the address.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Url(url) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
            }
            Place::Service { namespace, name, port, .. } => format!("{name}.{namespace}.svc:{port}"),
        }
    }

    /// The name that the server's certificate must have.
    pub(super) fn host(&self) -> String {
        match &self.place {
            Place::Url(_) => {
                let authority = self.authority();
                let host = match authority.rsplit_once(':') {
                    Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
                    _ => &authority,
                };
                host.trim_start_matches('[').trim_end_matches(']').to_owned()
            }
            Place::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// Whether the server is spoken to without TLS.
    pub(super) fn in_the_clear(&self) -> bool {
        matches!(&self.place, Place::Url(url) if url.starts_with("http://"))
    }

    /// The port of an address, that of its scheme where it has none.
    pub(super) fn port(&self) -> u16 {
        match &self.place {
            Place::Url(_) => {
                let authority = self.authority();
                let usual = if self.in_the_clear() { 80 } else { 443 };
                authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
            }
            Place::Service { port, .. } => *port,
        }
    }

    /// Upstream speaks HTTP/2 to this machine only, so that the replicas behind an address share the calls.
    pub(super) fn speaks_http2(&self) -> bool {
        let host = self.host();
        matches!(self.place, Place::Url(_))
            && (host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
    }
}

fn port_of(service: &Value) -> u16 {
    let port = service.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0).unwrap_or(443)
}

/// A path as Go's `path.Join` leaves it.
fn clean(path: String) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_url(config: Value, seconds: u64, url: &str) {
        assert_eq!(Site::of_client_config(&config).url(Duration::from_secs(seconds)), url);
    }

    #[test]
    fn the_address_is_written_as_client_go_writes_it() {
        check_url(json!({ "url": "https://127.0.0.1:8443/a//b/?x=y" }), 10, "https://127.0.0.1:8443/a/b?timeout=10s");
        check_url(json!({ "url": "https://example.com" }), 60, "https://example.com/?timeout=1m0s");
        let service = json!({ "service": { "namespace": "ns", "name": "svc", "path": "/p" } });
        check_url(service, 5, "https://svc.ns.svc:443/p?timeout=5s");
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_http2() {
        let speaks = |url: &str| Site::of_client_config(&json!({ "url": url })).speaks_http2();
        assert!(speaks("https://127.0.0.1:1/") && speaks("https://LOCALHOST/") && speaks("https://[::1]:4/"));
        assert!(!speaks("https://example.com/") && !speaks("https://10.0.0.1:443"));
    }
}
