//! Event recorders: tell users what a component did to an object. Equal events are counted in one object, many similar
//! ones are combined, and a source that floods one object is held back, as client-go's recorders do (1.37).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::resource::Resource;
use super::rest::{Client, Patch, encode};
use crate::base::Clock;

/// Events that wait to be written; beyond that new ones are dropped, as upstream's recorder does.
const WAITING_EVENTS_MAX: usize = 16_384;
/// Events that are written at once; few, because what they tell of goes first.
const WRITES_MAX: usize = 2;
/// Remembered events, groups and sources each.
const REMEMBERED_MAX: usize = 4096;
/// Different messages of a group before they are combined, and for how long a group is remembered.
const SIMILAR_EVENTS_MAX: usize = 10;
const GROUP_LIFE: Duration = Duration::from_secs(600);
/// Events that a source may send about one object at once, and the time in which it may send one more.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);
/// For how long equal events of `events.k8s.io` belong to one series.
const SERIES_LIFE: Duration = Duration::from_secs(360);

/// Which of the two APIs a component writes its events with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventApi {
    /// `v1`, as kubelet and the controllers do.
    Core,
    /// `events.k8s.io/v1`, as the scheduler does.
    Events,
}

/// `type` of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    Normal,
    Warning,
}

/// The object that an event is about.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Regarding {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// The part of the object, such as `spec.containers{web}`; empty for the whole.
    pub field_path: String,
}

/// What an event says.
#[derive(Clone, Debug)]
pub struct EventText {
    pub kind: EventKind,
    pub reason: &'static str,
    /// What was done; only in `events.k8s.io`.
    pub action: &'static str,
    pub message: String,
}

impl EventText {
    /// A normal event.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventKind::Normal, reason, action: "", message: message.into() }
    }

    /// A warning.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventKind::Warning, reason, action: "", message: message.into() }
    }

    /// With the action that `events.k8s.io` asks for.
    #[must_use]
    pub fn with_action(mut self, action: &'static str) -> Self {
        self.action = action;
        self
    }
}

impl Regarding {
    /// An object of a resource by its metadata.
    pub fn of(resource: &Resource, meta: &super::Meta) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: String::new(),
        }
    }
}

/// Records events; never waits. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Note>,
    source: Arc<Source>,
}

struct Source {
    client: Client,
    component: String,
    host: String,
}

struct Note {
    source: Arc<Source>,
    regarding: Regarding,
    text: EventText,
    at: Timestamp,
}

impl Recorder {
    /// A recorder of a component and the task that writes what it records.
    pub fn new(
        client: Client,
        component: &str,
        api: EventApi,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS_MAX);
        let source = Arc::new(Source { client, component: component.to_owned(), host: String::new() });
        (Self { sender, source }, write_all(receiver, api, clock))
    }

    /// The same recorder on a host, writing as the host's client.
    #[must_use]
    pub fn on_host(&self, client: Client, host: &str) -> Self {
        let source = Source { client, component: self.source.component.clone(), host: host.to_owned() };
        Self { sender: self.sender.clone(), source: Arc::new(source) }
    }

    /// Records an event; drops it when `WAITING_EVENTS_MAX` wait.
    pub fn record(&self, regarding: Regarding, text: EventText, at: Timestamp) {
        let note = Note { source: Arc::clone(&self.source), regarding, text, at };
        if self.sender.try_send(note).is_err() {
            tracing::debug!(component = %self.source.component, "too many events wait, one was dropped");
        }
    }
}

async fn write_all(mut notes: mpsc::Receiver<Note>, api: EventApi, clock: Arc<dyn Clock>) {
    let mut correlator = Correlator::default();
    let mut writes = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = writes.next(), if !writes.is_empty() => {}
            note = notes.recv(), if writes.len() < WRITES_MAX => {
                let Some(note) = note else { break };
                let request = match api {
                    EventApi::Core => correlator.correlate(note, clock.monotonic()),
                    EventApi::Events => correlator.continue_series(note, clock.monotonic()),
                };
                writes.extend(request.map(send));
            }
        }
    }
    writes.for_each(|()| async {}).await;
}

/// A write that is to be made.
struct Request {
    source: Arc<Source>,
    resource: Resource,
    namespace: String,
    name: String,
    /// Changes the event that was written before.
    patch: Option<Value>,
    /// The whole event; also when the one to be changed is gone.
    event: Value,
}

