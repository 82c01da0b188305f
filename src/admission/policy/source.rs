//! The policies that are bound, compiled. What did not change between two compilations is taken over; there is one
//! compiled form for each stored policy with a binding, and none without.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;

use super::compile::{self, Binding, Policy};
use crate::admission::Context;
use crate::api::{Revision, Uid};
use crate::resources::Kind;
use crate::storage::{Snapshot, Stored};

/// Where policies of one sort and their bindings are kept, and how a policy is compiled.
pub(super) struct Sort {
    policies: &'static str,
    bindings: &'static str,
    compile: fn(&str, &Value) -> Policy,
}

pub(super) static VALIDATING: Sort = Sort {
    policies: "validatingadmissionpolicies.admissionregistration.k8s.io",
    bindings: "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    compile: compile::validating,
};

pub(super) static MUTATING: Sort = Sort {
    policies: "mutatingadmissionpolicies.admissionregistration.k8s.io",
    bindings: "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    compile: compile::mutating,
};

/// A policy with the bindings that name it.
#[derive(Clone)]
pub(super) struct Hook {
    pub policy: Arc<Policy>,
    pub bindings: Vec<Arc<Binding>>,
}

/// The uid and the generation of a policy.
type Stamp = (Uid, i64);

/// All hooks of one moment, by the names of their policies.
#[derive(Default)]
struct Compiled {
    /// The revisions of the last changes of policies and bindings.
    changed: Option<[Revision; 2]>,
    /// By name, with what tells a changed policy from the same.
    policies: HashMap<Arc<str>, (Stamp, Arc<Policy>)>,
    hooks: Arc<Vec<Hook>>,
}

/// Whether there may be bindings: nobody has looked, there was none and none has been written since, or there may be.
const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

/// The bound policies of one sort.
pub(super) struct Source {
    sort: &'static Sort,
    presence: AtomicU8,
    compiled: ArcSwap<Compiled>,
    /// Held while policies are compiled, so that one change is compiled once; protects no data.
    compiling: Mutex<()>,
}

impl Source {
    pub(super) fn new(sort: &'static Sort) -> Self {
        Self { sort, presence: AtomicU8::new(UNKNOWN), compiled: ArcSwap::default(), compiling: Mutex::new(()) }
    }

    /// Told of the kind of every write, before it is made: all writes come this way, so that a first binding cannot be
    /// missed.
    pub(super) fn notice(&self, kind: &Kind) {
        if self.presence.load(Ordering::Acquire) != SOME && *kind.collection == *self.sort.bindings {
            self.presence.store(SOME, Ordering::Release);
        }
    }

    /// The hooks of now; `None` when there are none.
    pub(super) fn hooks(&self, ctx: &Context) -> Option<Arc<Vec<Hook>>> {
        let presence = self.presence.load(Ordering::Acquire);
        if presence == NONE {
            return None;
        }
        let snapshot = ctx.store.snapshot();
        if snapshot.count(self.sort.bindings) == 0 {
            if presence == UNKNOWN {
                // A binding that is being written at this moment has made it `SOME`, and it stays that.
                let _ = self.presence.compare_exchange(UNKNOWN, NONE, Ordering::AcqRel, Ordering::Acquire);
            }
            if self.compiled.load().changed.is_some() {
                self.compiled.store(Arc::default());
            }
            return None;
        }
        let hooks = self.current(ctx, &snapshot);
        (!hooks.is_empty()).then_some(hooks)
    }

    fn current(&self, ctx: &Context, snapshot: &Snapshot) -> Arc<Vec<Hook>> {
        let compiled = self.compiled.load();
        if compiled.changed == Some(self.changed(snapshot)) {
            return compiled.hooks.clone();
        }
        drop(compiled);
        let _one_at_a_time = self.compiling.lock();
        let present = self.compiled.load_full();
        let snapshot = ctx.store.snapshot();
        if present.changed == Some(self.changed(&snapshot)) {
            return present.hooks.clone();
        }
        let next = self.next(&present, &snapshot);
        let hooks = next.hooks.clone();
        self.compiled.store(Arc::new(next));
        hooks
    }

    fn changed(&self, snapshot: &Snapshot) -> [Revision; 2] {
        [snapshot.changed(self.sort.policies), snapshot.changed(self.sort.bindings)]
    }

    fn next(&self, present: &Compiled, snapshot: &Snapshot) -> Compiled {
        let mut bindings: BTreeMap<String, Vec<Arc<Binding>>> = BTreeMap::new();
        for stored in snapshot.list(self.sort.bindings, None, None) {
            let binding = Binding::new(&stored.key.name, &read(stored));
            bindings.entry(binding.policy.clone()).or_default().push(Arc::new(binding));
        }
        let mut next = Compiled { changed: Some(self.changed(snapshot)), ..Compiled::default() };
        let mut hooks = Vec::new();
        for (name, bindings) in bindings {
            let Some(stored) = snapshot.find(self.sort.policies, "", &name) else { continue };
            let tree = read(stored);
            let generation = tree.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
            let stamp = (stored.facts.uid.clone(), generation);
            let known = present.policies.get(&stored.key.name).filter(|(known, _)| *known == stamp);
            let policy =
                known.map_or_else(|| Arc::new((self.sort.compile)(&name, &tree)), |(_, policy)| policy.clone());
            next.policies.insert(stored.key.name.clone(), (stamp, policy.clone()));
            hooks.push(Hook { policy, bindings });
        }
        next.hooks = Arc::new(hooks);
        next
    }
}

fn read(stored: &Stored) -> Value {
    serde_json::from_slice(&stored.body.json).unwrap_or_else(|error| {
        tracing::error!(key = ?stored.key, %error, "a stored policy or binding cannot be read and does nothing");
        Value::Null
    })
}
