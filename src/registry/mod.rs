//! One operation on objects: create, update, patch, apply, delete, get, list, watch, subresources. The only writer of
//! objects: admission, defaulting, validation and field ownership have no way round. Called by the server, for
//! network and in-process clients alike.

mod actions;
mod admit;
mod components;
mod connect;
mod continue_token;
mod conversion;
mod create;
mod decode;
mod definitions;
mod delete;
mod expiry;
mod extensions;
mod location;
mod metadata;
mod ownership;
mod persist;
mod read;
mod replace;
mod scale;
mod select;
mod stated;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::admission::{Context, Plugin};
use crate::api::emptied::Emptied;
use crate::api::request::{Target, User};
use crate::api::{Object, Revision, Status};
use crate::base::Clock;
use crate::resources::facts::Facts;
use crate::resources::{Catalog, Gated, Gates, Kind, Moment};
use crate::storage::{Event, Store, Stored};

pub use actions::{Action, Actions, Order, Row};
pub use components::Component;
pub use connect::{Connected, Connections, End, Kubelets, Way, Wish, is_connection};
pub use definitions::Definitions;
pub use expiry::Expiry;
pub use extensions::{Extension, Extensions, Said, Swagger};
pub use persist::check as check_stored;
pub use watch::Watching;

/// How often an operation that lost a race starts again before its client is told of a conflict. Each round of a race
/// has a winner, so that only more than this many writers of one object at once can exhaust it.
const ATTEMPTS_MAX: usize = 64;

/// The operations on objects of one server.
pub struct Registry {
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// In upstream's order.
    plugins: Vec<Arc<dyn Plugin>>,
    admission: Context,
    actions: Actions,
    facts: Arc<Facts>,
    gates: Gates,
    gated: Gated,
    paged: read::Paged,
    components: Vec<Component>,
}

/// What a registry is made of.
pub struct Parts {
    pub catalog: Arc<Catalog>,
    /// The enabled admission plugins in upstream's order.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// Store, clock and authorizer, for the registry and its plugins.
    pub admission: Context,
    /// Creates that are not objects: reviews, tokens, and the like that a higher layer brings.
    pub actions: Actions,
    pub facts: Arc<Facts>,
    pub gates: Gates,
}

impl Registry {
    /// A registry over a store.
    pub fn new(parts: Parts) -> Self {
        let Parts { catalog, plugins, admission, actions, facts, gates } = parts;
        let gated = Gated::new(&facts, &gates);
        let (store, clock) = (admission.store.clone(), admission.clock.clone());
        Self {
            catalog,
            store,
            clock,
            plugins,
            admission,
            actions,
            facts,
            gates,
            gated,
            paged: read::Paged::default(),
            components: Vec::new(),
        }
    }

    /// The types served now.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The admission plugins that run, in order.
    pub fn plugins(&self) -> &[Arc<dyn Plugin>] {
        &self.plugins
    }

    /// Admission's context: store, clock, authorizer.
    pub fn context(&self) -> &Context {
        &self.admission
    }

    /// Whether a feature gate is on.
    pub fn enabled(&self, gate: &str) -> bool {
        self.gates.enabled(gate)
    }

    /// Takes out what hangs on gates that are off.
    fn drop_disabled(&self, kind: &Kind, new: &mut Object, old: Option<&Object>) {
        if !kind.is_custom() {
            self.gated.drop_disabled(kind.stored_type_id, new, old);
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now() }
    }
}

/// One operation: who does it, on what.
pub struct Call {
    pub user: Arc<User>,
    pub target: Target,
    /// The kind that the target's group, version and resource name.
    pub kind: Arc<Kind>,
    pub warnings: Warnings,
    /// What the last body or patched object of the call says is empty, for the texts of errors.
    emptied: Mutex<Emptied>,
    /// It is about one object of a collection that the client asked for as a whole.
    one_of_many: bool,
}

impl Call {
    /// An operation about which nothing has been said yet.
    pub fn new(user: Arc<User>, target: Target, kind: Arc<Kind>) -> Self {
        Self { user, target, kind, warnings: Warnings::default(), emptied: Mutex::default(), one_of_many: false }
    }
}

/// Texts for `Warning: 299` headers, collected on the way; equal texts once.
#[derive(Default)]
pub struct Warnings {
    texts: Mutex<Vec<String>>,
}

/// A decoded request body: the tree as it came, before it is held against a type.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub value: Value,
    pub twice: Twice,
}

/// What of a body came twice.
#[derive(Clone, Debug)]
pub enum Twice {
    /// Paths of fields, and the text in whose order all strict errors are told.
    Fields(Vec<String>, bytes::Bytes),
    /// Keys of a YAML text, in the words of its reader.
    Lines(Vec<String>),
    /// Fields of a patch, as whole texts: they are told before what is wrong with its result.
    InPatch(Vec<String>),
}

impl Default for Twice {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

/// The kinds of patches, by content type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply; the patch is YAML or JSON.
    Apply,
}

/// What an operation on one object answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As it is stored: the bytes are final where the served version is the stored one (`Kind::stored_as`); else the
    /// server converts through `Registry::serve`.
    Stored(Arc<Stored>),
    /// A tree in its final form: dry runs, scale, reviews, tokens, `Status` of a delete.
    Object(Object),
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub struct Written {
    pub answer: Answer,
    /// 201 instead of 200.
    pub created: bool,
}

/// A page of a list.
pub struct Listing {
    /// The `resourceVersion` of the list.
    pub revision: Revision,
    pub items: Vec<Arc<Stored>>,
    /// Empty on the last page.
    pub continue_token: String,
    pub remaining: Option<u64>,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The type of the event is as the watcher's selectors see it. `event` is shared by all watchers and keeps
    /// encodings; initial events have none.
    Change { kind: NoticeKind, object: Arc<Stored>, event: Option<Arc<Event>> },
    /// `initial_events_end`: with the annotation `k8s.io/initial-events-end`.
    Bookmark { revision: Revision, initial_events_end: bool },
    /// The last notice: an `ERROR` event.
    Failed(Status),
}

/// `type` of a watch event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    Added,
    Modified,
    Deleted,
}

impl Warnings {
    /// Adds a text unless it is there.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.texts.lock();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// Takes all texts.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.texts.lock())
    }
}
