//! What every request goes through before it reaches its route, in upstream's order (`DefaultBuildHandlerChain`):
//! panic recovery, request info, audit id, caching, deadline, authentication, impersonation, limits, authorization.

mod authentication;
mod authorization;
mod flow;
mod impersonation;
mod in_flight;
pub(super) mod request_info;
mod warning;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;

use authorization::Refusal;
pub(super) use authorization::attributes;
use flow::Flow;
pub(super) use flow::Flows;
pub(super) use impersonation::LastModes;
pub use in_flight::InFlight;
pub(super) use request_info::RequestInfo;

use super::message::{Body, Request, Response};
use super::negotiation::Agreed;
use super::query::Query;
use super::{Server, negotiation, respond, routes};
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::api::time::GoDuration;
use crate::api::{Result, Status};
use crate::registry::Warnings;

/// The longest that a request may take that is not long-running.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(60);
const AUDIT_ID_BYTES_MAX: usize = 64;

/// A request that passed the filters.
pub(super) struct Admitted {
    pub request: Request,
    pub query: Query,
    pub info: Arc<RequestInfo>,
    pub user: Arc<User>,
    /// Collects the texts of `Warning` headers.
    pub warnings: Arc<Warnings>,
    /// How a failure is told.
    pub failure: Agreed,
}

/// Answers one request.
pub(super) async fn handle(server: &Server, request: Request) -> Response {
    let audit_id = audit_id(&request);
    let path = request.path.clone();
    let ignored = authentication::ignored_token(&request);
    let query = Query::parse(&request.query);
    let info = match RequestInfo::of(&request, &query) {
        Ok(info) => Arc::new(info),
        // Nothing is known of the request yet, as little as whether its answer may be kept.
        Err(error) => {
            let text = format!("Internal Server Error: {path:?}: failed to create RequestInfo: {error}\n");
            return Response::text(500, text).with_header("audit-id", audit_id);
        }
    };
    let mut response = match AssertUnwindSafe(within_deadline(server, (request, query, info))).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(path, audit_id, "a request panicked");
            Response::text(500, "This request caused apiserver to panic. Look in the logs for details.\n")
        }
    };
    // From a switch on the answer is another server's.
    if matches!(response.body, Body::Tunnel(_)) {
        return response;
    }
    if let Some(warning) = ignored {
        response.headers.add("warning", warning::header(warning));
    }
    response.headers.add("audit-id", audit_id);
    if response.headers.get("cache-control").is_none() {
        response.headers.add("cache-control", "no-cache, private");
    }
    response
}

fn audit_id(request: &Request) -> String {
    match request.headers.get("audit-id") {
        Some(id) if !id.is_empty() => id.chars().take(AUDIT_ID_BYTES_MAX).collect(),
        _ => uuid::Uuid::new_v4().to_string(),
    }
}

async fn within_deadline(server: &Server, (request, query, info): (Request, Query, Arc<RequestInfo>)) -> Response {
    let failure = negotiation::failure(&request, &query);
    if info.long_running() {
        return identified(server, (request, query, info), failure).await;
    }
    let deadline = match deadline(&query) {
        Ok(deadline) => deadline,
        Err(status) => return respond::failure(server.parts(), failure, &status),
    };
    let (asked, applies) = (info.clone(), applies(&request));
    let mut response = std::pin::pin!(identified(server, (request, query, info), failure));
    // What is answered at once, as most reads are, needs no timer.
    if let Poll::Ready(response) = futures::poll!(response.as_mut()) {
        return response;
    }
    tokio::select! {
        biased;
        response = response => response,
        () = server.parts().clock.sleep(deadline) => {
            server.metrics().terminated(server, (&asked, applies), 504);
            let status = Status::timeout("request did not complete within the allotted timeout", 0);
            respond::failure(server.parts(), failure, &status)
        }
    }
}

fn deadline(query: &Query) -> Result<Duration> {
    let asked = match query.text("timeout") {
        "" => return Ok(REQUEST_TIMEOUT_MAX),
        text => GoDuration::parse(text).map(GoDuration::or_zero),
    };
    let invalid = |why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}"));
    let asked = asked.map_err(invalid)?;
    Ok(if asked.is_zero() { REQUEST_TIMEOUT_MAX } else { asked.min(REQUEST_TIMEOUT_MAX) })
}

async fn identified(server: &Server, asked: (Request, Query, Arc<RequestInfo>), failure: Agreed) -> Response {
    let (request, query, info) = asked;
    let user = match authentication::authenticate(server, &request).await {
        Ok(user) => Arc::new(user),
        Err(status) => return respond::failure(server.parts(), failure, &status),
    };
    let asked = |user: &Arc<User>| attributes(&info, user);
    let user = match impersonation::impersonate(server, &request, (user, asked)).await {
        Ok(user) => user,
        Err(status) => return no_sniff(respond::failure(server.parts(), failure, &status)),
    };
    // Long-running requests are not counted, so upstream does not classify them; watches count until they begin.
    let counted = !info.long_running() || info.verb == "watch";
    let snapshot = server.parts().registry.store().snapshot();
    let flow = if counted { server.flows().classify(&snapshot, &info, &user) } else { None };
    let Some(_permit) = server.in_flight().enter(&info, &user) else {
        server.metrics().terminated(server, (&info, applies(&request)), 429);
        flow.iter().for_each(|flow| flow.refuse());
        return in_flight::refused();
    };
    drop(snapshot);
    let _executing = flow.as_ref().map(Flow::execute);
    let response = authorized(server, Identified { request, query, info, user }, failure).await;
    match flow {
        Some(flow) => response
            .with_header("x-kubernetes-pf-flowschema-uid", flow.schema.uid.clone())
            .with_header("x-kubernetes-pf-prioritylevel-uid", flow.level.uid.clone()),
        None => response,
    }
}

/// Whether a patch is one that applies.
pub(super) fn applies(request: &Request) -> bool {
    request.headers.text("content-type").starts_with("application/apply-patch")
}

/// A request whose sender is known.
struct Identified {
    request: Request,
    query: Query,
    info: Arc<RequestInfo>,
    user: Arc<User>,
}

async fn authorized(server: &Server, asked: Identified, failure: Agreed) -> Response {
    let Identified { request, query, info, user } = asked;
    match authorization::authorize(server, &info, &user).await {
        Ok(()) => {}
        Err(Refusal::Forbidden(status)) => return no_sniff(respond::failure(server.parts(), failure, &status)),
        Err(Refusal::Failed(why)) => return unauthorizable(&request, &why),
    }
    let warnings = Arc::new(Warnings::default());
    let admitted = Admitted { request, query, info, user, warnings: warnings.clone(), failure };
    let mut response = routes::serve(server, admitted).await;
    for warning in warning::headers(&warnings.take()) {
        response.headers.add("warning", warning);
    }
    response
}

/// What is said where nobody could tell whether a request is allowed, in upstream's form.
fn unauthorizable(request: &Request, why: &str) -> Response {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let address = go_quote(&format!("{}{query}", request.path));
    let text = format!("Internal Server Error: {address}: {why}");
    // Upstream keeps it from looking like HTML.
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Response::text(500, text + "\n")
}

fn no_sniff(response: Response) -> Response {
    response.with_header("x-content-type-options", "nosniff")
}
