//! Who sends the request: certificates and tokens by the authenticator, the in-process identity as it is.

use crate::api::request::User;
use crate::api::{Result, Status};
use crate::auth::Credentials;
use crate::server::Server;
use crate::server::message::{Connection, Peer, Request};
use crate::server::metrics::Authenticated;

/// The user of a request.
///
/// # Errors
/// 401 for credentials that are bad, and for none where anonymous requests are not allowed.
pub(super) async fn authenticate(server: &Server, request: &Request) -> Result<User> {
    let connection = match &request.peer {
        Peer::Internal(user) => return Ok(user.clone()),
        Peer::Network(connection) => connection,
    };
    let reads_headers = server.parts().authenticator.reads_headers();
    let headers = request.headers.iter().filter(|_| reads_headers);
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let credentials = Credentials { headers, ..credentials(connection, request) };
    let began = server.parts().clock.monotonic();
    let found = match server.parts().authenticator.authenticate(&credentials).await {
        Ok(None) if server.parts().anonymous.allows(&request.path) => Ok(Some(User::anonymous())),
        found => found,
    };
    let took = server.parts().clock.monotonic().saturating_sub(began);
    let how = match &found {
        Ok(Some(_)) => Authenticated::Success,
        Ok(None) => Authenticated::Failure,
        Err(_) => Authenticated::Error,
    };
    let name = found.as_ref().ok().and_then(Option::as_ref).map(|user| user.name.as_str());
    server.metrics().attempts.authenticated((how, name), took);
    match found {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(Status::unauthorized()),
        Err(refused) => {
            tracing::warn!(path = request.path, error = %refused, "unable to authenticate the request");
            Err(Status::unauthorized())
        }
    }
}

/// What a client is told whose token is not looked at.
pub(super) fn ignored_token(request: &Request) -> Option<&'static str> {
    let mut words = request.headers.text("authorization").trim().splitn(3, ' ');
    let spaced = words.next()?.eq_ignore_ascii_case("bearer") && words.next()?.is_empty() && words.next().is_some();
    spaced.then_some("the provided Authorization header contains extra space before the bearer token, and is ignored")
}

fn credentials(connection: &Connection, request: &Request) -> Credentials {
    let header = request.headers.text("authorization");
    let bearer = match header.trim().split_once(' ') {
        // Upstream takes the second word and looks at no third.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.split(' ').next().map(str::to_owned),
        _ => web_socket_bearer(request),
    };
    Credentials {
        certificates: connection.certificates.clone(),
        bearer: bearer.filter(|token| !token.is_empty()),
        headers: Vec::new(),
    }
}

/// Browsers cannot set headers on WebSockets; upstream takes the token out of a subprotocol.
fn web_socket_bearer(request: &Request) -> Option<String> {
    use base64::Engine as _;
    let protocols = request.headers.get("sec-websocket-protocol")?;
    let encoded = protocols.split(',').find_map(|p| p.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}
