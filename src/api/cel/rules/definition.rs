//! The check of the rules of a definition's schema: they compile, and their estimated costs stay within bounds.

use serde_json::Value as Json;

use super::super::env::Expressions;
use super::super::program::Program;
use super::super::schema::{Root, Schema};
use super::{Compiled, Preexisting, Rule, Scope, compile, field_path};
use crate::api::field::{ErrorKind, Errors, FieldError, Path};

/// What one rule may cost by estimate.
const RULE_COST_MAX: u64 = 10_000_000;
/// What all rules of one schema may cost by estimate.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// How many rules are named when all together cost too much.
const NAMED_MAX: usize = 4;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Checks all rules of a structural schema that is otherwise valid, `path` being that of the schema itself.
pub fn check_definition(schema: &Json, path: &Path<'_>, before: &Preexisting) -> Errors {
    let mut definition = Definition { before, total: 0, expensive: Vec::new() };
    let node = Node { schema, root: Root::Yes, repeated: Some(1), uncorrelatable: None };
    let found = definition.node(&node, path);
    let mut errors = found.of_schema;
    errors.extend(found.of_expressions);
    if definition.total > SCHEMA_COST_MAX {
        let message = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        for (field, _) in &definition.expensive {
            let mut error = FieldError::forbidden(path, message);
            error.field.clone_from(field);
            errors.push(error);
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, too_expensive(name, definition.total, SCHEMA_COST_MAX)));
    }
    errors
}

struct Definition<'d> {
    before: &'d Preexisting,
    total: u64,
    /// The most expensive rules, the dearest first.
    expensive: Vec<(String, u64)>,
}

/// A node of the schema and what its parents say of it.
struct Node<'s> {
    schema: &'s Json,
    root: Root,
    /// How often values of the node can stand in an object; unknown when a list or map above has no bound.
    repeated: Option<u64>,
    /// The nearest node above below which old and new values cannot be matched.
    uncorrelatable: Option<String>,
}

#[derive(Default)]
struct Found {
    of_schema: Errors,
    of_expressions: Errors,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.of_schema.extend(other.of_schema);
        self.of_expressions.extend(other.of_expressions);
    }
}

impl<'s> Node<'s> {
    fn child(&self, schema: &'s Json) -> Self {
        let embedded = schema.get("x-kubernetes-embedded-resource").and_then(Json::as_bool) == Some(true);
        Self {
            schema,
            root: if embedded { Root::Yes } else { Root::No },
            repeated: self.repeated.and_then(|times| times.checked_mul(elements_max(self.schema)?).or(Some(u64::MAX))),
            uncorrelatable: self.uncorrelatable.clone(),
        }
    }
}

/// How many values a list or map holds at most for each of its own; 1 for objects and scalars.
fn elements_max(schema: &Json) -> Option<u64> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64).map(|max| u64::try_from(max).unwrap_or(0));
    match schema.get("type").and_then(Json::as_str) {
        Some("object") if schema.get("additionalProperties").is_some() => bound("maxProperties"),
        Some("array") => bound("maxItems"),
        _ => Some(1),
    }
}

