//! HorizontalPodAutoscaler.

use serde_json::{Value, json};

use super::metrics::metrics_cell;
use super::pod_autoscaler_validation as validation;
use super::versions::{to_v1, to_v2};
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::names::GroupVersionKind;
use crate::resources::part::STATUS;
use crate::resources::print::{age, int, plain};
use crate::resources::tree::{Tree, child_mut, ensure, fill, fill_zero};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct HorizontalPodAutoscaler;

/// The utilization that is aimed at when nothing else is said.
pub(super) const CPU_UTILIZATION: i64 = 80;

impl Behaviour for HorizontalPodAutoscaler {
    fn default(&self, kind: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "minReplicas", 1);
        if kind.gvk.version != "v1" {
            default_v2(spec);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn generation_gate(&self) -> Option<&'static str> {
        Some("HPAGeneration")
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validation::validate(new, Some(old))
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validation::validate_status, ..STATUS })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let target = |key: &str| object.text_at(&["spec", "scaleTargetRef", key]);
        let metrics = match object.text_at(&["apiVersion"]) {
            // Rows are made of upstream's internal form, which has all that v2 has.
            "autoscaling/v1" if object.get(&["spec", "maxReplicas"]).is_some_and(|most| *most != 0) => {
                let mut internal = object.clone();
                to_v2(&mut internal);
                metrics_cell(&internal)
            }
            _ => metrics_cell(object),
        };
        let minimum = plain(object.get(&["spec", "minReplicas"])).unwrap_or_else(|| "<unset>".to_owned());
        Some(vec![
            json!(object.name()),
            json!(format!("{}/{}", target("kind"), target("name"))),
            json!(metrics),
            json!(minimum),
            json!(int(object, &["spec", "maxReplicas"])),
            json!(int(object, &["status", "currentReplicas"])),
            json!(age(object, moment)),
        ])
    }

    fn convert(&self, object: &mut Object, to: &GroupVersionKind) {
        match (&*object.gvk().version, &*to.version) {
            ("v1", version) if version != "v1" => to_v2(object),
            (version, "v1") if version != "v1" => to_v1(object),
            _ => {}
        }
    }
}

fn default_v2(spec: &mut Tree) {
    let target = json!({"type": "Utilization", "averageUtilization": CPU_UTILIZATION});
    fill_zero(spec, "metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    let Some(behavior) = child_mut(spec, "behavior") else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let up = ensure(behavior, "scaleUp");
    fill(up, "stabilizationWindowSeconds", 0);
    fill(up, "selectPolicy", "Max");
    fill(up, "policies", json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]));
    let down = ensure(behavior, "scaleDown");
    fill(down, "selectPolicy", "Max");
    fill(down, "policies", json!([percent]));
}
