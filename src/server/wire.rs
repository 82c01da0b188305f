//! The encodings of trees, with a type where they need one. All encoding and decoding of the server passes here.

use bytes::Bytes;
use serde_json::Value;

use super::known::Known;
use super::message::Request;
use super::negotiation::{self, Encoding};
use crate::api::codec::json::{self, Layout};
use crate::api::schema::{Table, TypeId};
use crate::api::{GroupVersionKind, Result, Status};
use crate::registry::Input;
use crate::resources::Kind;

/// The type of a tree: its name on the wire and its shape.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub gvk: &'a GroupVersionKind,
    pub types: &'a Table,
    pub id: TypeId,
}

impl<'a> Typed<'a> {
    /// The type of the objects of a kind.
    pub(super) fn kind(kind: &'a Kind) -> Self {
        Self { gvk: &kind.gvk, types: &kind.types, id: kind.type_id }
    }

    /// A type that every server knows.
    pub(super) fn known(types: &'a Table, known: &'a Known) -> Self {
        let id = types.find(known.definition).expect("the table of types holds what every server knows");
        Self { gvk: &known.gvk, types, id }
    }

    /// Compact JSON, the fields in the order of the type.
    pub(super) fn json(self, value: &Value) -> Vec<u8> {
        json::encode(value, Layout::Typed(self.types, self.id))
    }
}

/// A tree as it is sent.
///
/// # Errors
/// 406 for a type that has no such encoding.
pub(super) fn encode(encoding: Encoding, of: Typed<'_>, value: &Value) -> Result<Bytes> {
    match encoding {
        Encoding::Json => Ok(of.json(value).into()),
        Encoding::Yaml => yaml(value),
        Encoding::Protobuf => Err(Status::not_acceptable(&["application/json", "application/yaml"])),
    }
}

/// A tree as YAML, keys sorted.
///
/// # Errors
/// 500 when the tree has no YAML form.
pub(super) fn yaml(value: &Value) -> Result<Bytes> {
    serde_saphyr::to_string(value).map(Bytes::from).map_err(Status::internal)
}

/// The body of a create or update.
///
/// # Errors
/// 413, 415; 400 when the text is malformed.
pub(super) fn decode(request: &Request, kind: &Kind) -> Result<Input> {
    let encoding = negotiation::input(request)?;
    check_size(request)?;
    match encoding {
        Encoding::Json => match json::decode(&request.body) {
            Ok(decoded) => Ok(Input { value: decoded.value, duplicates: decoded.duplicates }),
            Err(error) => {
                let error = format!("couldn't get version/kind; json parse error: {error}");
                Err(crate::api::codec::unrecognized(&kind.gvk.kind, &error, &request.body))
            }
        },
        Encoding::Yaml | Encoding::Protobuf => Err(Status::unsupported_media_type(&["application/json"])),
    }
}

/// The tree of a body with `DeleteOptions`.
///
/// # Errors
/// 415; 400 when the text is malformed.
pub(super) fn decode_delete_options(request: &Request) -> Result<Value> {
    match negotiation::input(request)? {
        Encoding::Json => {
            let decoded = json::decode(&request.body).map_err(|error| Status::bad_request(error.to_string()))?;
            Ok(decoded.value)
        }
        Encoding::Yaml | Encoding::Protobuf => Err(Status::unsupported_media_type(&["application/json"])),
    }
}

/// 413 for a body that is too long.
///
/// # Errors
/// That.
pub(super) fn check_size(request: &Request) -> Result<()> {
    let max = super::message::BODY_BYTES_MAX;
    if request.body.len() > max { Err(Status::too_large(&format!("limit is {max}"))) } else { Ok(()) }
}
