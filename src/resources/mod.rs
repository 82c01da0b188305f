//! What each served type is: the table of built-in types, one file per kind under its API group, and the catalog of
//! types served right now. A custom resource is the same `Kind`, made at run time.

pub mod admissionregistration;
mod amount;
pub mod apiextensions;
mod apiregistration;
mod apiserverinternal;
mod apps;
mod autoscaling;
mod batch;
mod built_in;
mod catalog;
mod certificates;
mod check;
mod conditions;
mod coordination;
mod core;
pub mod custom;
mod discovery;
mod excused;
pub mod facts;
mod flowcontrol;
mod gates;
mod go_diff;
pub mod go_print;
#[cfg(test)]
mod golden;
mod networking;
mod node;
mod part;
mod policy;
mod print;
mod rbac;
mod resource;
mod scheduling;
mod storage;
mod storagemigration;
mod table;
mod tree;
mod version;

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use crate::api::apply::Root;
use crate::api::codec::Error;
use crate::api::codec::json::Layout;
use crate::api::field::Errors;
use crate::api::request::{DeleteOptions, Propagation, User};
use crate::api::schema::{Str, Table, TypeId, decode};
use crate::api::{GroupKind, GroupResource, GroupVersionKind, Object};

pub use built_in::{RuntimeConfig, STAGES, built_in};
pub use catalog::{Catalog, Group, Served};
pub use core::{quality_of_service, service_address_errors, toleration_errors};
pub use excused::{excused, is_given};
pub use gates::{Gated, Gates};
pub use part::keep_all_but;
pub use print::age;
pub use table::{BUILT_IN, Row};

/// One version of one resource, as it is served.
pub struct Kind {
    pub gvk: GroupVersionKind,
    /// The kind of lists, such as `PodList`.
    pub list_kind: Str,
    /// The plural, such as `pods`.
    pub resource: Str,
    pub singular: Str,
    pub namespaced: bool,
    /// In the order in which discovery lists them.
    pub verbs: Vec<Str>,
    pub short_names: Vec<Str>,
    pub categories: Vec<Str>,
    /// The types that `type_id` and the subresources' payloads refer to.
    pub types: Arc<Table>,
    pub type_id: TypeId,
    /// The type of the form in which objects are stored.
    pub stored_type_id: TypeId,
    /// The type of lists; `None` where nothing is listed.
    pub list_type_id: Option<TypeId>,
    /// The collection that holds the objects; versions (and `events` of two groups) share one.
    pub collection: Arc<str>,
    /// The fields that are extracted when an object is stored: those of all types that share the collection.
    pub extracted: Vec<SelectableField>,
    /// The form in which the collection holds them.
    pub stored_as: GroupVersionKind,
    /// Discovery's `storageVersionHash`; empty where nothing is stored.
    pub storage_version_hash: String,
    /// The text of the warning that a deprecated version gives; empty for the others.
    pub deprecation: String,
    pub columns: Vec<Column>,
    pub subresources: Vec<Subresource>,
    pub behaviour: Hooks,
    /// What behaviours ask whether a feature is on.
    pub gates: Arc<Gates>,
    /// What a type made at run time adds.
    pub custom: Option<Arc<custom::Version>>,
}

/// The behaviour of a kind: a row of the table, or made together with the kind.
#[derive(Clone)]
pub enum Hooks {
    BuiltIn(&'static dyn Behaviour),
    Custom(Arc<dyn Behaviour>),
}

impl Deref for Hooks {
    type Target = dyn Behaviour;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(behaviour) => *behaviour,
            Self::Custom(behaviour) => &**behaviour,
        }
    }
}

/// What the rows of a list are sorted by.
pub type RowOrder = fn(&Object) -> (i64, String);

/// Marks stored objects with the schemas under which they were written, so that a change of schemas is seen when they
/// are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The name under which it stands among an object's fields.
    pub name: Arc<str>,
    pub value: Arc<str>,
    /// The kind is the version in which objects are stored.
    pub stored_version: bool,
}

