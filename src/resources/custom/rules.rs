//! The rules of custom resources (`x-kubernetes-validations`): compiled once for each version, run on every write
//! within a budget (apiextensions-apiserver `pkg/apiserver/schema/cel`). The one place where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::api::cel::{
    self, Activation, Declared, Env, Expressions, PER_CALL_LIMIT, Program, RUNTIME_COST_BUDGET, Type,
};
use crate::api::field::{ErrorKind, Errors, FieldError, Path};
use crate::api::schema::structural::check::{Props, any, child, entries, flag, list, text};

/// The most that a message made by an expression may be long.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The rules at a node of a schema and below it.
#[derive(Debug)]
pub(super) struct Rules {
    /// What the values look like to expressions.
    schema: cel::Schema,
    type_name: String,
    rules: Vec<Rule>,
    items: Option<Box<Rules>>,
    additional: Option<Box<Rules>>,
    properties: BTreeMap<String, Rules>,
    all_of: Vec<Rules>,
    /// The keys by which items before and after an update are the same; empty: they cannot be told.
    list_keys: Vec<String>,
    /// Entries before and after an update are the same by their names.
    granular: bool,
}

/// One compiled rule.
#[derive(Debug)]
struct Rule {
    program: Result<Program, String>,
    message_expression: Option<Program>,
    rule: String,
    message: String,
    field_path: String,
    reason: ErrorKind,
    uses_old: bool,
    optional_old: bool,
}

/// Whether anything in a schema has rules.
fn has_rules(props: &Props) -> bool {
    any(props, &|of| list(of, "x-kubernetes-validations").next().is_some())
}

/// Compiles a rule as it stands in a schema whose values are declared so.
///
/// # Errors
/// With upstream's words for an expression that is none.
pub(in crate::resources) fn compile(
    rule: &Props,
    declared: &Arc<Declared>,
    expressions: Expressions,
) -> Result<Program, String> {
    let own = declared.type_of().clone();
    let old = if flag(rule, "optionalOldSelf") { Type::optional(own.clone()) } else { own.clone() };
    let env = Env::new(expressions).declared(declared).variable("self", own).variable("oldSelf", old);
    let program =
        Program::compile(text(rule, "rule"), &env).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.result_type() {
        Type::Bool => {}
        _ => return Err("cel expression must evaluate to a bool".to_owned()),
    }
    match program.instantiation_error() {
        Some(error) => Err(format!("program instantiation failed: {error}")),
        None => Ok(program),
    }
}

/// Compiles the expression that makes a rule's message.
///
/// # Errors
/// With upstream's words for an expression that is none.
pub(in crate::resources) fn compile_message(
    rule: &Props,
    declared: &Arc<Declared>,
    expressions: Expressions,
) -> Result<Program, String> {
    let own = declared.type_of().clone();
    let old = if flag(rule, "optionalOldSelf") { Type::optional(own.clone()) } else { own.clone() };
    let env = Env::new(expressions).declared(declared).variable("self", own).variable("oldSelf", old);
    let program = Program::compile(text(rule, "messageExpression"), &env)
        .map_err(|issues| format!("messageExpression compilation failed: {issues}"))?;
    match program.result_type() {
        Type::String => Ok(program),
        _ => Err("messageExpression must evaluate to a string".to_owned()),
    }
}

impl Rules {
    /// The rules of a whole object; `None` when there are none.
    pub(super) fn of(props: &Props) -> Option<Self> {
        has_rules(props).then(|| Self::node(props, props, cel::Root::Yes))
    }

    /// `said` has the rules, `structure` says what the values look like.
    fn node(said: &Props, structure: &Props, root: cel::Root) -> Self {
        let json = Value::Object(structure.clone());
        let plain = cel::Schema::new(&json);
        let declared = Declared::new(&plain, root, "selfType").map(Arc::new);
        let schema = if root == cel::Root::Yes { plain.with_type_and_metadata() } else { plain };
        let rules = list(said, "x-kubernetes-validations");
        let below = |key: &str| {
            let (said, structure) = (child(said, key)?, child(structure, key)?);
            has_rules(said).then(|| Box::new(Self::node(said, structure, root_of(structure))))
        };
        let empty = Props::new();
        let fields = child(structure, "properties").unwrap_or(&empty);
        let properties = entries(said, "properties").filter(|(_, of)| has_rules(of)).filter_map(|(name, of)| {
            let structure = child(fields, name)?;
            Some((name.to_owned(), Self::node(of, structure, root_of(structure))))
        });
        let keys = structure.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
        Self {
            rules: rules.map(|rule| Rule::new(rule, declared.as_ref())).collect(),
            items: below("items"),
            additional: below("additionalProperties"),
            properties: properties.collect(),
            all_of: list(said, "allOf").filter(|of| has_rules(of)).map(|of| Self::node(of, structure, root)).collect(),
            list_keys: keys.filter_map(Value::as_str).map(str::to_owned).collect(),
            granular: text(structure, "x-kubernetes-map-type") != "atomic",
            type_name: text(structure, "type").to_owned(),
            schema,
        }
    }

