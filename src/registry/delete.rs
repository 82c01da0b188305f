//! Delete: graceful deletion, finalizers, propagation (apiserver `registry/generic/registry/store.go` Delete,
//! `registry/rest/delete.go` BeforeDelete).

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::admit::Admission;
use super::conversion::Reading;
use super::persist::Committed;
use super::replace::storage_key;
use super::{ATTEMPTS_MAX, Answer, Call, Listing, Registry, Written, metadata, persist};
use crate::admission::Operation;
use crate::api::request::{DeleteOptions, ListOptions, Options, Propagation, Target};
use crate::api::status::OBJECT_WAS_MODIFIED;
use crate::api::{GroupResource, Object, Reason, Result, Status};
use crate::resources::Kind;
use crate::storage::{Change, Expect, Key, Stored, Write};

/// How many objects of a collection are deleted at the same time.
const COLLECTION_WORKERS: usize = 32;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is to be done with the object.
enum Plan {
    /// A deletion is already under way and this request changes nothing.
    Pending,
    /// The object stays for now, changed.
    Mark(Object),
    /// It goes; where its grace period was ended by this, it is answered as it was marked.
    Remove(Option<Object>),
}

enum Attempt {
    Done(Written),
    Raced,
}

impl Registry {
    /// Deletes one object, at once or in steps.
    ///
    /// # Errors
    /// 403 by admission, 404, 409 for preconditions.
    pub async fn delete(&self, call: &Call, options: &DeleteOptions) -> Result<Written> {
        for _ in 0..ATTEMPTS_MAX {
            match self.delete_once(call, options).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Raced => {}
            }
        }
        Err(Status::conflict(&call.kind.group_resource(), &call.target.name, OBJECT_WAS_MODIFIED))
    }

    async fn delete_once(&self, call: &Call, options: &DeleteOptions) -> Result<Attempt> {
        let stored = self.find(call)?;
        let old = persist::tree(&call.kind, &*self.one_converted(&call.kind, &stored, Reading::One).await?)?;
        check_preconditions(&call.kind, &old, options)?;
        if options.unread {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: unsafe deletion is \
                 not allowed because the object is decodable from storage",
                storage_key(call, false)
            );
            return Err(Status::conflict(&call.kind.group_resource(), &call.target.name, &why));
        }
        let unsaid = options.propagation.is_none() && options.orphan_dependents.is_none();
        if let Some(warning) = call.kind.behaviour.delete_warning().filter(|_| unsaid) {
            call.warnings.add(warning);
        }
        let dry_run = options.dry_run;
        let asked = if call.one_of_many { Options::DeleteMany(options) } else { Options::Delete(options) };
        let admission = Admission { operation: Operation::Delete, call, old: Some(&old), options: asked, dry_run };
        let mut companions = self.admit(admission, None).await?;
        let mut pinned = options.clone();
        if call.kind.behaviour.deleted_by_uid() {
            pinned.preconditions.uid.get_or_insert_with(|| old.uid().to_owned());
        }
        let asked = if call.one_of_many { Options::DeleteMany(&pinned) } else { Options::Delete(&pinned) };
        companions.extend(self.admit_finally(Admission { options: asked, ..admission }, None).await?);
        let key = self.named_key(call)?;
        let expect = Expect::At(stored.revision);
        match plan(&call.kind, &old, options, self.clock.now()) {
            Plan::Pending => Ok(Attempt::Done(self.deleted(call, &old, false))),
            Plan::Mark(new) if options.dry_run => {
                let answer = Answer::Object(self.to_served(&call.kind, new));
                Ok(Attempt::Done(Written { answer, created: false }))
            }
            Plan::Mark(new) => {
                let shelved = self.shelved(&call.kind, &new).await?;
                let write = persist::put(&call.kind, key, expect, &shelved)?;
                self.marked(call, write, &stored).await
            }
            Plan::Remove(marked) if options.dry_run => {
                Ok(Attempt::Done(self.deleted(call, marked.as_ref().unwrap_or(&old), true)))
            }
            Plan::Remove(marked) => {
                companions.extend(self.allocate(admission, None).await?);
                let write = Write { key, expect, change: Change::Delete };
                Ok(match self.commit(call, write, companions).await? {
                    Committed::Done(last) => {
                        let last = self.one_converted(&call.kind, &last, Reading::One).await?;
                        let mut gone = persist::tree(&call.kind, &last)?;
                        if let Some(mut marked) = marked {
                            marked.set(&["metadata", "resourceVersion"], gone.resource_version());
                            gone = marked;
                        }
                        Attempt::Done(self.deleted(call, &gone, true))
                    }
                    Committed::Raced => Attempt::Raced,
                })
            }
        }
    }

    async fn marked(&self, call: &Call, write: Write, before: &Arc<Stored>) -> Result<Attempt> {
        if let Change::Put { body, .. } = &write.change
            && persist::equal(body, &before.body)
        {
            let before = self.one_converted(&call.kind, before, Reading::One).await?;
            return Ok(Attempt::Done(Written { answer: Answer::Stored(before), created: false }));
        }
        match self.commit(call, write, Vec::new()).await? {
            Committed::Done(stored) => {
                let answer = Answer::Stored(self.one_converted(&call.kind, &stored, Reading::One).await?);
                Ok(Attempt::Done(Written { answer, created: false }))
            }
            Committed::Raced => Ok(Attempt::Raced),
        }
    }

    /// The answer to a delete that changed nothing more: the object, or a `Status` that tells of it.
    fn deleted(&self, call: &Call, object: &Object, removed: bool) -> Written {
        let answer = if call.kind.behaviour.returns_deleted(&call.kind.gvk.version) || !removed {
            self.to_served(&call.kind, object.clone())
        } else {
            success(&call.kind.group_resource(), object)
        };
        Written { answer: Answer::Object(answer), created: false }
    }

    /// Deletes all objects that match, a bounded number at a time, and gives them as they were.
    ///
    /// # Errors
    /// As `list`; the first failure of a delete other than 404.
    pub async fn delete_collection(&self, call: &Call, list: &ListOptions, options: &DeleteOptions) -> Result<Listing> {
        let listing = self.list(call, list).await?;
        let deletes = listing.items.clone().into_iter().map(|item| {
            let one = call.for_object(&item.key);
            async move {
                let deleted = self.delete(&one, options).await;
                one.warnings.take().into_iter().for_each(|warning| call.warnings.add(warning));
                match deleted {
                    Err(status) if status.reason() != Reason::NotFound => Err(status),
                    _ => Ok(()),
                }
            }
        });
        stream::iter(deletes).buffer_unordered(COLLECTION_WORKERS).try_collect::<()>().await?;
        Ok(listing)
    }
}

