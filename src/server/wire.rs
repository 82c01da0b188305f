//! The encodings of trees, with a type where they need one. All encoding and decoding of the server passes here.

use bytes::Bytes;
use serde_json::Value;

use super::known::{self, Known};
use super::message::Request;
use super::negotiation::{self, Encoding};
use crate::api::codec::json::{self, Layout};
use crate::api::codec::{self, protobuf, yaml};
use crate::api::schema::{Table, TypeId};
use crate::api::{GroupVersionKind, Result, Status};
use crate::registry::{Input, Twice};
use crate::resources::Kind;

/// The type of a tree: its name on the wire and its shape.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub gvk: &'a GroupVersionKind,
    pub types: &'a Table,
    pub id: TypeId,
    /// Of custom resources all keys are sorted, and there is no protobuf.
    pub custom: bool,
}

impl<'a> Typed<'a> {
    /// The type of the objects of a kind.
    pub(super) fn kind(kind: &'a Kind) -> Self {
        Self { gvk: &kind.gvk, types: &kind.types, id: kind.type_id, custom: kind.is_custom() }
    }

    /// A type that every server knows.
    pub(super) fn known(types: &'a Table, known: &'a Known) -> Self {
        let id = types.find(known.definition).expect("the table of types holds what every server knows");
        Self { gvk: &known.gvk, types, id, custom: false }
    }

    /// The bytes of a protobuf message, without its envelope.
    ///
    /// # Errors
    /// 500 when a value does not have the shape of its field.
    pub(super) fn message(self, value: &Value) -> Result<Vec<u8>> {
        self.has_messages()?;
        protobuf::encode(value, self.types, self.id).map_err(Status::internal)
    }

    /// JSON of our own making as a protobuf message in its envelope.
    ///
    /// # Errors
    /// As `message`; 406 for a type that has none.
    pub(super) fn sealed(self, json: &[u8]) -> Result<Bytes> {
        self.has_messages()?;
        let raw = protobuf::encode_json(json, self.types, self.id).map_err(Status::internal)?;
        Ok(protobuf::seal(&self.gvk.api_version(), &self.gvk.kind, &raw).into())
    }

    /// That the type has protobuf messages.
    ///
    /// # Errors
    /// 406 when not.
    pub(super) fn has_messages(self) -> Result<()> {
        if !self.custom {
            return Ok(());
        }
        let taken = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
        Err(Status::not_acceptable(&taken))
    }

    /// Compact JSON, the fields in the order of the type.
    pub(super) fn json(self, value: &Value) -> Vec<u8> {
        json::encode(value, if self.custom { Layout::Sorted } else { Layout::Typed(self.types, self.id) })
    }
}

/// A tree as it is sent.
///
/// # Errors
/// 406 for a type that has no such encoding.
pub(super) fn encode(encoding: Encoding, of: Typed<'_>, value: &Value) -> Result<Bytes> {
    match encoding {
        Encoding::Json => Ok(of.json(value).into()),
        Encoding::Yaml => Ok(yaml(value)),
        Encoding::Protobuf => {
            let raw = of.message(value)?;
            // The resources of the legacy group are told without a version.
            let without = value.get("kind").is_some() && value.get("apiVersion").is_none();
            let api_version = if without { String::new() } else { of.gvk.api_version() };
            Ok(protobuf::seal(&api_version, &of.gvk.kind, &raw).into())
        }
    }
}

/// A tree as YAML, keys sorted.
pub(super) fn yaml(value: &Value) -> Bytes {
    yaml::encode(value).into()
}

/// The body of a create or update for a type that the path names.
///
/// # Errors
/// 413, 415; 400 when the text is malformed.
pub(super) fn decode(
    request: &Request,
    (types, expected): (&Table, &GroupVersionKind),
    find: impl Finder,
) -> Result<Input> {
    let whole = expected;
    let expected: &str = &expected.kind;
    let encoding = negotiation::input(request)?;
    check_size(request)?;
    let body = &request.body;
    let input = match encoding {
        Encoding::Json => {
            let decoded = json::decode(body).map_err(|error| {
                codec::unrecognized(expected, &format!("couldn't get version/kind; json parse error: {error}"), body)
            })?;
            Input { value: decoded.value, twice: Twice::Fields(decoded.duplicates, body.clone()) }
        }
        Encoding::Yaml => {
            let decoded = yaml::decode(body).map_err(|error| codec::unrecognized(expected, &error, body))?;
            Input { value: decoded.value, twice: Twice::Lines(decoded.duplicates) }
        }
        Encoding::Protobuf => return decode_protobuf(types, (body, whole), find),
    };
    // Whether it says what it is must be known before its own bytes are out of reach.
    codec::interpret(&input.value).map_err(|error| codec::unrecognized(expected, &error, body))?;
    Ok(input)
}

/// Finds the shape of what an envelope says it holds.
pub(super) trait Finder: Fn(&GroupVersionKind) -> Option<TypeId> {}

impl<F: Fn(&GroupVersionKind) -> Option<TypeId>> Finder for F {}

fn decode_protobuf(types: &Table, (body, whole): (&[u8], &GroupVersionKind), find: impl Finder) -> Result<Input> {
    let expected: &str = &whole.kind;
    let envelope = protobuf::open(body).map_err(|error| codec::unrecognized(expected, &error, body))?;
    let gvk = match (envelope.api_version.as_str(), envelope.kind.as_str()) {
        ("", "") => whole.clone(),
        (api_version, kind) => GroupVersionKind::parse(api_version, kind),
    };
    let unknown = || {
        let why = codec::not_registered(&gvk.api_version(), &gvk.kind);
        codec::cannot_be_handled(&gvk.kind, &gvk.version, expected, &why)
    };
    let id = find(&gvk).ok_or_else(unknown)?;
    let mut value = protobuf::decode(envelope.raw, types, id)
        .map_err(|error| codec::cannot_be_handled(&gvk.kind, &gvk.version, expected, &error))?;
    if let Value::Object(root) = &mut value {
        root.insert("apiVersion".to_owned(), Value::String(gvk.api_version()));
        root.insert("kind".to_owned(), Value::String(gvk.kind.into_owned()));
    }
    Ok(Input { value, ..Input::default() })
}

/// The tree of a body with `DeleteOptions`.
///
/// # Errors
/// 415; 400 when the text is malformed.
pub(super) fn decode_delete_options(request: &Request, types: &Table) -> Result<Value> {
    let bad = |error: codec::Error| Status::bad_request(error.to_string());
    let bad_json =
        |error: codec::Error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"));
    let body = &request.body;
    match negotiation::input(request)? {
        Encoding::Json => Ok(json::decode(body).map_err(bad_json)?.value),
        Encoding::Yaml => Ok(yaml::decode(body).map_err(bad)?.value),
        Encoding::Protobuf => {
            let of = Typed::known(types, &known::DELETE_OPTIONS);
            let envelope = protobuf::open(body).map_err(bad)?;
            protobuf::decode(envelope.raw, types, of.id).map_err(bad)
        }
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