/// A subresource as discovery lists it. What it does is found by its name: parts of the object (`status`, `finalize`,
/// `approval`, `ephemeralcontainers`, `resize`) in `Behaviour::part`, the rest in the registry's table of actions.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: Str,
    /// What is sent and answered: the kind itself for parts, `Scale`, `Eviction`, `TokenRequest` …
    pub payload: GroupVersionKind,
    pub verbs: Vec<Str>,
}

/// A printed column.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: Str,
    pub format: Str,
    pub description: Str,
    /// 0 is shown always, 1 in the wide output.
    pub priority: i32,
}

/// What the moment of a write gives to hooks that need it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: jiff::Timestamp,
}

impl Moment {
    /// As `metav1.Time` prints it: RFC 3339 in whole seconds.
    pub fn seconds(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// A field of a type that field selectors may name, beside `metadata.name` and `metadata.namespace`.
#[derive(Clone, Copy)]
pub struct SelectableField {
    pub name: &'static str,
    /// The field's text for selection; `""` when unset, booleans as `true` and `false`.
    pub read: fn(&Object) -> String,
    /// The store keeps an index on it.
    pub indexed: bool,
}

/// How a part of an object is written through a subresource of the same kind.
#[derive(Clone, Copy)]
pub struct Part {
    /// Takes from `new` only what the subresource may change; everything else becomes as in `old`.
    pub prepare: fn(new: &mut Object, old: &Object, moment: &Moment),
    pub validate: fn(new: &Object, old: &Object) -> Errors,
}

/// The paths that `scale` reads and writes. What stands at `selector` may be a text, a label selector or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub spec_replicas: Vec<Str>,
    pub status_replicas: Vec<Str>,
    pub selector: Vec<Str>,
}

/// What no table can say of a type. Every hook has the plain behaviour as its default; all are pure.
/// `kind` is the served or stored type that is being written.
pub trait Behaviour: Send + Sync + 'static {
    /// Upstream's rule for `metadata.name`; messages without the field. `prefix`: it is a `generateName`. Plain: a DNS
    /// subdomain, as most kinds and all custom resources have it.
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        crate::api::validation::names::subdomain_name(name, prefix)
    }

    /// Defaulting that depends on other fields; static defaults come from the table before this.
    fn default(&self, kind: &Kind, object: &mut Object) {
        let _ = (kind, object);
    }

    /// Before `prepare_create`: writes down who asks, for the types whose objects are requests of a user.
    fn stamp_requester(&self, object: &mut Object, user: &User) {
        let _ = (object, user);
    }

    /// Before a create: clears what a client may not set. Plain: nothing, or `status` where there is such a part.
    fn prepare_create(&self, kind: &Kind, object: &mut Object, moment: &Moment) {
        let _ = (kind, object, moment);
    }

    /// Before an update of the main resource: keeps what it may not change (the registry keeps `status` where it is
    /// a part, and bumps `generation` when anything outside metadata and status changed, if `generation` is true).
    fn prepare_update(&self, kind: &Kind, new: &mut Object, old: &Object) {
        let _ = (kind, new, old);
    }

    /// After `prepare_update`: writes down when something was changed, for the types that say so.
    fn stamp_change(&self, new: &mut Object, old: &Object, moment: &Moment) {
        let _ = (new, old, moment);
    }

    /// The type counts `metadata.generation`.
    fn generation(&self) -> bool {
        false
    }

    /// The gate without which the type does not count it.
    fn generation_gate(&self) -> Option<&'static str> {
        None
    }

    /// Something beside the fields outside metadata and status counts as a change of generation.
    fn counts_as_change(&self, new: &Object, old: &Object) -> bool {
        let _ = (new, old);
        false
    }

    /// `validate` says all that upstream says beyond its enforced declared rules. Where it does not, the alpha rules
    /// and the values of enums are checked as well.
    fn validated_by_hand(&self) -> bool {
        false
    }

    /// Everything of upstream's create validation that the table cannot say (not `metadata`, which the registry does).
    fn validate(&self, kind: &Kind, object: &Object) -> Errors {
        let _ = (kind, object);
        Vec::new()
    }

    /// Upstream's update validation, including what `validate` says where upstream repeats it.
    fn validate_update(&self, kind: &Kind, new: &Object, old: &Object) -> Errors {
        let _ = old;
        self.validate(kind, new)
    }

    /// `Warning` header texts; `old` on updates.
    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let _ = (object, old);
        Vec::new()
    }

    /// Fields that selectors may name.
    fn fields(&self) -> &'static [SelectableField] {
        &[]
    }

    /// The subresources of the same kind that this type has, by name.
    fn part(&self, subresource: &str) -> Option<Part> {
        let _ = subresource;
        None
    }

    /// What writers of `status` do not own, as dotted names of fields.
    fn status_resets(&self) -> &'static [&'static str] {
        &["spec"]
    }

    /// Warnings about a new object as it was sent, before anything is made of it.
    fn warnings_as_sent(&self, object: &Object) -> Vec<String> {
        let _ = object;
        Vec::new()
    }

    /// What writers of the object or of a part do not own, as `status_resets`; `None`: as of other types.
    fn resets(&self, subresource: &str) -> Option<&'static [&'static str]> {
        let _ = subresource;
        None
    }

    /// The conditions of a printed row, such as that a pod has ended; empty: none are told.
    fn row_conditions(&self, object: &Object) -> Vec<Value> {
        let _ = object;
        Vec::new()
    }

    /// Whether upstream's store prints the columns of the facts; if not, Name and Created At.
    fn prints_rows(&self) -> bool {
        true
    }

    /// Whether the rows of a list stand in another order than its objects: what they are sorted by.
    fn row_order(&self) -> Option<RowOrder> {
        None
    }

    /// The printed columns of a type whose columns are not among the facts.
    fn columns(&self) -> Vec<Column> {
        Vec::new()
    }

    /// Which parts of an object `cells` and `row_conditions` look at, as paths of keys joined by dots, through all items
    /// of lists; none: any. They are all that a printed row is given.
    fn printed(&self) -> &'static [&'static str] {
        &[]
    }

    /// One printed row: a cell for each of `Kind::columns`, or `None` for the default table (Name, Created At).
    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let _ = (object, moment);
        None
    }

    /// The grace period of a delete in seconds; `None`: the type is deleted at once.
    fn grace_period(&self, object: &Object, options: &DeleteOptions) -> Option<i64> {
        let _ = (object, options);
        None
    }

    /// What happens to dependents when the client does not say.
    fn default_propagation(&self) -> Propagation {
        Propagation::Background
    }

    /// What a client is told who deletes without saying what happens to dependents.
    fn delete_warning(&self) -> Option<&'static str> {
        None
    }

    /// A create keeps the `status` that the client gives, although it is a part of its own (Node).
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// Something beside `metadata.finalizers` keeps a deleted object in being (`spec.finalizers` of a Namespace).
    fn held(&self, object: &Object) -> bool {
        let _ = object;
        false
    }

    /// What a deletion that has begun changes beside `metadata` (the phase of a Namespace).
    fn mark_deleting(&self, object: &mut Object) {
        let _ = object;
    }

    /// A delete is of the object that was found, whatever has its name later: who judges it is told the uid.
    fn deleted_by_uid(&self) -> bool {
        false
    }

    /// A delete in a version answers with the object instead of a `Status` (upstream's `ReturnDeletedObject`).
    fn returns_deleted(&self, _: &str) -> bool {
        false
    }

    /// Where the `scale` subresource finds its numbers.
    fn scale(&self, kind: &Kind) -> Option<Scale> {
        let _ = kind;
        None
    }

    /// PUT of a name that does not exist creates it.
    fn create_on_update(&self) -> bool {
        false
    }

    /// PUT without a resourceVersion replaces whatever is there.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Brings a tree into the shape of the type, as decoding it into the Go type and encoding it again would; gives the
    /// paths of unknown fields.
    ///
    /// # Errors
    /// With the message of upstream's decoder.
    fn fit(&self, kind: &Kind, value: &mut Value) -> Result<Vec<String>, Error> {
        decode::normalise(value, &kind.types, kind.type_id)
    }

    /// The field that asks for access to devices as an administrator, which the namespace must allow; on a write of the
    /// status with what was there before.
    fn admin_access(&self, new: &Object, old: Option<&Object>) -> Option<String> {
        let _ = (new, old);
        None
    }

    /// What is wrong with a write of a part.
    fn validate_part(&self, kind: &Kind, subresource: &str, objects: (&Object, &Object)) -> Errors {
        let _ = kind;
        self.part(subresource).map(|part| (part.validate)(objects.0, objects.1)).unwrap_or_default()
    }

    /// Whether field selectors may name a field.
    fn selects_by(&self, field: &str) -> bool {
        self.fields().iter().any(|known| known.name == field)
    }

    /// Whether field selectors may name the namespace; false of most types without one that select by other fields.
    fn selects_by_namespace(&self, kind: &Kind) -> bool {
        kind.namespaced || self.fields().is_empty()
    }

    /// What is said of a field that selectors may not name, where there are some that they may.
    fn unselectable(&self, kind: &Kind, field: &str) -> String {
        let _ = kind;
        format!("field label not supported: {field}")
    }

    /// Fields that are stored beside the object because only a type made at run time knows of them.
    fn extract(&self, object: &Object) -> Vec<(Arc<str>, Arc<str>)> {
        let _ = object;
        Vec::new()
    }

    /// What marks stored objects of a type made at run time.
    fn stamp(&self) -> Option<&Stamp> {
        None
    }

    /// Brings an object, as it was stored once, to the present form of this version. Built-in types are stored in a
    /// form that does not change.
    ///
    /// # Errors
    /// When it cannot be converted.
    fn revive(&self, object: &mut Object) -> crate::api::Result<()> {
        let _ = object;
        Ok(())
    }

    /// The form in which an object of this version is stored; `None`: as it is.
    fn shelve(&self, object: &Object) -> Option<Object> {
        let _ = object;
        None
    }

    /// Why no objects of the type may be created now.
    fn create_refusal(&self) -> Option<&'static str> {
        None
    }

    /// A finalizer that objects get when their deletion begins.
    fn deletion_finalizer(&self) -> Option<&'static str> {
        None
    }

    /// Converts between versions of the type; called with `apiVersion` still the old one. Plain: the shapes are equal.
    fn convert(&self, object: &mut Object, to: &GroupVersionKind) {
        let _ = (object, to);
    }
}

