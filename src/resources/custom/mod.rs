//! Types made at run time from custom resource definitions. A definition becomes one `Kind` for each version it
//! serves; schemas are compiled when first needed and keep no texts, so that a definition that nobody uses costs what
//! its own object costs.

mod behaviour;
pub(super) mod columns;
mod definition;
mod read;
pub(super) mod rules;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::built_in::storage_version_hash;
use super::{Hooks, Kind, Stamp, Subresource};
use crate::api::GroupVersionKind;
use crate::api::apply::Root;
use crate::api::json_path::JsonPath;
use crate::api::schema::structural::{Built, MetaType, Schema, build};
use crate::api::schema::{Str, Table, TypeId};
use crate::base::Shutdown;

use behaviour::CustomResource;
pub use definition::{CLEANUP, Definition, Names, Webhook as ConversionWebhook, schema_of};
use definition::{Scale, VersionSpec};
pub use read::versions_by_preference;
use rules::Rules;

/// The name under which the stamp stands among the fields of stored objects; no path of a selectable field is so.
const STAMP: &str = "/schema";

/// What all versions of one definition share.
struct Shared {
    group: Str,
    kind: Str,
    namespaced: bool,
    /// The JSON of the definition, shared with the store.
    source: ArcSwap<Bytes>,
    preserve_unknown: bool,
    conversion: definition::Strategy,
    converter: Option<ConversionWebhook>,
    storage_version: Str,
    versions: Vec<OneVersion>,
    /// Selectable fields of all versions: name and path.
    selectable: Vec<(Arc<str>, JsonPath)>,
    /// Marks objects that were written under the present schemas.
    fingerprint: Arc<str>,
    terminating: bool,
    facts: Metadata,
    retired: Shutdown,
}

/// One version of a definition with what is compiled when it is first needed.
struct OneVersion {
    name: Str,
    selectable: Vec<Str>,
    schema: OnceLock<Arc<Schema>>,
    rules: OnceLock<Option<Rules>>,
    built: OnceLock<Built>,
}

/// The built-in types that custom resources consist of.
#[derive(Clone)]
pub struct Metadata {
    types: Arc<Table>,
    meta: TypeId,
    partial: TypeId,
}

impl Metadata {
    /// Finds them among the built-in types.
    ///
    /// # Panics
    /// When the table of facts does not have them.
    pub fn find(types: &Arc<Table>) -> Self {
        let find = |name: &str| {
            let id = types.find(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
            id.expect("the table of types holds what every server knows")
        };
        Self { types: types.clone(), meta: find("ObjectMeta"), partial: find("PartialObjectMetadata") }
    }

    fn meta(&self) -> MetaType<'_> {
        MetaType { table: &self.types, id: self.meta }
    }
}

/// One version of a custom resource, as its kind holds it.
pub struct Version {
    shared: Arc<Shared>,
    at: usize,
}

impl Version {
    /// The type whose parts are owned.
    pub fn root(&self) -> Root<'_> {
        let built = self.shared.built(self.at);
        Root::custom(&built.table, built.id)
    }

    /// The JSON of the definition as it is now.
    pub fn source(&self) -> Arc<Bytes> {
        self.shared.source.load_full()
    }

    /// The webhook that converts between the versions, if one does.
    pub fn conversion(&self) -> Option<&ConversionWebhook> {
        let by_webhook = self.shared.conversion == definition::Strategy::Webhook;
        self.shared.converter.as_ref().filter(|_| by_webhook && self.shared.versions.len() > 1)
    }

    /// The version in which objects are stored.
    pub fn storage_version(&self) -> &Str {
        &self.shared.storage_version
    }

    /// Begins when the kind is no longer served, or another one in its place; tells those who watch it.
    pub fn retired(&self) -> &Shutdown {
        &self.shared.retired
    }

    /// The compiled schema.
    pub fn schema(&self) -> Arc<Schema> {
        self.shared.schema(self.at)
    }

    /// The paths of the fields that selectors may name, as they are named.
    pub fn selectable(&self) -> &[Str] {
        &self.shared.versions[self.at].selectable
    }
}

impl Shared {
    fn schema(&self, at: usize) -> Arc<Schema> {
        let compile = || {
            let props = schema_of(&self.source.load(), &self.versions[at].name);
            Arc::new(props.as_ref().map(Schema::parse).unwrap_or_else(open_schema))
        };
        self.versions[at].schema.get_or_init(compile).clone()
    }

    /// The compiled rules, if there are any.
    fn rules(&self, at: usize) -> Option<&Rules> {
        let version = &self.versions[at];
        let compile = || schema_of(&self.source.load(), &version.name).as_ref().and_then(Rules::of);
        version.rules.get_or_init(compile).as_ref()
    }

    fn built(&self, at: usize) -> &Built {
        self.versions[at].built.get_or_init(|| build(&self.schema(at), self.facts.meta()))
    }

    fn version(&self, name: &str) -> Option<usize> {
        self.versions.iter().position(|version| version.name == name)
    }

    fn gvk(&self, at: usize) -> GroupVersionKind {
        let version = self.versions[at].name.clone();
        GroupVersionKind { group: self.group.clone(), version, kind: self.kind.clone() }
    }
}