async fn send(request: Request) {
    let Request { source, resource, namespace, name, patch, event } = request;
    if let Some(patch) = patch {
        let target = resource.at(&namespace, &name);
        match source.client.patch(target, Patch::Strategic, encode(&patch)).await {
            Err(error) if error.not_found() => {}
            Err(error) => return tracing::debug!(error = &error as &dyn std::error::Error, "event was not counted"),
            Ok(_) => return,
        }
    }
    if let Err(error) = source.client.create(resource.at(&namespace, ""), encode(&event)).await
        && !error.already_exists()
        && !error.namespace_terminating()
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "event was not written");
    }
}

/// What was sent lately.
#[derive(Default)]
struct Correlator {
    sources: Remembered<Bucket>,
    groups: Remembered<Group>,
    sent: Remembered<Sent>,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

struct Group {
    messages: Vec<u64>,
    at: Duration,
}

struct Sent {
    name: String,
    first: Timestamp,
    count: u32,
    /// When the object was last written.
    at: Duration,
}

impl Correlator {
    /// The write that a note of the core API causes, if any.
    fn correlate(&mut self, mut note: Note, now: Duration) -> Option<Request> {
        let combined = self.combines(&note, now);
        let mut key = note.group_key();
        if combined {
            note.text.message = format!("(combined from similar events): {}", note.text.message);
        } else {
            key = hash(&(key, &note.text.message, &note.regarding.field_path));
        }
        if !self.admits(note.source_key(), now) {
            return None;
        }
        let sent = self.sent.entry(key, || Sent { name: note.event_name(), first: note.at, count: 0, at: now });
        sent.count += 1;
        sent.at = now;
        let patch = (sent.count > 1)
            .then(|| json!({"count": sent.count, "message": note.text.message, "lastTimestamp": seconds(note.at)}));
        let event = note.core_event(sent);
        Some(note.into_request(Resource::EVENTS.clone(), sent.name.clone(), (patch, event)))
    }

    /// The write that a note of `events.k8s.io` causes, if any.
    fn continue_series(&mut self, note: Note, now: Duration) -> Option<Request> {
        let key = hash(&(note.group_key(), &note.text.message, note.text.action));
        let fresh = || Sent { name: note.event_name(), first: note.at, count: 0, at: now };
        let sent = self.sent.entry(key, fresh);
        if now.saturating_sub(sent.at) > SERIES_LIFE {
            *sent = fresh();
        }
        sent.count += 1;
        if sent.count > 2 && now.saturating_sub(sent.at) < SERIES_LIFE / 2 {
            return None;
        }
        sent.at = now;
        let series = json!({"count": sent.count, "lastObservedTime": micros(note.at)});
        let patch = (sent.count > 1).then(|| json!({"series": series}));
        let mut event = note.new_event(sent);
        if sent.count > 1 {
            event["series"] = series;
        }
        Some(note.into_request(Resource::NEW_EVENTS.clone(), sent.name.clone(), (patch, event)))
    }

    /// Whether so many similar events came that this one joins them.
    fn combines(&mut self, note: &Note, now: Duration) -> bool {
        let group = self.groups.entry(note.group_key(), || Group { messages: Vec::new(), at: now });
        if now.saturating_sub(group.at) > GROUP_LIFE {
            group.messages.clear();
        }
        group.at = now;
        let message = hash(&note.text.message);
        if !group.messages.contains(&message) {
            if group.messages.len() >= SIMILAR_EVENTS_MAX {
                group.messages.pop();
            }
            group.messages.push(message);
        }
        group.messages.len() >= SIMILAR_EVENTS_MAX
    }