impl Call {
    /// The same caller on one object of the collection.
    fn for_object(&self, key: &Key) -> Self {
        let target = Target { namespace: key.namespace.to_string(), name: key.name.to_string(), ..self.target.clone() };
        Self { one_of_many: true, ..Self::new(self.user.clone(), target, self.kind.clone()) }
    }
}

pub(super) fn check_preconditions(kind: &Kind, object: &Object, options: &DeleteOptions) -> Result<()> {
    let named = GroupResource { group: kind.gvk.group.clone(), resource: kind.gvk.kind.clone() };
    if let Some(uid) = &options.preconditions.uid
        && uid != object.uid()
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            object.uid()
        );
        return Err(Status::conflict(&named, object.name(), &why));
    }
    if let Some(revision) = &options.preconditions.resource_version
        && revision != object.resource_version()
    {
        let why = format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            object.resource_version()
        );
        return Err(Status::conflict(&named, object.name(), &why));
    }
    Ok(())
}

/// Pure: what a delete at a moment does to an object.
fn plan(kind: &Kind, old: &Object, options: &DeleteOptions, now: Timestamp) -> Plan {
    let asked = options.grace_period_seconds.map(|s| if s < 0 { 1 } else { s });
    let mut new = old.clone();
    add_finalizer(kind, &mut new);
    let graceful = match begin_grace(kind, &mut new, options, (asked, now)) {
        Grace::Pending => return Plan::Pending,
        Grace::Begun(seconds) => Some(seconds),
        Grace::None => None,
    };
    settle_finalizers(kind, &mut new, options);
    let held = new.finalizers().next().is_some() || kind.behaviour.held(&new);
    match graceful {
        Some(seconds) if held || seconds > 0 => Plan::Mark(new),
        None if held => {
            mark_deleting(kind, &mut new, now);
            Plan::Mark(new)
        }
        Some(_) => Plan::Remove(Some(new)),
        None => Plan::Remove(None),
    }
}

