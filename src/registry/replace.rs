//! Update and patch: the path of a write over an object that is there (apiserver `handlers/update.go`,
//! `handlers/patch.go`, `registry/generic/registry/store.go` Update and `registry/rest/update.go` BeforeUpdate).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::admit::Admission;
use super::conversion::Reading;
use super::ownership::{Owner, served_view};
use super::persist::Committed;
use super::{ATTEMPTS_MAX, Answer, Call, Input, PatchKind, Registry, Written, metadata, persist};
use crate::admission::Operation;
use crate::api::apply;
use crate::api::field::{ErrorKind, Errors, FieldError, Path};
use crate::api::request::{Options, WriteOptions};
use crate::api::schema::validate::{self, Level};
use crate::api::status::OBJECT_WAS_MODIFIED;
use crate::api::validation::metadata as metadata_rules;
use crate::api::{GroupKind, Object, Reason, Result, Revision, Status};
use crate::resources::{Kind, Moment, Part, excused, facts, go_print, is_given, keep_all_but};
use crate::storage::{Change, Expect, Key, Stored, Write};

/// Makes the new object, in the stored version and before anything of the server's own, from the present one.
pub(super) type Produce<'a> = dyn Fn(Option<&Object>) -> Result<Object> + Send + Sync + 'a;

/// One update, patch or apply.
pub(super) struct Replacement<'a> {
    pub call: &'a Call,
    pub options: &'a WriteOptions,
    pub produce: &'a Produce<'a>,
    /// An object that is not there is created.
    pub creates: bool,
    pub ownership: Ownership,
}

/// Who brings `managedFields` up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ownership {
    /// The write itself, by what it changes.
    ByChange,
    /// `produce` did (server-side apply).
    Settled,
}

enum Attempt {
    Done(Written),
    Raced,
}

impl Registry {
    /// Replaces an object or one part of it.
    ///
    /// # Errors
    /// Whatever the API says: 400 for bodies, 403 by admission, 404, 409, 422.
    pub async fn update(&self, call: &Call, input: Input, options: &WriteOptions) -> Result<Written> {
        if call.target.subresource == "scale" {
            return self.update_scale(call, input, options).await;
        }
        let mut object = self.decode(call, input, options.field_validation)?;
        metadata::settle_namespace(call, &mut object)?;
        metadata::check_name(&object, &call.target.name)?;
        metadata::dedup_owners(&mut object, &call.warnings, false);
        let creates = call.target.subresource.is_empty() && call.kind.behaviour.create_on_update();
        let produce = |old: Option<&Object>| {
            old.map_or(Ok(()), |old| check_uid(call, (&object, old), options.dry_run))?;
            Ok(object.clone())
        };
        self.replace(&Replacement { call, options, produce: &produce, creates, ownership: Ownership::ByChange }).await
    }

    /// Patches an object or one part of it; an apply creates what is not there.
    ///
    /// # Errors
    /// As `update`; 415 for a kind of patch that the type does not take, 422 for a patch that does not fit.
    pub async fn patch(&self, call: &Call, kind: PatchKind, patch: Bytes, options: &WriteOptions) -> Result<Written> {
        if call.target.subresource == "scale" {
            return self.patch_scale(call, (kind, &patch), options).await;
        }
        if kind == PatchKind::Apply {
            return self.apply(call, &patch, options).await;
        }
        let produce = |old: Option<&Object>| self.patched(call, old, (kind, &patch), options);
        self.replace(&Replacement { call, options, produce: &produce, creates: false, ownership: Ownership::ByChange })
            .await
    }

    fn patched(
        &self,
        call: &Call,
        old: Option<&Object>,
        patch: (PatchKind, &Bytes),
        options: &WriteOptions,
    ) -> Result<Object> {
        let old = old.ok_or_else(|| Status::not_found(&call.kind.group_resource(), &call.target.name))?;
        let mut live = served_view(&call.kind, old);
        let about_owners = patch.0 == PatchKind::Json || mentions(patch.1, b"managedFields");
        if about_owners {
            apply::spell_out(live.to_mut());
        }
        let mut patched = super::decode::patch(&call.kind, &live, patch.0, patch.1)?;
        if about_owners {
            apply::refuse_texts(&mut patched.input.value);
        }
        let mut object = self.decode_patched(call, patched, options.field_validation)?;
        metadata::settle_namespace(call, &mut object)?;
        metadata::check_name(&object, &call.target.name)?;
        Ok(object)
    }

