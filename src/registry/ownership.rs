//! Field ownership on the path of a write: brings the registry's types and versions to `api::apply`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use super::replace::{Ownership, Replacement};
use super::{Call, Registry, Written, metadata};
use crate::api::apply::{self, Conflicts, FieldSet, Owns, Root, Scope, Versions, Writer};
use crate::api::request::WriteOptions;
use crate::api::{Object, Reason, Result, Status, schema};
use crate::resources::{Kind, Moment, Served};
use bytes::Bytes;

/// What writers of the resource itself do not own where `status` is a part of its own.
static STATUS: LazyLock<FieldSet<'static>> = LazyLock::new(|| FieldSet::of_fields(&["status"]));

/// The same of custom resources, whose metadata such a write leaves as it was.
static SPEC_AND_METADATA: LazyLock<FieldSet<'static>> = LazyLock::new(|| FieldSet::of_fields(&["metadata", "spec"]));

/// The writer of one operation.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub call: &'a Call,
    pub options: &'a WriteOptions,
    pub moment: Moment,
    pub served: &'a Arc<Served>,
}

/// The other served versions of a kind.
struct OtherVersions<'a> {
    kind: &'a Kind,
    served: &'a Served,
}

impl OtherVersions<'_> {
    fn find(&self, api_version: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        // Upstream asks what installs the group, which knows no other.
        if group != self.kind.gvk.group {
            return None;
        }
        self.served.find_kind(group, version, &self.kind.gvk.kind)
    }
}

impl Versions for OtherVersions<'_> {
    fn root(&self, api_version: &str) -> Option<Root<'_>> {
        self.find(api_version).map(|kind| root(kind))
    }

    fn convert(&self, object: &Object, api_version: &str) -> Option<Object> {
        let to = self.find(api_version)?;
        let mut object = object.clone();
        if self.kind.gvk != self.kind.stored_as {
            self.kind.behaviour.convert(&mut object, &self.kind.stored_as);
            object.set_gvk(&self.kind.stored_as);
        }
        if to.gvk != to.stored_as {
            to.behaviour.convert(&mut object, &to.gvk);
        }
        object.set_gvk(&to.gvk);
        Some(object)
    }
}

fn root(kind: &Kind) -> Root<'_> {
    kind.root()
}

impl Owner<'_> {
    /// Brings `managedFields` of `new` up to date; both are in the stored version.
    pub(super) fn own(&self, old: Option<&Object>, new: &mut Object) {
        let kind = &self.call.kind;
        let writer = Writer { manager: &self.options.field_manager, now: self.moment.now };
        if kind.gvk == kind.stored_as {
            self.with_scope(|scope| apply::update(scope, old, new, &writer));
            return;
        }
        let old = old.map(|old| to_served(kind, old.clone()));
        let mut served = to_served(kind, new.clone());
        self.with_scope(|scope| apply::update(scope, old.as_ref(), &mut served, &writer));
        match served.remove(&["metadata", "managedFields"]) {
            Some(entries) => new.set(&["metadata", "managedFields"], entries),
            None => drop(new.remove(&["metadata", "managedFields"])),
        }
    }

    /// Where nothing but the times of entries differs, the old times stay, so that a write that changes nothing is
    /// none.
    pub(super) fn keep_times_of_equal_sets(&self, old: &Object, new: &mut Object) {
        if apply::same_but_times(old, new)
            && let Some(entries) = old.get(&["metadata", "managedFields"]).cloned()
        {
            new.set(&["metadata", "managedFields"], entries);
        }
    }

    fn with_scope<T>(&self, run: impl FnOnce(&Scope<'_>) -> T) -> T {
        let kind = &self.call.kind;
        let versions = OtherVersions { kind, served: self.served };
        let api_version = kind.gvk.api_version();
        let status_resets = FieldSet::of_fields(kind.behaviour.status_resets());
        let own_resets = kind.behaviour.resets(&self.call.target.subresource).map(FieldSet::of_fields);
        let owns = match (&own_resets, self.call.target.subresource.as_str()) {
            (Some(resets), _) => Owns::Except(resets),
            (None, "") if metadata::has_status(kind) => Owns::Except(&STATUS),
            (None, "finalize") => Owns::Except(&STATUS),
            (None, "status") if kind.is_custom() => Owns::Except(&SPEC_AND_METADATA),
            (None, "status") => Owns::Except(&status_resets),
            (None, _) => Owns::All,
        };
        run(&Scope {
            root: root(kind),
            api_version: &api_version,
            kind: &kind.gvk.kind,
            subresource: &self.call.target.subresource,
            owns,
            versions: &versions,
        })
    }
}

