//! PodTemplate.

use serde_json::{Value, json};

use super::pod_template::default_template;
use super::pod_validation::validate_template_at;
use super::pod_warnings::template_warnings;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::print::{containers_and_images, labels};
use crate::resources::tree::ensure;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct PodTemplate;

impl Behaviour for PodTemplate {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_template(ensure(object.root_mut(), "template"));
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_template_at(object, &["template"])
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        template_warnings(object, old, "template.")
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["template", "spec"]);
        let labels = labels(object.get(&["template", "metadata", "labels"]));
        Some(vec![json!(object.name()), json!(containers), json!(images), json!(labels)])
    }
}
