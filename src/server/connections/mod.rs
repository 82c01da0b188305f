//! Connections to containers, pods, nodes and services: requests are passed on to the kubelet or the backend that the
//! registry finds, as upstream's `UpgradeAwareHandler` passes them on, and switch to other protocols with it.

mod dial;
mod html;
mod log;
mod outcome;
mod relay;
mod spdy;
mod translate;
mod tunnel;
mod upgrade;
mod web_socket;
mod wish;
mod worked;

use bytes::Bytes;

use crate::api::{Result, Status};
use crate::auth::Denied;
use crate::registry::{Call, Connected, End, Way};
use crate::server::Server;
use crate::server::filters::{self, Admitted};
use crate::server::message::{Body, Headers, Method, Peer, Response};

/// Answers a request for a connection.
///
/// # Errors
/// Upstream's own, as far as they are found out before the other end answers.
pub(super) async fn serve(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let log = call.target.subresource == "log";
    if !log && admitted.query.get("dryRun").is_some() {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let wish = wish::of(admitted, call)?;
    if !log {
        server.parts().registry.admit_connection(call, wish::options(admitted, call)).await?;
    }
    let to_container = matches!(call.target.subresource.as_str(), "attach" | "exec" | "portforward");
    if to_container {
        may_create(server, admitted, call).await?;
    }
    let way = match server.parts().connections.find(call, &wish).await? {
        Connected::Nothing => return Ok(empty(204)),
        Connected::To(way) => way,
    };
    if log {
        return log::serve(server, admitted, (call, &way)).await;
    }
    let enabled = |gate: &str| server.parts().registry.enabled(gate);
    match (call.target.subresource.as_str(), way.to) {
        // A kubelet that speaks WebSocket itself is left to do so.
        (_, End::Kubelet { extends_web_sockets: true }) => {}
        ("exec" | "attach", _)
            if translate::asked(&admitted.request) && enabled("TranslateStreamCloseWebsocketRequests") =>
        {
            return Ok(translate::serve(server, admitted, &way));
        }
        ("portforward", _) if tunnel::asked(&admitted.request) && enabled("PortForwardWebsockets") => {
            return tunnel::serve(server, admitted, &way).await;
        }
        _ => {}
    }
    if upgrade::wished(&admitted.request) {
        return upgrade::serve(server, admitted, &way).await;
    }
    if to_container {
        return Err(Status::bad_request("Upgrade request required"));
    }
    relay::serve(server, admitted, &way).await
}

/// Whoever opens a stream to a container by any method must be allowed to create one, since a WebSocket is asked for
/// with GET (v1.35).
async fn may_create(server: &Server, admitted: &Admitted, call: &Call) -> Result<()> {
    let gate = "AuthorizePodWebsocketUpgradeCreatePermission";
    if admitted.info.verb == "create" || !server.parts().registry.enabled(gate) {
        return Ok(());
    }
    let mut attributes = filters::attributes(&admitted.info, &admitted.user);
    "create".clone_into(&mut attributes.verb);
    let decision = server.parts().authorizer.authorize(&attributes).await;
    decision.allowed().map_err(|Denied { reason, error }| match error {
        Some(error) => Status::internal(error),
        None => Status::forbidden(&call.kind.group_resource(), &call.target.name, &reason),
    })
}

fn empty(status: u16) -> Response {
    Response { status, headers: Headers::default(), body: Body::Full(Bytes::new()) }
}

/// Upstream's `X-Forwarded-For` with the client's address at its end.
fn forwarded_for(admitted: &Admitted) -> Option<String> {
    let Peer::Network(connection) = &admitted.request.peer else { return None };
    let address = connection.address?.ip().to_string();
    let mut all: Vec<&str> = admitted.request.headers.all("x-forwarded-for").collect();
    all.push(&address);
    Some(all.join(", "))
}

/// The query that the other end gets.
fn query<'a>(admitted: &'a Admitted, way: &'a Way) -> &'a str {
    if way.query.is_empty() { &admitted.request.query } else { &way.query }
}

fn reads(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}
