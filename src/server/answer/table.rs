//! Tables: what `kubectl get` prints, made by the server.

use serde_json::{Value, json};

use super::{Manner, metadata};
use crate::api::{Object, Result};
use crate::resources::Kind;
use crate::server::message::Response;
use crate::server::negotiation::{Encoding, MetaVersion, wrong_form};
use crate::server::options::IncludeObject;
use crate::server::respond;
use crate::server::wire::{self, Typed};

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It \
    is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
    is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Whether a Table tells its columns: of a watch only the first does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Headers {
    With,
    Without,
}

/// The Table of one object.
pub(super) fn one(manner: &Manner, status: u16, (version, object): (MetaVersion, &Object)) -> Result<Response> {
    // Reviews and other kinds that are only created have no rows (apiserver `pkg/registry/rest/table.go`).
    if !manner.kind.verbs.iter().any(|verb| verb == "get" || verb == "list") {
        let resource = manner.kind.group_resource();
        return Err(wrong_form(format!("the resource {resource} does not support being converted to a Table")));
    }
    let json = whole(manner, (version, Headers::With), object);
    sent(manner, status, json)
}

/// JSON of a Table in the agreed encoding.
pub(super) fn sent(manner: &Manner, status: u16, json: Vec<u8>) -> Result<Response> {
    match manner.agreed.encoding {
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&json).map_err(crate::api::Status::internal)?;
            Ok(Response::full(status, Encoding::Yaml.media_type(), wire::yaml(&value)))
        }
        Encoding::Json | Encoding::Protobuf => {
            Ok(Response::full(status, "application/json", respond::json_text(&json, manner.agreed.pretty)))
        }
    }
}

/// The JSON of a Table with one row.
pub(super) fn whole(manner: &Manner, (version, headers): (MetaVersion, Headers), object: &Object) -> Vec<u8> {
    let list_metadata = json!({"resourceVersion": object.resource_version()});
    let mut out = head(manner, (version, headers), &list_metadata);
    row(manner, version, object, &mut out);
    out.extend_from_slice(TAIL);
    out
}

/// Everything before the first row.
pub(super) fn head(manner: &Manner, (version, headers): (MetaVersion, Headers), metadata: &Value) -> Vec<u8> {
    let columns = match headers {
        Headers::With => columns(&manner.kind),
        Headers::Without => "null".to_owned(),
    };
    let api_version = version.api_version();
    let metadata = list_metadata(metadata);
    format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\
         \"columnDefinitions\":{columns},\"rows\":["
    )
    .into_bytes()
}

/// Everything behind the last row.
pub(super) const TAIL: &[u8] = b"]}";

/// `metadata` of a list in the order of the Go type.
pub(super) fn list_metadata(metadata: &Value) -> String {
    let mut out = String::from("{");
    for key in ["resourceVersion", "continue", "remainingItemCount"] {
        if let Some(value) = metadata.get(key) {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&format!("\"{key}\":{value}"));
        }
    }
    out.push('}');
    out
}

/// One row, appended.
pub(super) fn row(manner: &Manner, version: MetaVersion, object: &Object, out: &mut Vec<u8>) {
    let kind = &manner.kind;
    let cells = kind.behaviour.cells(object, &manner.moment()).unwrap_or_else(|| default_cells(object));
    let cells = crate::api::codec::json::encode(&Value::Array(cells), crate::api::codec::json::Layout::Sorted);
    out.extend_from_slice(b"{\"cells\":");
    out.extend_from_slice(&cells);
    let conditions = kind.behaviour.row_conditions(object);
    if !conditions.is_empty() {
        let layout = crate::api::codec::json::Layout::Sorted;
        out.extend_from_slice(b",\"conditions\":");
        out.extend_from_slice(&crate::api::codec::json::encode(&Value::Array(conditions), layout));
    }
    out.extend_from_slice(b",\"object\":");
    match manner.include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Object => out.extend_from_slice(&Typed::kind(kind).json(&object.clone().into_value())),
        IncludeObject::Metadata => {
            let types = &manner.server.parts().facts.types;
            let partial = metadata::partial_value(object.clone().into_value(), version);
            out.extend_from_slice(&metadata::typed(types, version).json(&partial));
        }
    }
    out.push(b'}');
}

/// The rows of types that print nothing of their own: Name and Created At.
fn default_cells(object: &Object) -> Vec<Value> {
    vec![json!(object.name()), json!(object.text_at(&["metadata", "creationTimestamp"]))]
}

fn columns(kind: &Kind) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let column = |name: &str, kind: &str, format: &str, description: &str, priority: i32| {
        format!(
            "{{\"name\":{},\"type\":{},\"format\":{},\"description\":{},\"priority\":{priority}}}",
            quoted(name),
            quoted(kind),
            quoted(format),
            quoted(description)
        )
    };
    let columns: Vec<String> = if kind.columns.is_empty() {
        vec![column("Name", "string", "name", NAME, 0), column("Created At", "date", "", CREATED, 0)]
    } else {
        kind.columns.iter().map(|c| column(&c.name, &c.kind, &c.format, &c.description, c.priority)).collect()
    };
    format!("[{}]", columns.join(","))
}
