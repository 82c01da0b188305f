//! OpenAPI: `/openapi/v3`, one document for each group and version, addressed by its hash. Documents are made from
//! the table of types when asked for; only their hashes are kept.

mod paths;
mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::filters::Admitted;
use super::message::{Method, Response};
use super::{Parts, Server, discovery, respond};
use crate::api::{Result, Status};
use crate::resources::{Kind, Served};

/// The hashes of all documents of one moment.
#[derive(Default)]
pub(super) struct Documents {
    /// Held while the hashes are made, so that they are made once.
    hashes: Mutex<Option<Hashes>>,
}

#[derive(Clone)]
struct Hashes {
    generation: u64,
    /// By path below `/openapi/v3/`.
    by_path: Arc<BTreeMap<String, String>>,
}

impl Documents {
    fn hashes(&self, parts: &Parts, served: &Served) -> Arc<BTreeMap<String, String>> {
        let mut slot = self.hashes.lock();
        match &*slot {
            Some(hashes) if hashes.generation == served.generation => hashes.by_path.clone(),
            Some(_) | None => {
                let hash = |path: String| {
                    let document = document(parts, served, &path)?;
                    let hash = discovery::etag(&document).trim_matches('"').to_owned();
                    Some((path, hash))
                };
                let by_path: BTreeMap<String, String> = document_paths(served).into_iter().filter_map(hash).collect();
                let by_path = Arc::new(by_path);
                *slot = Some(Hashes { generation: served.generation, by_path: by_path.clone() });
                by_path
            }
        }
    }
}

/// `api/v1`, `apis/apps/v1` …
fn document_paths(served: &Served) -> Vec<String> {
    let of = |group: &crate::resources::Group| {
        let base = if group.name.is_empty() { "api".to_owned() } else { format!("apis/{}", group.name) };
        group.versions.iter().map(move |version| format!("{base}/{version}")).collect::<Vec<_>>()
    };
    served.groups.iter().flat_map(of).collect()
}

/// Answers a path below `/openapi`; `None`: no such path.
pub(super) fn serve(server: &Server, admitted: &Admitted) -> Option<Result<Response>> {
    let rest = admitted.info.path.strip_prefix("/openapi/v3")?;
    if admitted.request.method != Method::Get {
        return Some(Err(Status::method_not_allowed()));
    }
    let parts = server.parts();
    let served = parts.registry.catalog().served();
    let hashes = server.openapi().hashes(parts, &served);
    let path = rest.trim_matches('/');
    if path.is_empty() {
        return Some(Ok(index(&hashes)));
    }
    let hash = hashes.get(path)?;
    let gzip = respond::accepts_gzip(&admitted.request);
    let response = one(parts, &served, (admitted, path, hash))?;
    Some(Ok(respond::compressed(response, gzip)))
}

fn index(hashes: &BTreeMap<String, String>) -> Response {
    let link = |(path, hash): (&String, &String)| {
        (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
    };
    let paths: serde_json::Map<String, Value> = hashes.iter().map(link).collect();
    Response::full(200, "text/plain; charset=utf-8", json!({ "paths": paths }).to_string())
}

fn one(parts: &Parts, served: &Served, (admitted, path, hash): (&Admitted, &str, &String)) -> Option<Response> {
    let asked = admitted.query.text("hash");
    if !asked.is_empty() && asked != hash {
        let location = format!("/openapi/v3/{path}?hash={hash}");
        return Some(Response::text(301, "").with_header("location", location));
    }
    let etag = format!("\"{hash}\"");
    let known = admitted.request.headers.get("if-none-match") == Some(&etag);
    let body = if known { Bytes::new() } else { document(parts, served, path)? };
    let mut response = Response::full(if known { 304 } else { 200 }, "application/json", body);
    response.headers.add("etag", etag);
    response.headers.add("vary", "Accept");
    if !asked.is_empty() {
        response.headers.add("cache-control", "public, immutable");
    }
    Some(response)
}

/// The document of a group and version; `None` when there is none.
fn document(parts: &Parts, served: &Served, path: &str) -> Option<Bytes> {
    let mut pieces = path.split('/');
    let (group, version) = match (pieces.next()?, pieces.next()?, pieces.next()) {
        ("api", version, None) => ("", version),
        ("apis", group, Some(version)) => (group, version),
        _ => return None,
    };
    let kinds: Vec<&Arc<Kind>> = served.of_version(group, version).collect();
    let paths = paths::all(&format!("/{path}"), &kinds, &parts.facts);
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.1"},
        "paths": paths,
        "components": {
            "schemas": schemas::reachable(&parts.facts, &kinds),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                },
            },
        },
    });
    Some(document.to_string().into())
}
