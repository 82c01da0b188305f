//! Validation of ValidatingAdmissionPolicies and MutatingAdmissionPolicies, in upstream's order and words.

use serde_json::Value;

use super::condition_validation::{Before, age, expressions, fault, validate_conditions};
use super::rule_validation::{mutable_operations, validate_match};
use crate::api::Object;
use crate::api::cel::KEYWORDS;
use crate::api::cel::admission::{Compiler, Declarations, Returns};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::json_path::JsonPath;
use crate::api::validation::names::{dns1035_label, dns1123_subdomain, qualified_name};
use crate::resources::check::{choice, invalid_as, messages, required_choice};
use crate::resources::conditions::validate_conditions as validate_status_conditions;
use crate::resources::tree::{Tree, child, count, is_set, items, text};

const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_BYTES_MAX: usize = 5 << 10;
const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const SPECIFIED: &str = "expression is not specified";

/// What a policy can name in its expressions, and what it said before.
struct Policy<'a> {
    name: &'a str,
    spec: &'a Tree,
    params: bool,
    /// Parameters and match conditions are as they were.
    conditions_unchanged: bool,
    before: Known<'a>,
}

/// The expressions that a policy had, by what they are for.
#[derive(Default)]
struct Known<'a> {
    conditions: Before<'a>,
    validations: Before<'a>,
    messages: Before<'a>,
    annotations: Before<'a>,
    configurations: Before<'a>,
}

fn spec(object: &Object) -> Option<&Tree> {
    child(object.root(), "spec")
}

