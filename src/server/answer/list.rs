//! Lists: what stands around their objects in the agreed encoding and form, and whether they are sent in pieces.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pieces::{Items, Pieces};
use super::{Manner, table};
use crate::api::codec::protobuf;
use crate::api::{Result, Status, codec};
use crate::registry::Listing;
use crate::resources::Kind;
use crate::server::known;
use crate::server::message::Response;
use crate::server::negotiation::{Encoding, Form, wrong_form};
use crate::server::respond;
use crate::server::wire::{self, Typed};
use crate::storage::Stored;

/// What is shorter is sent whole, with its length.
const WHOLE_ITEMS_MAX: usize = 16;
/// So is what has less JSON. Of protobuf this alone counts, which is written twice when it is sent in pieces.
const WHOLE_JSON_BYTES_MAX: usize = 512 * 1024;

/// A page of objects in the agreed encoding and form.
///
/// # Errors
/// 406 for a form that no list has; 500 when an object cannot be written.
pub(in crate::server) async fn list(manner: &Manner, listing: Listing) -> Result<Response> {
    let metadata = list_metadata(&listing);
    let agreed = manner.agreed;
    if agreed.encoding == Encoding::Protobuf && !matches!(agreed.form, Form::PartialMetadata(_)) {
        return messages(manner, listing, &metadata).await;
    }
    let mut pieces = documents(manner, listing, &metadata)?;
    match agreed.encoding {
        Encoding::Json if agreed.pretty => {
            let text = codec::json::pretty(&pieces.collect_all()?);
            Ok(respond::compressed(Response::full(200, "application/json", text), manner.gzip))
        }
        Encoding::Json | Encoding::Protobuf => {
            pieces.tail.push(b'\n');
            if pieces.objects() <= WHOLE_ITEMS_MAX && pieces.json_bytes() <= WHOLE_JSON_BYTES_MAX {
                return pieces.whole("application/json");
            }
            Ok(pieces.response("application/json"))
        }
        Encoding::Yaml => {
            let value = codec::json::tree(&pieces.collect_all()?).map_err(Status::internal)?;
            let response = Response::full(200, Encoding::Yaml.media_type(), wire::yaml(&value));
            Ok(respond::compressed(response, manner.gzip))
        }
    }
}

fn list_metadata(listing: &Listing) -> Value {
    // What is not stored has no version.
    let version = if listing.revision.0 == 0 { String::new() } else { listing.revision.to_string() };
    let mut metadata = json!({"resourceVersion": version});
    if !listing.continue_token.is_empty() {
        metadata["continue"] = json!(listing.continue_token);
    }
    if let Some(remaining) = listing.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    metadata
}

/// The list as protobuf. Its length stands at its head, so that it is found out before the first byte is sent.
async fn messages(manner: &Manner, listing: Listing, list_metadata: &Value) -> Result<Response> {
    let types = &manner.server.parts().facts.types;
    let metadata = Typed::known(types, &known::LIST_META).message(list_metadata)?;
    let (api_version, kind) = match manner.agreed.form {
        Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
            (version.api_version().to_owned(), "PartialObjectMetadataList")
        }
        Form::Plain | Form::Table(_) => {
            Typed::kind(&manner.kind).has_messages()?;
            (manner.kind.gvk.api_version(), &*manner.kind.list_kind)
        }
    };
    let head = |bytes: usize| protobuf::list_head((&api_version, kind), &metadata, bytes);
    let mut pieces = Pieces::new(manner.clone(), listing.items, Items::Protobuf);
    if pieces.json_bytes() > WHOLE_JSON_BYTES_MAX {
        pieces.head = head(pieces.measure().await?);
        pieces.tail = protobuf::TAIL.to_vec();
        return Ok(pieces.response(Encoding::Protobuf.media_type()));
    }
    let items = pieces.collect_all()?;
    let mut whole = head(items.len());
    whole.extend_from_slice(&items);
    whole.extend_from_slice(protobuf::TAIL);
    Ok(respond::compressed(Response::full(200, Encoding::Protobuf.media_type(), whole), manner.gzip))
}

/// The list as JSON.
fn documents(manner: &Manner, mut listing: Listing, list_metadata: &Value) -> Result<Pieces> {
    let gvk = &manner.kind.gvk;
    let plain_head = |kind: &str, api_version: &str| {
        let metadata = table::list_metadata(list_metadata);
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
        Form::Table(version) => {
            order_rows(manner, &mut listing)?;
            table::head(manner, (version, table::Headers::With), list_metadata)
        }
    };
    // Items of custom resources keep their type.
    let type_prefix = match manner.kind.is_custom() {
        true => String::from("{}"),
        false => format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", gvk.kind, gvk.api_version()),
    };
    let custom = manner.kind.is_custom() && matches!(manner.agreed.form, Form::Plain);
    let (head, tail) = match manner.agreed.form {
        _ if custom => (head, custom_tail(manner, list_metadata)),
        // What makes these has a nil slice where there is nothing.
        Form::Table(_) if listing.items.is_empty() && appends_rows(&manner.kind) => nothing(head),
        Form::PartialMetadataList(_) if listing.items.is_empty() => nothing(head),
        _ => (head, table::TAIL.to_vec()),
    };
    let items = Items::Json { type_prefix: type_prefix.into_bytes() };
    let mut pieces = Pieces::new(manner.clone(), listing.items, items);
    (pieces.head, pieces.tail) = (head, tail);
    Ok(pieces)
}

/// Some types are printed in an order of their own.
fn order_rows(manner: &Manner, listing: &mut Listing) -> Result<()> {
    let Some(order) = manner.kind.behaviour.row_order() else { return Ok(()) };
    let place = |stored: Arc<Stored>| manner.object(&stored).map(|object| (order(&object), stored));
    let mut placed = std::mem::take(&mut listing.items).into_iter().map(place).collect::<Result<Vec<_>>>()?;
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    listing.items = placed.into_iter().map(|(_, stored)| stored).collect();
    Ok(())
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
