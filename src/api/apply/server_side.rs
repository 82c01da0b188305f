//! Server-side apply: merges what a manager wishes into an object, takes away what it wished before and no more, and
//! tells conflicts with other managers.

use serde_json::Value;

use super::compare::{compare, same_entries};
use super::conflict::{self, Conflict};
use super::extract::fields_of;
use super::last_applied;
use super::managed::{self, Entry, Manager, Operation};
use super::merge::merge_objects;
use super::prune::prune;
use super::reconcile::reconcile;
use super::scope::{Conflicts, Scope, Writer};
use super::set::FieldSet;
use super::update::{self, Others};
use super::validate::{Duplicates, validate};
use crate::api::names::GroupVersionKind;
use crate::api::object::Object;
use crate::api::status::{self, Reason, Status};

/// The manager of what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager that also keeps the annotation of client-side apply.
const KUBECTL: &str = "kubectl";

/// Why an apply did not go through.
pub(super) enum Refusal {
    Conflicts(Vec<Conflict>),
    Status(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Applies a configuration: merges it into the stored object (`None`: creates), takes away what the manager applied
/// before and applies no more, and records ownership. The result is not defaulted yet; where upstream's Go types would
/// drop nulls, it may have some.
///
/// # Errors
/// 409 with a cause for each field that another manager owns, unless forced; 400 and 500 with upstream's words for a
/// configuration that is not one.
pub fn apply(
    scope: &Scope<'_>,
    live: Option<&Object>,
    config: &Object,
    (writer, conflicts): (&Writer<'_>, Conflicts),
) -> status::Result<Object> {
    let gvk = config.gvk();
    if gvk != GroupVersionKind::parse(scope.api_version, scope.kind) {
        // As Go prints what it cannot read.
        let given = if gvk.version.contains('/') { "/, Kind=".to_owned() } else { gvk.to_string() };
        return Err(Status::bad_request(format!("invalid object type: {given}")));
    }
    let unborn;
    let live = match live {
        Some(live) => live,
        None => {
            unborn = scope.root.unborn();
            &unborn
        }
    };
    let attempt = Attempt { scope, live, config, writer };
    let result = match attempt.run(conflicts) {
        Err(Refusal::Conflicts(found)) if writer.manager == KUBECTL => {
            match last_applied::not_allowed(scope, live, found) {
                left if left.is_empty() => attempt.run(Conflicts::Force),
                left => Err(Refusal::Conflicts(left)),
            }
        }
        other => other,
    };
    let mut object = result.map_err(|refusal| match refusal {
        Refusal::Conflicts(found) => conflict::status(&found),
        Refusal::Status(status) => status,
    })?;
    if writer.manager == KUBECTL {
        last_applied::refresh(&mut object, config);
    }
    Ok(object)
}

/// One try; a second one is forced when the conflicts are with client-side apply only.
struct Attempt<'a> {
    scope: &'a Scope<'a>,
    live: &'a Object,
    config: &'a Object,
    writer: &'a Writer<'a>,
}

impl Attempt<'_> {
    fn run(&self, conflicts: Conflicts) -> Result<Object, Refusal> {
        let Self { scope, live, config, writer } = *self;
        let of = scope.root.top();
        let now = writer.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let unborn = scope.root.unborn();
        let entries = self.entries(&unborn, &now)?;
        if config.get(&["metadata", "managedFields"]).is_some_and(managed::is_readable) {
            return Err(Status::bad_request("metadata.managedFields must be nil").into());
        }
        self.check(config, "failed to create typed patch object", Duplicates::Refuse)?;
        self.check(live, "failed to create typed live object", Duplicates::Allow)?;

        let manager = self.manager(Operation::Apply);
        let mut entries = reconciled(scope, entries);
        let last = entries.iter().position(|entry| entry.manager == manager).map(|at| entries.remove(at));
        let set = scope.owns.filter(fields_of(config.root(), of));
        let own = Entry {
            manager,
            api_version: scope.api_version,
            time: last.as_ref().and_then(|last| last.time),
            set,
            source: None,
        };
        let merged = merge_objects(live.root(), config.root(), of);
        let merged = Object::from_value(Value::Object(merged)).unwrap_or_default();
        let mut next = match last.as_ref().filter(|last| !last.set.is_empty()) {
            Some(last) => prune(scope, merged, last, (&entries, &own)),
            None => merged,
        };
        let entries = take_over(scope, (live, &next), entries, conflicts)?;
        let unchanged = same_entries(live.root(), next.root());
        let mut own = own;
        own.set = update::strip(own.set);
        if !unchanged {
            own.time = Some(&now);
        }
        let mut entries = entries;
        if !own.set.is_empty() {
            entries.push(own);
        }
        let stored = update::stored(live);
        let list = managed::assemble(managed::encode(entries, scope.root.owners_form()), |at| {
            stored.and_then(|list| list.get(at)).cloned().unwrap_or_default()
        });
        match list {
            Some(list) => next.set(&["metadata", "managedFields"], list),
            None => drop(next.remove(&["metadata", "managedFields"])),
        }
        Ok(next)
    }

    fn manager(&self, operation: Operation) -> Manager<'_> {
        let name = if self.writer.manager.is_empty() { "unknown" } else { self.writer.manager };
        Manager::new(name, operation, self.scope.subresource, self.scope.api_version)
    }