impl<'a> Policy<'a> {
    fn new(object: &'a Object, old: Option<&'a Object>, empty: &'a Tree) -> Self {
        let of = spec(object).unwrap_or(empty);
        let before = old.and_then(spec);
        let same = |key: &str| before.is_some_and(|before| before.get(key) == of.get(key));
        let said = |list: &str, key: &str| -> Before<'a> {
            before.into_iter().flat_map(|before| items(before, list)).map(|item| text(item, key)).collect()
        };
        let configurations = before.into_iter().flat_map(|before| items(before, "mutations"));
        let configurations = configurations.filter_map(|mutation| child(mutation, "applyConfiguration"));
        Self {
            name: object.name(),
            spec: of,
            params: is_set(of, "paramKind"),
            conditions_unchanged: same("paramKind") && same("matchConditions"),
            before: Known {
                conditions: expressions(before.into_iter()),
                validations: said("validations", "expression"),
                messages: said("validations", "messageExpression"),
                annotations: said("auditAnnotations", "valueExpression"),
                configurations: configurations.map(|of| text(of, "expression")).collect(),
            },
        }
    }

    fn declarations(&self) -> Declarations {
        Declarations { params: self.params, authorizer: true, patch_types: false }
    }

    /// What both kinds of policies have, up to the variables.
    fn head(&self, errors: &mut Errors, path: &Path<'_>) {
        let at = path.child("failurePolicy");
        match self.spec.get("failurePolicy").and_then(Value::as_str) {
            None => errors.push(FieldError::required(&at, "")),
            Some(policy) => choice(errors, policy, &at, &FAILURE_POLICIES),
        }
        if let Some(kind) = child(self.spec, "paramKind") {
            param_kind(errors, kind, &path.child("paramKind"));
        }
        let at = path.child("matchConstraints");
        match child(self.spec, "matchConstraints") {
            None => errors.push(FieldError::required(&at, "")),
            Some(constraints) => {
                validate_match(errors, constraints, &at);
                if count(constraints, "resourceRules") == 0 {
                    errors.push(FieldError::required(&at.child("resourceRules"), ""));
                }
            }
        }
    }

    fn conditions(&self, errors: &mut Errors, path: &Path<'_>) {
        if !self.conditions_unchanged {
            let how = (self.params, &self.before.conditions);
            validate_conditions(errors, self.spec, how, &path.child("matchConditions"));
        }
    }

    fn variables(&self, errors: &mut Errors, compiler: &mut Compiler, path: &Path<'_>) {
        let list = path.child("variables");
        for (i, variable) in items(self.spec, "variables").enumerate() {
            let at = list.index(i);
            let (name, expression) = (text(variable, "name"), text(variable, "expression"));
            if name.trim().is_empty() {
                errors.push(FieldError::required(&at.child("name"), "name is not specified"));
            } else if !is_identifier(name) {
                errors.push(FieldError::invalid(&at.child("name"), name, "must be a valid CEL identifier"));
            }
            if expression.trim().is_empty() {
                errors.push(FieldError::required(&at.child("expression"), SPECIFIED));
                continue;
            }
            let how = (self.declarations(), age(&self.before.validations, expression));
            let compiled = compiler.variable(name, expression, how);
            errors.extend(compiled.program.err().map(|error| fault(&at.child("expression"), expression, error)));
        }
    }

    fn validation(&self, errors: &mut Errors, (validation, compiler): (&Tree, &Compiler), path: &Path<'_>) {
        let of = |key: &str| text(validation, key);
        let (expression, at) = (of("expression"), path.child("expression"));
        if expression.trim().is_empty() {
            errors.push(FieldError::required(&at, SPECIFIED));
        } else {
            let how = (self.declarations(), age(&self.before.validations, expression));
            let compiled = compiler.compile(expression, Returns::Bool, how);
            errors.extend(compiled.program.err().map(|error| fault(&at, expression, error)));
        }
        let (expression, at) = (of("messageExpression"), path.child("messageExpression"));
        if !expression.is_empty() && expression.trim().is_empty() {
            errors.push(FieldError::invalid(&at, expression, "must be non-empty if specified"));
        } else if !expression.is_empty() {
            let declarations = Declarations { authorizer: false, ..self.declarations() };
            let how = (declarations, age(&self.before.messages, expression));
            let compiled = compiler.compile(expression, Returns::String, how);
            errors.extend(compiled.program.err().map(|error| fault(&at, expression, error)));
        }
        let (message, at) = (of("message"), path.child("message"));
        if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(&at, message, "must be non-empty if specified"));
        } else if message.trim().contains(['\n', '\r']) {
            errors.push(FieldError::invalid(&at, message, "must not contain line breaks"));
        }
        if is_set(validation, "reason") {
            choice(errors, of("reason"), &path.child("reason"), &REASONS);
        }
    }

    fn annotations(&self, errors: &mut Errors, compiler: &Compiler, path: &Path<'_>) {
        let list = path.child("auditAnnotations");
        if count(self.spec, "auditAnnotations") > ANNOTATIONS_MAX {
            let given = self.spec.get("auditAnnotations").cloned().unwrap_or(Value::Null);
            let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
            errors.push(invalid_as(&list, given, "io.k8s.api.admissionregistration.v1.AuditAnnotation", &detail));
        }
        let mut seen: Vec<&str> = Vec::new();
        for (i, annotation) in items(self.spec, "auditAnnotations").enumerate() {
            let at = list.index(i);
            let key = text(annotation, "key");
            self.annotation(errors, (annotation, compiler), &at);
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&at.child("key"), key));
            }
            seen.push(key);
        }
    }

    fn annotation(&self, errors: &mut Errors, (annotation, compiler): (&Tree, &Compiler), path: &Path<'_>) {
        let (key, at) = (text(annotation, "key"), path.child("key"));
        if self.name.is_empty() {
            errors.push(FieldError::invalid(&at, key, "requires metadata.name be non-empty"));
        } else {
            let whole = format!("{}/{key}", self.name);
            messages(errors, &at, whole.as_str(), qualified_name(&whole));
        }
        let (given, at) = (text(annotation, "valueExpression"), path.child("valueExpression"));
        let expression = given.trim();
        if expression.is_empty() {
            errors.push(FieldError::required(&at, "valueExpression is not specified"));
        } else if expression.len() > ANNOTATION_BYTES_MAX {
            let detail = format!("must not exceed {ANNOTATION_BYTES_MAX} bytes in length");
            errors.push(FieldError::required(&at, detail));
        } else {
            let how = (self.declarations(), age(&self.before.annotations, given));
            let compiled = compiler.compile(expression, Returns::StringOrNull, how);
            errors.extend(compiled.program.err().map(|error| fault(&at, given, error)));
        }
    }

    fn mutation(&self, errors: &mut Errors, (mutation, compiler): (&Tree, &Compiler), path: &Path<'_>) {
        const WAYS: [(&str, &str, Returns); 2] = [
            ("JSONPatch", "jsonPatch", Returns::Patches),
            ("ApplyConfiguration", "applyConfiguration", Returns::Configuration),
        ];
        let kind = text(mutation, "patchType");
        let Some((_, own, returns)) = WAYS.iter().find(|(name, _, _)| *name == kind) else {
            return required_choice(errors, kind, &path.child("patchType"), &["ApplyConfiguration", "JSONPatch"]);
        };
        let at = path.child(own);
        match child(mutation, own) {
            None => errors.push(FieldError::required(&at, format!("must be specified when patchType is {kind}"))),
            Some(way) => {
                let given = text(way, "expression");
                let (expression, at) = (given.trim(), at.child("expression"));
                if expression.is_empty() {
                    errors.push(FieldError::required(&at, ""));
                } else {
                    let declarations = Declarations { patch_types: true, ..self.declarations() };
                    let how = (declarations, age(&self.before.configurations, given));
                    let compiled = compiler.compile(expression, *returns, how);
                    errors.extend(compiled.program.err().map(|error| fault(&at, expression, error)));
                }
            }
        }
        for (_, other, _) in WAYS.iter().filter(|(name, other, _)| *name != kind && is_set(mutation, other)) {
            let detail = format!("must not be specified when patchType is {kind}");
            errors.push(FieldError::invalid(&path.child(other), format!("{{{other}}}"), detail));
        }
    }
}

