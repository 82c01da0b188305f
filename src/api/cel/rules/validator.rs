//! Running the rules of a schema over an object, within a budget for all of them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::env::Expressions;
use super::super::error::Error;
use super::super::eval::Activation;
use super::super::program::{PER_CALL_LIMIT, Program};
use super::super::schema::{Root, Schema};
use super::super::value::Value;
use super::{Compiled, OLD_SELF, Rule, SELF, Scope, compile, field_path};
use crate::api::field::{ErrorKind, Errors, FieldError, Path};

/// The longest message that an expression may give.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// The compiled rules of a schema, in its shape. Compiled once for each version of a definition.
#[derive(Debug)]
pub struct Validator {
    rules: Option<Box<Rules>>,
    items: Option<Box<Validator>>,
    additional: Option<Box<Validator>>,
    properties: BTreeMap<String, Validator>,
    /// Of a list with keys: the fields that identify an element.
    list_keys: Option<Vec<String>>,
}

#[derive(Debug)]
struct Rules {
    /// What values of the node look like.
    schema: Schema,
    kind: String,
    rules: Vec<(Rule, Compiled, Option<String>)>,
}

/// What is validated: an object, and the one that it replaces.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub object: &'a Json,
    pub old: Option<&'a Json>,
    /// Whether what is unchanged may stay wrong, with a warning.
    pub ratcheting: bool,
}

/// What the rules say.
#[derive(Debug, Default)]
pub struct Verdict {
    pub errors: Errors,
    /// What is wrong and was so before.
    pub warnings: Vec<String>,
    /// What is left of the budget; negative when it was exceeded and rules were left out.
    pub budget: i64,
}

impl Validator {
    /// Compiles the rules of a structural schema; `None` when it has none.
    pub fn new(schema: &Json, root: Root) -> Option<Self> {
        Self::node(&Schema::new(schema), root)
    }

    fn node(schema: &Schema, root: Root) -> Option<Self> {
        let below = |schema: &Schema| Self::node(schema, if schema.embedded { Root::Yes } else { Root::No });
        let boxed = |schema: Option<&Schema>| schema.and_then(below).map(Box::new);
        let mut properties = BTreeMap::new();
        for (name, schema) in schema.properties.iter().flatten() {
            if let Some(validator) = below(schema) {
                properties.insert(name.clone(), validator);
            }
        }
        let validator = Self {
            rules: Rules::new(schema, root).map(Box::new),
            items: boxed(schema.items.as_deref()),
            additional: boxed(schema.additional.as_deref()),
            properties,
            list_keys: (schema.list_type == "map").then(|| schema.list_keys.clone()),
        };
        let empty = validator.rules.is_none()
            && validator.items.is_none()
            && validator.additional.is_none()
            && validator.properties.is_empty();
        (!empty).then_some(validator)
    }

    /// Runs all rules over an object.
    pub fn validate(&self, path: &Path<'_>, change: Change<'_>, budget: i64) -> Verdict {
        let mut verdict = Verdict { budget, ..Verdict::default() };
        let own = change.old.filter(|_| change.ratcheting).map(|old| (change.object, old));
        let at = At { object: change.object, old: change.old, own, above: None };
        self.run(path, at, &mut verdict);
        verdict
    }

    fn run(&self, path: &Path<'_>, at: At<'_>, verdict: &mut Verdict) {
        if at.object.is_null() {
            return;
        }
        if let Some(rules) = &self.rules {
            rules.run(path, at, verdict);
        }
        if verdict.budget < 0 {
            return;
        }
        match at.object {
            Json::Array(items) => {
                let Some(validator) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    if verdict.budget < 0 {
                        return;
                    }
                    validator.run(&path.index(index), at.below(item, self.counterpart(item, at.old)), verdict);
                }
            }
            Json::Object(map) => {
                for (key, value) in map {
                    let old = at.old.and_then(|old| old.get(key));
                    let below = at.field(key, value, old);
                    if let Some(validator) = self.additional.as_ref().filter(|_| verdict.budget >= 0) {
                        validator.run(&path.key(key), below, verdict);
                    }
                    if let Some(validator) = self.properties.get(key).filter(|_| verdict.budget >= 0) {
                        validator.run(&path.child(key), below, verdict);
                    }
                }
            }
            _ => {}
        }
    }

    /// The element of the old list with the same keys.
    fn counterpart<'a>(&self, item: &Json, old: Option<&'a Json>) -> Option<&'a Json> {
        let keys = self.list_keys.as_ref()?;
        let scalar = |of: &Json| of.is_string() || of.is_boolean() || of.is_number();
        if !keys.iter().all(|key| item.get(key).is_some_and(scalar)) {
            return None;
        }
        old?.as_array()?.iter().find(|old| keys.iter().all(|key| old.get(key) == item.get(key)))
    }
}