    /// The entries of the stored object. An object without any gets one for what it holds.
    fn entries<'b>(&'b self, unborn: &'b Object, now: &'b str) -> status::Result<Vec<Entry<'b>>> {
        let plain = |words: String| Status::new(500, Reason::Unknown, words);
        let entries = managed::decode(update::stored(self.live))
            .map_err(|error| plain(format!("failed to decode managed fields: {error}")))?;
        if !entries.is_empty() {
            return Ok(entries);
        }
        let changes = compare(unborn.root(), self.live.root(), self.scope.root.top())
            .map_err(|error| plain(format!("failed to create manager for existing fields: {error}")))?;
        let changes = update::filtered(self.scope, changes);
        let set = update::strip(changes.modified.union(changes.added));
        if set.is_empty() {
            return Ok(Vec::new());
        }
        let manager =
            Manager::new(BEFORE_FIRST_APPLY, Operation::Update, self.scope.subresource, self.scope.api_version);
        Ok(vec![Entry { manager, api_version: self.scope.api_version, time: Some(now), set, source: None }])
    }

    fn check(&self, object: &Object, what: &str, duplicates: Duplicates) -> status::Result<()> {
        validate(object.root(), self.scope.root.top(), duplicates).map_err(|errors| {
            let (namespace, name, gvk) = (object.namespace(), object.name(), self.config.gvk());
            Status::new(500, Reason::Unknown, format!("{what} ({namespace}/{name}; {gvk}): {errors}"))
        })
    }
}

/// The entries in line with the present schema, without those of versions that are not served any more.
fn reconciled<'a>(scope: &Scope<'_>, entries: Vec<Entry<'a>>) -> Vec<Entry<'a>> {
    let root =
        |version: &str| if version == scope.api_version { Some(scope.root) } else { scope.versions.root(version) };
    let mut out = Vec::with_capacity(entries.len() + 1);
    for mut entry in entries {
        let Some(root) = root(entry.api_version) else { continue };
        if let Some(set) = reconcile(&entry.set, root.top()) {
            entry.set(set);
        }
        out.push(entry);
    }
    out
}

/// Takes the changed fields from other managers, or tells the conflicts; the removed ones in any case.
fn take_over<'a>(
    scope: &Scope<'_>,
    (live, next): (&Object, &Object),
    entries: Vec<Entry<'a>>,
    conflicts: Conflicts,
) -> Result<Vec<Entry<'a>>, Refusal> {
    let failed = |error: String| {
        Refusal::Status(Status::new(500, Reason::Unknown, format!("failed to compare objects: {error}")))
    };
    let changes = compare(live.root(), next.root(), scope.root.top()).map_err(failed)?;
    let changes = update::filtered(scope, changes);
    let others = Others::new(scope, (live, next), &entries).map_err(failed)?;
    let (set, removed) = (changes.modified.union(changes.added), changes.removed);
    let mut found = Vec::new();
    let mut left = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let (set, removed): (&FieldSet<'_>, &FieldSet<'_>) = if entry.api_version == scope.api_version {
            (&set, &removed)
        } else {
            match others.find(entry.api_version) {
                Some(other) => (&other.set, &other.removed),
                None => continue,
            }
        };
        if entry.set.meets(set) {
            let conflict = entry.set.intersection(set);
            found.extend(conflict.paths().into_iter().map(|path| Conflict::new(&entry, &path)));
            entry.take_away(set);
        }
        if entry.set.meets(removed) {
            entry.take_away(removed);
        }
        if !entry.set.is_empty() {
            left.push(entry);
        }
    }
    if conflicts == Conflicts::Refuse && !found.is_empty() {
        found.sort_by(|a, b| a.manager.cmp(&b.manager));
        return Err(Refusal::Conflicts(found));
    }
    Ok(left)
}
