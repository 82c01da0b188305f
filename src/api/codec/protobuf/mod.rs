//! Protobuf in and out by the table of types: `application/vnd.kubernetes.protobuf`, its envelope, lists made of
//! encoded items, and the frames of a watch. Encoded bytes equal those of upstream's generated code.

mod decode;
mod encode;
mod wire;

use serde_json::Value;

use super::Error;
use super::json::{self, Layout};
use crate::api::schema::decode::normalise;
use crate::api::schema::wire::{WireKey, put_varint};
use crate::api::schema::{Table, TypeId};
pub use encode::Encoder;
use wire::Reader;

/// The first bytes of every encoded object.
pub const PREFIX: &[u8; 4] = b"k8s\0";

/// The deepest nesting of messages that is decoded. Beyond `room::SHALLOW_MAX` only where there is room on the stack.
pub const DEPTH_MAX: usize = json::DEPTH_MAX;

/// What stands around an object on the wire (`runtime.Unknown`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    /// The object itself, without `apiVersion` and `kind`.
    pub raw: &'a [u8],
}

/// Takes the envelope off a body.
///
/// # Errors
/// With upstream's message when there is none or it is broken.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    if bytes.is_empty() {
        return Err(Error::new("empty data"));
    }
    let Some(body) = bytes.strip_prefix(PREFIX) else {
        let message = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
        return Err(Error::new(message));
    };
    if body.is_empty() {
        return Err(Error::new("empty body"));
    }
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    let mut reader = Reader::new(body);
    while let Some((tag, kind)) = reader.key("Unknown")? {
        match tag {
            1 => {
                let mut meta = Reader::new(reader.bytes_of(kind, "TypeMeta")?);
                while let Some((tag, kind)) = meta.key("TypeMeta")? {
                    match tag {
                        1 => envelope.api_version = meta.text(kind)?,
                        2 => envelope.kind = meta.text(kind)?,
                        _ => meta.skip(kind)?,
                    }
                }
            }
            2 => envelope.raw = reader.bytes_of(kind, "Raw")?,
            _ => reader.skip(kind)?,
        }
    }
    Ok(envelope)
}

/// Reads a message into the tree that its JSON would have given, in the form that `normalise` gives.
///
/// # Errors
/// With upstream's message where the bytes do not fit the type.
pub fn decode(raw: &[u8], table: &Table, id: TypeId) -> Result<Value, Error> {
    let mut value = decode::message(raw, table, id)?;
    normalise(&mut value, table, id)?;
    Ok(value)
}

/// The bytes of a message of a type from a tree that went through `normalise`. `apiVersion` and `kind` are left out.
///
/// # Errors
/// When a value does not have the shape of its field.
pub fn encode(value: &Value, table: &Table, id: TypeId) -> Result<Vec<u8>, Error> {
    encode_json(&json::encode(value, Layout::Typed(table, id)), table, id)
}

/// The same from JSON of our own making.
///
/// # Errors
/// As `encode`.
pub fn encode_json(json: &[u8], table: &Table, id: TypeId) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(json.len());
    Encoder::default().append(&mut out, json, (table, id))?;
    Ok(out)
}

/// The same in its envelope.
///
/// # Errors
/// As `encode`.
pub fn encode_object(value: &Value, table: &Table, id: TypeId) -> Result<Vec<u8>, Error> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(seal(text("apiVersion"), text("kind"), &encode(value, table, id)?))
}

/// Puts the envelope around a message.
pub fn seal(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = envelope_head(api_version, kind);
    out.reserve(raw.len() + 16);
    wire::put_bytes(&mut out, 2, raw);
    out.extend_from_slice(TAIL);
    out
}

/// What stands before the items of a list in its envelope; the items are fields with the tag `ITEMS` and have so many
/// bytes together. `metadata` is an encoded `ListMeta`.
pub fn list_head((api_version, kind): (&str, &str), metadata: &[u8], items_bytes: usize) -> Vec<u8> {
    let mut first = Vec::with_capacity(metadata.len() + 8);
    wire::put_bytes(&mut first, 1, metadata);
    let mut out = envelope_head(api_version, kind);
    WireKey::message(2).put(&mut out);
    put_varint(&mut out, (first.len() + items_bytes) as u64);
    out.extend_from_slice(&first);
    out
}

/// The tag of the items of a list.
pub const ITEMS: u32 = 2;

/// What stands behind the object in an envelope: neither an encoding nor a type of its content.
pub const TAIL: &[u8] = &[(3 << 3) | 2, 0, (4 << 3) | 2, 0];

fn envelope_head(api_version: &str, kind: &str) -> Vec<u8> {
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 8);
    wire::put_bytes(&mut meta, 1, api_version.as_bytes());
    wire::put_bytes(&mut meta, 2, kind.as_bytes());
    let mut out = PREFIX.to_vec();
    wire::put_bytes(&mut out, 1, &meta);
    out
}

/// One frame of a watch: the length, then a `WatchEvent` whose object is in its envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut extension = Vec::with_capacity(object.len() + 8);
    wire::put_bytes(&mut extension, 1, object);
    let mut message = Vec::with_capacity(extension.len() + event.len() + 16);
    wire::put_bytes(&mut message, 1, event.as_bytes());
    wire::put_bytes(&mut message, 2, &extension);
    frame(&message)
}

/// A length-delimited frame: four bytes of length, big-endian, then the message.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 4);
    // Bodies are bounded far below four gigabytes.
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
    out
}

#[cfg(test)]
mod tests;
