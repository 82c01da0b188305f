//! The `scale` subresource: one view for everything that has a number of replicas (autoscaling/v1 Scale).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::replace::{Ownership, Replacement, check_uid};
use super::{Answer, Call, Input, PatchKind, Registry, Written, decode, persist};
use crate::api::apply::{self, Conflicts, OneVersion, Owns, ReplicasPaths, Root, Scope, Writer};
use crate::api::emptied::Emptied;
use crate::api::field::{FieldError, Path};
use crate::api::request::{FieldValidation, WriteOptions};
use crate::api::schema::Str;
use crate::api::{GroupKind, GroupVersionKind, Object, Result, Status};
use crate::resources::{Kind, Scale, Served};
use crate::storage::Stored;

const SCALE: GroupVersionKind = GroupVersionKind::of("autoscaling", "v1", "Scale");

const MANAGED_FIELDS: [&str; 2] = ["metadata", "managedFields"];

/// What the scale of a custom resource without replicas has until a write says how many.
const REPLICAS_UNSET: i64 = i32::MIN as i64;

impl Registry {
    fn paths(&self, call: &Call) -> Result<Scale> {
        call.kind.behaviour.scale(&call.kind).ok_or_else(Status::no_such_path)
    }

    /// The scale of a stored object.
    pub(super) fn scale_of(&self, call: &Call, stored: &Stored) -> Result<Object> {
        let object = persist::tree(&call.kind, stored)?;
        let paths = self.paths(call)?;
        if call.kind.is_custom() && at(&object, &paths.spec_replicas).is_none() {
            let path = crate::api::field::go_quote(&format!(".{}", paths.spec_replicas.join(".")));
            return Err(Status::internal(format!("the spec replicas field {path} does not exist")));
        }
        self.project(call, &object)
    }

    fn project(&self, call: &Call, object: &Object) -> Result<Object> {
        call.kind.scale_of(object).ok_or_else(Status::no_such_path)
    }

    /// A scale as it was sent.
    fn decode_scale(&self, call: &Call, input: Input, validation: FieldValidation) -> Result<Object> {
        let scale = self.decode_as(call, &SCALE, input, validation)?;
        super::metadata::check_name(&scale, &call.target.name)?;
        Ok(scale)
    }

    /// Replaces the scale of an object.
    ///
    /// # Errors
    /// As `Registry::update`.
    pub(super) async fn update_scale(&self, call: &Call, input: Input, options: &WriteOptions) -> Result<Written> {
        let scale = self.decode_scale(call, input, options.field_validation)?;
        self.write_scale(call, options, &ScaleWrite::Update(scale)).await
    }

    /// Patches the scale of an object, or applies one to it.
    ///
    /// # Errors
    /// As `Registry::patch`.
    pub(super) async fn patch_scale(
        &self,
        call: &Call,
        (kind, patch): (PatchKind, &Bytes),
        options: &WriteOptions,
    ) -> Result<Written> {
        if kind != PatchKind::Apply {
            return self.write_scale(call, options, &ScaleWrite::Patch(kind, patch)).await;
        }
        let config = self.decode_apply(call, patch, options)?;
        self.write_scale(call, options, &ScaleWrite::Apply(config)).await
    }

    /// Writes through `scale` and answers with a scale. Who writes the scale owns the replicas of the object.
    async fn write_scale(&self, call: &Call, options: &WriteOptions, write: &ScaleWrite<'_>) -> Result<Written> {
        let served = self.catalog.served();
        let (moment, types) = (self.moment(), self.facts.types.clone());
        let root = Root::built_in(&types, self.payload(&SCALE)?);
        let api_version = SCALE.api_version();
        let scope = Scope {
            root,
            api_version: &api_version,
            kind: &SCALE.kind,
            subresource: "scale",
            owns: Owns::All,
            versions: &OneVersion,
        };
        let writer = Writer { manager: &options.field_manager, now: moment.now };
        let produce = |old: Option<&Object>| {
            let old = old.ok_or_else(|| Status::not_found(&call.kind.group_resource(), &call.target.name))?;
            let owners = Owners::of(call, &served);
            let live = self.live_scale(call, old, &owners)?;
            let mut scale = self.written_scale(call, &live, (write, options), (&scope, &writer))?;
            if !matches!(write, ScaleWrite::Apply(_)) {
                apply::update(&scope, Some(&live), &mut scale, &writer);
            }
            if apply::same_but_times(&live, &scale)
                && let Some(entries) = live.get(&MANAGED_FIELDS).cloned()
            {
                scale.set(&MANAGED_FIELDS, entries);
            }
            let mut new = self.with_scale(call, old, &scale)?;
            if matches!(write, ScaleWrite::Update(_)) {
                check_uid(call, (&new, old), options.dry_run)?;
            } else {
                check_same(call, &new, old)?;
            }
            let parent = old.get(&MANAGED_FIELDS);
            let version = call.kind.gvk.api_version();
            let entries = owners.with(|paths| apply::from_scale(parent, scale.get(&MANAGED_FIELDS), (&version, paths)));
            match entries.map_err(Status::internal)? {
                Some(entries) => new.set(&MANAGED_FIELDS, entries),
                None => drop(new.remove(&MANAGED_FIELDS)),
            }
            Ok(new)
        };
        let replacement =
            Replacement { call, options, produce: &produce, creates: false, ownership: Ownership::Settled };
        let written = self.replace(&replacement).await?;
        let object = match &written.answer {
            Answer::Stored(stored) => persist::tree(&call.kind, stored)?,
            Answer::Object(object) => object.clone(),
        };
        Ok(Written { answer: Answer::Object(self.project(call, &object)?), created: false })
    }

