//! A connection to a kubelet over which it speaks SPDY with us.

use bytes::Bytes;
use http_body_util::Full;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::translate::VERSIONS;
use crate::api::field::go_quote;
use crate::registry::Way;
use crate::remote::Switched;
use crate::server::Server;
use crate::server::passing::encoded_path;

/// The connection, and the protocol of its streams that the kubelet chose.
pub(super) struct Kubelet {
    pub connection: TokioIo<Upgraded>,
    pub protocol: String,
}

/// Why there is none, in the words of Go's libraries.
pub(super) struct Failure(pub String);

/// Connects to the kubelet of a container.
///
/// # Errors
/// When it cannot be reached or does not switch.
pub(super) async fn dial(server: &Server, way: &Way) -> Result<Kubelet, Failure> {
    let question = if way.query.is_empty() { "" } else { "?" };
    let target = format!("{}{question}{}", encoded_path(&way.path), way.query);
    let url = format!("https://{}{target}", way.site.authority());
    let unsent = |why: &str| Failure(format!("error sending request: Post {}: {why}", go_quote(&url)));
    let mut request = http::Request::post(&target)
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("user-agent", "Go-http-client/1.1");
    for version in VERSIONS {
        request = request.header("x-stream-protocol-version", version);
    }
    let request = request.body(Full::new(Bytes::new())).map_err(|error| Failure(error.to_string()))?;
    let switched = server.parts().connections.upgrade(way, request).await;
    match switched.map_err(|why| unsent(why.strip_prefix("error dialing backend: ").unwrap_or(&why)))? {
        Switched::Yes(head, connection) => {
            let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !text("upgrade").to_ascii_lowercase().contains("spdy/3.1") {
                return Err(Failure("unable to upgrade connection: empty server response".to_owned()));
            }
            let protocol = text("x-stream-protocol-version").to_owned();
            Ok(Kubelet { connection: *connection, protocol })
        }
        Switched::No(refusal) => {
            let moved = matches!(refusal.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if moved && refusal.headers().contains_key("location") {
                return Err(unsent("redirect not allowed"));
            }
            Err(Failure(format!("unable to upgrade connection: {}", said(refusal.body()))))
        }
    }
}

/// What a refusal says.
fn said(body: &[u8]) -> String {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| status.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text("message").or_else(|| text("error")) {
        return text.to_owned();
    }
    match String::from_utf8_lossy(body).trim() {
        "" => "empty server response".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_stands_in_it() {
        assert_eq!(said(b" container not found\n"), "container not found");
        assert_eq!(said(b"{\"kind\":\"Status\",\"message\":\"no\"}"), "no");
        assert_eq!(said(b"{\"error\":\"bad\"}"), "bad");
        assert_eq!(said(b""), "empty server response");
    }
}
