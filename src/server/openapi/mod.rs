//! OpenAPI: `/openapi/v3`, one document for each group and version, addressed by its hash, and `/openapi/v2`, all in
//! one. Documents are made from the table of types when asked for. What is kept are the places of descriptions, the
//! hashes of the documents, and `/openapi/v2`, compressed.

mod custom;
mod discovery;
mod gnostic;
mod gnostic_v3;
mod operation;
mod parameters;
mod paths;
mod schemas;
mod shared_parameters;
mod v2;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::schemas::{Source, Whose};
use super::content::{self, Content};
use super::discovery::etag;
use super::filters::Admitted;
use super::message::{Body, Headers, Response};
use super::{Parts, Server, negotiation, respond};
use crate::api::Result;
use crate::registry::{Extensions, Swagger};
use crate::resources::facts::Descriptions;
use crate::resources::{Kind, Served};

/// What is kept from request to request.
#[derive(Default)]
pub(super) struct Documents {
    descriptions: OnceLock<Descriptions>,
    /// Held while the hashes are made, so that they are made once. Comes before `v2`.
    hashes: Mutex<Option<Hashes>>,
    /// Held while the two are made, so that they are made once.
    v2: Mutex<Option<AllInOne>>,
}

#[derive(Clone)]
struct Hashes {
    generation: u64,
    made: Timestamp,
    /// What each document was made of: a document is made again only when that changed.
    made_of: Arc<BTreeMap<String, Vec<Arc<Kind>>>>,
    /// By path below `/openapi/v3/`.
    by_path: Arc<BTreeMap<String, String>>,
}

/// `/openapi/v2` of one moment in both encodings, each in gzip, which nearly all clients take.
#[derive(Clone)]
struct AllInOne {
    etag: String,
    json: Bytes,
    protobuf: Bytes,
}

/// What documents are made of.
#[derive(Clone, Copy)]
struct Maker<'a> {
    source: Source<'a>,
    served: &'a Served,
}

impl Documents {
    fn maker<'a>(&'a self, parts: &'a Parts, served: &'a Served) -> Maker<'a> {
        let descriptions = self.descriptions.get_or_init(Descriptions::load);
        let enums = parts.registry.enabled("OpenAPIEnums");
        Maker { source: Source { facts: &parts.facts, descriptions, enums, whose: Whose::All }, served }
    }

    fn hashes(&self, maker: Maker<'_>, now: Timestamp) -> Hashes {
        let generation = maker.served.generation;
        let mut slot = self.hashes.lock();
        let known = match &*slot {
            Some(hashes) if hashes.generation == generation => return hashes.clone(),
            known => known.clone(),
        };
        let made_of = by_document(maker.served);
        let same = |path: &str, kinds: &[Arc<Kind>]| {
            let before = known.as_ref().and_then(|known| known.made_of.get(path));
            before.is_some_and(|before| {
                before.len() == kinds.len() && before.iter().zip(kinds).all(|(a, b)| Arc::ptr_eq(a, b))
            })
        };
        let hash = |(path, kinds): (&String, &Vec<Arc<Kind>>)| {
            if same(path, kinds) {
                let hash = known.as_ref().and_then(|known| known.by_path.get(path));
                return hash.map(|hash| (path.clone(), hash.clone()));
            }
            let document = maker.document(path)?;
            Some((path.clone(), etag(&document).trim_matches('"').to_owned()))
        };
        let by_path: BTreeMap<String, String> = made_of.iter().filter_map(hash).collect();
        let (made_of, by_path) = (Arc::new(made_of), Arc::new(by_path));
        slot.insert(Hashes { generation, made: now, made_of, by_path }).clone()
    }

    fn all_in_one(
        &self,
        maker: Maker<'_>,
        (hashes, others): (&BTreeMap<String, String>, &[Arc<Swagger>]),
        etag: &str,
    ) -> AllInOne {
        let mut slot = self.v2.lock();
        match &*slot {
            Some(kept) if kept.etag == etag => kept.clone(),
            Some(_) | None => {
                let documents = hashes.keys().filter_map(|path| maker.tree(path));
                let mut all = v2::document(&maker.version(), maker.custom_definitions(), documents);
                others.iter().for_each(|other| v2::merge(&mut all, other));
                shared_parameters::share(&mut all);
                let protobuf = respond::gzip_all(&gnostic::encode(&all));
                let json = respond::gzip_all(all.to_string().as_bytes());
                slot.insert(AllInOne { etag: etag.to_owned(), json, protobuf }).clone()
            }
        }
    }
}

/// The kinds of `api/v1`, `apis/apps/v1` …; of what is not a resource none.
fn by_document(served: &Served) -> BTreeMap<String, Vec<Arc<Kind>>> {
    let fixed = ["apis", "version", ".well-known/openid-configuration", "openid/v1/jwks"];
    let mut out: BTreeMap<String, Vec<Arc<Kind>>> =
        fixed.into_iter().map(|path| (path.to_owned(), Vec::new())).collect();
    for kind in served.kinds() {
        let base = if kind.gvk.group.is_empty() { "api".to_owned() } else { format!("apis/{}", kind.gvk.group) };
        out.entry(format!("{base}/{}", kind.gvk.version)).or_default().push(kind.clone());
        if !kind.is_custom() {
            out.entry(base).or_default();
        }
    }
    out
}

