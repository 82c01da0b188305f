//! Ownership on plain writes: create, update and patch.

use std::sync::LazyLock;

use serde_json::Value;

use super::compare::{Comparison, compare};
use super::element::Element;
use super::managed::{self, Entry, Manager, Operation};
use super::reconcile::reconcile;
use super::scope::{Scope, Writer};
use super::set::{Below, FieldSet};
use super::text;
use super::types::Root;
use crate::api::object::Object;

/// Entries of updates beyond this number are merged, oldest first.
const UPDATE_MANAGERS_MAX: usize = 10;

/// The manager of merged entries.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// What nobody owns.
static NEVER_OWNED: LazyLock<FieldSet<'static>> = LazyLock::new(|| {
    let metadata = ["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"];
    let metadata = metadata.into_iter().chain(["managedFields", "resourceVersion"]);
    let mut set = FieldSet::of_fields(&["apiVersion", "kind", "metadata"]);
    for name in metadata {
        set.insert([Element::field("metadata"), Element::field(name)]);
    }
    set
});

/// Brings `metadata.managedFields` of `new` up to date with what the write changed. `live` is the stored object, `None`
/// on create; both are in the version of the scope. Times move only for the writer's own entry and only when its
/// write changed something. Never fails: where upstream cannot tell, the entries of the stored object stay.
pub fn update(scope: &Scope<'_>, live: Option<&Object>, new: &mut Object, writer: &Writer<'_>) {
    let mut given = new.remove(&["metadata", "managedFields"]);
    let before = live.and_then(stored);
    let (managed, basis) = decode_live_or_new(before, given.as_ref(), scope);
    if managed.is_empty() && live.is_some_and(|live| !live.uid().is_empty()) {
        // Ownership that was reset or never tracked starts again with the first apply.
        return;
    }
    let form = scope.root.owners_form();
    let now = writer.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let pieces = {
        let unborn = if live.is_none() { scope.root.unborn() } else { Object::default() };
        let taken = take_over(scope, live.unwrap_or(&unborn), new, managed);
        taken.map(|(entries, own)| managed::encode(record(scope, entries, own, (writer, &now)), form))
    };
    let list = match (pieces, basis) {
        (Ok(pieces), basis) if matches!(basis, Basis::Given) || given.as_ref() == before => {
            // What came is taken, which spares a copy.
            managed::assemble(pieces, |at| {
                let entry = given.as_mut().and_then(|list| list.get_mut(at));
                let mut entry = entry.map(Value::take).unwrap_or_default();
                if form == managed::Form::Text {
                    text::shorten(&mut entry);
                }
                entry
            })
        }
        (Ok(pieces), Basis::Given | Basis::Stored) => {
            managed::assemble(pieces, |at| before.and_then(|list| list.get(at)).cloned().unwrap_or_default())
        }
        (Err(_), _) => before.cloned(),
    };
    if let Some(list) = list {
        new.set(&["metadata", "managedFields"], list);
    }
}

/// Which list the entries were read from.
#[derive(Clone, Copy)]
enum Basis {
    Given,
    Stored,
}

/// `metadata.managedFields` of an object.
pub(super) fn stored(object: &Object) -> Option<&Value> {
    object.get(&["metadata", "managedFields"])
}

/// The entries to go on from: those that the client sent, unless it sent none or broken ones.
fn decode_live_or_new<'a>(
    live: Option<&'a Value>,
    new: Option<&'a Value>,
    scope: &Scope<'_>,
) -> (Vec<Entry<'a>>, Basis) {
    if scope.subresource.is_empty() {
        if managed::is_reset(new) {
            return (Vec::new(), Basis::Given);
        }
        if let Ok(entries) = managed::decode(new)
            && !entries.is_empty()
        {
            return (entries, Basis::Given);
        }
    }
    (managed::decode(live).unwrap_or_default(), Basis::Stored)
}

/// Takes what the write changed from all entries; gives what is left of them and the set of the write itself.
fn take_over<'a>(
    scope: &Scope<'a>,
    live: &'a Object,
    new: &'a Object,
    entries: Vec<Entry<'a>>,
) -> Result<(Vec<Entry<'a>>, FieldSet<'a>), String> {
    if let Some(odd) = entries.iter().find(|entry| entry.api_version.matches('/').count() > 1) {
        return Err(format!("unexpected GroupVersion string: {}", odd.api_version));
    }
    let changes = compare(live.root(), new.root(), scope.root.top())?;
    let changes = filtered(scope, changes);
    let others = Others::new(scope, (live, new), &entries)?;
    let (own, removed) = (changes.modified.union(changes.added), changes.removed);
    let mut left = Vec::with_capacity(entries.len() + 1);
    for mut entry in entries {
        let (root, set, removed) = if entry.api_version == scope.api_version {
            (scope.root, &own, &removed)
        } else {
            match others.find(entry.api_version) {
                Some(other) => (other.root, &other.set, &other.removed),
                None => continue,
            }
        };
        if let Some(set) = reconcile(&entry.set, root.top()) {
            entry.set(set);
        }
        for gone in [set, removed] {
            if entry.set.meets(gone) {
                entry.take_away(gone);
            }
        }
        if !entry.set.is_empty() {
            left.push(entry);
        }
    }
    Ok((left, strip(own)))
}

