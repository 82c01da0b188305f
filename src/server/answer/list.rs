//! Lists, sent in pieces: header, object, comma, object …, so that no list is ever built as a whole in JSON.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::GzEncoder;
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Manner, metadata, table};
use crate::api::codec::{self, protobuf};
use crate::api::{Result, Status};
use crate::base::room;
use crate::registry::Listing;
use crate::resources::Kind;
use crate::server::known;
use crate::server::message::Response;
use crate::server::negotiation::{Encoding, Form, MetaVersion, wrong_form};
use crate::server::respond;
use crate::server::wire::{self, Typed};
use crate::storage::Stored;

/// A piece is sent when it is at least this long.
const PIECE_BYTES_MIN: usize = 64 * 1024;
/// What is shorter is sent whole, with its length.
const WHOLE_ITEMS_MAX: usize = 16;
/// As in `respond`: above this a body is compressed for those who take it.
const GZIP_BYTES_MIN: usize = 128 * 1024;
const GZIP_LEVEL: u32 = 1;

/// A page of objects in the agreed encoding and form.
pub(in crate::server) fn list(manner: &Manner, listing: Listing) -> Result<Response> {
    let pieces = Pieces::new(manner.clone(), listing)?;
    let agreed = manner.agreed;
    match agreed.encoding {
        Encoding::Json if agreed.pretty => {
            let text = codec::json::pretty(&pieces.collect_all()?);
            Ok(respond::compressed(Response::full(200, "application/json", text), manner.gzip))
        }
        Encoding::Json => streamed(pieces, manner.gzip),
        Encoding::Yaml => {
            let value = codec::json::tree(&pieces.collect_all()?).map_err(Status::internal)?;
            let response = Response::full(200, Encoding::Yaml.media_type(), wire::yaml(&value));
            Ok(respond::compressed(response, manner.gzip))
        }
        Encoding::Protobuf => Ok(respond::compressed(pieces.protobuf()?, manner.gzip)),
    }
}

fn streamed(mut pieces: Pieces, gzip: bool) -> Result<Response> {
    if pieces.items.len() <= WHOLE_ITEMS_MAX {
        let mut whole = pieces.collect_all()?;
        whole.push(b'\n');
        return Ok(respond::compressed(Response::full(200, "application/json", whole), gzip));
    }
    pieces.newline = true;
    let bytes: usize = pieces.items.iter().map(|item| item.body.json.len()).sum();
    if gzip && bytes > GZIP_BYTES_MIN {
        let encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
        let zipped = Zipped { pieces, encoder: Some(encoder) };
        let response = Response::stream("application/json", futures::stream::iter(zipped).boxed());
        return Ok(response.with_header("content-encoding", "gzip").with_header("vary", "Accept-Encoding"));
    }
    Ok(Response::stream("application/json", futures::stream::iter(pieces).boxed()))
}

/// The beginning and end of a list whose items are `null`.
fn nothing(mut head: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    head.pop();
    (head, b"null}".to_vec())
}