    /// Runs all rules over an object; the errors, and the warnings of rules that are broken and were so before.
    pub(super) fn run(&self, new: &Value, old: Option<&Value>) -> (Errors, Vec<String>) {
        let budget = i64::try_from(RUNTIME_COST_BUDGET).unwrap_or(i64::MAX);
        let mut run = Run { errors: Errors::new(), warnings: Vec::new(), budget };
        let at = At { value: new, old, unchanged: old == Some(new), correlated: old.is_some() };
        run.node(self, at, &Path::ROOT);
        (run.errors, run.warnings)
    }
}

fn root_of(structure: &Props) -> cel::Root {
    if flag(structure, "x-kubernetes-embedded-resource") { cel::Root::Yes } else { cel::Root::No }
}

impl Rule {
    fn new(rule: &Props, declared: Option<&Arc<Declared>>) -> Self {
        let reason = match text(rule, "reason") {
            "FieldValueRequired" => ErrorKind::Required,
            "FieldValueForbidden" => ErrorKind::Forbidden,
            "FieldValueDuplicate" => ErrorKind::Duplicate,
            _ => ErrorKind::Invalid,
        };
        let program = declared.map(|declared| compile(rule, declared, Expressions::Stored));
        let program = program.unwrap_or_else(|| Err("the schema has no type".to_owned()));
        let message_expression = declared
            .filter(|_| !text(rule, "messageExpression").is_empty())
            .and_then(|declared| compile_message(rule, declared, Expressions::Stored).ok());
        Self {
            uses_old: program.as_ref().is_ok_and(|program| program.uses("oldSelf")),
            program,
            message_expression,
            rule: text(rule, "rule").trim().to_owned(),
            message: text(rule, "message").trim().to_owned(),
            field_path: text(rule, "fieldPath").trim().trim_start_matches('.').to_owned(),
            reason,
            optional_old: flag(rule, "optionalOldSelf"),
        }
    }

    /// The rule in messages about the rule itself.
    fn shown(&self) -> &str {
        if self.message.is_empty() { &self.rule } else { &self.message }
    }
}

/// A value on the way through the rules.
#[derive(Clone, Copy)]
struct At<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    /// The nearest value around that can be compared is as it was.
    unchanged: bool,
    /// `old` stands at the same place.
    correlated: bool,
}

struct Run {
    errors: Errors,
    warnings: Vec<String>,
    /// What is left; below nothing no more rules are run.
    budget: i64,
}