/// A value, the one it replaces, and with what it is compared when only changes count.
#[derive(Clone, Copy)]
struct At<'a> {
    object: &'a Json,
    old: Option<&'a Json>,
    /// The value and its old one, when the two can be matched.
    own: Option<(&'a Json, &'a Json)>,
    /// The same of the nearest value above where they can.
    above: Option<(&'a Json, &'a Json)>,
}

impl<'a> At<'a> {
    fn below(self, object: &'a Json, old: Option<&'a Json>) -> Self {
        match self.own {
            None => Self { object, old, ..self },
            Some(own) => Self { object, old, own: old.map(|old| (object, old)), above: Some(own) },
        }
    }

    fn field(self, key: &str, object: &'a Json, old: Option<&'a Json>) -> Self {
        // Both versions of an object were converted to one type, so a change of that cannot be seen.
        if self.own.is_some() && self.above.is_none() && matches!(key, "apiVersion" | "kind") {
            return Self { object, old, own: None, above: None };
        }
        self.below(object, old)
    }

    fn is_unchanged(self) -> bool {
        self.own.or(self.above).is_some_and(|(new, old)| new == old)
    }
}

impl Rules {
    fn new(schema: &Schema, root: Root) -> Option<Self> {
        if schema.rules.is_empty() {
            return None;
        }
        let scope = Scope::new(schema, root)?;
        let of = |rule: Rule| {
            let compiled = compile(&rule, &scope, [Expressions::Stored; 2]);
            let path = Some(&rule.field_path).filter(|path| !path.is_empty());
            let path = path.and_then(|path| field_path::normalized(path, schema)).filter(|path| !path.is_empty());
            (rule, compiled, path)
        };
        Some(Self {
            schema: if root == Root::Yes { schema.with_type_and_metadata() } else { schema.clone() },
            kind: schema.kind.clone(),
            rules: schema.rules.iter().map(Rule::new).map(of).collect(),
        })
    }

    fn refuse(&self, path: &Path<'_>, detail: impl Into<String>, verdict: &mut Verdict) {
        verdict.errors.push(FieldError::invalid(path, self.kind.as_str(), detail));
    }

    fn run(&self, path: &Path<'_>, at: At<'_>, verdict: &mut Verdict) {
        const NO_BUDGET: &str =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        if verdict.budget <= 0 {
            verdict.budget = -1;
            return self.refuse(path, NO_BUDGET, verdict);
        }
        for (rule, compiled, field_path) in &self.rules {
            if let Some(error) = &compiled.error {
                self.refuse(path, format!("rule compile error: {error}"), verdict);
                continue;
            }
            let Some(program) = &compiled.program else { continue };
            let transition = compiled.uses_old_self();
            if transition && at.old.is_none_or(Json::is_null) && rule.optional_old_self != Some(true) {
                continue;
            }
            let activation = self.activation(at, rule);
            let outcome = program.evaluate(&activation, PER_CALL_LIMIT);
            let cost = i64::try_from(outcome.cost).unwrap_or(i64::MAX);
            if cost > verdict.budget {
                verdict.budget = -1;
                return self.refuse(path, NO_BUDGET, verdict);
            }
            verdict.budget -= cost;
            match outcome.value {
                Ok(Value::Bool(true)) => {}
                Err(error) => {
                    self.failed(path, rule, &error, verdict);
                    if error == Error::BudgetExceeded {
                        return;
                    }
                }
                Ok(_) => {
                    let path_below = field_path.as_deref().map(|below| path.child(below));
                    let path = path_below.as_ref().unwrap_or(path);
                    let message = self.message(rule, compiled.message.as_ref(), &activation, verdict);
                    let ratcheted = !transition && at.is_unchanged();
                    let error = match message {
                        Ok(detail) => self.violation(path, at.object, detail, rule),
                        Err(detail) => FieldError::invalid(path, self.kind.as_str(), detail),
                    };
                    if ratcheted {
                        verdict.warnings.push(error.to_string());
                    } else {
                        verdict.errors.push(error);
                    }
                    if verdict.budget < 0 {
                        return;
                    }
                }
            }
        }
    }

