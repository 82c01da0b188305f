//! Answers that are no API objects of a kind of their own: failures, `Status`, plain JSON values, and the compression
//! of big bodies.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use serde_json::Value;

use super::Parts;
use super::known::{self, Known};
use super::message::{Body, Request, Response};
use super::negotiation::{Agreed, Encoding};
use super::wire::{self, Typed};
use crate::api::Status;
use crate::api::codec;

/// Bodies above this are compressed for clients that accept it; upstream's `defaultGzipThresholdBytes`.
const GZIP_BYTES_MIN: usize = 128 * 1024;
/// Upstream's level: speed before size.
const GZIP_LEVEL: u32 = 1;

/// A failure in the agreed encoding.
pub(super) fn failure(parts: &Parts, agreed: Agreed, status: &Status) -> Response {
    let response = value(parts, agreed, status.code(), (&known::STATUS, &status.to_value()));
    match status.details().map_or(0, |details| details.retry_after_seconds) {
        0 => response,
        seconds => response.with_header("retry-after", seconds.to_string()),
    }
}

/// A tree of a known type in the agreed encoding; JSON where it has no other.
pub(super) fn value(parts: &Parts, agreed: Agreed, status: u16, (known, value): (&Known, &Value)) -> Response {
    let of = Typed::known(&parts.facts.types, known);
    match wire::encode(agreed.encoding, of, value) {
        Ok(body) if agreed.encoding != Encoding::Json => Response::full(status, agreed.encoding.media_type(), body),
        Ok(_) | Err(_) => Response::full(status, "application/json", json_text(&of.json(value), agreed.pretty)),
    }
}

/// JSON text as it is sent: indented when asked for, and with Go's final newline when not.
pub(super) fn json_text(compact: &[u8], pretty: bool) -> Bytes {
    if pretty {
        return codec::json::pretty(compact).into();
    }
    let mut out = Vec::with_capacity(compact.len() + 1);
    out.extend_from_slice(compact);
    out.push(b'\n');
    out.into()
}

/// Whether the client takes gzip, and it is not switched off.
pub(super) fn accepts_gzip(parts: &Parts, request: &Request) -> bool {
    parts.registry.enabled("APIResponseCompression") && names_gzip(request)
}

/// Whether the client takes gzip.
pub(super) fn names_gzip(request: &Request) -> bool {
    request.headers.all("accept-encoding").flat_map(|h| h.split(',')).any(|part| part.trim() == "gzip")
}

/// Compresses a whole body that is big enough.
pub(super) fn compressed(response: Response, gzip: bool) -> Response {
    match &response.body {
        Body::Full(bytes) if gzip && bytes.len() > GZIP_BYTES_MIN => {
            let body = Body::Full(gzip_all(bytes));
            Response { body, ..response }.with_header("content-encoding", "gzip").with_header("vary", "Accept-Encoding")
        }
        Body::Full(_) | Body::Stream(_) | Body::Relayed { .. } | Body::WebSocket(_) | Body::Tunnel(_) => response,
    }
}

/// Gzip of a whole text.
pub(super) fn gzip_all(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(bytes).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail").into()
}

/// The text that `gzip_all` was given.
pub(super) fn gunzip_all(gzip: &[u8]) -> Bytes {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(gzip).read_to_end(&mut out).expect("our own gzip is whole");
    out.into()
}
