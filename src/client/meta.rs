//! The metadata that controllers decide by: what a cache keeps of an object instead of the whole `ObjectMeta`, which
//! would hold field ownership, too. Also the matching of label selectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Deserializer, Serialize};

use super::labels::Labels;

/// A moment as the API writes it.
pub type Time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// `metadata` without what no controller reads.
#[derive(Deserialize, Serialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing)]
    pub generation: i64,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "exact", skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "exact", skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Deserialize, Serialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// Namespace and name; cheap to clone. The namespace of cluster-scoped objects is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectName {
    /// From texts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

impl Meta {
    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Namespace and name.
    pub fn object_name(&self) -> ObjectName {
        ObjectName::new(&self.namespace, &self.name)
    }

    /// An owner reference by which this object, of the resource, manages another.
    pub fn as_controller(&self, resource: &super::Resource) -> OwnerReference {
        OwnerReference {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// Whether the object is being deleted.
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The resourceVersion as a number; 0 when it is none.
    pub fn revision(&self) -> u64 {
        self.resource_version.parse().unwrap_or(0)
    }

    /// Seconds since 1970 of the creation.
    pub fn created_second(&self) -> i64 {
        self.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second())
    }

    /// Lets go of the annotations but these, and of the name's beginning: what a cache of many objects need not hold.
    #[must_use]
    pub fn with_annotations(mut self, kept: &[&str]) -> Self {
        self.generate_name = String::new();
        self.annotations.retain(|key, _| kept.contains(&key.as_str()));
        if self.annotations.is_empty() {
            // A map that was emptied keeps a node.
            self.annotations = BTreeMap::new();
        }
        self
    }

    /// An annotation read as a value.
    pub fn annotation<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.annotations.get(key)?.parse().ok()
    }
}

/// Reads a list and keeps it without room for more: a list that grew while it was read has up to four times the room
/// that it needs, and caches keep it so.
///
/// # Errors
/// Those of the deserializer.
pub fn exact<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// Whether a selector selects labels. An empty selector selects everything; one that cannot be understood, nothing.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value.as_str()));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let listed = |value: &str| requirement.values.iter().flatten().any(|v| v == value);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(listed),
                "NotIn" => !value.is_some_and(listed),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