    /// Runs a replacement until it is done or cannot be.
    pub(super) async fn replace(&self, r: &Replacement<'_>) -> Result<Written> {
        for _ in 0..ATTEMPTS_MAX {
            match self.replace_once(r).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Raced => {}
            }
        }
        Err(Status::conflict(&r.call.kind.group_resource(), &r.call.target.name, OBJECT_WAS_MODIFIED))
    }

    async fn replace_once(&self, r: &Replacement<'_>) -> Result<Attempt> {
        let call = r.call;
        let key = self.named_key(call)?;
        let stored = self.store.snapshot().get(&key).cloned();
        let Some(stored) = stored else {
            return self.create_instead(r).await.map(Attempt::Done);
        };
        let old =
            persist::tree_to_change(&call.kind, &*self.one_converted(&call.kind, &stored, Reading::Changing).await?)?;
        let mut new = (r.produce)(Some(&old))?;
        check_revision(call, &mut new, &stored)?;
        let moment = self.moment();
        let served = self.catalog.served();
        let owner = Owner { call, options: r.options, moment, served: &served };
        if r.ownership == Ownership::ByChange {
            owner.own(Some(&old), &mut new);
        }
        let (options, dry_run) = (Options::Update(r.options), r.options.dry_run);
        let admission = Admission { operation: Operation::Update, call, old: Some(&old), options, dry_run };
        let mut companions = self.admit(admission, Some(&mut new)).await?;
        metadata::dedup_owners(&mut new, &call.warnings, true);
        self.prepare(call, &mut new, &old)?;
        companions.extend(self.allocate(admission, Some(&mut new)).await?);
        self.complete(&call.kind, &mut new);
        self.check(call, &new, &old)?;
        // Writers of a part are told nothing of the whole.
        if part_of(call)?.is_none() {
            let warnings = call.kind.behaviour.warnings(&new, Some(&old)).into_iter();
            warnings.filter(|text| is_given(&call.kind.gates, text, false)).for_each(|text| call.warnings.add(text));
        }
        owner.keep_times_of_equal_sets(&old, &mut new);
        companions.extend(self.admit_finally(admission, Some(&mut new)).await?);
        persist::settle_empty(&call.kind, &mut new);
        self.finish(r, Finished { key, stored, old, new, companions }).await
    }

    async fn create_instead(&self, r: &Replacement<'_>) -> Result<Written> {
        let call = r.call;
        let resource = call.kind.group_resource();
        if !r.creates {
            return Err(Status::not_found(&resource, &call.target.name));
        }
        let mut object = (r.produce)(None)?;
        if !object.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object.uid()
            );
            return Err(Status::conflict(&resource, &call.target.name, &why));
        }
        self.authorize_create(call).await?;
        metadata::wipe_system_fields(&mut object);
        object.remove(&["metadata", "resourceVersion"]);
        self.create_decoded(call, object, r.options, r.ownership).await
    }

    /// What the server keeps, then the type's own rules for changes.
    fn prepare(&self, call: &Call, new: &mut Object, old: &Object) -> Result<()> {
        let kind = &call.kind;
        metadata::settle_namespace(call, new)?;
        metadata::keep_system_fields(new, old);
        let part = part_of(call)?;
        match &part {
            Some(part) => {
                (part.prepare)(new, old, &self.moment());
                self.drop_disabled(kind, new, Some(old));
            }
            None => {
                if metadata::has_status(kind) {
                    keep_status(new, old);
                }
                kind.behaviour.prepare_update(kind, new, old);
                kind.behaviour.stamp_change(new, old, &self.moment());
                self.drop_disabled(kind, new, Some(old));
                let differs = || {
                    metadata::spec_differs(new, old, metadata::has_status(kind))
                        || kind.behaviour.counts_as_change(new, old)
                };
                if kind.counts_generations() && differs() {
                    new.set(&["metadata", "generation"], old.generation() + 1);
                }
            }
        }
        Ok(())
    }

    fn check(&self, call: &Call, new: &Object, old: &Object) -> Result<()> {
        let kind = &call.kind;
        let mut errors = metadata_rules::validate_update(new, old);
        errors.extend(metadata::finalizer_errors(kind, new));
        match part_of(call)? {
            Some(_) => {
                errors.extend(self.admin_access_error(call, new, Some(old)));
                errors.extend(kind.behaviour.validate_part(kind, &call.target.subresource, (new, old)));
            }
            None => errors.extend(kind.behaviour.validate_update(kind, new, old)),
        }
        let errors = self.with_declared(call, errors, new, Some(old));
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&kind.stored_as.group_kind(), new.name(), &errors)) }
    }

    /// The refusal of access to devices as an administrator in a namespace that does not allow it.
    pub(super) fn admin_access_error(&self, call: &Call, new: &Object, old: Option<&Object>) -> Option<FieldError> {
        const LABEL: &str = "resource.kubernetes.io/admin-access";
        let field = call.kind.behaviour.admin_access(new, old)?;
        let allowed = self.namespace_label(&call.target.namespace, LABEL).is_some_and(|value| value == "true");
        let detail = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        (!allowed).then(|| FieldError::printed(ErrorKind::Forbidden, field, (Value::Null, detail)))
    }

    fn namespace_label(&self, namespace: &str, label: &str) -> Option<String> {
        let key = Key { collection: "namespaces".into(), namespace: "".into(), name: namespace.into() };
        self.store.snapshot().get(&key)?.facts.label(label).map(|value| value.to_string())
    }

    /// The rules that the type table declares, joined with those of the type's own.
    pub(super) fn with_declared(&self, call: &Call, by_hand: Errors, new: &Object, old: Option<&Object>) -> Errors {
        let kind = &*call.kind;
        if kind.is_custom() {
            return by_hand;
        }
        let level = if kind.behaviour.validated_by_hand() { Level::Enforced } else { Level::All };
        let enabled = |gate: &str| facts::gate(gate).is_some() && self.enabled(gate);
        let types = (&*kind.types, kind.stored_type_id);
        let options = validate::Options { level, enabled: &enabled };
        let declared = validate::validate(new.root(), old.map(Object::root), types, options);
        let mut errors = match UNDECLARED.contains(&&*kind.stored_as.group) {
            true => by_hand,
            false => validate::merge(by_hand, declared),
        };
        errors.retain(|error| !excused(&kind.gates, error));
        go_print::settle(&mut errors, types, &call.emptied.lock());
        errors
    }

    /// The answer with an object that is not stored.
    pub(super) fn spelled_out(&self, kind: &Kind, mut object: Object) -> Answer {
        apply::spell_out(&mut object);
        Answer::Object(self.to_served(kind, object))
    }

    async fn finish(&self, r: &Replacement<'_>, f: Finished) -> Result<Attempt> {
        let kind = &r.call.kind;
        let expect = Expect::At(f.stored.revision);
        if deletes(kind, &f.new, &f.old) {
            let answer = self.spelled_out(kind, f.new);
            if !r.options.dry_run {
                let write = Write { key: f.key, expect, change: Change::Delete };
                if matches!(self.commit(r.call, write, f.companions).await?, Committed::Raced) {
                    return Ok(Attempt::Raced);
                }
            }
            return Ok(Attempt::Done(Written { answer, created: false }));
        }
        if r.options.dry_run {
            let new = self.there_and_back(kind, f.new).await?;
            let answer = self.spelled_out(kind, new);
            return Ok(Attempt::Done(Written { answer, created: false }));
        }
        let shelved = self.shelved(kind, &f.new).await?;
        let write = persist::put(kind, f.key, expect, &shelved)?;
        if let Change::Put { body, .. } = &write.change
            && f.companions.is_empty()
            && persist::equal(body, &f.stored.body)
        {
            let stored = self.one_converted(kind, &f.stored, Reading::Changing).await?;
            return Ok(Attempt::Done(Written { answer: Answer::Stored(stored), created: false }));
        }
        match self.commit(r.call, write, f.companions).await? {
            Committed::Done(stored) => {
                let answer = Answer::Stored(self.one_converted(kind, &stored, Reading::Changing).await?);
                Ok(Attempt::Done(Written { answer, created: false }))
            }
            Committed::Raced => Ok(Attempt::Raced),
        }
    }
}

