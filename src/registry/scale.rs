//! The `scale` subresource: one view for everything that has a number of replicas (autoscaling/v1 Scale).

use bytes::Bytes;
use serde_json::Value;

use super::replace::{Ownership, Produce, Replacement};
use super::{Answer, Call, Input, PatchKind, Registry, Written, decode, persist};
use crate::api::field::{FieldError, Path};
use crate::api::request::{FieldValidation, WriteOptions};
use crate::api::schema::Str;
use crate::api::{GroupKind, GroupVersionKind, Object, Result, Status};
use crate::resources::Scale;
use crate::storage::Stored;

const SCALE: GroupVersionKind = GroupVersionKind::of("autoscaling", "v1", "Scale");

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
    pub(super) fn decode_scale(&self, call: &Call, input: Input, validation: FieldValidation) -> Result<Object> {
        let scale = self.decode_as(call, &SCALE, input, validation)?;
        super::metadata::check_name(&scale, &call.target.name)?;
        Ok(scale)
    }

    /// The object with the replicas of a scale.
    pub(super) fn with_scale(&self, call: &Call, old: Option<&Object>, scale: &Object) -> Result<Object> {
        let old = old.ok_or_else(|| Status::not_found(&call.kind.group_resource(), &call.target.name))?;
        let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
        // A custom resource is refused by its own rules.
        if replicas < 0 && !call.kind.is_custom() {
            let spec = Path::new("spec");
            let error = FieldError::invalid(&spec.child("replicas"), replicas, "must be greater than or equal to 0");
            let kind = GroupKind { group: "autoscaling".into(), kind: "Scale".into() };
            return Err(Status::invalid(&kind, &call.target.name, &[error]));
        }
        let mut new = old.clone();
        let paths = self.paths(call)?;
        let path: Vec<&str> = paths.spec_replicas.iter().map(AsRef::as_ref).collect();
        new.set(&path, replicas);
        new.set(&["metadata", "resourceVersion"], scale.resource_version());
        if !scale.uid().is_empty() {
            new.set(&["metadata", "uid"], scale.uid());
        }
        Ok(new)
    }

    /// The object with the replicas of its patched scale.
    pub(super) fn patched_scale(
        &self,
        call: &Call,
        old: Option<&Object>,
        (kind, patch): (PatchKind, &Bytes),
        validation: FieldValidation,
    ) -> Result<Object> {
        let present = old.ok_or_else(|| Status::not_found(&call.kind.group_resource(), &call.target.name))?;
        let live = self.project(call, present)?;
        let type_id = self.payload(&SCALE)?;
        let patched = decode::patch_tree(&self.facts.types, type_id, &live, (kind, patch))?;
        let scale = self.decode_patched_as(call, &SCALE, patched, validation)?;
        super::metadata::check_name(&scale, &call.target.name)?;
        self.with_scale(call, old, &scale)
    }

    /// Writes through `scale` and answers with a scale.
    pub(super) async fn replace_scale(
        &self,
        call: &Call,
        options: &WriteOptions,
        produce: &Produce<'_>,
    ) -> Result<Written> {
        let written = self
            .replace(&Replacement { call, options, produce, creates: false, ownership: Ownership::ByChange })
            .await?;
        let object = match &written.answer {
            Answer::Stored(stored) => persist::tree(&call.kind, stored)?,
            Answer::Object(object) => object.clone(),
        };
        Ok(Written { answer: Answer::Object(self.project(call, &object)?), created: false })
    }
}

fn at<'a>(object: &'a Object, path: &[Str]) -> Option<&'a Value> {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    object.get(&path)
}
