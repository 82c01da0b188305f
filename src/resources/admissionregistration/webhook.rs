//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use serde_json::{Value, json};

use super::match_resources::{default_rules, default_selectors, name_warnings};
use super::webhook_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child_mut, fill, items_mut, list};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct MutatingWebhookConfiguration;

pub(in crate::resources) struct ValidatingWebhookConfiguration;

const TIMEOUT_SECONDS: i64 = 10;

impl Behaviour for MutatingWebhookConfiguration {
    fn default(&self, _: &Kind, object: &mut Object) {
        for webhook in items_mut(object.root_mut(), "webhooks") {
            default_webhook(webhook);
            fill(webhook, "reinvocationPolicy", "Never");
        }
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        old.map_or_else(Vec::new, |_| name_warnings(object.name()))
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(webhook_cells(object, moment))
    }
}

impl Behaviour for ValidatingWebhookConfiguration {
    fn default(&self, _: &Kind, object: &mut Object) {
        items_mut(object.root_mut(), "webhooks").for_each(default_webhook);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        old.map_or_else(Vec::new, |_| name_warnings(object.name()))
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(webhook_cells(object, moment))
    }
}

fn default_webhook(webhook: &mut Tree) {
    fill(webhook, "failurePolicy", "Fail");
    default_selectors(webhook);
    fill(webhook, "timeoutSeconds", TIMEOUT_SECONDS);
    default_rules(webhook, &["rules"]);
    if let Some(service) = child_mut(webhook, "clientConfig").and_then(|c| child_mut(c, "service")) {
        fill(service, "port", 443);
    }
}

fn webhook_cells(object: &Object, moment: &Moment) -> Vec<Value> {
    vec![json!(object.name()), json!(list(object, &["webhooks"]).count()), json!(age(object, moment))]
}
