//! Watches as they are sent: one framed event after another, flushed as it comes. What many watchers are told in the
//! same words is encoded once and kept with the event.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value, json};

use super::table::{self, Headers};
use super::{Manner, metadata};
use crate::api::codec::protobuf;
use crate::api::{Object, Result, Revision, Status, schema};
use crate::base::room;
use crate::registry::{Notice, NoticeKind, Watching};
use crate::server::known;
use crate::server::message::{Body, Response, WebSocketMessage};
use crate::server::metrics;
use crate::server::negotiation::{Encoding, Form, MetaVersion};
use crate::server::options::IncludeObject;
use crate::server::wire::{self, Typed};
use crate::storage::{Event, EventKind, Stored};

/// The memo slots of an event (`Event::memos`) and what they hold: whole frames for watchers who see the event as
/// what it is.
const MEMO_JSON: usize = 0;
const MEMO_METADATA: usize = 1;
const MEMO_PROTOBUF: usize = 2;
const MEMO_METADATA_PROTOBUF: usize = 3;

/// What stands before a frame of protobuf: its length.
const FRAME_HEAD_BYTES: usize = 4;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// How a watch is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::server) enum Carrier {
    Body,
    WebSocket,
}

/// A watch in the agreed encoding and form, until it ends by itself or the server does.
pub(in crate::server) fn watch(manner: Manner, watching: Watching, carrier: Carrier) -> Response {
    let media_type = match manner.agreed.encoding {
        Encoding::Json | Encoding::Yaml => "application/json".to_owned(),
        Encoding::Protobuf => format!("{};stream=watch", Encoding::Protobuf.media_type()),
    };
    let text = manner.agreed.encoding != Encoding::Protobuf;
    let shutdown = manner.server.parts().shutdown.clone();
    let mut response = Response::stream(media_type, stream::empty().boxed());
    // A list of metadata is asked of what is no list: upstream cannot encode the first event and ends the watch.
    let frames = match manner.agreed.form {
        Form::PartialMetadataList(_) => stream::empty().boxed(),
        Form::Plain | Form::Table(_) | Form::PartialMetadata(_) => {
            let counted = manner.server.metrics().sizes.told(&manner.kind);
            frames(Told { manner, columns_told: false, counted }, watching)
        }
    };
    let ended = async move { shutdown.wait().await };
    let frames = frames.take_until(Box::pin(ended));
    response.body = match carrier {
        Carrier::Body => Body::Stream(frames.map(join).boxed()),
        Carrier::WebSocket => {
            // A message has its own length; the one before a frame of protobuf is left out.
            let message = move |frame: Bytes| match text {
                true => WebSocketMessage::Text(frame),
                false => WebSocketMessage::Binary(frame.slice(FRAME_HEAD_BYTES.min(frame.len())..)),
            };
            Body::WebSocket(frames.flat_map(stream::iter).map(message).boxed())
        }
    };
    response
}

/// What one watcher was told already.
struct Told {
    manner: Manner,
    columns_told: bool,
    counted: metrics::Told,
}

fn frames(told: Told, watching: Watching) -> BoxStream<'static, Vec<Bytes>> {
    stream::unfold((told, watching), |(mut told, mut watching)| async move {
        let notices = watching.next().await?;
        let frames: Vec<Bytes> = notices.into_iter().filter_map(|notice| told.frame(notice)).collect();
        told.counted.count(&frames);
        Some((frames, (told, watching)))
    })
    .boxed()
}

/// The frames of one batch in one piece: a single one is passed on as it is.
fn join(mut frames: Vec<Bytes>) -> Bytes {
    if frames.len() == 1 {
        return frames.remove(0);
    }
    let mut out = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames {
        out.put(frame);
    }
    out.freeze()
}

impl Told {
    /// The bytes of a notice; none when it cannot be encoded, which is logged.
    fn frame(&mut self, notice: Notice) -> Option<Bytes> {
        let frame = match notice {
            Notice::Change { kind, object, event } => {
                room::wherever_it_fits(|| self.change(kind, &object, event.as_deref()))
            }
            Notice::Bookmark { revision, initial_events_end } => self.bookmark(revision, initial_events_end),
            Notice::Failed(status) => self.failed(&status),
        };
        match frame {
            Ok(frame) => Some(frame),
            Err(status) => {
                tracing::error!(%status, kind = %self.manner.kind.gvk, "an event could not be encoded");
                None
            }
        }
    }

    fn change(&mut self, kind: NoticeKind, stored: &Stored, event: Option<&Event>) -> Result<Bytes> {
        let name = match kind {
            NoticeKind::Added => "ADDED",
            NoticeKind::Modified => "MODIFIED",
            NoticeKind::Deleted => "DELETED",
        };
        let shared = event.filter(|event| self.manner.as_stored(stored) && as_it_is(kind, event.kind));
        let protobuf = self.manner.agreed.encoding == Encoding::Protobuf;
        let slot = match (self.manner.agreed.form, protobuf) {
            (Form::Plain, false) => MEMO_JSON,
            (Form::Plain, true) => MEMO_PROTOBUF,
            (Form::PartialMetadata(MetaVersion::V1) | Form::PartialMetadataList(MetaVersion::V1), false) => {
                MEMO_METADATA
            }
            (Form::PartialMetadata(MetaVersion::V1) | Form::PartialMetadataList(MetaVersion::V1), true) => {
                MEMO_METADATA_PROTOBUF
            }
            (Form::Table(version), _) => {
                let table = table::whole_stored(&self.manner, (version, self.headers()), stored)?;
                self.columns_told = true;
                return Ok(json_frame(name, &table));
            }
            (Form::PartialMetadata(MetaVersion::V1Beta1) | Form::PartialMetadataList(MetaVersion::V1Beta1), _) => {
                return self.encode(name, stored);
            }
        };
        if let Some(frame) = shared.and_then(|event| event.memos.get(slot)) {
            return Ok(frame);
        }
        let frame = self.encode(name, stored)?;
        match shared {
            Some(event) => Ok(event.memos.keep(slot, frame)),
            None => Ok(frame),
        }
    }

