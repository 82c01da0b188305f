//! The pieces of a list: what stands before the first object, object after object, what stands behind the last. No list
//! is ever held as a whole unless it is short.

use std::future::ready;
use std::io::Write as _;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use flate2::write::GzEncoder;
use futures::stream::{self, BoxStream, StreamExt};

use super::{Manner, metadata, table};
use crate::api::codec::protobuf::{Encoder, ITEMS};
use crate::api::{Result, Status};
use crate::base::room;
use crate::server::message::Response;
use crate::server::negotiation::Form;
use crate::server::respond;
use crate::server::wire::Typed;
use crate::storage::Stored;

/// So much stored JSON becomes a piece.
const PIECE_JSON_BYTES: usize = 128 * 1024;
/// Pieces of one list that are written at the same time. The first of them is sent while the others are made.
const PIECES_AHEAD: usize = 4;
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
    Protobuf,
}

/// A list in pieces.
pub(super) struct Pieces {
    manner: Manner,
    stored: Vec<Arc<Stored>>,
    /// What stands before the first object.
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    items: Items,
}

impl Pieces {
    pub(super) fn new(manner: Manner, stored: Vec<Arc<Stored>>, items: Items) -> Self {
        Self { manner, stored, head: Vec::new(), tail: Vec::new(), items }
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
    pub(super) async fn measure(&self) -> Result<usize> {
        let (mut bytes, mut turn) = (0, 0);
        let (mut one, mut encoder) = (Vec::new(), Encoder::default());
        for stored in &self.stored {
            let notable = self.manner.agreed.form == Form::Plain && self.manner.as_stored(stored);
            // The note of an object that is sent as it is stored is how long it is as an item of protobuf.
            let noted = if notable { stored.note.load(Ordering::Relaxed) as usize } else { 0 };
            if noted != 0 {
                bytes += noted;
                continue;
            }
            one.clear();
            self.append(stored, (&mut encoder, &mut one))?;
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

    fn append(&self, stored: &Stored, (encoder, out): (&mut Encoder, &mut Vec<u8>)) -> Result<()> {
        let start = out.len();
        let manner = &self.manner;
        room::wherever_it_fits(|| {
            out.truncate(start);
            match &self.items {
                Items::Json { type_prefix } => append_json(manner, (stored, type_prefix.as_slice()), out),
                Items::Protobuf => append_message(manner, (stored, encoder), out),
            }
        })
    }

    /// Whether items are stored objects nearly as they are.
    fn copies(&self) -> bool {
        matches!(self.items, Items::Json { .. }) && self.manner.agreed.form == Form::Plain
    }

    /// Which objects the piece that begins with this one has.
    fn cut(&self, start: usize) -> Range<usize> {
        let mut bytes = 0;
        let enough = |stored: &Arc<Stored>| {
            bytes += stored.body.json.len();
            bytes >= PIECE_JSON_BYTES
        };
        let end = self.stored[start..].iter().position(enough).map_or(self.stored.len(), |last| start + last + 1);
        start..end
    }

    /// The piece with these objects, and with what stands before the first and behind the last of all.
    fn piece(&self, objects: Range<usize>) -> Result<Vec<u8>> {
        let json: usize = self.stored[objects.clone()].iter().map(|stored| stored.body.json.len()).sum();
        let mut out = Vec::with_capacity(if self.copies() { json } else { json / 2 });
        if objects.start == 0 {
            out.extend_from_slice(&self.head);
        }
        let commas = matches!(self.items, Items::Json { .. });
        let mut encoder = Encoder::default();
        for at in objects.clone() {
            if at > 0 && commas {
                out.push(b',');
            }
            self.append(&self.stored[at], (&mut encoder, &mut out))?;
        }
        if objects.end == self.stored.len() {
            out.extend_from_slice(&self.tail);
        }
        Ok(out)
    }

    /// All of it in one piece.
    pub(super) fn collect_all(&self) -> Result<Vec<u8>> {
        self.piece(0..self.stored.len())
    }

    /// The answer, sent in pieces.
    pub(super) fn response(self, media_type: &'static str) -> Response {
        let gzip = self.manner.gzip && self.json_bytes() > GZIP_BYTES_MIN;
        let pieces = self.stream();
        if gzip {
            let response = Response::stream(media_type, zipped(pieces));
            return response.with_header("content-encoding", "gzip").with_header("vary", "Accept-Encoding");
        }
        Response::stream(media_type, pieces)
    }

    /// The pieces one after another. Those that are more than copies are written ahead.
    fn stream(self) -> BoxStream<'static, Bytes> {
        let copies = self.copies();
        let tasks = self.manner.server.parts().tasks.clone();
        let pieces = Arc::new(self);
        let list = Arc::clone(&pieces);
        let cut = move |before: &Range<usize>| (before.end < list.stored.len()).then(|| list.cut(before.end));
        let cuts = iter::successors(Some(pieces.cut(0)), cut);
        let whole = |piece: Result<Vec<u8>>| match piece {
            Ok(piece) => Some(Bytes::from(piece)),
            Err(status) => {
                // The head is sent; what is left is to break off, which leaves a malformed body.
                tracing::error!(%status, "a list broke off");
                None
            }
        };
        if copies {
            return stream::iter(cuts.map_while(move |objects| whole(pieces.piece(objects)))).boxed();
        }
        let written = stream::iter(cuts).map(move |objects| {
            let pieces = Arc::clone(&pieces);
            tasks.share(move || pieces.piece(objects))
        });
        written.buffered(PIECES_AHEAD).map(whole).take_while(|piece| ready(piece.is_some())).filter_map(ready).boxed()
    }

    /// The answer, sent as a whole with its length.
    pub(super) fn whole(self, media_type: &'static str) -> Result<Response> {
        let gzip = self.manner.gzip;
        Ok(respond::compressed(Response::full(200, media_type, self.collect_all()?), gzip))
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
fn zipped(pieces: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
    let encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
    let step = |(mut pieces, mut encoder): (BoxStream<'static, Bytes>, GzEncoder<Vec<u8>>)| async move {
        let Some(piece) = pieces.next().await else {
            let end = encoder.finish().expect("writing to memory cannot fail");
            return Some((Bytes::from(end), None));
        };
        encoder.write_all(&piece).expect("writing to memory cannot fail");
        let out = std::mem::take(encoder.get_mut());
        Some((Bytes::from(out), Some((pieces, encoder))))
    };
    let steps = stream::unfold(Some((pieces, encoder)), move |state| async move { step(state?).await });
    steps.filter(|piece| ready(!piece.is_empty())).boxed()
}