/// Of a version without a schema everything is kept.
fn open_schema() -> Schema {
    Schema::parse(&Map::from_iter([("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true))]))
}

/// The kinds that a definition serves, whatever its conditions say. `source` is its JSON as it is stored.
pub fn kinds(definition: &Definition, source: &Bytes, facts: &Metadata) -> Vec<Arc<Kind>> {
    let shared = Arc::new(share(definition, source, facts));
    let served = definition.spec.versions.iter().enumerate().filter(|(_, version)| version.served);
    served.map(|(at, version)| Arc::new(kind(definition, version, (&shared, at)))).collect()
}

/// Gives kinds that stay as they are the newer JSON of their definition.
pub fn renew_source(kinds: &[Arc<Kind>], source: &Bytes) {
    for version in kinds.iter().filter_map(|kind| kind.custom.as_ref()) {
        version.shared.source.store(Arc::new(source.clone()));
    }
}

fn share(definition: &Definition, source: &Bytes, facts: &Metadata) -> Shared {
    let spec = &definition.spec;
    let mut selectable: Vec<(Arc<str>, JsonPath)> = Vec::new();
    for field in spec.versions.iter().flat_map(|version| &version.selectable_fields) {
        let name = field.name();
        if let Some(path) = JsonPath::parse(&field.json_path)
            && !selectable.iter().any(|(known, _)| **known == *name)
        {
            selectable.push((Arc::from(name), path));
        }
    }
    let one = |version: &VersionSpec| OneVersion {
        name: version.name.clone().into(),
        selectable: version.selectable_fields.iter().map(|field| Str::Owned(field.name().to_owned())).collect(),
        schema: OnceLock::new(),
        rules: OnceLock::new(),
        built: OnceLock::new(),
    };
    let storage = spec.versions.iter().find(|version| version.storage).map_or("", |version| &version.name);
    Shared {
        group: spec.group.clone().into(),
        kind: definition.status.accepted_names.kind.clone().into(),
        namespaced: spec.scope == "Namespaced",
        source: ArcSwap::from_pointee(source.clone()),
        preserve_unknown: spec.preserve_unknown_fields,
        conversion: spec.conversion.strategy,
        converter: spec.conversion.webhook.clone(),
        storage_version: storage.to_owned().into(),
        versions: spec.versions.iter().map(one).collect(),
        selectable,
        fingerprint: Arc::from(fingerprint(source)),
        terminating: definition.terminating(),
        facts: facts.clone(),
        retired: Shutdown::default(),
    }
}

/// What changes when anything in the `spec` of a definition does.
pub fn fingerprint(source: &Bytes) -> String {
    let digest = Sha256::digest(definition::spec_of(source).unwrap_or_default().as_bytes());
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind(definition: &Definition, version: &VersionSpec, (shared, at): (&Arc<Shared>, usize)) -> Kind {
    let names = &definition.status.accepted_names;
    let gvk = shared.gvk(at);
    let storage = GroupVersionKind { version: shared.storage_version.clone(), ..gvk.clone() };
    let served_storage = definition.spec.versions.iter().any(|version| version.storage && version.served);
    let hash = if served_storage { storage_version_hash(&storage) } else { String::new() };
    let owned = |texts: &[String]| texts.iter().map(|text| Str::Owned(text.clone())).collect::<Vec<_>>();
    let behaviour = Arc::new(CustomResource::new(version, (shared, at)));
    Kind {
        list_kind: names.list_kind.clone().into(),
        resource: names.plural.clone().into(),
        singular: names.singular.clone().into(),
        namespaced: shared.namespaced,
        verbs: verbs(shared.terminating),
        short_names: owned(&names.short_names),
        categories: owned(&names.categories),
        types: shared.facts.types.clone(),
        type_id: shared.facts.partial,
        stored_type_id: shared.facts.partial,
        list_type_id: None,
        collection: Arc::from(format!("{}.{}", names.plural, shared.group)),
        extracted: Vec::new(),
        stored_as: gvk.clone(),
        storage_version_hash: hash,
        deprecation: definition.deprecation(version),
        columns: columns::headers(version),
        subresources: subresources(version, &gvk),
        behaviour: Hooks::Custom(behaviour),
        gates: Arc::default(),
        custom: Some(Arc::new(Version { shared: shared.clone(), at })),
        gvk,
    }
}

/// In the order of upstream's discovery; what is being deleted is no longer written to.
fn verbs(terminating: bool) -> Vec<Str> {
    let all = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    let kept = all.into_iter().filter(|verb| !terminating || !matches!(*verb, "patch" | "create" | "update"));
    kept.map(Str::Borrowed).collect()
}

fn subresources(version: &VersionSpec, gvk: &GroupVersionKind) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].map(Str::Borrowed).to_vec();
    let mut out = Vec::new();
    let Some(subresources) = &version.subresources else { return out };
    if subresources.status.is_some() {
        out.push(Subresource { name: "status".into(), payload: gvk.clone(), verbs: verbs() });
    }
    if subresources.scale.is_some() {
        let payload = GroupVersionKind::of("autoscaling", "v1", "Scale");
        out.push(Subresource { name: "scale".into(), payload, verbs: verbs() });
    }
    out
}

fn scale_paths(scale: &Scale) -> super::Scale {
    let split = |path: &str| -> Vec<Str> {
        let path = path.strip_prefix('.').unwrap_or(path);
        path.split('.').filter(|step| !step.is_empty()).map(|step| Str::Owned(step.to_owned())).collect()
    };
    super::Scale {
        spec_replicas: split(&scale.spec_replicas_path),
        status_replicas: split(&scale.status_replicas_path),
        selector: split(&scale.label_selector_path),
    }
}

fn stamp(shared: &Shared, at: usize) -> Stamp {
    Stamp {
        name: Arc::from(STAMP),
        value: shared.fingerprint.clone(),
        stored_version: shared.versions[at].name == shared.storage_version,
    }
}
