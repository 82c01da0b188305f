//! Requests that ask to switch to another protocol, which the kubelet or backend then speaks with the client through
//! us, byte by byte (apimachinery `pkg/util/proxy/upgradeaware.go`).

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;

use super::forwarded_for;
use super::relay::undressed;
use crate::api::{Reason, Result, Status};
use crate::registry::Way;
use crate::remote::Switched;
use crate::server::Server;
use crate::server::filters::Admitted;
use crate::server::message::{Body, Headers, Request, Response};
use crate::server::passing::{encoded_path, passed_on, tells_who_asks};

/// Whether a request asks for another protocol.
pub(super) fn wished(request: &Request) -> bool {
    request.headers.all("connection").any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Passes a wish for another protocol on.
///
/// # Errors
/// 500 in upstream's words when the other end cannot be reached or does neither switch nor refuse.
pub(super) async fn serve(server: &Server, admitted: &Admitted, way: &Way) -> Result<Response> {
    let request = request(admitted, way).map_err(|error| failed(error.to_string()))?;
    match server.parts().connections.upgrade(way, request).await.map_err(failed)? {
        Switched::Yes(head, ends) => {
            let (status, headers) = (head.status.as_u16(), headers(&head.headers));
            Ok(Response { status, headers, body: Body::Tunnel(ends) })
        }
        Switched::No(refusal) => refused(refusal),
    }
}

/// The answer of who did not switch.
///
/// # Errors
/// 500 unless it is a refusal.
pub(super) fn refused(refusal: http::Response<Bytes>) -> Result<Response> {
    let (head, body) = refusal.into_parts();
    let status = head.status.as_u16();
    if status < 400 {
        return Err(failed(format!("invalid upgrade response: status code {status}")));
    }
    let mut headers = headers(&head.headers);
    headers.retain(|name| !matches!(name, "connection" | "content-length" | "transfer-encoding"));
    Ok(Response { status, headers, body: Body::Full(body) })
}

/// What went wrong with the other end.
pub(super) fn failed(why: String) -> Status {
    Status::new(500, Reason::Unknown, undressed(&why))
}

/// The request that the other end gets.
pub(super) fn request(admitted: &Admitted, way: &Way) -> http::Result<http::Request<Full<Bytes>>> {
    let asked = &admitted.request;
    let escaped = encoded_path(&way.path);
    let slash = if escaped.starts_with('/') { "" } else { "/" };
    // As upstream (v1.37), the query of a request to a pod or service is lost with a switch.
    let question = if way.query.is_empty() { "" } else { "?" };
    let target = format!("{slash}{escaped}{question}{}", way.query);
    let mut request = http::Request::builder().method(asked.method.as_str()).uri(target);
    for (name, value) in asked.headers.iter() {
        let anew = matches!(name, "x-forwarded-for" | "content-length" | "transfer-encoding" | "expect");
        if !tells_who_asks(name)
            && !anew
            && let Ok(value) = HeaderValue::from_str(&passed_on(name, value))
        {
            request = request.header(name, value);
        }
    }
    if let Some(clients) = forwarded_for(admitted) {
        request = request.header("x-forwarded-for", clients);
    }
    request.body(Full::new(asked.body.clone()))
}

fn headers(given: &http::HeaderMap) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in given {
        headers.add(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    headers
}
