//! What of a request is passed on to another server, and how: shared by extension servers and by connections to
//! kubelets and backends.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Headers about one connection, as Go's reverse proxy knows them.
const ONE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const PROTOCOLS: &str = "sec-websocket-protocol";

/// Whether a header is about one connection only.
pub(super) fn concerns_one_connection(name: &str) -> bool {
    ONE_CONNECTION.contains(&name)
}

/// Whether a header says who asks, in ways that are between the client and us.
pub(super) fn tells_who_asks(name: &str) -> bool {
    name == "authorization" || name.starts_with("x-remote-") || name.starts_with("impersonate-")
}

/// Whether the body of a request for a path is passed on to another server: that of a proxied pod, service or node.
pub(super) fn leads_through(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').splitn(8, '/').collect();
    matches!(
        parts[..],
        ["api", "v1", "namespaces", _, "pods" | "services", _, "proxy", ..] | ["api", "v1", "nodes", _, "proxy", ..]
    )
}

/// The value of a header as others may see it.
pub(super) fn passed_on<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if name == PROTOCOLS { without_token(value) } else { Cow::Borrowed(value) }
}

/// Protocols for a WebSocket, without that which is the token of a browser.
fn without_token(protocols: &str) -> Cow<'_, str> {
    let is_token = |protocol: &&str| protocol.trim().starts_with("base64url.bearer.authorization.k8s.io.");
    if !protocols.split(',').any(|protocol| is_token(&protocol)) {
        return Cow::Borrowed(protocols);
    }
    let others: Vec<&str> = protocols.split(',').filter(|protocol| !is_token(protocol)).map(str::trim).collect();
    others.join(",").into()
}

/// A path as Go writes it in a request line.
pub(super) fn encoded_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'/' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'$' | b'&' | b'+' | b',' | b';' | b'=' => {
                out.push(char::from(byte));
            }
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The pairs of a query as Go's `url.Values` writes them, sorted by their keys.
pub(super) fn encoded_query(mut pairs: Vec<(&str, String)>) -> String {
    // Stable: values of one key stay in order.
    pairs.sort_by_key(|(key, _)| *key);
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
                b' ' => out.push('+'),
                _ => drop(write!(out, "%{byte:02X}")),
            }
            out
        })
    };
    let pair = |(key, value): &(&str, String)| format!("{}={}", escape(key), escape(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_among_protocols_stays_here() {
        assert_eq!(without_token("a, b"), "a, b");
        assert_eq!(without_token("a, base64url.bearer.authorization.k8s.io.dG9rZW4, b"), "a,b");
    }

    #[test]
    fn only_bodies_for_others_are_passed_on() {
        for path in
            ["/api/v1/namespaces/a/pods/p:80/proxy/x/y", "/api/v1/nodes/n/proxy", "/api/v1/nodes/n/proxy/a/b/c/d"]
        {
            assert!(leads_through(path), "{path}");
        }
        for path in ["/api/v1/namespaces/a/pods/proxy", "/apis/v1/nodes/n/proxy", "/api/v1/namespaces/proxy/pods/x"] {
            assert!(!leads_through(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_encoded_again() {
        assert_eq!(encoded_path("/apis/a.b/v1/x y:z%!"), "/apis/a.b/v1/x%20y:z%25%21");
    }

    #[test]
    fn a_query_is_written_in_the_order_of_its_keys() {
        let pairs = vec![("output", "1".to_owned()), ("command", "a b".to_owned()), ("command", "é&".to_owned())];
        assert_eq!(encoded_query(pairs), "command=a+b&command=%C3%A9%26&output=1");
    }
}
