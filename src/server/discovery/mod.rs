//! What a server can do, told to clients: `/api`, `/apis` and below, in the legacy and the aggregated form, made from
//! the catalog of served types and kept until the catalog changes.

mod aggregated;
mod legacy;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha512};

use self::legacy::StorageHashes;
use super::Server;
use super::filters::Admitted;
use super::known::{self, Known};
use super::message::Response;
use super::negotiation::{self, Encoding};
use super::respond;
use super::wire::{self, Typed};
use crate::api::Result;
use crate::resources::Served;

/// The aggregated documents, made when first asked for after a change.
#[derive(Default)]
pub(super) struct Documents {
    /// Held while a document is made, so that it is made once.
    aggregated: Mutex<Option<Cached>>,
}

struct Cached {
    /// Of what is served here, and of what others serve.
    generation: (u64, u64),
    /// Of the legacy group and of all others, each in JSON and protobuf.
    core: Document,
    groups: Document,
}

/// A document with its hash, which does not depend on the encoding.
#[derive(Clone)]
struct Document {
    json: Bytes,
    protobuf: Option<Bytes>,
    etag: String,
}

impl Documents {
    fn get(&self, server: &Server, scope: Scope) -> Document {
        let served = server.parts().registry.catalog().served();
        let mut slot = self.aggregated.lock();
        let generation = (served.generation, server.parts().extensions.generation());
        if slot.as_ref().is_none_or(|cached| cached.generation != generation) {
            let make = |scope| Document::new(server, &served, scope);
            let (core, groups) = (make(Scope::Core), make(Scope::Groups));
            *slot = Some(Cached { generation, core, groups });
        }
        let cached = slot.as_ref().expect("it was made above");
        match scope {
            Scope::Core => cached.core.clone(),
            Scope::Groups => cached.groups.clone(),
        }
    }
}

impl Document {
    fn new(server: &Server, served: &Served, scope: Scope) -> Self {
        let mut value = aggregated::list(served, scope);
        if scope == Scope::Groups {
            aggregated::add(&mut value, &server.parts().extensions);
        }
        let of = Typed::known(&server.parts().facts.types, &known::GROUP_DISCOVERY_LIST);
        let json: Bytes = of.json(&value).into();
        let protobuf = wire::encode(Encoding::Protobuf, of, &value).ok();
        Self { etag: etag(&json), protobuf, json }
    }
}

/// The strong hash of a document in quotes, as upstream makes it.
pub(super) fn etag(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(130);
    text.push('"');
    for byte in Sha512::digest(bytes) {
        let _ = write!(text, "{byte:02X}");
    }
    text.push('"');
    text
}

/// Which groups a list is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    /// The legacy group, `/api`.
    Core,
    /// All others, `/apis`.
    Groups,
}

/// Answers `/api`, `/apis` and what is below them and no resource; `None`: no such path.
pub(super) fn serve(server: &Server, admitted: &Admitted) -> Option<Result<Response>> {
    let served = server.parts().registry.catalog().served();
    let parts: Vec<&str> = admitted.info.path.trim_matches('/').split('/').collect();
    let answer = match parts.as_slice() {
        ["api"] => top(server, admitted, Scope::Core, &served),
        ["apis"] => top(server, admitted, Scope::Groups, &served),
        ["apis", group] if !group.is_empty() => {
            let groups = legacy::merged(&served, &server.parts().extensions.all());
            let group = groups.iter().find(|g| g.name == *group)?;
            legacy_answer(server, admitted, &known::GROUP, &legacy::group(group, true))
        }
        ["api", version] => resources(server, admitted, &served, ("", version))?,
        ["apis", group, version] => resources(server, admitted, &served, (group, version))?,
        _ => return None,
    };
    Some(answer)
}

fn resources(server: &Server, admitted: &Admitted, served: &Arc<Served>, of: (&str, &str)) -> Option<Result<Response>> {
    served.group(of.0)?.versions.iter().find(|v| *v == of.1)?;
    let hashes = match server.parts().registry.enabled("StorageVersionHash") {
        true => StorageHashes::Told,
        false => StorageHashes::Untold,
    };
    Some(legacy_answer(server, admitted, &known::RESOURCE_LIST, &legacy::resources(served, of, hashes)))
}

fn top(server: &Server, admitted: &Admitted, scope: Scope, served: &Served) -> Result<Response> {
    let wish = aggregated::wish(&admitted.request);
    if let Some(wish) = wish {
        return Ok(aggregated_answer(server, admitted, scope, wish));
    }
    match scope {
        Scope::Core => {
            legacy_answer(server, admitted, &known::VERSIONS, &legacy::versions(served, &server.parts().advertised))
        }
        Scope::Groups => {
            let groups = legacy::merged(served, &server.parts().extensions.all());
            legacy_answer(server, admitted, &known::GROUP_LIST, &legacy::groups(&groups))
        }
    }
}

fn aggregated_answer(server: &Server, admitted: &Admitted, scope: Scope, encoding: Encoding) -> Response {
    let document = server.discovery().get(server, scope);
    let (encoding, body) = match (encoding, document.protobuf) {
        (Encoding::Protobuf, Some(protobuf)) => (encoding, protobuf),
        (Encoding::Json | Encoding::Yaml | Encoding::Protobuf, _) => (Encoding::Json, document.json),
    };
    let content_type = format!("{};{}", encoding.media_type(), aggregated::PARAMETERS);
    let known = admitted.request.headers.get("if-none-match") == Some(&document.etag);
    let pretty = negotiation::failure(&admitted.request, &admitted.query).pretty;
    let response = if known {
        Response::full(304, content_type, Bytes::new())
    } else if pretty && encoding == Encoding::Json {
        Response::full(200, content_type, crate::api::codec::json::pretty(&body))
    } else {
        Response::full(200, content_type, body)
    };
    response.with_header("cache-control", "public").with_header("etag", document.etag).with_header("vary", "Accept")
}

fn legacy_answer(server: &Server, admitted: &Admitted, known: &Known, value: &serde_json::Value) -> Result<Response> {
    let agreed = negotiation::output(&admitted.request, &admitted.query, negotiation::Forms::Plain)?;
    Ok(respond::value(server.parts(), agreed, 200, (known, value)))
}