/// Answers a path below `/openapi`; `None`: no such path.
pub(super) fn serve(server: &Server, admitted: &Admitted) -> Option<Result<Response>> {
    let path = admitted.info.path.as_str();
    let below = path.strip_prefix("/openapi/v3");
    if path != "/openapi/v2" && below.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        return None;
    }
    let parts = server.parts();
    let served = parts.registry.catalog().served();
    let maker = server.openapi().maker(parts, &served);
    let hashes = server.openapi().hashes(maker, parts.clock.now());
    let Some(rest) = below else {
        let others = others(&parts.extensions);
        return Some(Ok(all_in_one(server.openapi(), maker, (admitted, &hashes, &others))));
    };
    if rest.is_empty() {
        let body = index(&hashes.by_path, &parts.extensions).into();
        let content_type = "text/plain; charset=utf-8";
        let index = Content { content_type, body, etag: String::new(), modified: hashes.made };
        return Some(Ok(content::serve(&admitted.request, index)));
    }
    let path = &rest[1..];
    let Some(hash) = hashes.by_path.get(path) else { return Some(Ok(nothing(404))) };
    let response = one(maker, (admitted, path, hash), (hashes.made, parts.clock.now()))?;
    let whole = response.status == 200 && respond::names_gzip(&admitted.request);
    Some(Ok(respond::compressed(response, whole)))
}

fn nothing(status: u16) -> Response {
    Response { status, headers: Headers::default(), body: Body::Full(Bytes::new()) }
}

/// All documents, with those of extension servers, whose paths lead through this one.
fn index(hashes: &BTreeMap<String, String>, extensions: &Extensions) -> String {
    let link = |(path, hash): (&String, &String)| {
        (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
    };
    let mut paths: serde_json::Map<String, Value> = hashes.iter().map(link).collect();
    for extension in extensions.all().iter().filter(|extension| extension.available) {
        if let Some(said) = extensions.said(extension).filter(|said| !said.openapi.is_empty()) {
            let path = extension.path().trim_matches('/').to_owned();
            paths.insert(path, json!({ "serverRelativeURL": said.openapi }));
        }
    }
    json!({ "paths": paths }).to_string()
}

/// One document (kube-openapi `pkg/handler3`). Under an address with its hash it may be kept for ever.
fn one(
    maker: Maker<'_>,
    (admitted, path, hash): (&Admitted, &str, &String),
    (modified, now): (Timestamp, Timestamp),
) -> Option<Response> {
    let Some(protobuf) = wants_protobuf(admitted.request.headers.text("accept"), PROTOBUF_V3) else {
        return Some(nothing(406).with_header("vary", "Accept"));
    };
    let content_type = if protobuf { PROTOBUF_V3.0 } else { "application/json" };
    let etag = format!("\"{hash}\"");
    let asked = admitted.query.text("hash");
    if !asked.is_empty() && asked != hash {
        let location = format!("/openapi/v3/{path}?hash={hash}");
        let moved = Response::full(301, content_type, Bytes::new()).with_header("location", location);
        return Some(moved.with_header("etag", etag).with_header("vary", "Accept"));
    }
    let body = match protobuf {
        // It costs much, and who has it does not want it.
        _ if admitted.request.headers.get("if-none-match") == Some(&etag) => Bytes::new(),
        false => maker.document(path)?,
        true => gnostic_v3::encode(&maker.of_path(path)?).into(),
    };
    let document = Content { content_type, body, etag, modified };
    let response = content::serve(&admitted.request, document).with_header("vary", "Accept");
    if asked.is_empty() {
        return Some(response);
    }
    let next_year = now.to_zoned(TimeZone::UTC).saturating_add(1.year());
    let expires = next_year.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
    Some(response.with_header("cache-control", "public, immutable").with_header("expires", expires))
}

/// What extension servers that can be reached say in OpenAPI v2.
fn others(extensions: &Extensions) -> Vec<Arc<Swagger>> {
    let all = extensions.all();
    all.iter().filter(|other| other.available).filter_map(|other| extensions.said(other)?.swagger).collect()
}

/// `/openapi/v2`. Its hash is that of all the hashes of version 3, of which it is made.
fn all_in_one(
    documents: &Documents,
    maker: Maker<'_>,
    (admitted, hashes, others): (&Admitted, &Hashes, &[Arc<Swagger>]),
) -> Response {
    let request = &admitted.request;
    let Some(protobuf) = wants_protobuf(request.headers.text("accept"), PROTOBUF_V2) else {
        return told_apart(nothing(406));
    };
    let told = hashes.by_path.values().chain(others.iter().map(|other| &other.etag));
    let etag = etag(told.cloned().collect::<String>().as_bytes());
    let content_type = if protobuf { PROTOBUF_V2.0 } else { "application/json" };
    let modified = hashes.made;
    if request.headers.get("if-none-match") == Some(&etag) {
        let known = Content { content_type, body: Bytes::new(), etag, modified };
        return told_apart(content::serve(request, known));
    }
    let kept = documents.all_in_one(maker, (&hashes.by_path, others), &etag);
    let body = if protobuf { kept.protobuf } else { kept.json };
    let zipped = respond::names_gzip(request) && request.headers.get("range").is_none();
    let body = if zipped { body } else { respond::gunzip_all(&body) };
    let response = content::serve(request, Content { content_type, body, etag, modified });
    let zipped = zipped && response.status == 200;
    told_apart(if zipped { response.with_header("content-encoding", "gzip") } else { response })
}

/// An answer that is another for who takes another form or gzip.
fn told_apart(response: Response) -> Response {
    response.with_header("vary", "Accept-Encoding").with_header("vary", "Accept")
}

/// The name of an encoding and its older name.
type Names = (&'static str, &'static str);

const PROTOBUF_V2: Names =
    ("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", "com.github.proto-openapi.spec.v2@v1.0+protobuf");
const PROTOBUF_V3: Names =
    ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "com.github.proto-openapi.spec.v3@v1.0+protobuf");