/// Whether a text may have a word in it.
fn mentions(text: &[u8], word: &[u8]) -> bool {
    // A letter of it may be escaped.
    text.contains(&b'\\') || text.windows(word.len()).any(|part| part == word)
}

/// Groups of servers that know no declared rules: what they find twice is told twice.
const UNDECLARED: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

struct Finished {
    key: Key,
    stored: Arc<Stored>,
    old: Object,
    new: Object,
    companions: Vec<Write>,
}

/// The part of the object that the call's subresource is, if there is one.
fn part_of(call: &Call) -> Result<Option<Part>> {
    match call.target.subresource.as_str() {
        "" | "scale" => Ok(None),
        "status" => Ok(Some(call.kind.behaviour.part("status").unwrap_or(PLAIN_STATUS))),
        name => call.kind.behaviour.part(name).map(Some).ok_or_else(Status::method_not_allowed),
    }
}

/// `status` of types that say nothing of their own: only `status` changes, and metadata apart from labels,
/// annotations and finalizers stays.
const PLAIN_STATUS: Part = Part { prepare: plain_status, validate: |_, _| Errors::new() };

fn plain_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_all_but(new, old, &|key| matches!(key, "metadata" | "status"));
}

fn keep_status(new: &mut Object, old: &Object) {
    match old.root().get("status") {
        // It is so already, as a rule, and a comparison costs less than a copy.
        Some(status) if new.root().get("status") == Some(status) => {}
        Some(status) => drop(new.root_mut().insert("status".to_owned(), status.clone())),
        None => drop(new.root_mut().remove("status")),
    }
}

