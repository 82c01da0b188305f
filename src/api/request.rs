//! A request as a value: who asks, which verb on which resource, with which options. Made by the server's filters or
//! by the in-process client, read by authorization, admission and the registry.

use serde_json::{Value, json};

use super::names::{GroupResource, Revision};

/// The verbs as authorization knows them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As it stands in RBAC rules and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Who asks: what authentication found, possibly impersonated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// Extra keys in order, each with its values.
    pub extra: Vec<(String, Vec<String>)>,
}

impl User {
    /// `system:anonymous`.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// A ServiceAccount with its groups.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            ..Self::default()
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// The resource that a request is about, by its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub group: String,
    pub version: String,
    /// The plural, such as `pods`.
    pub resource: String,
    /// Such as `status`; empty for the resource itself.
    pub subresource: String,
    /// Empty for cluster-scoped resources and lists over all namespaces.
    pub namespace: String,
    /// Empty for collections and creates.
    pub name: String,
}

impl Target {
    /// The resource without version and subresource.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone().into(), resource: self.resource.clone().into() }
    }
}

/// How strictly unknown and duplicate fields are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update, patch and apply.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// `fieldManager`, or what the server derived from the user agent.
    pub field_manager: String,
    pub field_validation: FieldValidation,
    /// Apply only: take over fields of other managers.
    pub force: bool,
    /// What the client said itself.
    pub said: Said,
}

/// Parameters of a write as the client gave them, empty where it did not: admission is shown these.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    pub field_manager: String,
    pub field_validation: String,
}

/// The options of an operation, as admission is shown them.
#[derive(Clone, Copy, Debug)]
pub enum Options<'a> {
    Create(&'a WriteOptions),
    /// Of updates and patches alike.
    Update(&'a WriteOptions),
    Delete(&'a DeleteOptions),
    /// Of a collection, whose objects are then shown without the name that nobody asked for.
    DeleteMany(&'a DeleteOptions),
    None,
}

impl Options<'_> {
    /// The object that upstream makes of them; null where there are none.
    pub fn to_value(self) -> Value {
        match self {
            Self::Create(options) => options.to_value("CreateOptions"),
            Self::Update(options) => options.to_value("UpdateOptions"),
            Self::Delete(options) | Self::DeleteMany(options) => options.to_value(),
            Self::None => Value::Null,
        }
    }
}

impl WriteOptions {
    fn to_value(&self, kind: &str) -> Value {
        let mut out = json!({ "kind": kind, "apiVersion": "meta.k8s.io/v1" });
        if self.dry_run {
            out["dryRun"] = json!(["All"]);
        }
        let said = [("fieldManager", &self.said.field_manager), ("fieldValidation", &self.said.field_validation)];
        for (name, text) in said.into_iter().filter(|(_, text)| !text.is_empty()) {
            out[name] = Value::from(text.as_str());
        }
        out
    }
}

/// What becomes of dependents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// Options of delete and deletecollection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Preconditions,
    pub propagation: Option<Propagation>,
    /// The deprecated `orphanDependents`.
    pub orphan_dependents: Option<bool>,
    pub dry_run: bool,
    /// `ignoreStoreReadErrorWithClusterBreakingPotential`: delete what cannot be read.
    pub unread: bool,
}

impl DeleteOptions {
    fn to_value(&self) -> Value {
        let mut out = json!({ "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1" });
        if let Some(seconds) = self.grace_period_seconds {
            out["gracePeriodSeconds"] = seconds.into();
        }
        let wanted = &self.preconditions;
        for (name, text) in [("uid", &wanted.uid), ("resourceVersion", &wanted.resource_version)] {
            if let Some(text) = text {
                out["preconditions"][name] = Value::from(text.as_str());
            }
        }
        if let Some(orphan) = self.orphan_dependents {
            out["orphanDependents"] = orphan.into();
        }
        if let Some(propagation) = self.propagation {
            out["propagationPolicy"] = propagation.as_str().into();
        }
        if self.dry_run {
            out["dryRun"] = json!(["All"]);
        }
        out
    }
}

impl Propagation {
    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

/// What must hold of the stored object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// Options of list, watch and get, already checked for contradictions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListOptions {
    /// Unparsed; the registry parses it against the type's fields.
    pub label_selector: String,
    pub field_selector: String,
    /// `None`: not given. `Some(Revision(0))`: any.
    pub resource_version: Option<Revision>,
    pub version_match: Option<VersionMatch>,
    pub limit: u64,
    pub continue_token: String,
    pub timeout_seconds: Option<u64>,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
}