impl Definition<'_> {
    fn node(&mut self, node: &Node<'_>, path: &Path<'_>) -> Found {
        let mut found = Found::default();
        if let Some(schema) = node.schema.get("additionalProperties").filter(|of| of.is_object()) {
            found.add(self.node(&node.child(schema), &path.child("additionalProperties")));
        }
        if let Some(properties) = node.schema.get("properties").and_then(Json::as_object) {
            let below = path.child("properties");
            for (name, schema) in properties {
                found.add(self.node(&node.child(schema), &below.key(name)));
            }
        }
        if let Some(schema) = node.schema.get("items").filter(|of| of.is_object()) {
            let mut child = node.child(schema);
            let by_key = node.schema.get("x-kubernetes-list-type").and_then(Json::as_str) == Some("map");
            if !by_key && child.uncorrelatable.is_none() {
                child.uncorrelatable = Some(path.to_string());
            }
            found.add(self.node(&child, &path.child("items")));
        }
        self.rules(node, path, &mut found);
        found
    }

    fn rules(&mut self, node: &Node<'_>, path: &Path<'_>, found: &mut Found) {
        let Some(rules) = node.schema.get("x-kubernetes-validations").and_then(Json::as_array) else { return };
        if rules.is_empty() {
            return;
        }
        let below = path.child("x-kubernetes-validations");
        let schema = Schema::new(node.schema);
        let rules: Vec<Rule> = rules.iter().map(Rule::new).collect();
        for (at, rule) in rules.iter().enumerate() {
            check_fields(rule, &schema, &below.index(at), &mut found.of_schema);
        }
        if !found.of_schema.is_empty() {
            return;
        }
        let Some(scope) = Scope::new(&schema, node.root) else {
            let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: \
                          unable to convert structural schema to CEL declarations";
            found.of_expressions.push(FieldError::new(ErrorKind::Internal, &below, Json::Null, detail));
            return;
        };
        for (at, rule) in rules.iter().enumerate() {
            let expressions = [
                functions(self.before.rules.contains(&rule.rule)),
                functions(self.before.messages.contains(&rule.message_expression)),
            ];
            let compiled = compile(rule, &scope, expressions);
            let times = node.repeated.unwrap_or_else(|| scope.declared.cardinality_max());
            self.rule((rule, &compiled), (node, times), &below.index(at), &mut found.of_expressions);
        }
    }

    fn rule(&mut self, rule: (&Rule, &Compiled), of: (&Node<'_>, u64), path: &Path<'_>, errors: &mut Errors) {
        let ((rule, compiled), (node, times)) = (rule, of);
        let cost_of = |program: Option<&Program>| program.map_or(0, |program| program.estimate().max);
        let at = path.child("rule");
        let cost = cost_of(compiled.program.as_ref()).saturating_mul(times);
        if cost > RULE_COST_MAX {
            errors.push(FieldError::forbidden(&at, too_expensive("estimated rule cost", cost, RULE_COST_MAX)));
        }
        self.observe(&at, cost);
        if let Some(error) = &compiled.error {
            errors.push(FieldError::invalid_written(&at, &rule.shown(), error.as_str()));
        }
        let at_message = path.child("messageExpression");
        if let Some(error) = &compiled.message_error {
            errors.push(FieldError::invalid_written(&at_message, &rule.shown(), error.as_str()));
        } else if let Some(program) = &compiled.message {
            let cost = cost_of(Some(program));
            if cost > RULE_COST_MAX {
                let message = too_expensive("estimated messageExpression cost", cost, RULE_COST_MAX);
                errors.push(FieldError::forbidden(&at_message, message));
            }
            self.observe(&at_message, cost);
        }
        if compiled.uses_old_self() {
            if let Some(above) = &node.uncorrelatable {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                errors.push(FieldError::invalid(&at, rule.rule.as_str(), detail));
            }
        } else if let Some(optional) = rule.optional_old_self {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(&path.child("optionalOldSelf"), optional, detail));
        }
    }

    fn observe(&mut self, path: &Path<'_>, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST_MAX / 100 {
            self.expensive.push((path.to_string(), cost));
            self.expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.expensive.truncate(NAMED_MAX);
        }
    }
}

fn functions(known: bool) -> Expressions {
    if known { Expressions::Stored } else { Expressions::New }
}

fn has_line_break(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

fn check_fields(rule: &Rule, schema: &Schema, path: &Path<'_>, errors: &mut Errors) {
    let message = rule.message.trim();
    if rule.rule.trim().is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    } else if !rule.message.is_empty() && message.is_empty() {
        let at = path.child("message");
        errors.push(FieldError::invalid(&at, rule.message.as_str(), "must be non-empty if specified"));
    } else if has_line_break(message) {
        let at = path.child("message");
        errors.push(FieldError::invalid(&at, rule.message.as_str(), "must not contain line breaks"));
    } else if has_line_break(rule.rule.trim()) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&path.child("message"), detail));
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
    }
    let at = path.child("fieldPath");
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(&at, rule.field_path.as_str(), detail));
    if rule.field_path.is_empty() {
        return;
    }
    if rule.field_path.trim().is_empty() {
        refuse("must be non-empty if specified");
    }
    if has_line_break(&rule.field_path) {
        refuse("must not contain line breaks");
    }
    if field_path::normalized(&rule.field_path, schema).is_none() {
        refuse("must be a valid path");
    }
}

fn too_expensive(name: &str, cost: u64, limit: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "only the first digits are shown")]
    let times = cost as f64 / limit as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
