//! Port forwarding over WebSocket: what the client and the kubelet say to each other in SPDY travels in messages between
//! the client and us, and as it is between us and the kubelet (apiserver `pkg/util/proxy/streamtunnel.go`).

use std::io;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::Mutex;

use super::upgrade::{self, failed};
use super::web_socket::{self, Event, Reader, Writer};
use super::worked::Worked;
use crate::api::{Result, Status};
use crate::registry::Way;
use crate::remote::Switched;
use crate::server::Server;
use crate::server::filters::Admitted;
use crate::server::message::{Request, Response};

const PREFIX: &str = "SPDY/3.1+";
const PIECE_BYTES: usize = 16 << 10;

/// Whether a request asks for a tunnel.
pub(super) fn asked(request: &Request) -> bool {
    web_socket::asked(request) && web_socket::protocols(request).into_iter().any(|protocol| inner(protocol).is_some())
}

/// What is spoken within a tunnel of a protocol.
fn inner(protocol: &str) -> Option<&str> {
    protocol.strip_prefix(PREFIX).filter(|_| protocol.ends_with(".k8s.io"))
}

/// Switches with the kubelet first, then with the client.
///
/// # Errors
/// As for a switch without a tunnel.
pub(super) async fn serve(server: &Server, admitted: &Admitted, way: &Way) -> Result<Response> {
    let asked = &admitted.request;
    let request = request(admitted, way).map_err(|error| failed(error.to_string()))?;
    let (head, ends) = match server.parts().connections.upgrade(way, request).await.map_err(failed)? {
        Switched::Yes(head, ends) => (head, ends),
        Switched::No(refusal) => return upgrade::refused(refusal),
    };
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let speaks = text("upgrade").to_ascii_lowercase().contains("spdy/3.1");
    if !speaks || !text("connection").to_ascii_lowercase().contains("upgrade") {
        return Ok(Response::text(500, "unable to upgrade: missing upgrade headers in response\n"));
    }
    let chosen = format!("{PREFIX}{}", text("x-stream-protocol-version").trim());
    let chosen = web_socket::protocols(asked).into_iter().find(|protocol| *protocol == chosen).unwrap_or_default();
    Ok(web_socket::accept(asked, chosen, || {
        Box::new(Worked::new(|client| async move {
            if let Err(error) = carry(client, *ends).await {
                tracing::debug!(%error, "a tunnel to a kubelet ended");
            }
        }))
    }))
}

fn request(
    admitted: &Admitted,
    way: &Way,
) -> std::result::Result<http::Request<http_body_util::Full<bytes::Bytes>>, Status> {
    let mut request = upgrade::request(admitted, way).map_err(|error| failed(error.to_string()))?;
    *request.method_mut() = http::Method::POST;
    let headers = request.headers_mut();
    for name in ["sec-websocket-protocol", "sec-websocket-key", "sec-websocket-version", "x-stream-protocol-version"] {
        headers.remove(name);
    }
    headers.insert(http::header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for protocol in web_socket::protocols(&admitted.request).into_iter().filter_map(inner) {
        if let Ok(value) = HeaderValue::from_str(protocol) {
            headers.append("x-stream-protocol-version", value);
        }
    }
    Ok(request)
}

/// Carries bytes both ways until one side ends.
async fn carry(client: DuplexStream, kubelet: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(kubelet);
    // Either way writes to the client, the inward one pongs only.
    let to_client = Mutex::new(Writer(to_client));
    let inward = async {
        let mut reader = Reader::new(from_client);
        loop {
            match reader.next().await? {
                Event::Piece { text: false, bytes, .. } => {
                    to_kubelet.write_all(&bytes).await?;
                    to_kubelet.flush().await?;
                }
                Event::Piece { .. } => return Err(io::Error::other("invalid message type received")),
                Event::Ping(bytes) => to_client.lock().await.pong(&bytes).await?,
                Event::Close => return Ok(()),
            }
        }
    };
    let outward = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match from_kubelet.read(&mut piece).await? {
                0 => return Ok(()),
                count => to_client.lock().await.binary(&piece[..count]).await?,
            }
        }
    };
    let ended = tokio::select! {
        ended = inward => ended,
        ended = outward => ended,
    };
    to_client.lock().await.close().await?;
    ended
}

#[cfg(test)]
mod tests {
    use super::super::web_socket::tests::masked;
    use super::*;

    #[tokio::test]
    async fn messages_become_bytes_and_bytes_messages() {
        let (mut client, here) = tokio::io::duplex(1024);
        let (mut kubelet, there) = tokio::io::duplex(1024);
        let talk = async {
            client.write_all(&[masked(0x02, b"ab"), masked(0x89, b"p"), masked(0x80, b"c")].concat()).await.unwrap();
            let mut heard = [0; 3];
            kubelet.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"abc");
            kubelet.write_all(b"xyz").await.unwrap();
            let mut told = [0; 3 + 5];
            client.read_exact(&mut told).await.unwrap();
            assert_eq!(&told, b"\x8a\x01p\x82\x03xyz");
            drop(kubelet);
            let mut close = [0; 4];
            client.read_exact(&mut close).await.unwrap();
            assert_eq!(close, [0x88, 2, 0x03, 0xe8]);
        };
        let (ended, ()) = tokio::join!(carry(here, there), talk);
        ended.unwrap();
    }

    #[test]
    fn only_protocols_of_kubernetes_within_spdy_are_tunneled() {
        assert_eq!(inner("SPDY/3.1+portforward.k8s.io"), Some("portforward.k8s.io"));
        assert_eq!(inner("SPDY/3.1+other"), None);
        assert_eq!(inner("v5.channel.k8s.io"), None);
    }
}
