//! `x-kubernetes-validations`: the rules of a custom resource's schema, checked when the definition is written
//! ([`check_definition`]) and run over its objects ([`Validator`]).

mod definition;
mod field_path;
mod validator;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

pub use definition::check_definition;
pub use validator::{Change, Validator, Verdict};

use super::env::{Env, Expressions};
use super::program::Program;
use super::schema::{Declared, Root, Schema};
use super::types::Type;
use crate::api::codec::json::write_string;

/// The name of the type of `self` in messages.
const SELF_TYPE: &str = "selfType";
const SELF: &str = "self";
const OLD_SELF: &str = "oldSelf";

/// One rule as it is written.
#[derive(Clone, Debug)]
struct Rule {
    rule: String,
    message: String,
    message_expression: String,
    reason: Option<String>,
    field_path: String,
    optional_old_self: Option<bool>,
}

impl Rule {
    fn new(json: &Json) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: json.get("reason").and_then(Json::as_str).map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: json.get("optionalOldSelf").and_then(Json::as_bool),
        }
    }

    /// The rule as a field error shows it.
    fn shown(&self) -> String {
        let text = |text: &str| {
            let mut out = Vec::new();
            write_string(&mut out, text);
            String::from_utf8_lossy(&out).into_owned()
        };
        let reason = self.reason.as_deref().map_or("null".to_owned(), text);
        let optional = self.optional_old_self.map_or("null", |optional| if optional { "true" } else { "false" });
        format!(
            r#"{{"Rule":{},"Message":{},"MessageExpression":{},"Reason":{reason},"FieldPath":{},"OptionalOldSelf":{optional}}}"#,
            text(&self.rule),
            text(&self.message),
            text(&self.message_expression),
            text(&self.field_path),
        )
    }

    /// The message, or the rule itself.
    fn in_words(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }
}

/// The expressions that a definition had before: they may use all functions.
#[derive(Debug, Default)]
pub struct Preexisting {
    rules: BTreeSet<String>,
    messages: BTreeSet<String>,
}

impl Preexisting {
    /// Adds all expressions of a schema.
    pub fn add(&mut self, schema: &Json) {
        match schema {
            Json::Object(map) => {
                let rules = map.get("x-kubernetes-validations").and_then(Json::as_array);
                for rule in rules.into_iter().flatten().map(Rule::new) {
                    self.rules.insert(rule.rule);
                    self.messages.insert(rule.message_expression);
                }
                map.values().for_each(|value| self.add(value));
            }
            Json::Array(items) => items.iter().for_each(|item| self.add(item)),
            _ => {}
        }
    }
}

/// The environments of the rules of one node.
struct Scope {
    declared: Arc<Declared>,
}

impl Scope {
    /// `None` when expressions cannot see values of the schema.
    fn new(schema: &Schema, root: Root) -> Option<Self> {
        Declared::new(schema, root, SELF_TYPE).map(|declared| Self { declared: Arc::new(declared) })
    }

    fn env(&self, rule: &Rule, expressions: Expressions) -> Env {
        let of = self.declared.type_of().clone();
        let old = if rule.optional_old_self == Some(true) { Type::optional(of.clone()) } else { of.clone() };
        Env::new(expressions).declared(&self.declared).variable(SELF, of).variable(OLD_SELF, old)
    }
}

/// What became of a rule.
#[derive(Debug, Default)]
struct Compiled {
    program: Option<Program>,
    error: Option<String>,
    message: Option<Program>,
    message_error: Option<String>,
}

impl Compiled {
    fn uses_old_self(&self) -> bool {
        self.program.as_ref().is_some_and(|program| program.uses(OLD_SELF))
    }
}

/// Compiles a rule and its message; `expressions` says for each of them which functions it may use.
fn compile(rule: &Rule, scope: &Scope, expressions: [Expressions; 2]) -> Compiled {
    let mut out = Compiled::default();
    if rule.rule.trim().is_empty() {
        return out;
    }
    match compile_as(&rule.rule, &scope.env(rule, expressions[0]), &Type::Bool) {
        Ok(program) => out.program = Some(program),
        Err(Refused::Compilation(issues)) => out.error = Some(format!("compilation failed: {issues}")),
        Err(Refused::Type) => out.error = Some("cel expression must evaluate to a bool".to_owned()),
        Err(Refused::Instantiation(error)) => out.error = Some(format!("program instantiation failed: {error}")),
    }
    if out.error.is_some() || rule.message_expression.is_empty() {
        return out;
    }
    match compile_as(&rule.message_expression, &scope.env(rule, expressions[1]), &Type::String) {
        Ok(program) => out.message = Some(program),
        Err(Refused::Compilation(issues)) => {
            out.message_error = Some(format!("messageExpression compilation failed: {issues}"));
        }
        Err(Refused::Type) => out.message_error = Some("messageExpression must evaluate to a string".to_owned()),
        Err(Refused::Instantiation(error)) => {
            out.message_error = Some(format!("messageExpression instantiation failed: {error}"));
        }
    }
    out
}

enum Refused {
    Compilation(String),
    Type,
    Instantiation(String),
}

fn compile_as(source: &str, env: &Env, of: &Type) -> Result<Program, Refused> {
    let program = Program::compile(source, env).map_err(|issues| Refused::Compilation(issues.to_string()))?;
    if program.result_type() != of {
        return Err(Refused::Type);
    }
    match program.instantiation_error() {
        Some(error) => Err(Refused::Instantiation(error.to_string())),
        None => Ok(program),
    }
}
