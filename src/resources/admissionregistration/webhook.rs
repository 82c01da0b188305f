//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use serde_json::{Value, json};

use super::REVIEWS;
use super::match_resources::{default_rules, default_selectors, name_warnings, static_name};
use super::webhook_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child_mut, fill, items, items_mut, list, texts};
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
        let mut errors = validate(object, None);
        static_name(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        warnings(object)
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
        let mut errors = validate(object, None);
        static_name(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        warnings(object)
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
/// Of names that only files may have, and of rules that have no effect.
fn warnings(object: &Object) -> Vec<String> {
    let mut warnings = name_warnings(object.name());
    for (at, webhook) in items(object.root(), "webhooks").enumerate() {
        for (rule_at, rule) in items(webhook, "rules").enumerate() {
            let named = excluded(rule).into_iter().map(|(group, resource)| {
                format!(
                    "webhooks[{at}].rules[{rule_at}]: {resource}.{group} is excluded from admission webhooks; this rule \
                     will have no effect"
                )
            });
            warnings.extend(named);
        }
    }
    warnings
}

/// What a rule names of those, each once; one with a star may be meant for others.
fn excluded(rule: &Tree) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    if texts(rule, "apiGroups").chain(texts(rule, "resources")).any(|name| name == "*") {
        return found;
    }
    for group in texts(rule, "apiGroups") {
        for resource in texts(rule, "resources") {
            if REVIEWS.contains(&(group, resource)) && !found.contains(&(group, resource)) {
                found.push((group, resource));
            }
        }
    }
    found
}