/// From the stored version to the served one.
pub(super) fn to_served(kind: &Kind, object: Object) -> Object {
    kind.served(object)
}

/// As `to_served`; what is served as it is stored is looked at where it is.
pub(super) fn served_view<'a>(kind: &Kind, object: &'a Object) -> Cow<'a, Object> {
    if kind.gvk == kind.stored_as { Cow::Borrowed(object) } else { Cow::Owned(to_served(kind, object.clone())) }
}

impl Registry {
    /// From the stored version to the served one.
    pub(super) fn to_served(&self, kind: &Kind, object: Object) -> Object {
        to_served(kind, object)
    }

    /// Server-side apply: creates what is not there, else merges what the manager says now with what it said before.
    pub(super) async fn apply(&self, call: &Call, patch: &Bytes, options: &WriteOptions) -> Result<Written> {
        let config = self.decode_apply(call, patch, options)?;
        if !config.name().is_empty() {
            metadata::check_name(&config, &call.target.name)?;
        }
        let served = self.catalog.served();
        let moment = self.moment();
        let conflicts = if options.force { Conflicts::Force } else { Conflicts::Refuse };
        let produce = |old: Option<&Object>| -> Result<Object> {
            let owner = Owner { call, options, moment, served: &served };
            let live = old.map(|old| served_view(&call.kind, old));
            let writer = Writer { manager: &options.field_manager, now: moment.now };
            let merged =
                owner.with_scope(|scope| apply::apply(scope, live.as_deref(), &config, (&writer, conflicts)))?;
            self.settle_applied(call, (merged, &config), old)
        };
        let creates = call.target.subresource.is_empty();
        self.replace(&Replacement { call, options, produce: &produce, creates, ownership: Ownership::Settled }).await
    }

    /// A merged object is defaulted and brought to the stored version, as a decoded one is.
    fn settle_applied(&self, call: &Call, (merged, config): (Object, &Object), old: Option<&Object>) -> Result<Object> {
        let mut object = self.decode_tree(call, fitted(&call.kind, merged, config)?)?;
        metadata::settle_namespace(call, &mut object)?;
        metadata::check_name(&object, &call.target.name)?;
        if old.is_none() && !object.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object.uid()
            );
            return Err(Status::conflict(&call.kind.group_resource(), &call.target.name, &why));
        }
        Ok(object)
    }
}

/// What was merged, as decoding it into the Go type and encoding it again would make it: an atomic struct, for one, comes
/// without the nulls that Go writes.
fn fitted(kind: &Kind, merged: Object, config: &Object) -> Result<Object> {
    if kind.is_custom() {
        return Ok(merged);
    }
    let about = format!("{}/{}; {}", config.namespace(), config.name(), kind.gvk);
    let mut value = merged.into_value();
    let unfit = |error: &dyn std::fmt::Display| {
        let why = format!("unable to convert unstructured object to {}: error decoding from json: {error}", kind.gvk);
        let message = format!("failed to convert new object ({about}) to proper version: {why}");
        Status::new(500, Reason::Unknown, message)
    };
    schema::decode::normalise(&mut value, &kind.types, kind.type_id).map_err(|error| unfit(&error))?;
    Object::from_value(value).map_err(|_| Status::internal("what was merged is no object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::facts::Facts;
    use crate::resources::{RuntimeConfig, built_in};

    #[test]
    fn an_object_has_only_the_fields_of_the_version_in_which_it_is_served() {
        let served = built_in(&Facts::load(), &RuntimeConfig::default());
        let kind = served.find("certificates.k8s.io", "v1", "podcertificaterequests").unwrap();
        assert_eq!(kind.stored_as.version, "v1beta1");
        let stored = json!({ "kind": "PodCertificateRequest", "apiVersion": "certificates.k8s.io/v1beta1",
            "metadata": { "name": "a" }, "spec": { "podName": "p", "pkixPublicKey": null } });
        let object = to_served(kind, Object::from_value(stored).unwrap());
        assert_eq!(object.text_at(&["apiVersion"]), "certificates.k8s.io/v1");
        assert_eq!(object.text_at(&["spec", "podName"]), "p");
        assert_eq!(object.get(&["spec", "pkixPublicKey"]), None);
    }
}