/// The changes without what the strategy lets nobody own here.
pub(super) fn filtered<'a>(scope: &Scope<'_>, changes: Comparison<'a>) -> Comparison<'a> {
    Comparison {
        removed: scope.owns.filter(changes.removed),
        modified: scope.owns.filter(changes.modified),
        added: scope.owns.filter(changes.added),
    }
}

/// Removes what nobody owns.
pub(super) fn strip(mut set: FieldSet<'_>) -> FieldSet<'_> {
    set.subtract(&NEVER_OWNED, Below::Stays);
    set
}

/// What the write touched, seen from the other versions that entries were written in.
pub(super) struct Others<'a> {
    versions: Vec<Other<'a>>,
}

pub(super) struct Other<'a> {
    api_version: String,
    root: Root<'a>,
    /// Modified and added fields.
    pub set: FieldSet<'static>,
    pub removed: FieldSet<'static>,
}

impl<'a> Others<'a> {
    /// # Errors
    /// When the objects cannot be compared in one of the versions.
    pub(super) fn new(
        scope: &Scope<'a>,
        (live, new): (&Object, &Object),
        entries: &[Entry<'_>],
    ) -> Result<Self, String> {
        let mut versions: Vec<Other<'a>> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.api_version != scope.api_version) {
            if versions.iter().any(|other| other.api_version == entry.api_version) {
                continue;
            }
            let convert = |object| scope.versions.convert(object, entry.api_version);
            let Some(root) = scope.versions.root(entry.api_version) else { continue };
            let (Some(live), Some(new)) = (convert(live), convert(new)) else { continue };
            let changes = compare(live.root(), new.root(), root.top())?;
            let set = changes.modified.union(changes.added).into_owned();
            let removed = changes.removed.into_owned();
            versions.push(Other { api_version: entry.api_version.to_owned(), root, set, removed });
        }
        Ok(Self { versions })
    }

    /// The changes in a version; `None` when it is not served.
    pub(super) fn find(&self, api_version: &str) -> Option<&Other<'a>> {
        self.versions.iter().find(|other| other.api_version == api_version)
    }
}

/// Adds the set of the write to the writer's entry, moves its time, and merges the oldest entries.
fn record<'a>(
    scope: &Scope<'a>,
    mut entries: Vec<Entry<'a>>,
    own: FieldSet<'a>,
    (writer, now): (&Writer<'a>, &'a str),
) -> Vec<Entry<'a>> {
    if !own.is_empty() {
        let name = if writer.manager.is_empty() { "unknown" } else { writer.manager };
        let manager = Manager::new(name, Operation::Update, scope.subresource, scope.api_version);
        match entries.iter_mut().find(|entry| entry.manager == manager) {
            Some(entry) => {
                entry.add(own);
                entry.time = Some(now);
            }
            None => {
                entries.push(Entry { manager, api_version: scope.api_version, time: Some(now), set: own, source: None })
            }
        }
    }
    cap(entries)
}

/// Merges the oldest entries of updates, those of one version into one, until there are no more than
/// `UPDATE_MANAGERS_MAX`.
fn cap(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let is_update = |entry: &Entry<'_>| entry.manager.operation == Operation::Update;
    let mut updates = entries.iter().filter(|entry| is_update(entry)).count();
    if updates <= UPDATE_MANAGERS_MAX {
        return entries;
    }
    // Upstream breaks ties by the JSON of the identifier, whose fields are in this order.
    entries.sort_by_cached_key(|e| (e.seconds(), e.manager.name, e.api_version, e.manager.subresource));
    let mut kept: Vec<Entry<'_>> = Vec::with_capacity(entries.len());
    let mut firsts: Vec<(&str, usize)> = Vec::new();
    for entry in entries {
        if !is_update(&entry) || updates <= UPDATE_MANAGERS_MAX {
            kept.push(entry);
            continue;
        }
        match firsts.iter().find(|(version, _)| *version == entry.api_version) {
            Some((_, first)) => {
                let bucket = Manager::new(ANCIENT_CHANGES, Operation::Update, "", entry.api_version);
                let into = &mut kept[*first];
                into.manager = bucket;
                into.add(entry.set);
                into.time = entry.time;
                updates -= 1;
            }
            None => {
                firsts.push((entry.api_version, kept.len()));
                kept.push(entry);
            }
        }
    }
    kept
}

/// Whether two objects are equal but for the times of their entries: a write that changes nothing else is none, and
/// the stored object stays as it is.
pub fn same_but_times(a: &Object, b: &Object) -> bool {
    let rest = |object: &Object| -> usize { object.root().len() };
    let all = a.root().iter().zip(b.root()).all(|((k, a), (l, b))| {
        k == l && if k == "metadata" { same_metadata(a, b) } else { super::compare::same(a, b) }
    });
    rest(a) == rest(b) && all
}

fn same_metadata(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    a.len() == b.len()
        && a.iter().zip(b).all(|((k, a), (l, b))| {
            k == l && if k == "managedFields" { same_entries(a, b) } else { super::compare::same(a, b) }
        })
}

fn same_entries(a: &Value, b: &Value) -> bool {
    let (Value::Array(a), Value::Array(b)) = (a, b) else { return a == b };
    let but_time = |entry| {
        let fields = Value::as_object(entry).into_iter().flatten();
        fields.filter(|(name, _)| *name != "time")
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| but_time(a).eq(but_time(b)))
}