/// An update that takes away the last finalizer of an object that is being deleted removes it.
fn deletes(kind: &Kind, new: &Object, old: &Object) -> bool {
    let grace_is_over = old.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0;
    old.deleting() && grace_is_over && new.finalizers().next().is_none() && !kind.behaviour.held(new)
}

/// The body's uid must be that of the object. What upstream says names the place in its store, which a dry run knows
/// without the prefix of all of them.
pub(super) fn check_uid(call: &Call, (new, old): (&Object, &Object), dry_run: bool) -> Result<()> {
    if new.uid().is_empty() || new.uid() == old.uid() {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID \
         in precondition: {}, UID in object meta: {}",
        storage_key(call, dry_run),
        new.uid(),
        old.uid()
    );
    Err(Status::conflict(&call.kind.group_resource(), &call.target.name, &why))
}

/// The place of an object in upstream's store.
pub(super) fn storage_key(call: &Call, dry_run: bool) -> String {
    let kind = &call.kind;
    let namespace = if kind.namespaced { format!("{}/", call.target.namespace) } else { String::new() };
    let folder = match (&*kind.gvk.group, &*kind.resource) {
        ("", "services") => "services/specs",
        ("", "endpoints") => "services/endpoints",
        ("", "nodes") => "minions",
        ("", "replicationcontrollers") => "controllers",
        ("networking.k8s.io", "ingresses") => "ingress",
        (_, resource) => resource,
    };
    let root = if dry_run { "" } else { "/registry" };
    format!("{root}/{folder}/{namespace}{}", call.target.name)
}

/// The body's resourceVersion must be the stored one; an absent one stands for it where the type allows that.
fn check_revision(call: &Call, new: &mut Object, stored: &Stored) -> Result<()> {
    let kind = &call.kind;
    let resource = kind.group_resource();
    let given = new.resource_version();
    if given.is_empty() || given == "0" {
        // A scale without a version says nothing of the object's.
        if kind.behaviour.unconditional_update() || call.target.subresource == "scale" && given.is_empty() {
            new.set(&["metadata", "resourceVersion"], stored.revision.to_string());
            return Ok(());
        }
        let metadata = Path::new("metadata");
        let path = metadata.child("resourceVersion");
        let error = FieldError::invalid(&path, Value::from(0), "must be specified for an update");
        let named = GroupKind { group: resource.group.clone(), kind: resource.resource.clone() };
        return Err(Status::invalid(&named, &call.target.name, &[error]));
    }
    match Revision::parse(given) {
        Some(revision) if revision == stored.revision => Ok(()),
        Some(_) => Err(Status::conflict(&resource, &call.target.name, OBJECT_WAS_MODIFIED)),
        None => {
            let quoted = crate::api::field::go_quote(given);
            let message = format!("strconv.ParseUint: parsing {quoted}: invalid syntax");
            Err(Status::new(500, Reason::Unknown, message))
        }
    }
}