/// Which of the two encodings the client prefers; `None`: neither.
fn wants_protobuf(accept: &str, (name, older): Names) -> Option<bool> {
    if accept.is_empty() {
        return Some(false);
    }
    negotiation::parse_accept(accept).iter().find_map(|clause| {
        let named = clause.kind == "application" && clause.subkind == older;
        if clause.matches("application/json") { Some(false) } else { (named || clause.matches(name)).then_some(true) }
    })
}

/// How requests say who sends them.
fn bearer_token() -> Value {
    json!({
        "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
    })
}

impl Maker<'_> {
    /// The document of a group and version; `None` when there is none.
    fn document(self, path: &str) -> Option<Bytes> {
        self.of_path(path).map(|tree| tree.to_string().into())
    }

    /// The same as a tree.
    fn of_path(self, path: &str) -> Option<Value> {
        let version = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => ("", "v1"),
        };
        let whose = match version {
            (group, version) if self.is_custom(group, version) => Whose::Custom,
            (group, version) => Whose::Version(group, version),
        };
        let source = Source { whose, ..self.source };
        Maker { source, ..self }.tree(path)
    }

    fn is_custom(self, group: &str, version: &str) -> bool {
        self.served.of_version(group, version).any(|kind| kind.is_custom())
    }

    /// The definitions of custom resources for `/openapi/v2`.
    fn custom_definitions(self) -> serde_json::Map<String, Value> {
        let made = |kind: &Arc<Kind>| {
            let version = kind.custom.as_ref()?;
            Some(custom::schemas(kind, version, custom::Form::V2))
        };
        self.served.made().filter_map(made).flatten().collect()
    }

    fn tree(self, path: &str) -> Option<Value> {
        let (paths, schemas) = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => self.of_version(path, ("", version)),
            ["apis", group, version] => self.of_version(path, (group, version)),
            _ => {
                let paths = discovery::page(path)?;
                let schemas = schemas::reachable(self.source, &paths, serde_json::Map::new());
                (paths, schemas)
            }
        };
        let mut components = serde_json::Map::new();
        if !schemas.is_empty() {
            components.insert("schemas".to_owned(), Value::Object(schemas));
        }
        let (mut title, mut version) = ("Kubernetes", self.version());
        if !matches!(self.source.whose, Whose::Version(..)) {
            (title, version) = ("Kubernetes CRD Swagger", "v0.1.0".to_owned());
        } else {
            components.insert("securitySchemes".to_owned(), json!({ "BearerToken": bearer_token() }));
        }
        Some(json!({
            "openapi": "3.0.0",
            "info": {"title": title, "version": version},
            "paths": paths,
            "components": components,
        }))
    }

    /// As documents tell it: major and minor.
    fn version(self) -> String {
        let release = self.source.facts.release;
        format!("{}.{}", release.major, release.minor)
    }

    /// Paths and schemas of a group and version.
    fn of_version(
        self,
        path: &str,
        (group, version): (&str, &str),
    ) -> (serde_json::Map<String, Value>, serde_json::Map<String, Value>) {
        let kinds: Vec<&Arc<Kind>> = self.served.of_version(group, version).collect();
        let paths = paths::all(&format!("/{path}"), &kinds, self.source);
        let custom = |kind: &&Arc<Kind>| Some(custom::schemas(kind, kind.custom.as_ref()?, custom::Form::V3));
        let own = kinds.iter().filter_map(custom).flatten().collect();
        let schemas = schemas::reachable(self.source, &paths, own);
        (paths, schemas)
    }
}