    fn encode(&self, name: &str, stored: &Stored) -> Result<Bytes> {
        let manner = &self.manner;
        if manner.agreed.encoding == Encoding::Protobuf {
            return Ok(protobuf::watch_frame(name, &super::sealed(manner, stored)?).into());
        }
        match manner.agreed.form {
            Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
                Ok(json_frame(name, &metadata::partial(&stored.body.json, version)?))
            }
            Form::Plain | Form::Table(_) => Ok(json_frame(name, &manner.json(stored)?)),
        }
    }

    /// An event with a tree as its object.
    fn tree_frame(&self, name: &str, object: Object) -> Result<Bytes> {
        let types = &self.manner.server.parts().facts.types;
        match self.manner.agreed.form {
            Form::Plain | Form::Table(_) => {
                self.typed_frame(name, Typed::kind(&self.manner.kind), &object.into_value())
            }
            Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
                let partial = metadata::partial_value(object.into_value(), version);
                self.typed_frame(name, metadata::typed(types, version), &partial)
            }
        }
    }

    fn typed_frame(&self, name: &str, of: Typed<'_>, value: &Value) -> Result<Bytes> {
        let object = wire::encode(self.manner.agreed.encoding, of, value)?;
        Ok(match self.manner.agreed.encoding {
            Encoding::Protobuf => protobuf::watch_frame(name, &object).into(),
            Encoding::Json | Encoding::Yaml => json_frame(name, &object),
        })
    }

    fn headers(&self) -> Headers {
        if self.columns_told { Headers::Without } else { Headers::With }
    }

    fn table_frame(&mut self, name: &str, (version, object): (MetaVersion, &Object)) -> Bytes {
        let headers = self.headers();
        self.columns_told = true;
        json_frame(name, &table::whole(&self.manner, (version, headers), object))
    }

    /// A bookmark is an empty object of the type with a revision.
    fn bookmark(&mut self, revision: Revision, initial_events_end: bool) -> Result<Bytes> {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
        if initial_events_end {
            metadata.insert("annotations".to_owned(), json!({INITIAL_EVENTS_END: "true"}));
        }
        let mut object = Object::default();
        object.set_gvk(&self.manner.kind.gvk);
        object.set(&["metadata"], Value::Object(metadata));
        // Upstream sends an empty object of the Go type, with all that such a one writes.
        let kind = &self.manner.kind;
        let mut value = object.into_value();
        schema::decode::normalise(&mut value, &kind.types, kind.type_id).map_err(Status::internal)?;
        let mut object = Object::from_value(value).map_err(|_| Status::internal("a bookmark is an object"))?;
        // Of what has a scale the number is no pointer in upstream's own types.
        if let Some(scale) = kind.behaviour.scale(kind).filter(|_| !kind.is_custom()) {
            let path: Vec<&str> = scale.spec_replicas.iter().map(AsRef::as_ref).collect();
            object.set(&path, 0);
        }
        match self.manner.agreed.form {
            Form::Table(version) => {
                // Its row tells the revision even to those who want no objects in rows.
                let asked = self.manner.include;
                if asked == IncludeObject::None {
                    self.manner.include = IncludeObject::Metadata;
                }
                let frame = self.table_frame("BOOKMARK", (version, &object));
                self.manner.include = asked;
                Ok(frame)
            }
            Form::Plain | Form::PartialMetadata(_) | Form::PartialMetadataList(_) => {
                self.tree_frame("BOOKMARK", object)
            }
        }
    }

    fn failed(&self, status: &Status) -> Result<Bytes> {
        let types = &self.manner.server.parts().facts.types;
        self.typed_frame("ERROR", Typed::known(types, &known::STATUS), &status.to_value())
    }
}

/// Whether a watcher sees an event as what happened, not as the object entering or leaving a selection.
fn as_it_is(seen: NoticeKind, happened: EventKind) -> bool {
    matches!(
        (seen, happened),
        (NoticeKind::Added, EventKind::Created)
            | (NoticeKind::Modified, EventKind::Updated)
            | (NoticeKind::Deleted, EventKind::Deleted)
    )
}

fn json_frame(name: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + name.len() + 24);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(json_frame("ADDED", b"{\"a\":1}"), "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n");
    }

    #[test]
    fn batches_are_sent_in_one_piece() {
        assert_eq!(join(vec![Bytes::from("a"), Bytes::from("b")]), "ab");
        assert_eq!(join(Vec::new()), "");
    }
}