    /// Whether a source may send one more event about an object.
    fn admits(&mut self, key: u64, now: Duration) -> bool {
        let bucket = self.sources.entry(key, || Bucket { tokens: f64::from(BURST), at: now });
        let refilled = now.saturating_sub(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + refilled).min(f64::from(BURST));
        bucket.at = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

impl Note {
    fn source_key(&self) -> u64 {
        let regarding = &self.regarding;
        hash(&(
            &self.source.component,
            &self.source.host,
            &regarding.kind,
            &regarding.namespace,
            &regarding.name,
            &regarding.uid,
        ))
    }

    fn group_key(&self) -> u64 {
        hash(&(self.source_key(), self.text.kind, self.text.reason))
    }

    fn event_name(&self) -> String {
        format!("{}.{:x}", self.regarding.name, self.at.as_nanosecond())
    }

    /// Events about cluster-scoped objects stand in `default`.
    fn namespace(&self) -> &str {
        if self.regarding.namespace.is_empty() { "default" } else { &self.regarding.namespace }
    }

    fn reference(&self) -> Value {
        let regarding = &self.regarding;
        let mut reference =
            json!({"apiVersion": regarding.api_version, "kind": regarding.kind, "name": regarding.name});
        for (key, value) in [
            ("namespace", &regarding.namespace),
            ("uid", &regarding.uid),
            ("resourceVersion", &regarding.resource_version),
            ("fieldPath", &regarding.field_path),
        ] {
            if !value.is_empty() {
                reference[key] = Value::String(value.clone());
            }
        }
        reference
    }

    fn core_event(&self, sent: &Sent) -> Value {
        let mut source = json!({"component": self.source.component});
        if !self.source.host.is_empty() {
            source["host"] = Value::String(self.source.host.clone());
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": sent.name, "namespace": self.namespace()},
            "involvedObject": self.reference(),
            "reason": self.text.reason, "message": self.text.message, "type": self.text.kind.as_str(),
            "source": source, "reportingComponent": self.source.component, "reportingInstance": self.source.host,
            "firstTimestamp": seconds(sent.first), "lastTimestamp": seconds(self.at), "count": sent.count,
        })
    }

    fn new_event(&self, sent: &Sent) -> Value {
        let host = if self.source.host.is_empty() { "localhost" } else { &self.source.host };
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": sent.name, "namespace": self.namespace()},
            "regarding": self.reference(), "eventTime": micros(sent.first),
            "reason": self.text.reason, "action": self.text.action, "note": self.text.message,
            "type": self.text.kind.as_str(), "reportingController": self.source.component,
            "reportingInstance": format!("{}-{host}", self.source.component),
        })
    }

    fn into_request(self, resource: Resource, name: String, (patch, event): (Option<Value>, Value)) -> Request {
        let namespace = self.namespace().to_owned();
        Request { source: self.source, resource, namespace, name, patch, event }
    }
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A map that forgets what came first when it holds `REMEMBERED_MAX` entries.
struct Remembered<V> {
    entries: HashMap<u64, V>,
    order: VecDeque<u64>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V> Remembered<V> {
    fn entry(&mut self, key: u64, fresh: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) {
            if self.order.len() >= REMEMBERED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.entries.entry(key).or_insert_with(fresh)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A time as `metav1.Time` writes it.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as `metav1.MicroTime` writes it.
fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Ask, Error, Reply, Transport};

    struct Nowhere;

    impl Transport for Nowhere {
        fn exchange(&self, _: Ask) -> futures::future::BoxFuture<'static, Result<Reply, Error>> {
            Box::pin(async { Err(Error::TooLong { limit: 0 }) })
        }
    }

    fn note(message: &str) -> Note {
        let client = Client::new(Arc::new(Nowhere), crate::api::request::User::default(), "test");
        Note {
            source: Arc::new(Source { client, component: "c".to_owned(), host: String::new() }),
            regarding: Regarding { kind: "Pod".to_owned(), name: "p".to_owned(), ..Regarding::default() },
            text: EventText::normal("Reason", message),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn equal_events_are_counted_in_one_object() {
        let mut correlator = Correlator::default();
        let first = correlator.correlate(note("m"), Duration::ZERO).unwrap();
        let second = correlator.correlate(note("m"), Duration::ZERO).unwrap();
        assert!(first.patch.is_none());
        assert_eq!(second.patch.unwrap()["count"], 2);
        assert_eq!(first.name, second.name);
    }

    #[test]
    fn the_tenth_similar_event_is_combined() {
        let mut correlator = Correlator::default();
        let mut messages = (0..10).map(|i| correlator.correlate(note(&i.to_string()), Duration::ZERO).unwrap());
        assert_eq!(messages.nth(8).unwrap().event["message"], "8");
        assert_eq!(messages.next().unwrap().event["message"], "(combined from similar events): 9");
    }

    #[test]
    fn a_flood_about_one_object_is_held_back_until_time_has_passed() {
        let mut correlator = Correlator::default();
        let mut sent = |at| correlator.correlate(note("m"), Duration::from_secs(at)).is_some();
        assert_eq!((0..100).filter(|_| sent(0)).count(), 25);
        assert!(!sent(299));
        assert!(sent(301));
    }

    #[test]
    fn a_new_series_begins_after_six_quiet_minutes() {
        let mut correlator = Correlator::default();
        let mut patched =
            |at| correlator.continue_series(note("m"), Duration::from_secs(at)).map(|r| r.patch.is_some());
        assert_eq!(patched(0), Some(false));
        assert_eq!(patched(1), Some(true));
        assert_eq!(patched(2), None);
        assert_eq!(patched(400), Some(false));
    }
}