/// A ValidatingAdmissionPolicy, new or changed.
pub(super) fn validate_validating(object: &Object, old: Option<&Object>) -> Errors {
    const NOTHING: &str = "validations or auditAnnotations must contain at least one item";
    let (mut errors, empty) = (Errors::new(), Tree::new());
    let policy = Policy::new(object, old, &empty);
    let path = Path::new("spec");
    policy.head(&mut errors, &path);
    policy.conditions(&mut errors, &path);
    let composes = count(policy.spec, "variables") > 0;
    let mut compiler = if composes { Compiler::composing() } else { Compiler::plain() };
    policy.variables(&mut errors, &mut compiler, &path);
    if count(policy.spec, "validations") == 0 && count(policy.spec, "auditAnnotations") == 0 {
        errors.push(FieldError::required(&path.child("validations"), NOTHING));
        errors.push(FieldError::required(&path.child("auditAnnotations"), NOTHING));
    }
    let list = path.child("validations");
    for (i, validation) in items(policy.spec, "validations").enumerate() {
        policy.validation(&mut errors, (validation, &compiler), &list.index(i));
    }
    policy.annotations(&mut errors, &compiler, &path);
    errors
}

/// A MutatingAdmissionPolicy, new or changed.
pub(super) fn validate_mutating(object: &Object, old: Option<&Object>) -> Errors {
    let (mut errors, empty) = (Errors::new(), Tree::new());
    let policy = Policy::new(object, old, &empty);
    let path = Path::new("spec");
    policy.head(&mut errors, &path);
    if let Some(constraints) = child(policy.spec, "matchConstraints") {
        mutable_operations(&mut errors, constraints, &path.child("matchConstraints"));
    }
    policy.conditions(&mut errors, &path);
    let mut compiler = Compiler::composing();
    policy.variables(&mut errors, &mut compiler, &path);
    let list = path.child("mutations");
    if count(policy.spec, "mutations") == 0 {
        errors.push(FieldError::required(&list, "mutations must contain at least one item"));
    }
    for (i, mutation) in items(policy.spec, "mutations").enumerate() {
        policy.mutation(&mut errors, (mutation, &compiler), &list.index(i));
    }
    let reinvocation = text(policy.spec, "reinvocationPolicy");
    required_choice(&mut errors, reinvocation, &path.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
    errors
}

/// The status that type checking writes.
pub(super) fn validate_status(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(status) = child(new.root(), "status") else { return errors };
    let path = Path::new("status");
    if let Some(checking) = child(status, "typeChecking") {
        let at = path.child("typeChecking");
        let list = at.child("expressionWarnings");
        for (i, warning) in items(checking, "expressionWarnings").enumerate() {
            let at = list.index(i);
            if text(warning, "warning").is_empty() {
                errors.push(FieldError::required(&at.child("warning"), ""));
            }
            field_reference(&mut errors, text(warning, "fieldRef").trim(), &at.child("fieldRef"));
        }
    }
    validate_status_conditions(&mut errors, status, &path.child("conditions"));
    errors
}

fn field_reference(errors: &mut Errors, reference: &str, path: &Path<'_>) {
    if reference.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if JsonPath::parse(reference).is_none() {
        errors.push(FieldError::invalid(path, reference, "invalid JSONPath: it is not understood"));
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !KEYWORDS.contains(&name)
}

/// The kind of a policy's parameters.
fn param_kind(errors: &mut Errors, kind: &Tree, path: &Path<'_>) {
    let (given, at) = (text(kind, "apiVersion"), path.child("apiVersion"));
    let mut refuse = |value: &str, detail: String| errors.push(FieldError::invalid(&at, value, detail));
    match given.split('/').collect::<Vec<_>>()[..] {
        _ if given.is_empty() => errors.push(FieldError::required(&at, "")),
        [_] | [_, _] => {
            let (group, version) = given.split_once('/').unwrap_or(("", given));
            let wrong = dns1123_subdomain(group);
            if !group.is_empty() && !wrong.is_empty() {
                refuse(group, wrong.join(","));
            }
            let wrong = dns1035_label(version);
            if version.is_empty() {
                refuse(given, "version must be specified".to_owned());
            } else if !wrong.is_empty() {
                refuse(version, wrong.join(","));
            }
        }
        _ => refuse(given, format!("unexpected GroupVersion string: {given}")),
    }
    let (given, at) = (text(kind, "kind"), path.child("kind"));
    let wrong = dns1035_label(&given.to_lowercase());
    if given.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !wrong.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(FieldError::invalid(&at, given, detail));
    }
}
