//! Where a request goes: resources to the registry, everything else to what answers its path.

mod resource;
mod version;

pub(super) use version::PLATFORM;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::aggregation;
use super::discovery;
use super::filters::Admitted;
use super::message::{Method, Response};
use super::{Server, metrics, negotiation, openapi, pages, respond};
use crate::api::{Result, Status};
use crate::base::room;

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// Answers a request that passed the filters.
pub(super) async fn serve(server: &Server, admitted: Admitted) -> Response {
    let started = server.parts().clock.monotonic();
    if let Some(answer) = aggregation::serve(server, &admitted).await {
        return answer;
    }
    // What begins with two slashes is below no API, though it reads like a resource.
    if !admitted.info.resource_request || admitted.info.path.starts_with("//") {
        return answered(server, &admitted, (path(server, &admitted), started));
    }
    match room::on_this_stack(resource::serve(server, &admitted)).await {
        Some(answer) => answered(server, &admitted, (answer, started)),
        None => {
            let admitted = Arc::new(admitted);
            let answer = with_room(server, &admitted).await;
            answered(server, &admitted, (answer, started))
        }
    }
}

/// The answer to a request that came upon an object that nests too deeply for the stack of a connection.
async fn with_room(server: &Server, admitted: &Arc<Admitted>) -> Result<Response> {
    // Those of the first attempt.
    drop(admitted.warnings.take());
    let (server_there, admitted) = (server.clone(), Arc::clone(admitted));
    let serve = || async move { resource::serve(&server_there, &admitted).await }.boxed();
    let answer = server.rooms().run(serve).await;
    answer.unwrap_or_else(|| Err(Status::internal("no answer to a request with an object that nests deeply")))
}

fn answered(server: &Server, admitted: &Admitted, (answer, started): (Result<Response>, Duration)) -> Response {
    let response = answer.unwrap_or_else(|status| respond::failure(server.parts(), admitted.failure, &status));
    let took = server.parts().clock.monotonic() - started;
    server.metrics().answered(server, admitted, (response, took))
}

fn path(server: &Server, admitted: &Admitted) -> Result<Response> {
    let path = admitted.info.path.as_str();
    if let Some(answer) = server.parts().health.answer(path, &admitted.query) {
        return Ok(answer);
    }
    if let Some(answer) = pages::serve(server, admitted) {
        return answer;
    }
    let reads = admitted.request.method == Method::Get;
    let answer = match path {
        "/" | "/index.html" => Some(Ok(root(server))),
        "/metrics" => Some(Ok(server.metrics().answer(server, &admitted.request))),
        "/metrics/slis" => Some(Ok(metrics::service_levels(server, &admitted.request))),
        path if path.starts_with("//") => None,
        path if path.starts_with("/openapi/") => openapi::serve(server, admitted),
        path => match path.trim_end_matches('/') {
            page @ ("/version" | CONFIGURATION | KEYS) => fixed(server, admitted, page),
            _ => discovery_answer(server, admitted, reads),
        },
    };
    answer.unwrap_or_else(|| Ok(not_found(server, path)))
}

/// What is read and never changes, in JSON alone; `None`: there is no such page here.
fn fixed(server: &Server, admitted: &Admitted, page: &str) -> Option<Result<Response>> {
    let answer = match page {
        "/version" => version::answer(&server.parts().facts),
        page => issuer(server, page)?,
    };
    if admitted.request.method != Method::Get {
        return Some(Err(Status::method_not_allowed()));
    }
    Some(resource::representable(admitted, &["application/json"]).map(|()| answer))
}

fn discovery_answer(server: &Server, admitted: &Admitted, reads: bool) -> Option<Result<Response>> {
    let answer = discovery::serve(server, admitted)?;
    // Upstream's aggregator does not look at the method of requests for the list of groups and for a group (v1.37).
    let path = admitted.info.path.trim_end_matches('/');
    let any = path == "/apis" || (path.starts_with("/apis/") && path.matches('/').count() == 2);
    Some(if reads || any { answer } else { Err(Status::method_not_allowed()) })
}

/// Below a group that is served the API answers, elsewhere the plain multiplexer.
fn not_found(server: &Server, path: &str) -> Response {
    let served = server.parts().registry.catalog().served();
    let mut parts = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').split('/');
    let group = match (parts.next(), parts.next()) {
        (Some("api"), Some(_)) => Some(""),
        (Some("apis"), Some(group)) => Some(group),
        _ => None,
    };
    // Groups that only definitions make are none of the API's own.
    if group.is_some_and(|group| served.has_built_in(group)) {
        let agreed = negotiation::Agreed {
            encoding: negotiation::Encoding::Json,
            form: negotiation::Form::Plain,
            pretty: false,
        };
        return respond::failure(server.parts(), agreed, &Status::no_such_path());
    }
    Response::text(404, "404 page not found\n")
}

fn issuer(server: &Server, page: &str) -> Option<Response> {
    let issuer = server.parts().issuer.as_ref()?;
    let (content_type, body) = match page {
        KEYS => ("application/jwk-set+json", &issuer.keys),
        _ => ("application/json", &issuer.configuration),
    };
    Some(Response::full(200, content_type, body.clone()).with_header("cache-control", "public, max-age=3600"))
}

/// The list of all paths, as far as they can be listed.
fn root(server: &Server) -> Response {
    let served = server.parts().registry.catalog().served();
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned(), "/apis/".to_owned()];
    paths.extend(
        ["/flagz", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/statusz", "/version"]
            .map(str::to_owned),
    );
    if server.parts().issuer.is_some() {
        paths.extend([CONFIGURATION, KEYS].map(str::to_owned));
    }
    for group in served.groups() {
        let base = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{base}/{version}")));
        paths.push(base);
    }
    paths.extend(server.parts().health.paths());
    paths.sort();
    paths.dedup();
    let text = crate::api::codec::json::pretty(serde_json::json!({ "paths": paths }).to_string().as_bytes());
    Response::full(200, "application/json", text)
}
