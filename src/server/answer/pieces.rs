//! The pieces of a list: what stands before the first object, object after object, what stands behind the last. No list
//! is ever held as a whole unless it is short.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use flate2::write::GzEncoder;
use futures::StreamExt;

use super::{Manner, metadata, table};
use crate::api::codec::protobuf::{Encoder, ITEMS};
use crate::api::{Result, Status};
use crate::base::room;
use crate::server::message::Response;
use crate::server::negotiation::Form;
use crate::server::respond;
use crate::server::wire::Typed;
use crate::storage::Stored;

/// A piece is sent when it is at least this long.
const PIECE_BYTES_MIN: usize = 64 * 1024;
/// As in `respond`: above this a body is compressed for those who take it.
const GZIP_BYTES_MIN: usize = 128 * 1024;
const GZIP_LEVEL: u32 = 1;
/// After the measuring of so much JSON others have their turn.
const TURN_BYTES: usize = 1024 * 1024;

/// How an object becomes an item of a list.
pub(super) enum Items {
    /// As JSON. The beginning of stored objects that items of a list come without: `{"kind":"Pod","apiVersion":"v1",`.
    Json {
        type_prefix: Vec<u8>,
    },
    Protobuf(Encoder),
}

/// A list in pieces.
pub(super) struct Pieces {
    manner: Manner,
    stored: Vec<Arc<Stored>>,
    at: usize,
    /// What stands before the first object; taken with the first piece.
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    items: Items,
    ended: bool,
}

impl Pieces {
    pub(super) fn new(manner: Manner, stored: Vec<Arc<Stored>>, items: Items) -> Self {
        Self { manner, stored, at: 0, head: Vec::new(), tail: Vec::new(), items, ended: false }
    }

    /// How many objects there are.
    pub(super) fn objects(&self) -> usize {
        self.stored.len()
    }

    /// The bytes of the stored JSON of all objects.
    pub(super) fn json_bytes(&self) -> usize {
        self.stored.iter().map(|stored| stored.body.json.len()).sum()
    }

    /// The bytes of all items together, which are written for this and forgotten.
    pub(super) async fn measure(&mut self) -> Result<usize> {
        let (mut bytes, mut turn) = (0, 0);
        let mut one = Vec::new();
        for at in 0..self.stored.len() {
            let stored = Arc::clone(&self.stored[at]);
            let notable = self.manner.agreed.form == Form::Plain && self.manner.as_stored(&stored);
            // The note of an object that is sent as it is stored is how long it is as an item of protobuf.
            let noted = if notable { stored.note.load(Ordering::Relaxed) as usize } else { 0 };
            if noted != 0 {
                bytes += noted;
                continue;
            }
            one.clear();
            self.append(at, &mut one)?;
            bytes += one.len();
            if notable {
                stored.note.store(u32::try_from(one.len()).unwrap_or(0), Ordering::Relaxed);
            }
            turn += stored.body.json.len();
            if turn > TURN_BYTES {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(bytes)
    }

    fn append(&mut self, at: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let (manner, stored, items) = (&self.manner, &*self.stored[at], &mut self.items);
        room::wherever_it_fits(|| {
            out.truncate(start);
            match items {
                Items::Json { type_prefix } => append_json(manner, (stored, type_prefix.as_slice()), out),
                Items::Protobuf(encoder) => append_message(manner, (stored, encoder), out),
            }
        })
    }

    /// The next piece; empty at the end.
    fn piece(&mut self) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.head);
        out.reserve(PIECE_BYTES_MIN + PIECE_BYTES_MIN / 4);
        let commas = matches!(self.items, Items::Json { .. });
        while out.len() < PIECE_BYTES_MIN && self.at < self.stored.len() {
            if self.at > 0 && commas {
                out.push(b',');
            }
            self.append(self.at, &mut out)?;
            self.at += 1;
        }
        if self.at == self.stored.len() && !self.ended {
            self.ended = true;
            out.extend_from_slice(&self.tail);
        }
        Ok(out)
    }

    /// All of it in one piece.
    pub(super) fn collect_all(mut self) -> Result<Vec<u8>> {
        let mut whole = self.piece()?;
        while !self.ended {
            whole.extend_from_slice(&self.piece()?);
        }
        Ok(whole)
    }

    /// The answer, sent in pieces.
    pub(super) fn response(self, media_type: &'static str) -> Response {
        if self.manner.gzip && self.json_bytes() > GZIP_BYTES_MIN {
            let encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            let zipped = Zipped { pieces: self, encoder: Some(encoder) };
            let response = Response::stream(media_type, futures::stream::iter(zipped).boxed());
            return response.with_header("content-encoding", "gzip").with_header("vary", "Accept-Encoding");
        }
        Response::stream(media_type, futures::stream::iter(self).boxed())
    }

    /// The answer, sent as a whole with its length.
    pub(super) fn whole(self, media_type: &'static str) -> Result<Response> {
        let gzip = self.manner.gzip;
        Ok(respond::compressed(Response::full(200, media_type, self.collect_all()?), gzip))
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
                // The head is sent; what is left is to break off, which leaves a malformed body.
                tracing::error!(%status, "a list broke off");
                self.ended = true;
                None
            }
        }
    }
}

fn append_json(manner: &Manner, (stored, type_prefix): (&Stored, &[u8]), out: &mut Vec<u8>) -> Result<()> {
    match manner.agreed.form {
        Form::Plain => {
            let json = manner.json(stored)?;
            match json.strip_prefix(type_prefix) {
                Some(rest) => {
                    out.push(b'{');
                    out.extend_from_slice(rest);
                }
                None => out.extend_from_slice(&json),
            }
        }
        Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
            metadata::append_partial(&stored.body.json, version, out)?;
        }
        Form::Table(version) => table::stored_row(manner, version, stored, out)?,
    }
    Ok(())
}

fn append_message(manner: &Manner, (stored, encoder): (&Stored, &mut Encoder), out: &mut Vec<u8>) -> Result<()> {
    let (json, of) = match manner.agreed.form {
        Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
            (stored.body.json.clone(), metadata::typed(&manner.server.parts().facts.types, version))
        }
        Form::Plain | Form::Table(_) => (manner.json(stored)?, Typed::kind(&manner.kind)),
    };
    encoder.append_field(out, (ITEMS, &json[..]), (of.types, of.id)).map_err(Status::internal)
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
