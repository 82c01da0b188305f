//! The Table of a `Scale` (Kubernetes `pkg/printers/internalversion`; apiextensions-apiserver `pkg/apiserver/helpers.go`
//! of custom resources).

use serde_json::{Value, json};

use super::Manner;
use super::table::{CREATED, Cells, NAME, Row, TAIL, column, head_of, row_of};
use crate::api::{GroupVersionKind, Object, Result, Status};
use crate::resources::age;
use crate::server::negotiation::MetaVersion;
use crate::server::wire::Typed;

pub(super) const GVK: GroupVersionKind = GroupVersionKind::of("autoscaling", "v1", "Scale");

/// Descriptions of the columns Desired and Available.
const BUILT_IN: [&str; 2] = [
    "replicas is the desired number of instances for the scaled object.",
    "replicas is the actual number of observed instances of the scaled object.",
];
const CUSTOM: [&str; 2] = ["Number of desired replicas", "Number of actual replicas"];

/// The JSON of a Table with one row.
pub(super) fn whole(manner: &Manner, version: MetaVersion, scale: &Object) -> Result<Vec<u8>> {
    let custom = manner.kind.is_custom();
    let (format, age_kind, [desired, available]) =
        if custom { ("name", "date", CUSTOM) } else { ("", "string", BUILT_IN) };
    let columns = [
        column("Name", "string", format, (NAME, 0)),
        column("Desired", "integer", "", (desired, 0)),
        column("Available", "integer", "", (available, 0)),
        column("Age", age_kind, "", (CREATED, 0)),
    ];
    let number = |path: [&str; 2]| scale.int_at(&path);
    // Of custom resources an absent number is no zero.
    let absent = |number: Option<i64>| number.map_or_else(|| if custom { Value::Null } else { json!(0) }, Value::from);
    let cells = vec![
        json!(scale.name()),
        absent(number(["spec", "replicas"])),
        absent(number(["status", "replicas"])),
        json!(age(scale, &manner.moment())),
    ];
    let parts = manner.server.parts();
    let id = parts.facts.type_of(&GVK).ok_or_else(|| Status::internal(format!("{GVK} has no type")))?;
    let of = Typed { gvk: &GVK, types: &parts.facts.types, id, custom: false };
    let mut out =
        head_of(&format!("[{}]", columns.join(",")), version, &json!({"resourceVersion": scale.resource_version()}));
    row_of(manner, Row { cells: Cells { cells, conditions: Vec::new() }, of }, (version, scale), &mut out);
    out.extend_from_slice(TAIL);
    Ok(out)
}
