//! Feeds a cache, or what else follows the objects of a resource: a watch that begins with the whole state (or a list
//! and a watch, where the server does not offer that), resumed where it broke off, begun anew when its revision is no
//! longer kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{ApiError, Error};
use super::resource::Resource;
use super::rest::{Client, Query};
use crate::base::Clock;

/// The longest line of a watch.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Objects in one page of a list.
const PAGE_OBJECTS: usize = 500;
/// Waits between attempts, as client-go's reflector.
const BACKOFF_MIN: Duration = Duration::from_millis(800);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lasted longer than this is resumed at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// Which objects of a resource.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Empty for all.
    pub namespace: String,
    pub field_selector: String,
    pub label_selector: String,
    /// Asks for metadata only.
    pub metadata_only: bool,
}

/// What is told of the objects of a resource.
pub trait Sink: Send + Sync + 'static {
    /// What is read of each.
    type View: DeserializeOwned + Send;

    /// Which resource.
    fn resource(&self) -> &Resource;

    /// Takes in a new state of one object; gives its revision.
    fn put(&self, object: Self::View) -> u64;

    /// Takes out one object, of which this is the last state; gives its revision.
    fn remove(&self, last: Self::View) -> u64;

    /// Replaces everything by a whole state at a revision.
    fn replace(&self, objects: Vec<Self::View>, revision: u64);

    /// Everything up to `revision` is in.
    fn advance(&self, revision: u64);

    /// Resolves when the first whole state is in.
    fn synced(&self) -> impl Future<Output = ()> + Send;
}

/// Feeds what follows a resource until dropped.
pub async fn follow<S: Sink>(sink: Arc<S>, client: Client, selection: Selection, clock: Arc<dyn Clock>) {
    let mut reflector = Reflector { sink, client, selection, resume: None, streams_initial_state: true };
    let mut backoff = BACKOFF_MIN;
    loop {
        let started = clock.monotonic();
        let end = reflector.run().await;
        let lasted = clock.monotonic().saturating_sub(started);
        if lasted > HEALTHY_AFTER {
            backoff = BACKOFF_MIN;
            if matches!(end, End::Closed) {
                continue;
            }
        }
        let resource = &reflector.sink.resource().plural;
        match end {
            End::Closed => {}
            End::Expired => reflector.resume = None,
            End::Unsupported => {
                reflector.streams_initial_state = false;
                continue;
            }
            End::Failed(error) => {
                tracing::warn!(%resource, error = &error as &dyn std::error::Error, "watch failed, trying again");
            }
        }
        clock.sleep(backoff.mul_f64(rand::random_range(1.0..1.5))).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

struct Reflector<S> {
    sink: Arc<S>,
    client: Client,
    selection: Selection,
    /// The revision from which the watch goes on; `None`: begin with the whole state.
    resume: Option<String>,
    streams_initial_state: bool,
}

/// Why a watch ended.
enum End {
    Closed,
    /// The revision is no longer kept.
    Expired,
    /// The server does not know `sendInitialEvents`.
    Unsupported,
    Failed(Error),
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: super::meta::Meta,
}

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl<S: Sink> Reflector<S> {
    async fn run(&mut self) -> End {
        if self.resume.is_none() && !self.streams_initial_state {
            match self.list().await {
                Ok(revision) => self.resume = Some(revision),
                Err(error) => return End::Failed(error),
            }
        }
        let mut initial = self.resume.is_none().then(Vec::new);
        let stream = match self.open().await {
            Ok(stream) => stream,
            Err(error) if error.expired() => return End::Expired,
            Err(error) if initial.is_some() && matches!(error.code(), 400 | 404 | 405 | 422) => {
                return End::Unsupported;
            }
            Err(error) => return End::Failed(error),
        };
        let mut frames = Frames { stream, buffer: BytesMut::new() };
        loop {
            match frames.next().await {
                Ok(Some(lines)) => {
                    if let Err(end) = self.take(&lines, &mut initial) {
                        return end;
                    }
                }
                Ok(None) => return End::Closed,
                Err(error) => return End::Failed(error),
            }
        }
    }

    fn query(&self) -> Query {
        let selection = &self.selection;
        let mut query = Query::default()
            .with("fieldSelector", &*selection.field_selector)
            .with("labelSelector", &*selection.label_selector);
        query.metadata_only = selection.metadata_only;
        query
    }

    async fn open(&self) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let query = self.query().with("watch", "true").with("allowWatchBookmarks", "true");
        let query = match &self.resume {
            Some(revision) => query.with("resourceVersion", &**revision),
            None => query.with("sendInitialEvents", "true").with("resourceVersionMatch", "NotOlderThan"),
        };
        self.client.watch(self.sink.resource().at(&self.selection.namespace, ""), &query).await
    }

    async fn list(&self) -> Result<String, Error> {
        let mut objects = Vec::new();
        let mut token = String::new();
        loop {
            let query = self.query().with("limit", PAGE_OBJECTS.to_string()).with("continue", token);
            let page = self.client.list(self.sink.resource().at(&self.selection.namespace, ""), &query).await?;
            objects.extend(page.items);
            token = page.metadata.continue_token;
            if token.is_empty() {
                let revision = page.metadata.resource_version;
                self.sink.replace(objects, revision.parse().unwrap_or(0));
                return Ok(revision);
            }
        }
    }

    /// Takes in whole lines.
    fn take(&mut self, lines: &[u8], initial: &mut Option<Vec<S::View>>) -> Result<(), End> {
        let Some(frames) = frames_of(lines) else {
            for frame in serde_json::Deserializer::from_slice(lines).into_iter::<Frame<'_>>() {
                let frame = frame.map_err(|error| End::Failed(error.into()))?;
                self.take_frame((&frame.kind, frame.object.get()), initial)?;
            }
            return Ok(());
        };
        frames.into_iter().try_for_each(|frame| self.take_frame(frame, initial))
    }

    fn take_frame(&mut self, (kind, object): (&str, &str), initial: &mut Option<Vec<S::View>>) -> Result<(), End> {
        let failed = |error: serde_json::Error| End::Failed(error.into());
        match (kind, initial.as_mut()) {
            ("ADDED" | "MODIFIED" | "DELETED", pending) => {
                let object: S::View = serde_json::from_str(object).map_err(failed)?;
                if let Some(pending) = pending {
                    pending.push(object);
                } else {
                    let gone = kind == "DELETED";
                    let revision = if gone { self.sink.remove(object) } else { self.sink.put(object) };
                    self.resume = Some(revision.to_string());
                }
            }
            ("BOOKMARK", _) => {
                let meta = serde_json::from_str::<Bookmark>(object).map_err(failed)?.metadata;
                if let Some(objects) = initial.take_if(|_| meta.annotations.contains_key(INITIAL_EVENTS_END)) {
                    self.sink.replace(objects, meta.revision());
                }
                if initial.is_none() {
                    self.sink.advance(meta.revision());
                    self.resume = Some(meta.resource_version);
                }
            }
            ("ERROR", _) => {
                let error: ApiError = serde_json::from_str(object).map_err(failed)?;
                return Err(if error.code == 410 { End::Expired } else { End::Failed(Error::Api(Box::new(error))) });
            }
            _ => {}
        }
        Ok(())
    }
}

