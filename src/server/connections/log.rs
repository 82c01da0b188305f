//! The log of a container, as its kubelet tells it (apiserver `pkg/registry/generic/rest/streamer.go`).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, Empty};

use super::web_socket::{self, Event, Reader, Writer};
use super::worked::Worked;
use crate::api::field::go_quote;
use crate::api::status::Details;
use crate::api::{Reason, Result, Status};
use crate::registry::{Call, Way};
use crate::remote::Pieces;
use crate::server::Server;
use crate::server::filters::Admitted;
use crate::server::message::Response;
use crate::server::passing::encoded_path;

/// What is read of an answer that refuses.
const REFUSAL_BYTES_MAX: usize = 50_000;

/// Answers with the log as it comes.
///
/// # Errors
/// Upstream's reading of what the kubelet says, and 500 when it cannot be asked.
pub(super) async fn serve(server: &Server, admitted: &Admitted, (call, way): (&Call, &Way)) -> Result<Response> {
    let mut target = encoded_path(&way.path);
    if !way.query.is_empty() {
        target = format!("{target}?{}", way.query);
    }
    let url = format!("https://{}{target}", way.site.authority());
    let failed = |why: String| Status::new(500, Reason::Unknown, format!("Get {}: {why}", go_quote(&url)));
    let request = http::Request::get(target.as_str()).header("accept-encoding", "identity");
    let request =
        request.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).map_err(Status::internal)?;
    let answer = server.parts().connections.relay(way, request).await.map_err(failed)?;
    let (head, pieces) = answer.into_parts();
    let status = head.status.as_u16();
    if matches!(status, 301 | 302 | 303 | 307 | 308) && head.headers.contains_key("location") {
        return Err(failed("redirects forbidden".to_owned()));
    }
    if !(200..=206).contains(&status) {
        return Err(refusal(status, &said(pieces).await, &call.target.name));
    }
    // As upstream: a log that breaks off is one that ends.
    let told = pieces.take_while(|piece| std::future::ready(piece.is_ok())).filter_map(|p| std::future::ready(p.ok()));
    if web_socket::asked(&admitted.request) {
        return Ok(over_web_socket(admitted, told.boxed()));
    }
    Ok(Response::stream("text/plain", told.boxed()))
}

/// The log in messages, as bytes or as text in base64.
fn over_web_socket(admitted: &Admitted, mut told: BoxStream<'static, Bytes>) -> Response {
    let asked = web_socket::protocols(&admitted.request);
    let known = |protocol: &&&str| matches!(**protocol, "binary.k8s.io" | "base64.binary.k8s.io");
    let protocol = match asked.iter().find(known) {
        Some(protocol) => (*protocol).to_owned(),
        None if asked.is_empty() => String::new(),
        None => return web_socket::refusal(403, ""),
    };
    let in_base64 = protocol.starts_with("base64");
    web_socket::accept(&admitted.request, &protocol, || {
        Box::new(Worked::new(move |client| async move {
            let (from_client, to_client) = tokio::io::split(client);
            let (mut reader, mut writer) = (Reader::new(from_client), Writer(to_client));
            let sending = async {
                // An empty message tells the client that there is a connection.
                let mut piece = Bytes::new();
                loop {
                    if in_base64 {
                        writer.text(&STANDARD.encode(&piece)).await?;
                    } else {
                        writer.binary(&piece).await?;
                    }
                    let Some(next) = told.next().await else { return writer.close().await };
                    piece = next;
                }
            };
            let heard = async { while !matches!(reader.next().await, Ok(Event::Close) | Err(_)) {} };
            let sent: io::Result<()> = tokio::select! { sent = sending => sent, () = heard => Ok(()) };
            if let Err(error) = sent {
                tracing::debug!(%error, "a client went while it was told a log");
            }
        }))
    })
}

/// The beginning of what a kubelet says of its refusal.
async fn said(mut pieces: Pieces) -> String {
    let mut said = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        let room = REFUSAL_BYTES_MAX - said.len();
        said.extend_from_slice(&piece[..piece.len().min(room)]);
        if said.len() == REFUSAL_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&Bytes::from(said)).into_owned()
}

/// A refusal as upstream's `NewGenericServerResponse` tells of it.
fn refusal(code: u16, said: &str, name: &str) -> Status {
    let (reason, message) = match code {
        500 => return Status::internal(said),
        400 => return Status::bad_request(said),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials".to_owned()),
        403 => (Reason::Forbidden, said.to_owned()),
        404 => (Reason::NotFound, "the server could not find the requested resource".to_owned()),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource".to_owned()),
        406 if matches!(said, "" | "unknown") => (
            Reason::NotAcceptable,
            "the server was unable to respond with a content type that the client supports".to_owned(),
        ),
        406 => (Reason::NotAcceptable, said.to_owned()),
        409 => (Reason::Conflict, "the server reported a conflict".to_owned()),
        415 => (Reason::UnsupportedMediaType, said.to_owned()),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request".to_owned()),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later".to_owned(),
        ),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request".to_owned()),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned(),
        ),
        501.. => {
            let said = go_quote(said);
            (
                Reason::InternalError,
                format!("an error on the server ({said}) has prevented the request from succeeding"),
            )
        }
        code => (
            Reason::Unknown,
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    let details = Details { kind: "pods/log".to_owned(), name: name.to_owned(), ..Details::default() };
    Status::new(code, reason, format!("{message} ( pods/log {name})")).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, said: &str, message: &str) {
        let status = refusal(code, said, "p");
        assert_eq!((status.code(), status.message()), (code, message));
    }

    #[test]
    fn what_a_kubelet_refuses_is_told_as_upstream_tells_it() {
        check(500, "x", "Internal error occurred: x");
        check(400, "container is waiting", "container is waiting");
        check(404, "x", "the server could not find the requested resource ( pods/log p)");
        check(403, "Forbidden (x)", "Forbidden (x) ( pods/log p)");
        let message = "an error on the server (\"bad\") has prevented the request from succeeding ( pods/log p)";
        check(502, "bad", message);
    }
}
