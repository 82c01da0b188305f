//! Requests without a switch of protocols, passed on to a backend and its answer back (apimachinery `pkg/util/proxy`,
//! Go's reverse proxy): bodies both ways as they come, addresses in the answer led through the proxy again.

use std::io;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

use super::html::Rewriting;
use super::{forwarded_for, query, reads};
use crate::api::{Result, Status};
use crate::registry::Way;
use crate::remote::{Pieces, Upload};
use crate::server::Server;
use crate::server::filters::Admitted;
use crate::server::message::{Body, Headers, Request, Response};
use crate::server::passing::{concerns_one_connection, encoded_path, passed_on, tells_who_asks};

/// What upstream takes out of answers, since it has its own.
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// Passes a request on, whatever its method.
///
/// # Errors
/// 503 in upstream's words when the backend does not answer.
pub(super) async fn serve(server: &Server, admitted: &Admitted, way: &Way) -> Result<Response> {
    let asked = &admitted.request;
    let mut path = way.path.clone();
    if asked.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    if path.is_empty() && reads(&asked.method) {
        let question = if asked.query.is_empty() { "" } else { "?" };
        let to = format!("{}/{question}{}", asked.path, asked.query);
        return Ok(super::empty(301).with_header("location", to));
    }
    let prefix = asked.path.strip_suffix(path.as_str()).unwrap_or(&asked.path).to_owned();
    let request = request(admitted, way, (&path, &prefix)).map_err(Status::internal)?;
    let answer = server.parts().connections.relay(way, request).await;
    let unreached = |why: String| Status::unavailable(format!("error trying to reach service: {}", undressed(&why)));
    let (head, pieces) = answer.map_err(unreached)?.into_parts();
    let led = Led { prefix, backend: way.site.authority(), host: asked.headers.text("host").to_owned() };
    Ok(answered(&head, pieces, led))
}

/// What Go's transport says of a server that speaks no TLS; only its client says it in other words.
pub(super) fn undressed(why: &str) -> String {
    let plain = "http: server gave HTTP response to HTTPS client";
    why.replace(plain, "tls: first record does not look like a TLS handshake")
}

/// What leads through the proxy.
pub(super) struct Led {
    /// The path of the proxy.
    pub prefix: String,
    pub backend: String,
    /// The host by which the client knows us.
    pub host: String,
}

fn request(admitted: &Admitted, way: &Way, (path, prefix): (&str, &str)) -> http::Result<http::Request<Upload>> {
    let asked = &admitted.request;
    let escaped = encoded_path(path);
    let slash = if escaped.starts_with('/') { "" } else { "/" };
    let mut target = format!("{slash}{escaped}");
    let query = query(admitted, way);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let mut request = http::Request::builder().method(asked.method.as_str()).uri(target);
    let (body, length) = body(asked);
    let named: Vec<String> =
        asked.headers.all("connection").flat_map(|all| all.split(',')).map(|n| n.trim().to_ascii_lowercase()).collect();
    for (name, value) in asked.headers.iter() {
        let ours = concerns_one_connection(name) || tells_who_asks(name) || named.iter().any(|other| other == name);
        let anew = matches!(name, "x-forwarded-for" | "x-forwarded-uri" | "content-length" | "expect");
        if !ours
            && !anew
            && let Ok(value) = HeaderValue::from_str(&passed_on(name, value))
        {
            request = request.header(name, value);
        }
    }
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    if asked.headers.all("te").flat_map(|all| all.split(',')).any(|one| one.trim() == "trailers") {
        request = request.header("te", "trailers");
    }
    if let Some(clients) = forwarded_for(admitted) {
        request = request.header("x-forwarded-for", clients);
    }
    let joined = format!("{prefix}/{escaped}");
    let mut uri = format!("/{}", joined.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
    if (path.is_empty() || path.ends_with('/')) && uri != "/" {
        uri.push('/');
    }
    request.header("x-forwarded-uri", uri).body(body)
}

/// The body, and its length where the backend is told it.
fn body(asked: &Request) -> (Upload, Option<&str>) {
    match asked.upload.take() {
        Some(pieces) => {
            let frames = pieces.map(|piece| piece.map(Frame::data));
            (StreamBody::new(frames).boxed_unsync(), asked.headers.get("content-length"))
        }
        None if asked.body.is_empty() => (Empty::new().map_err(|never| match never {}).boxed_unsync(), None),
        None => (Full::new(asked.body.clone()).map_err(|never| match never {}).boxed_unsync(), None),
    }
}

fn answered(head: &http::response::Parts, pieces: Pieces, led: Led) -> Response {
    let text = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let redirect = text(&http::header::LOCATION).to_owned();
    let html = text(&http::header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim() == "text/html";
    let rewriting =
        if html && redirect.is_empty() { Rewriting::of(text(&http::header::CONTENT_ENCODING)) } else { None };
    let headers = headers(head, (&redirect, &led));
    let length = head.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match rewriting {
        Some(rewriting) => Body::Relayed { length: None, pieces: rewritten(pieces, rewriting, led) },
        None => Body::Relayed { length, pieces },
    };
    Response { status: head.status.as_u16(), headers, body }
}

fn headers(head: &http::response::Parts, (redirect, led): (&str, &Led)) -> Headers {
    let mut headers = Headers::default();
    // As upstream, which adds what the backend says to what itself says.
    if head.headers.contains_key(http::header::CACHE_CONTROL) {
        headers.add("cache-control", "no-cache, private");
    }
    let connection: Vec<String> = head
        .headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|all| String::from_utf8_lossy(all.as_bytes()).split(',').map(str::to_owned).collect::<Vec<_>>())
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for (name, value) in &head.headers {
        let name = name.as_str();
        let ours =
            concerns_one_connection(name) || CORS.contains(&name) || connection.iter().any(|other| other == name);
        if ours || name == "content-length" {
            continue;
        }
        if name == "location" && !redirect.is_empty() {
            headers.add("location", led.through(redirect));
        } else {
            headers.add(name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    headers
}

/// The pieces of a page with its links led through the proxy.
fn rewritten(pieces: Pieces, rewriting: Rewriting, led: Led) -> Pieces {
    let state = Some((pieces, rewriting, led));
    let rewritten = futures::stream::unfold(state, |state| async {
        let (mut pieces, mut rewriting, led) = state?;
        loop {
            let lead = |link: &str| led.through(link);
            let piece: io::Result<Bytes> = match pieces.next().await {
                Some(Ok(piece)) => rewriting.push(&piece, &lead).map(Bytes::from),
                Some(Err(error)) => Err(error),
                None => return Some((rewriting.end(&lead).map(Bytes::from), None)),
            };
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Some((Ok(piece), Some((pieces, rewriting, led)))),
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    rewritten.boxed()
}
