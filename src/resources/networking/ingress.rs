//! Ingress.

use serde_json::{Value, json};

use super::ingress_validation as validation;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS;
use crate::resources::print::{age, load_balancer, text_or};
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct Ingress;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const HOSTS_MAX: usize = 3;

impl Behaviour for Ingress {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, _: &Object) -> Errors {
        validation::validate_update(new)
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let by_annotation = object.annotation(CLASS_ANNOTATION).is_some();
        if old.is_some() || !by_annotation || object.get(&["spec", "ingressClassName"]).is_some() {
            return Vec::new();
        }
        vec![format!("annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead")]
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validation::validate_status, ..STATUS })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let encrypted = list(object, &["spec", "tls"]).next().is_some();
        Some(vec![
            json!(object.name()),
            json!(text_or(object, &["spec", "ingressClassName"], "<none>")),
            json!(hosts(object)),
            json!(load_balancer(object)),
            json!(if encrypted { "80, 443" } else { "80" }),
            json!(age(object, moment)),
        ])
    }
}

/// The first hosts of the rules; rules without a host count among those that are left out.
fn hosts(object: &Object) -> String {
    let rules = || list(object, &["spec", "rules"]).map(|r| text(r, "host"));
    let named: Vec<&str> = rules().filter(|h| !h.is_empty()).take(HOSTS_MAX).collect();
    let last_shown = rules().enumerate().filter(|(_, h)| !h.is_empty()).nth(HOSTS_MAX - 1).map(|(i, _)| i);
    let total = rules().count();
    match last_shown {
        Some(last) if total > last + 1 => format!("{} + {} more...", named.join(","), total - HOSTS_MAX),
        Some(_) | None if named.is_empty() => "*".to_owned(),
        Some(_) | None => named.join(","),
    }
}
