//! FlowSchema.

use serde_json::{Value, json};

use super::flow_schema_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, int, text_or};
use crate::resources::tree::{fill_zero, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, RowOrder};

pub(in crate::resources) struct FlowSchema;

const PRECEDENCE: i64 = 1000;

impl Behaviour for FlowSchema {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        fill_zero(object.object_at(&["spec"]), "matchingPrecedence", PRECEDENCE);
    }

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
        validate(object)
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: |new, _| validate(new), ..STATUS_ALONE })
    }

    fn row_order(&self) -> Option<RowOrder> {
        Some(|schema| (int(schema, &["spec", "matchingPrecedence"]), schema.name().to_owned()))
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let dangling = list(object, &["status", "conditions"]).find(|c| text(c, "type") == "Dangling");
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "priorityLevelConfiguration", "name"])),
            json!(int(object, &["spec", "matchingPrecedence"])),
            json!(text_or(object, &["spec", "distinguisherMethod", "type"], "<none>")),
            json!(age(object, moment)),
            json!(dangling.map_or("?", |c| text(c, "status"))),
        ])
    }
}
