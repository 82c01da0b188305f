//! Requests for groups and versions that other servers serve are handed on to them, with who asks in headers
//! (kube-aggregator `pkg/apiserver/handler_proxy.go`).

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::Server;
use super::filters::Admitted;
use super::message::{Body, Headers, Peer, Response};
use super::passing::{concerns_one_connection, encoded_path, passed_on, tells_who_asks};
use crate::api::request::User;
use crate::registry::Extension;
use crate::remote::Switched;

/// How long the list of what a server serves may take.
const DISCOVERY: Duration = Duration::from_secs(5);

/// Headers that are said anew.
const OURS: [&str; 3] = ["content-length", "host", "x-forwarded-for"];

/// Answers a request that another server is to answer; `None`: it is for this one.
pub(super) async fn serve(server: &Server, admitted: &Admitted) -> Option<Response> {
    let path = admitted.info.path.as_str();
    let mut parts = path.strip_prefix("/openapi/v3").unwrap_or(path).trim_start_matches('/').split('/');
    if parts.next() != Some("apis") {
        return None;
    }
    let extension = server.parts().extensions.find(parts.next()?, parts.next()?)?;
    if !extension.available {
        return Some(Response::text(503, "service unavailable\n"));
    }
    if switches(admitted) {
        return Some(upgrade(server, admitted, &extension).await);
    }
    let discovery = parts.next().is_none();
    let answer = hand_on(server, admitted, &extension);
    if !discovery {
        return Some(answer.await);
    }
    Some(tokio::select! {
        answer = answer => answer,
        () = server.parts().clock.sleep(DISCOVERY) => unreachable_server("context deadline exceeded"),
    })
}

async fn hand_on(server: &Server, admitted: &Admitted, extension: &Extension) -> Response {
    let request = match request(admitted, extension) {
        Ok(request) => request,
        Err(error) => return unreachable_server(&error.to_string()),
    };
    match server.parts().extensions.send(extension, request).await {
        Ok(response) => answer(response),
        Err(why) if why.starts_with("service ") || why.starts_with("no endpoints") => {
            tracing::warn!(name = extension.name, why, "an extension server is not to be found");
            Response::text(503, "service unavailable\n")
        }
        Err(why) => unreachable_server(&why),
    }
}

/// Whether the client wants to speak another protocol with the server.
fn switches(admitted: &Admitted) -> bool {
    admitted.request.headers.all("connection").any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Hands on a wish for another protocol. The server is dialed for it alone, and what both say from then on is theirs.
async fn upgrade(server: &Server, admitted: &Admitted, extension: &Extension) -> Response {
    let request = request(admitted, extension).map(|mut request| {
        for name in [CONNECTION, UPGRADE] {
            for value in admitted.request.headers.all(name.as_str()) {
                if let Ok(value) = HeaderValue::from_str(value) {
                    request.headers_mut().append(&name, value);
                }
            }
        }
        request
    });
    let switched = match request {
        Ok(request) => server.parts().extensions.upgrade(extension, request).await,
        Err(error) => Err(error.to_string()),
    };
    match switched {
        Ok(Switched::Yes(head, ends)) => {
            let mut headers = headers(&head.headers);
            for value in head.headers.get_all(UPGRADE) {
                headers.add(UPGRADE.as_str(), String::from_utf8_lossy(value.as_bytes()));
            }
            Response { status: head.status.as_u16(), headers, body: Body::Tunnel(ends) }
        }
        Ok(Switched::No(refusal)) if refusal.status().as_u16() >= 400 => {
            let (head, body) = refusal.into_parts();
            Response { status: head.status.as_u16(), headers: headers(&head.headers), body: Body::Full(body) }
        }
        Ok(Switched::No(answer)) => {
            Response::text(503, format!("invalid upgrade response: status code {}\n", answer.status().as_u16()))
        }
        Err(why) if why.starts_with("error dialing backend: service ") || why.contains("no endpoints") => {
            Response::text(503, "service unavailable\n")
        }
        Err(why) => Response::text(503, format!("{why}\n")),
    }
}

fn unreachable_server(why: &str) -> Response {
    Response::text(503, format!("error trying to reach service: {why}\n"))
}

fn request(admitted: &Admitted, extension: &Extension) -> http::Result<http::Request<Full<Bytes>>> {
    let asked = &admitted.request;
    let mut target = format!("https://{}{}", extension.site.authority(), encoded_path(&asked.path));
    if !asked.query.is_empty() {
        target.push('?');
        target.push_str(&asked.query);
    }
    let uri: Uri = target.parse()?;
    let mut request = http::Request::builder().method(asked.method.as_str()).uri(uri);
    for (name, value) in asked.headers.iter() {
        let ours = concerns_one_connection(name) || tells_who_asks(name) || OURS.contains(&name);
        if !ours && let Ok(value) = HeaderValue::from_str(&passed_on(name, value)) {
            request = request.header(name, value);
        }
    }
    for (name, value) in identity(&admitted.user) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            request = request.header(name, value);
        }
    }
    if let Peer::Network(connection) = &asked.peer
        && let Some(address) = connection.address
    {
        request = request.header("x-forwarded-for", address.ip().to_string());
    }
    request.body(Full::new(asked.body.clone()))
}

/// Who asks, as the front proxy tells it.
fn identity(user: &User) -> Vec<(String, String)> {
    let mut out = vec![("x-remote-user".to_owned(), user.name.clone())];
    if !user.uid.is_empty() {
        out.push(("x-remote-uid".to_owned(), user.uid.clone()));
    }
    out.extend(user.groups.iter().map(|group| ("x-remote-group".to_owned(), group.clone())));
    for (key, values) in &user.extra {
        let mut name = "x-remote-extra-".to_owned();
        for byte in key.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => name.push(char::from(byte)),
                b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                    name.push(char::from(byte));
                }
                _ => drop(write!(name, "%{byte:02X}")),
            }
        }
        out.extend(values.iter().map(|value| (name.to_ascii_lowercase(), value.clone())));
    }
    out
}

/// The answer as it comes, piece by piece.
fn answer(response: http::Response<Incoming>) -> Response {
    let (head, body) = response.into_parts();
    let headers = headers(&head.headers);
    let pieces = stream::unfold(body, |mut body| async {
        loop {
            match body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some((data, body)),
                    Err(_) => continue,
                },
                Err(error) => {
                    tracing::debug!(%error, "an extension server ended its answer");
                    return None;
                }
            }
        }
    });
    Response { status: head.status.as_u16(), headers, body: Body::Stream(pieces.boxed()) }
}

/// Those of an answer that are about more than one connection.
fn headers(given: &HeaderMap) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in given {
        if !concerns_one_connection(name.as_str()) && !["audit-id", "content-length"].contains(&name.as_str()) {
            headers.add(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_stands_in_headers() {
        let user = User {
            name: "bob".to_owned(),
            uid: "7".to_owned(),
            groups: vec!["a".to_owned(), "b".to_owned()],
            extra: vec![("example.com/Color".to_owned(), vec!["red".to_owned()])],
        };
        let told = identity(&user);
        let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("x-remote-user", "bob"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-example.com%2fcolor", "red"),
        ];
        assert_eq!(told, expected);
    }
}