/// Whether upstream makes the rows of a type one after another, beginning with none.
fn appends_rows(kind: &Kind) -> bool {
    kind.columns.is_empty()
        || (&*kind.gvk.group, &*kind.gvk.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// The list in pieces of JSON.
struct Pieces {
    manner: Manner,
    items: Vec<Arc<Stored>>,
    at: usize,
    list_metadata: Value,
    /// What stands before the first object; taken with the first piece.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// `{"kind":"Pod","apiVersion":"v1",` of stored objects; items of a list come without.
    type_prefix: Vec<u8>,
    newline: bool,
    ended: bool,
}

impl Pieces {
    fn new(manner: Manner, listing: Listing) -> Result<Self> {
        // What is not stored has no version.
        let version = if listing.revision.0 == 0 { String::new() } else { listing.revision.to_string() };
        let mut list_metadata = json!({"resourceVersion": version});
        if !listing.continue_token.is_empty() {
            list_metadata["continue"] = json!(listing.continue_token);
        }
        if let Some(remaining) = listing.remaining {
            list_metadata["remainingItemCount"] = json!(remaining);
        }
        let gvk = &manner.kind.gvk;
        let plain_head = |kind: &str, api_version: &str| {
            let metadata = table::list_metadata(&list_metadata);
            format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[")
        };
        let head = match manner.agreed.form {
            Form::Plain if manner.kind.is_custom() => {
                format!("{{\"apiVersion\":\"{}\",\"items\":[", gvk.api_version()).into_bytes()
            }
            Form::Plain => plain_head(&manner.kind.list_kind, &gvk.api_version()).into_bytes(),
            Form::PartialMetadataList(version) => {
                plain_head("PartialObjectMetadataList", version.api_version()).into_bytes()
            }
            Form::PartialMetadata(_) => {
                let package = super::go_package(&manner.kind);
                let message = "you requested PartialObjectMetadata, but the requested object is a list";
                return Err(wrong_form(format!("{message} (*{package}.{}List)", gvk.kind)));
            }
            Form::Table(version) => table::head(&manner, (version, table::Headers::With), &list_metadata),
        };
        // Items of custom resources keep their type.
        let type_prefix = match manner.kind.is_custom() {
            true => String::from("{}"),
            false => format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", gvk.kind, gvk.api_version()),
        };
        let type_prefix = type_prefix.into_bytes();
        let custom = manner.kind.is_custom() && matches!(manner.agreed.form, Form::Plain);
        let (head, tail) = match manner.agreed.form {
            _ if custom => (head, custom_tail(&manner, &list_metadata)),
            // What makes these has a nil slice where there is nothing.
            Form::Table(_) if listing.items.is_empty() && appends_rows(&manner.kind) => nothing(head),
            Form::PartialMetadataList(_) if listing.items.is_empty() => nothing(head),
            _ => (head, table::TAIL.to_vec()),
        };
        let items = listing.items;
        Ok(Self { manner, items, at: 0, list_metadata, head, tail, type_prefix, newline: false, ended: false })
    }

    fn append(&self, stored: &Stored, out: &mut Vec<u8>) -> Result<()> {
        match self.manner.agreed.form {
            Form::Plain => {
                let json = self.manner.json(stored)?;
                match json.strip_prefix(self.type_prefix.as_slice()) {
                    Some(rest) => {
                        out.push(b'{');
                        out.extend_from_slice(rest);
                    }
                    None => out.extend_from_slice(&json),
                }
            }
            Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
                self.append_metadata(stored, version, out)?;
            }
            Form::Table(version) => table::row(&self.manner, version, &self.manner.object(stored)?, out),
        }
        Ok(())
    }

    fn append_metadata(&self, stored: &Stored, version: MetaVersion, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&metadata::partial(&stored.body.json, version)?);
        Ok(())
    }

    /// The next piece; empty at the end.
    fn piece(&mut self) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.head);
        out.reserve(PIECE_BYTES_MIN + PIECE_BYTES_MIN / 4);
        while out.len() < PIECE_BYTES_MIN {
            let Some(stored) = self.items.get(self.at).cloned() else { break };
            if self.at > 0 {
                out.push(b',');
            }
            room::wherever_it_fits(|| self.append(&stored, &mut out))?;
            self.at += 1;
        }
        if self.at == self.items.len() && !self.ended {
            self.ended = true;
            out.extend_from_slice(&self.tail);
            if self.newline {
                out.push(b'\n');
            }
        }
        Ok(out)
    }

    /// The whole list; its length stands at its head, so that it cannot be sent in pieces.
    fn protobuf(self) -> Result<Response> {
        let types = &self.manner.server.parts().facts.types;
        let metadata = Typed::known(types, &known::LIST_META).message(&self.list_metadata)?;
        let message = |stored: &Arc<Stored>| match self.manner.agreed.form {
            Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
                let partial = metadata::partial_value(self.manner.object(stored)?.into_value(), version);
                metadata::typed(types, version).message(&partial)
            }
            Form::Plain | Form::Table(_) => {
                Typed::kind(&self.manner.kind).message(&self.manner.object(stored)?.into_value())
            }
        };
        let items = self.items.iter().map(message).collect::<Result<Vec<_>>>()?;
        let (api_version, kind) = match self.manner.agreed.form {
            Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
                (version.api_version().to_owned(), "PartialObjectMetadataList".to_owned())
            }
            Form::Plain | Form::Table(_) => {
                (self.manner.kind.gvk.api_version(), self.manner.kind.list_kind.to_string())
            }
        };
        let body = protobuf::seal_list(&api_version, &kind, &metadata, items.iter().map(Vec::as_slice));
        Ok(Response::full(200, Encoding::Protobuf.media_type(), body))
    }

    fn collect_all(mut self) -> Result<Vec<u8>> {
        let mut whole = self.piece()?;
        while !self.ended {
            whole.extend_from_slice(&self.piece()?);
        }
        Ok(whole)
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.piece() {
            Ok(piece) => Some(piece.into()),
            Err(status) => {
                // The head is sent; what is left is to break off, which leaves malformed JSON.
                tracing::error!(%status, "a list broke off");
                self.ended = true;
                None
            }
        }
    }
}

/// What stands behind the items of custom resources, whose lists have their keys sorted.
fn custom_tail(manner: &Manner, metadata: &Value) -> Vec<u8> {
    let mut metadata = metadata.clone();
    if metadata.get("continue").is_none() {
        metadata["continue"] = json!("");
    }
    let metadata = codec::json::encode(&metadata, codec::json::Layout::Sorted);
    let mut tail = format!("],\"kind\":{},\"metadata\":", Value::from(&*manner.kind.list_kind)).into_bytes();
    tail.extend_from_slice(&metadata);
    tail.push(b'}');
    tail
}

/// The pieces compressed.
struct Zipped {
    pieces: Pieces,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Iterator for Zipped {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.pieces.next() {
                Some(piece) => {
                    let encoder = self.encoder.as_mut()?;
                    encoder.write_all(&piece).expect("writing to memory cannot fail");
                    let out = std::mem::take(encoder.get_mut());
                    if !out.is_empty() {
                        return Some(out.into());
                    }
                }
                None => {
                    let out = self.encoder.take()?.finish().expect("writing to memory cannot fail");
                    return Some(out.into());
                }
            }
        }
    }
}
