//! What the scheduler sees of a node.

use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;

use super::resources::{Quantities, Resources};
use crate::api::quantity::Quantity;
use crate::client::{Cached, Meta};

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(from = "Whole")]
pub(super) struct Node {
    pub metadata: Meta,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    pub pods_max: i64,
}

#[derive(Deserialize)]
struct Whole {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    allocatable: Quantities,
}

impl From<Whole> for Node {
    fn from(whole: Whole) -> Self {
        let allocatable = Resources::of(&whole.status.allocatable);
        let pods = whole.status.allocatable.get("pods").and_then(|text| Quantity::parse(text).ok());
        Self {
            metadata: whole.metadata,
            unschedulable: whole.spec.unschedulable,
            taints: whole.spec.taints,
            allocatable,
            pods_max: pods.map_or(0, |pods| pods.value()),
        }
    }
}

impl Cached for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Node {
    /// Whether a pod could be better off with this state than with an older one.
    pub(super) fn offers_more_than(&self, old: &Self) -> bool {
        self.unschedulable != old.unschedulable
            || self.taints != old.taints
            || self.allocatable != old.allocatable
            || self.pods_max != old.pods_max
            || self.metadata.labels != old.metadata.labels
    }
}