/// The types and objects of lines that are written as every API server writes them, found without reading the objects.
/// `None` when one is not.
fn frames_of(lines: &[u8]) -> Option<Vec<(&str, &str)>> {
    let lines = std::str::from_utf8(lines).ok()?.split('\n');
    lines.filter(|line| !line.is_empty()).map(frame_of).collect()
}

fn frame_of(line: &str) -> Option<(&str, &str)> {
    let (kind, rest) = line.strip_prefix("{\"type\":\"")?.split_once('"')?;
    Some((kind, rest.strip_prefix(",\"object\":")?.strip_suffix('}')?))
}

/// Gathers the pieces of a body until they end with a line.
struct Frames {
    stream: BoxStream<'static, Result<Bytes, Error>>,
    buffer: BytesMut,
}

impl Frames {
    /// One or more whole lines; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(piece) = self.stream.next().await.transpose()? else { return Ok(None) };
            if self.buffer.is_empty() && piece.ends_with(b"\n") {
                return Ok(Some(piece));
            }
            self.buffer.extend_from_slice(&piece);
            if let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') {
                let whole = self.buffer.len() - piece.len() + end + 1;
                return Ok(Some(self.buffer.split_to(whole).freeze()));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(Error::TooLong { limit: LINE_BYTES_MAX });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_api_server_are_taken_apart_without_being_read() {
        let lines = b"{\"type\":\"ADDED\",\"object\":{\"a\":\"}\\n\"}}\n{\"type\":\"BOOKMARK\",\"object\":{}}\n";
        let frames = frames_of(lines).unwrap();
        assert_eq!(frames, [("ADDED", "{\"a\":\"}\\n\"}"), ("BOOKMARK", "{}")]);
        assert_eq!(frames_of(b"{ \"type\": \"ADDED\", \"object\": {} }\n"), None);
    }
}