impl Run {
    fn node(&mut self, rules: &Rules, at: At<'_>, path: &Path<'_>) {
        if at.value.is_null() || self.budget < 0 {
            return;
        }
        self.expressions(rules, at, path);
        for all in &rules.all_of {
            self.node(all, at, path);
        }
        match at.value {
            Value::Array(items) => self.items(rules, items, (at, path)),
            Value::Object(_) => self.entries(rules, at, path),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn items(&mut self, rules: &Rules, items: &[Value], (at, path): (At<'_>, &Path<'_>)) {
        let Some(of) = &rules.items else { return };
        let before = at.old.and_then(Value::as_array).filter(|_| !rules.list_keys.is_empty());
        for (index, value) in items.iter().enumerate() {
            let same = |old: &&Value| rules.list_keys.iter().all(|key| old.get(key) == value.get(key));
            let old = before.and_then(|before| before.iter().find(same));
            self.node(of, at.below(value, old), &path.index(index));
        }
    }

    fn entries(&mut self, rules: &Rules, at: At<'_>, path: &Path<'_>) {
        for (name, value) in at.value.as_object().into_iter().flatten() {
            let old = at.old.filter(|_| rules.granular).and_then(|old| old.get(name));
            if let Some(of) = rules.properties.get(name) {
                self.node(of, at.below(value, old), &path.child(name));
            } else if let Some(of) = &rules.additional {
                self.node(of, at.below(value, old), &path.key(name));
            }
        }
    }

    fn expressions(&mut self, rules: &Rules, at: At<'_>, path: &Path<'_>) {
        for rule in &rules.rules {
            if self.budget <= 0 {
                self.end(path, &rules.type_name, OUT_OF_BUDGET.to_owned());
                return;
            }
            self.rule(rules, rule, (at, path));
            if self.budget < 0 {
                return;
            }
        }
    }

    /// Nothing more is run.
    fn end(&mut self, path: &Path<'_>, type_name: &str, detail: String) {
        self.fault(path, type_name, detail);
        self.budget = -1;
    }

    fn fault(&mut self, path: &Path<'_>, type_name: &str, detail: String) {
        let mut error = FieldError::invalid(path, type_name, detail);
        named(&mut error);
        self.errors.push(error);
    }

    fn rule(&mut self, rules: &Rules, rule: &Rule, (at, path): (At<'_>, &Path<'_>)) {
        let kind = &rules.type_name;
        let program = match &rule.program {
            Ok(program) => program,
            Err(error) => return self.fault(path, kind, format!("rule compile error: {error}")),
        };
        if rule.uses_old && at.old.is_none() && !rule.optional_old {
            return;
        }
        let activation = activation(rules, rule, at);
        let outcome = program.evaluate(&activation, PER_CALL_LIMIT);
        let cost = i64::try_from(outcome.cost).unwrap_or(i64::MAX);
        if cost > self.budget {
            return self.end(path, kind, OUT_OF_BUDGET.to_owned());
        }
        self.budget -= cost;
        match outcome.value {
            Ok(cel::Value::Bool(true)) => {}
            Ok(_) => self.broken(rules, rule, (at, path, &activation)),
            Err(cel::Error::BudgetExceeded) => {
                let error = cel::Error::BudgetExceeded;
                let detail = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    rule.shown()
                );
                self.end(path, kind, detail);
            }
            Err(error) => {
                let text = error.to_string();
                let shown = rule.shown();
                self.fault(
                    path,
                    kind,
                    match text.starts_with("no such overload") {
                        true => format!(
                            "'{text}': call arguments did not match a supported operator, function or macro signature \
                         for rule: {shown}"
                        ),
                        false => format!("{text} evaluating rule: {shown}"),
                    },
                );
            }
        }
    }

    fn broken(&mut self, rules: &Rules, rule: &Rule, (at, path, activation): (At<'_>, &Path<'_>, &Activation<'_>)) {
        let message = rule.message_expression.as_ref().and_then(|program| self.message(program, activation));
        let detail = message.unwrap_or_else(|| match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.rule),
            message => message.to_owned(),
        });
        let whole = matches!(rules.type_name.as_str(), "object" | "array");
        let (kind, value) = match (rule.reason, whole) {
            (ErrorKind::Invalid, true) => (ErrorKind::InvalidWhole, Value::Null),
            (ErrorKind::Invalid | ErrorKind::Duplicate, _) => (rule.reason, at.value.clone()),
            (reason, _) => (reason, Value::Null),
        };
        let below = path.child(&rule.field_path);
        let place = if rule.field_path.is_empty() { path } else { &below };
        let detail = if kind == ErrorKind::Duplicate { String::new() } else { detail };
        let mut error = FieldError::new(kind, place, value, detail);
        named(&mut error);
        if !rule.uses_old && at.unchanged {
            self.warnings.push(error.to_string());
        } else {
            self.errors.push(error);
        }
    }

    /// What the expression says; nothing when it fails or says nothing that can be shown.
    fn message(&mut self, program: &Program, activation: &Activation<'_>) -> Option<String> {
        let budget = u64::try_from(self.budget).unwrap_or(0).min(PER_CALL_LIMIT);
        let outcome = program.evaluate(activation, budget);
        self.budget = self.budget.saturating_sub(i64::try_from(outcome.cost).unwrap_or(i64::MAX)).max(0);
        let Ok(cel::Value::String(text)) = outcome.value else { return None };
        let text = text.trim();
        (!text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains(['\n', '\r'])).then(|| text.to_owned())
    }
}

/// Errors about a whole object have no field, which upstream prints so.
fn named(error: &mut FieldError) {
    if error.field.is_empty() {
        error.field.push_str("<nil>");
    }
}

fn activation<'a>(rules: &'a Rules, rule: &Rule, at: At<'a>) -> Activation<'a> {
    let new = cel::Value::from_schema(at.value, &rules.schema);
    let old = at.old.filter(|old| !old.is_null()).map(|old| cel::Value::from_schema(old, &rules.schema));
    let activation = Activation::new().with_result("self", new);
    match (old, rule.optional_old) {
        (Some(old), false) => activation.with_result("oldSelf", old),
        (Some(old), true) => activation.with_result("oldSelf", old.map(cel::Value::some)),
        (None, true) => activation.with("oldSelf", cel::Value::Optional(None)),
        (None, false) => activation.with("oldSelf", cel::Value::Null),
    }
}

impl<'a> At<'a> {
    fn below(self, value: &'a Value, old: Option<&'a Value>) -> Self {
        let correlated = self.correlated && old.is_some();
        let unchanged = if correlated { old == Some(value) } else { self.unchanged };
        Self { value, old, unchanged, correlated }
    }
}
