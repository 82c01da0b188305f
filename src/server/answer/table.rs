//! Tables: what `kubectl get` prints, made by the server.

use serde_json::{Value, json};

use super::{Manner, metadata, scale_table};
use crate::api::{Object, Result};
use crate::resources::Kind;
use crate::server::message::Response;
use crate::server::negotiation::{Encoding, MetaVersion};
use crate::server::options::IncludeObject;
use crate::server::respond;
use crate::server::wire::{self, Typed};

pub(super) const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
pub(super) const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It \
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
    let json = if object.gvk() == scale_table::GVK {
        scale_table::whole(manner, version, object)?
    } else {
        whole(manner, (version, Headers::With), object)
    };
    sent(manner, status, json)
}

/// JSON of a Table in the agreed encoding.
pub(super) fn sent(manner: &Manner, status: u16, json: Vec<u8>) -> Result<Response> {
    match manner.agreed.encoding {
        Encoding::Yaml => {
            let value = crate::api::codec::json::tree(&json).map_err(crate::api::Status::internal)?;
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
    head_of(&columns, version, metadata)
}

pub(super) fn head_of(columns: &str, version: MetaVersion, metadata: &Value) -> Vec<u8> {
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
        if let Some(value) = metadata.get(key).filter(|value| *value != "") {
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
    let conditions = kind.behaviour.row_conditions(object);
    row_of(manner, Row { cells, conditions, of: Typed::kind(kind) }, (version, object), out);
}

/// What stands in a row beside its object.
pub(super) struct Row<'a> {
    pub cells: Vec<Value>,
    pub conditions: Vec<Value>,
    /// The type of the object.
    pub of: Typed<'a>,
}

pub(super) fn row_of(manner: &Manner, row: Row<'_>, (version, object): (MetaVersion, &Object), out: &mut Vec<u8>) {
    let Row { cells, conditions, of } = row;
    let cells = crate::api::codec::json::encode(&Value::Array(cells), crate::api::codec::json::Layout::Sorted);
    out.extend_from_slice(b"{\"cells\":");
    out.extend_from_slice(&cells);
    if !conditions.is_empty() {
        let layout = crate::api::codec::json::Layout::Sorted;
        out.extend_from_slice(b",\"conditions\":");
        out.extend_from_slice(&crate::api::codec::json::encode(&Value::Array(conditions), layout));
    }
    out.extend_from_slice(b",\"object\":");
    match manner.include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Object => out.extend_from_slice(&of.json(&object.clone().into_value())),
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

/// One column by name, type, format, description and priority.
pub(super) fn column(name: &str, kind: &str, format: &str, (description, priority): (&str, i32)) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    format!(
        "{{\"name\":{},\"type\":{},\"format\":{},\"description\":{},\"priority\":{priority}}}",
        quoted(name),
        quoted(kind),
        quoted(format),
        quoted(description)
    )
}

fn columns(kind: &Kind) -> String {
    let columns: Vec<String> = if kind.columns.is_empty() {
        vec![column("Name", "string", "name", (NAME, 0)), column("Created At", "date", "", (CREATED, 0))]
    } else {
        kind.columns.iter().map(|c| column(&c.name, &c.kind, &c.format, (&c.description, c.priority))).collect()
    };
    format!("[{}]", columns.join(","))
}