/// Some types may not go before what hangs on them is gone.
fn add_finalizer(kind: &Kind, new: &mut Object) {
    let Some(finalizer) = kind.behaviour.deletion_finalizer().filter(|_| !new.deleting()) else { return };
    if new.finalizers().all(|known| known != finalizer) {
        let all: Vec<String> = new.finalizers().chain([finalizer]).map(str::to_owned).collect();
        new.set(&["metadata", "finalizers"], all);
    }
}

enum Grace {
    /// A grace period runs and is not shortened.
    Pending,
    Begun(i64),
    /// The type has none, or it is over.
    None,
}

fn begin_grace(kind: &Kind, new: &mut Object, options: &DeleteOptions, at: (Option<i64>, Timestamp)) -> Grace {
    let (asked, now) = at;
    let given = DeleteOptions { grace_period_seconds: asked, ..options.clone() };
    let Some(period) = kind.behaviour.grace_period(new, &given) else { return Grace::None };
    let grace_path = ["metadata", "deletionGracePeriodSeconds"];
    let stamp_path = ["metadata", "deletionTimestamp"];
    if !new.deleting() {
        let stamp = now.saturating_add(SignedDuration::from_secs(period)).unwrap_or(now);
        new.set(&stamp_path, metadata::seconds(stamp));
        new.set(&grace_path, period);
        if new.generation() > 0 {
            new.set(&["metadata", "generation"], new.generation() + 1);
        }
        return Grace::Begun(period);
    }
    let Some(running) = new.int_at(&grace_path).filter(|s| *s != 0) else { return Grace::None };
    let Some(asked) = asked.filter(|asked| *asked < running) else { return Grace::Pending };
    let begun: Timestamp = new.text_at(&stamp_path).parse().unwrap_or(now);
    let shorter = begun.saturating_add(SignedDuration::from_secs(asked - running)).unwrap_or(now);
    // A grace period cannot end in the past; what is left of it is at least a second, unless none was asked for.
    let (stamp, period) = if shorter < now { (now, asked.min(1)) } else { (shorter, asked) };
    new.set(&stamp_path, metadata::seconds(stamp));
    new.set(&grace_path, period);
    Grace::Begun(period)
}

/// Adds and removes the garbage collector's finalizers as the propagation policy asks.
fn settle_finalizers(kind: &Kind, new: &mut Object, options: &DeleteOptions) {
    let policy = match (options.orphan_dependents, options.propagation) {
        (Some(true), _) => Propagation::Orphan,
        (Some(false), _) => Propagation::Background,
        (None, Some(policy)) => policy,
        (None, None) if new.finalizers().any(|f| f == ORPHAN) => Propagation::Orphan,
        (None, None) if new.finalizers().any(|f| f == FOREGROUND) => Propagation::Foreground,
        (None, None) => kind.behaviour.default_propagation(),
    };
    let wished = match policy {
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Background => None,
    };
    let before: Vec<String> = new.finalizers().map(str::to_owned).collect();
    let kept = before.iter().map(String::as_str).filter(|f| *f != ORPHAN && *f != FOREGROUND);
    let after: Vec<String> = kept.chain(wished).map(str::to_owned).collect();
    let same = before.len() == after.len() && after.iter().all(|f| before.contains(f));
    if same {
        return;
    }
    if after.is_empty() {
        new.remove(&["metadata", "finalizers"]);
    } else {
        new.set(&["metadata", "finalizers"], after);
    }
}

fn mark_deleting(kind: &Kind, new: &mut Object, now: Timestamp) {
    if !new.deleting() {
        // Upstream's own way of deleting definitions stamps the time and nothing else.
        let plain = kind.behaviour.deletion_finalizer().is_some();
        if new.generation() > 0 && !plain {
            new.set(&["metadata", "generation"], new.generation() + 1);
        }
        new.set(&["metadata", "deletionTimestamp"], metadata::seconds(now));
        if !kind.behaviour.held(new) && !plain {
            new.set(&["metadata", "deletionGracePeriodSeconds"], 0);
        }
    }
    kind.behaviour.mark_deleting(new);
}

/// `Status` of a delete that happened, telling what it was.
fn success(resource: &GroupResource, object: &Object) -> Object {
    let mut details = json!({ "name": object.name(), "kind": &*resource.resource, "uid": object.uid() });
    if !resource.group.is_empty() {
        details["group"] = Value::from(&*resource.group);
    }
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
    Object::from_value(status).expect("it is an object by construction")
}
