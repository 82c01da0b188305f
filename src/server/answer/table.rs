//! Tables: what `kubectl get` prints, made by the server.

use serde_json::{Value, json};

use super::{Manner, metadata, scale_table};
use crate::api::codec::json::{self, Layout, Sieve};
use crate::api::{Object, Result, Status};
use crate::resources::Kind;
use crate::server::message::Response;
use crate::server::negotiation::{Encoding, MetaVersion};
use crate::server::options::IncludeObject;
use crate::server::respond;
use crate::server::wire::{self, Typed};
use crate::storage::Stored;

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
            let value = json::tree(&json).map_err(Status::internal)?;
            Ok(Response::full(status, Encoding::Yaml.media_type(), wire::yaml(&value)))
        }
        Encoding::Json | Encoding::Protobuf => {
            Ok(Response::full(status, "application/json", respond::json_text(&json, manner.agreed.pretty)))
        }
    }
}

/// The JSON of a Table with the row of a stored object.
///
/// # Errors
/// 500 when the stored bytes do not decode.
pub(super) fn whole_stored(
    manner: &Manner,
    (version, headers): (MetaVersion, Headers),
    stored: &Stored,
) -> Result<Vec<u8>> {
    let mut out = head(manner, (version, headers), &json!({"resourceVersion": stored.revision.to_string()}));
    stored_row(manner, version, stored, &mut out)?;
    out.extend_from_slice(TAIL);
    Ok(out)
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
    row_of(manner, Row { cells: Cells::of(manner, object), of: Typed::kind(&manner.kind) }, (version, object), out);
}

/// The row of a stored object, appended. Of its JSON only what is printed becomes a tree.
///
/// # Errors
/// 500 when the stored bytes do not decode.
pub(super) fn stored_row(manner: &Manner, version: MetaVersion, stored: &Stored, out: &mut Vec<u8>) -> Result<()> {
    // Metadata of custom resources is sorted in the store, and not in a row.
    if manner.kind.is_custom() || !manner.as_stored(stored) {
        row(manner, version, &manner.object(stored)?, out);
        return Ok(());
    }
    let json = &stored.body.json;
    let tree = manner.printed.tree(json).map_err(Status::internal)?;
    let object = Object::from_value(tree).map_err(|_| Status::internal("what is stored is an object"))?;
    Cells::of(manner, &object).put(out);
    match manner.include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Object => out.extend_from_slice(json),
        IncludeObject::Metadata => metadata::append_partial(json, version, out)?,
    }
    out.push(b'}');
    Ok(())
}

/// Which parts of objects rows are made of.
pub(super) fn printed(kind: &Kind) -> Sieve {
    let paths = kind.behaviour.printed();
    let default = kind.columns.is_empty() && paths.is_empty() && !kind.is_custom();
    Sieve::of(if default { DEFAULT_PRINTED } else { paths })
}

/// What stands in a row before its object.
pub(super) struct Cells {
    pub cells: Vec<Value>,
    pub conditions: Vec<Value>,
}

impl Cells {
    fn of(manner: &Manner, object: &Object) -> Self {
        let behaviour = &manner.kind.behaviour;
        let cells = behaviour.cells(object, &manner.moment()).unwrap_or_else(|| default_cells(object));
        Self { cells, conditions: behaviour.row_conditions(object) }
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"cells\":");
        json::append(out, &Value::Array(self.cells), Layout::Sorted);
        if !self.conditions.is_empty() {
            out.extend_from_slice(b",\"conditions\":");
            json::append(out, &Value::Array(self.conditions), Layout::Sorted);
        }
        out.extend_from_slice(b",\"object\":");
    }
}

/// What stands in a row beside its object.
pub(super) struct Row<'a> {
    pub cells: Cells,
    /// The type of the object.
    pub of: Typed<'a>,
}

pub(super) fn row_of(manner: &Manner, row: Row<'_>, (version, object): (MetaVersion, &Object), out: &mut Vec<u8>) {
    let Row { cells, of } = row;
    cells.put(out);
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

/// How Go writes the time of what was never created, as a bookmark is.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What `default_cells` reads.
const DEFAULT_PRINTED: &[&str] = &["metadata.name", "metadata.creationTimestamp"];

/// The rows of types that print nothing of their own: Name and Created At.
fn default_cells(object: &Object) -> Vec<Value> {
    let created = match object.text_at(&["metadata", "creationTimestamp"]) {
        "" => NEVER,
        time => time,
    };
    vec![json!(object.name()), json!(created)]
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