    fn activation<'a>(&'a self, at: At<'a>, rule: &Rule) -> Activation<'a> {
        let own = Value::from_schema(at.object, &self.schema);
        let old = at.old.filter(|old| !old.is_null()).map(|old| Value::from_schema(old, &self.schema));
        let activation = Activation::new().with_result(SELF, own);
        match (rule.optional_old_self, old) {
            (Some(true), Some(old)) => activation.with_result(OLD_SELF, old.map(Value::some)),
            (Some(true), None) => activation.with(OLD_SELF, Value::Optional(None)),
            (_, Some(old)) => activation.with_result(OLD_SELF, old),
            (_, None) => activation,
        }
    }

    fn failed(&self, path: &Path<'_>, rule: &Rule, error: &Error, verdict: &mut Verdict) {
        let text = error.to_string();
        let rule = rule.in_words();
        let detail = if *error == Error::BudgetExceeded {
            verdict.budget = -1;
            format!("'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}")
        } else if text.starts_with("no such overload") {
            format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {rule}"
            )
        } else {
            format!("{text} evaluating rule: {rule}")
        };
        self.refuse(path, detail, verdict);
    }

    fn violation(&self, path: &Path<'_>, object: &Json, detail: String, rule: &Rule) -> FieldError {
        let kind = match rule.reason.as_deref() {
            Some("FieldValueForbidden") => ErrorKind::Forbidden,
            Some("FieldValueRequired") => ErrorKind::Required,
            Some("FieldValueDuplicate") => ErrorKind::Duplicate,
            _ => ErrorKind::Invalid,
        };
        let detail = if kind == ErrorKind::Duplicate { String::new() } else { detail };
        if matches!(self.kind.as_str(), "object" | "array") {
            return FieldError::without_value(kind, path, detail);
        }
        let value =
            if matches!(kind, ErrorKind::Forbidden | ErrorKind::Required) { Json::Null } else { object.clone() };
        FieldError::new(kind, path, value, detail)
    }

    /// The message of a rule that an object breaks; `Err` when the message itself ends all validation.
    fn message(
        &self,
        rule: &Rule,
        program: Option<&Program>,
        activation: &Activation<'_>,
        verdict: &mut Verdict,
    ) -> Result<String, String> {
        let fixed = || {
            if rule.message.is_empty() {
                format!("failed rule: {}", rule.in_words())
            } else {
                rule.message.trim().to_owned()
            }
        };
        let Some(program) = program else { return Ok(fixed()) };
        let outcome = program.evaluate(activation, PER_CALL_LIMIT);
        let cost = i64::try_from(outcome.cost).unwrap_or(i64::MAX);
        if cost > verdict.budget {
            verdict.budget = -1;
            return Err("messageExpression evaluation failed due to running out of cost budget, no further \
                        validation rules will be run"
                .to_owned());
        }
        if matches!(outcome.value, Err(Error::BudgetExceeded)) {
            verdict.budget = -1;
            return Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                crate::api::field::go_quote(&rule.message_expression)
            ));
        }
        verdict.budget -= cost;
        let Ok(Value::String(text)) = outcome.value else { return Ok(fixed()) };
        let text = text.trim();
        let usable = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        Ok(if usable { text.to_owned() } else { fixed() })
    }
}