/// A type without behaviour of its own.
pub struct Plain;

impl Behaviour for Plain {}

impl Kind {
    /// Group and plural.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.gvk.group.clone(), resource: self.resource.clone() }
    }

    /// Group and kind.
    pub fn group_kind(&self) -> GroupKind {
        self.gvk.group_kind()
    }

    /// Whether `metadata.generation` is counted, by the type and its gate.
    pub fn counts_generations(&self) -> bool {
        self.behaviour.generation() && self.behaviour.generation_gate().is_none_or(|gate| self.gates.enabled(gate))
    }

    /// Whether the type was made from a custom resource definition.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// The type whose parts are owned, and how.
    pub fn root(&self) -> Root<'_> {
        match &self.custom {
            Some(version) => version.root(),
            None => Root::built_in(&self.types, self.type_id),
        }
    }

    /// The order in which the fields of an object are written in the form that is served.
    pub fn layout(&self) -> Layout<'_> {
        if self.is_custom() { Layout::Sorted } else { Layout::Typed(&self.types, self.type_id) }
    }

    /// The same in the form that is stored.
    pub fn stored_layout(&self) -> Layout<'_> {
        if self.is_custom() { Layout::Sorted } else { Layout::Typed(&self.types, self.stored_type_id) }
    }

    /// A subresource by name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}
