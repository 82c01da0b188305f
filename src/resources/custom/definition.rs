//! A CustomResourceDefinition as far as serving it needs, read without its schemas.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::read::compare_versions;
use crate::api::codec::json;

/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// A definition.
#[derive(Deserialize, Debug, Clone)]
pub struct Definition {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub deletion_timestamp: Option<String>,
    pub finalizers: Vec<String>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub group: String,
    pub scope: String,
    pub names: Names,
    #[serde(default)]
    pub versions: Vec<VersionSpec>,
    pub preserve_unknown_fields: bool,
    #[serde(default)]
    pub conversion: Conversion,
}

#[derive(Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Names {
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub kind: String,
    pub list_kind: String,
    pub categories: Vec<String>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionSpec {
    pub name: String,
    pub served: bool,
    pub storage: bool,
    pub deprecated: bool,
    pub deprecation_warning: Option<String>,
    pub subresources: Option<Subresources>,
    pub additional_printer_columns: Vec<ColumnSpec>,
    pub selectable_fields: Vec<Selectable>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub struct Subresources {
    pub status: Option<Map<String, Value>>,
    pub scale: Option<Scale>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Scale {
    pub spec_replicas_path: String,
    pub status_replicas_path: String,
    pub label_selector_path: String,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ColumnSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i32,
    pub json_path: String,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Selectable {
    pub json_path: String,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub struct Conversion {
    pub strategy: Strategy,
    pub webhook: Option<Webhook>,
}

/// Who converts where the strategy is `Webhook`.
#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    pub client_config: Value,
    /// The versions of reviews that it takes, in the order of its preference.
    #[serde(rename = "conversionReviewVersions")]
    pub versions: Vec<String>,
}

/// How objects get from version to version.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Only `apiVersion` changes.
    #[default]
    None,
    Webhook,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub accepted_names: Names,
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Selectable {
    /// The path without its leading dot, as selectors name it.
    pub(super) fn name(&self) -> &str {
        self.json_path.strip_prefix('.').unwrap_or(&self.json_path)
    }
}

impl Definition {
    /// Reads the JSON of a definition.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// Whether a condition is true.
    pub fn is(&self, condition: &str) -> bool {
        self.status.conditions.iter().any(|c| c.kind == condition && c.status == "True")
    }

    /// Whether its kinds are to be served.
    pub fn serves(&self) -> bool {
        let names = &self.status.accepted_names;
        let named = ![&names.plural, &names.singular, &names.kind, &names.list_kind].iter().any(|name| name.is_empty());
        named && (self.is("Established") || self.is("NamesAccepted"))
    }

    /// Whether it is on its way out.
    pub fn terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some() || self.is("Terminating")
    }

    /// The warning that requests for a version get; empty for none.
    pub(super) fn deprecation(&self, version: &VersionSpec) -> String {
        if !version.deprecated {
            return String::new();
        }
        if let Some(warning) = &version.deprecation_warning {
            return warning.clone();
        }
        let (group, kind) = (&self.spec.group, &self.spec.names.kind);
        let newer =
            self.spec.versions.iter().filter(|other| {
                other.served && !other.deprecated && compare_versions(&other.name, &version.name).is_gt()
            });
        let best = newer.max_by(|a, b| compare_versions(&a.name, &b.name));
        let instead = best.map(|best| format!("; use {group}/{} {kind}", best.name)).unwrap_or_default();
        format!("{group}/{} {kind} is deprecated{instead}", version.name)
    }
}

#[derive(Deserialize)]
struct RawDefinition<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// The JSON of `spec`.
pub(super) fn spec_of(json: &[u8]) -> Option<String> {
    let raw: RawDefinition<'_> = serde_json::from_slice(json).ok()?;
    Some(raw.spec.get().to_owned())
}

#[derive(Deserialize)]
struct WithSchemas<'a> {
    #[serde(borrow)]
    spec: SpecWithSchemas<'a>,
}

#[derive(Deserialize)]
struct SpecWithSchemas<'a> {
    #[serde(borrow)]
    versions: Vec<VersionWithSchema<'a>>,
}

#[derive(Deserialize)]
struct VersionWithSchema<'a> {
    name: String,
    #[serde(borrow)]
    schema: Option<Validation<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validation<'a> {
    #[serde(borrow, rename = "openAPIV3Schema")]
    schema: Option<&'a RawValue>,
}

/// The schema of one version as it stands in the definition.
pub fn schema_of(json: &[u8], version: &str) -> Option<Map<String, Value>> {
    let all: WithSchemas<'_> = serde_json::from_slice(json).ok()?;
    let found = all.spec.versions.into_iter().find(|of| of.name == version)?;
    match json::tree(found.schema?.schema?.get().as_bytes()) {
        Ok(Value::Object(schema)) => Some(schema),
        Ok(_) | Err(_) => None,
    }
}
