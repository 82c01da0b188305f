//! `PartialObjectMetadata`: an object's metadata alone.

use serde_json::{Value, json};

use crate::api::schema::Table;
use crate::api::{Result, Status, codec};
use crate::server::known;
use crate::server::negotiation::MetaVersion;
use crate::server::wire::Typed;

/// The JSON of the metadata of an object, cut out of the object's own JSON.
///
/// # Errors
/// 500 when the bytes are no object of ours.
pub(super) fn partial(json: &[u8], version: MetaVersion) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    append_partial(json, version, &mut out)?;
    Ok(out)
}

/// The same, appended.
pub(super) fn append_partial(json: &[u8], version: MetaVersion, out: &mut Vec<u8>) -> Result<()> {
    let metadata = codec::json::member(json, "metadata").map_err(Status::internal)?;
    out.reserve(metadata.len() + 80);
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    out.extend_from_slice(metadata);
    out.push(b'}');
    Ok(())
}

/// The same as a tree.
pub(super) fn partial_value(mut object: Value, version: MetaVersion) -> Value {
    let metadata = object.get_mut("metadata").map_or(Value::Null, Value::take);
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}

/// The type of that tree.
pub(super) fn typed(types: &Table, version: MetaVersion) -> Typed<'_> {
    let known = match version {
        MetaVersion::V1 => &known::PARTIAL_METADATA,
        MetaVersion::V1Beta1 => &known::PARTIAL_METADATA_BETA,
    };
    Typed::known(types, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_cut_out_of_the_json() {
        let json = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b"}},"spec":{}}"#;
        let expected = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"p","labels":{"a":"b"}}}"#;
        assert_eq!(partial(json, MetaVersion::V1).unwrap(), expected.as_bytes());
    }
}