    /// The scale that a write starts from: with the owners of the object's replicas as its owners.
    fn live_scale(&self, call: &Call, old: &Object, owners: &Owners) -> Result<Object> {
        let mut live = self.project(call, old)?;
        if call.kind.is_custom() && at(old, &self.paths(call)?.spec_replicas).is_none() {
            live.set(&["spec", "replicas"], REPLICAS_UNSET);
        }
        let entries = owners.with(|paths| apply::to_scale(old.get(&MANAGED_FIELDS), paths));
        if let Some(entries) = entries.map_err(Status::internal)? {
            live.set(&MANAGED_FIELDS, entries);
        }
        Ok(live)
    }

    /// The scale as a write makes it of the present one.
    fn written_scale(
        &self,
        call: &Call,
        live: &Object,
        (write, options): (&ScaleWrite<'_>, &WriteOptions),
        (scope, writer): (&Scope<'_>, &Writer<'_>),
    ) -> Result<Object> {
        match write {
            ScaleWrite::Update(scale) => Ok(scale.clone()),
            ScaleWrite::Patch(kind, patch) => {
                let type_id = self.payload(&SCALE)?;
                let patched = decode::patch_tree(&self.facts.types, type_id, live, (*kind, patch))?;
                let scale = self.decode_patched_as(call, &SCALE, patched, options.field_validation)?;
                super::metadata::check_name(&scale, &call.target.name)?;
                Ok(scale)
            }
            ScaleWrite::Apply(config) => {
                if !config.name().is_empty() {
                    super::metadata::check_name(config, &call.target.name)?;
                }
                let conflicts = if options.force { Conflicts::Force } else { Conflicts::Refuse };
                let mut merged = apply::apply(scope, Some(live), config, (writer, conflicts))?;
                // Who owns what is settled, in a form that no client may send.
                let owners = merged.remove(&MANAGED_FIELDS);
                let input = Input { value: merged.into_value(), ..Input::default() };
                let mut scale = self.decode_scale(call, input, FieldValidation::Ignore)?;
                if let Some(owners) = owners {
                    scale.set(&MANAGED_FIELDS, owners);
                }
                Ok(scale)
            }
        }
    }

    /// The object with the replicas of a scale.
    fn with_scale(&self, call: &Call, old: &Object, scale: &Object) -> Result<Object> {
        let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
        let paths = self.paths(call)?;
        if call.kind.is_custom() && replicas == REPLICAS_UNSET {
            let path = crate::api::field::go_quote(&format!(".{}", paths.spec_replicas.join(".")));
            return Err(Status::bad_request(format!("the spec replicas field {path} cannot be empty")));
        }
        // A custom resource is refused by its own rules.
        if replicas < 0 && !call.kind.is_custom() {
            let spec = Path::new("spec");
            let error = FieldError::invalid(&spec.child("replicas"), replicas, "must be greater than or equal to 0");
            let kind = GroupKind { group: "autoscaling".into(), kind: "Scale".into() };
            return Err(Status::invalid(&kind, &call.target.name, &[error]));
        }
        // What was empty in the scale is not so in the object.
        *call.emptied.lock() = Emptied::default();
        let mut new = old.clone();
        let path: Vec<&str> = paths.spec_replicas.iter().map(AsRef::as_ref).collect();
        new.set(&path, replicas);
        new.set(&["metadata", "resourceVersion"], scale.resource_version());
        if !scale.uid().is_empty() {
            new.set(&["metadata", "uid"], scale.uid());
        }
        Ok(new)
    }
}

/// One write of a scale.
enum ScaleWrite<'a> {
    Update(Object),
    Patch(PatchKind, &'a Bytes),
    Apply(Object),
}

/// Where each served version of a kind keeps its replicas; no steps: the version has no scale.
struct Owners(Vec<(String, Vec<Str>)>);

impl Owners {
    fn of(call: &Call, served: &Served) -> Self {
        let same = |kind: &&Arc<Kind>| kind.gvk.kind == call.kind.gvk.kind;
        let path = |kind: &Arc<Kind>| {
            let steps = kind.behaviour.scale(kind).map(|scale| scale.spec_replicas);
            (kind.gvk.api_version(), steps.unwrap_or_default())
        };
        Self(served.of_group(&call.kind.gvk.group).filter(same).map(path).collect())
    }

    fn with<T>(&self, run: impl FnOnce(ReplicasPaths<'_>) -> T) -> T {
        let steps: Vec<Vec<&str>> = self.0.iter().map(|(_, path)| path.iter().map(AsRef::as_ref).collect()).collect();
        let paths: Vec<(&str, &[&str])> =
            self.0.iter().zip(&steps).map(|((version, _), steps)| (version.as_str(), steps.as_slice())).collect();
        run(ReplicasPaths(&paths))
    }
}

/// A patch must not make another object's scale of it.
fn check_same(call: &Call, new: &Object, old: &Object) -> Result<()> {
    if call.kind.is_custom() || new.uid().is_empty() || new.uid() == old.uid() {
        return Ok(());
    }
    let mut resource = call.kind.group_resource();
    resource.resource = format!("{}/scale", resource.resource).into();
    let why = format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", new.uid(), old.uid());
    Err(Status::conflict(&resource, &call.target.name, &why))
}

fn at<'a>(object: &'a Object, path: &[Str]) -> Option<&'a Value> {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    object.get(&path)
}
