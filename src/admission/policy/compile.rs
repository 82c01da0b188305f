//! Policies and bindings as they are used: read from their objects, with all expressions compiled.

use serde_json::Value;

use super::params;
use crate::admission::matching::Criteria;
use crate::api::GroupVersionKind;
use crate::api::cel::Expressions;
use crate::api::cel::admission::{Compiled, Compiler, Composition, Declarations, Failure, MatchConditions, Returns};
use crate::api::labels::Selector;

/// A compiled policy.
pub(super) struct Policy {
    pub name: String,
    /// `None` when the policy has none, which is an error of its own.
    pub criteria: Option<Criteria>,
    pub param_kind: Option<GroupVersionKind>,
    /// Parameters that a webhook converted.
    pub converted: params::Converted,
    pub failure: Failure,
    pub variables: Composition,
    pub conditions: MatchConditions,
    pub body: Body,
}

/// What a policy does with a request that it is meant for.
pub(super) enum Body {
    Validating { validations: Vec<Validation>, annotations: Vec<Annotation> },
    Mutating { mutations: Vec<Mutation>, reinvoked: bool },
}

/// One of `validations`.
pub(super) struct Validation {
    pub expression: Compiled,
    pub message: String,
    pub message_expression: Option<Compiled>,
    /// Empty: `Invalid`.
    pub reason: String,
}

/// One of `auditAnnotations`.
pub(super) struct Annotation {
    pub key: String,
    pub value: Compiled,
}

/// One of `mutations`.
pub(super) enum Mutation {
    ApplyConfiguration(Compiled),
    JsonPatch(Compiled),
}

/// A binding.
pub(super) struct Binding {
    pub name: String,
    pub policy: String,
    /// `None`: all that the policy is meant for.
    pub criteria: Option<Criteria>,
    pub params: Option<ParamRef>,
    pub actions: Vec<String>,
}

/// Which objects are the parameters.
pub(super) struct ParamRef {
    pub name: String,
    pub namespace: String,
    pub selector: Option<Result<Selector, String>>,
    pub denies_absence: bool,
}

/// Compiles a `ValidatingAdmissionPolicy`.
pub(super) fn validating(name: &str, policy: &Value) -> Policy {
    compile(name, policy, |spec, compiler, declarations| {
        let messages = Declarations { authorizer: false, ..declarations };
        let of = |source: &str, returns, declarations| {
            compiler.compile(source, returns, (declarations, Expressions::Stored))
        };
        let validation = |validation: &Value| {
            let message_expression = Some(text(validation, "messageExpression")).filter(|source| !source.is_empty());
            Validation {
                expression: of(text(validation, "expression"), Returns::Bool, declarations),
                message: text(validation, "message").to_owned(),
                message_expression: message_expression.map(|source| of(source, Returns::String, messages)),
                reason: text(validation, "reason").to_owned(),
            }
        };
        let annotation = |annotation: &Value| Annotation {
            key: text(annotation, "key").to_owned(),
            value: of(text(annotation, "valueExpression"), Returns::StringOrNull, declarations),
        };
        Body::Validating {
            validations: list(spec, "validations").map(validation).collect(),
            annotations: list(spec, "auditAnnotations").map(annotation).collect(),
        }
    })
}

/// Compiles a `MutatingAdmissionPolicy`.
pub(super) fn mutating(name: &str, policy: &Value) -> Policy {
    compile(name, policy, |spec, compiler, declarations| {
        let how = (Declarations { patch_types: true, ..declarations }, Expressions::Stored);
        let mutation = |mutation: &Value| {
            let source = |key: &str| mutation.get(key).map(|of| text(of, "expression"));
            match text(mutation, "patchType") {
                "JSONPatch" => source("jsonPatch")
                    .map(|source| Mutation::JsonPatch(compiler.compile(source, Returns::Patches, how))),
                "ApplyConfiguration" => source("applyConfiguration")
                    .map(|source| Mutation::ApplyConfiguration(compiler.compile(source, Returns::Configuration, how))),
                _ => None,
            }
        };
        Body::Mutating {
            mutations: list(spec, "mutations").filter_map(mutation).collect(),
            reinvoked: text(spec, "reinvocationPolicy") == "IfNeeded",
        }
    })
}

fn compile(name: &str, policy: &Value, body: impl FnOnce(&Value, &Compiler, Declarations) -> Body) -> Policy {
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let param_kind = spec.get("paramKind").filter(|kind| kind.is_object());
    let param_kind = param_kind.map(|kind| GroupVersionKind::parse(text(kind, "apiVersion"), text(kind, "kind")));
    let declarations = Declarations { params: param_kind.is_some(), authorizer: true, patch_types: false };
    let failure = Failure::of(spec.get("failurePolicy").and_then(Value::as_str));
    let mut compiler = Compiler::composing();
    let variables: Composition = list(spec, "variables")
        .map(|variable| {
            let name = text(variable, "name");
            let how = (declarations, Expressions::Stored);
            (name.to_owned(), compiler.variable(name, text(variable, "expression"), how))
        })
        .collect();
    let sources = list(spec, "matchConditions").map(|condition| text(condition, "expression"));
    let conditions = MatchConditions::new(&compiler, sources, (declarations, failure));
    let body = body(spec, &compiler, declarations);
    Policy {
        name: name.to_owned(),
        criteria: spec.get("matchConstraints").filter(|of| of.is_object()).map(Criteria::of_policy),
        param_kind,
        converted: params::Converted::default(),
        failure,
        variables,
        conditions,
        body,
    }
}

impl Binding {
    /// Reads a binding of either sort.
    pub(super) fn new(name: &str, binding: &Value) -> Self {
        let spec = binding.get("spec").unwrap_or(&Value::Null);
        let actions = list(spec, "validationActions").filter_map(|action| action.as_str().map(str::to_owned));
        Self {
            name: name.to_owned(),
            policy: text(spec, "policyName").to_owned(),
            criteria: spec.get("matchResources").filter(|of| of.is_object()).map(Criteria::of_policy),
            params: spec.get("paramRef").filter(|of| of.is_object()).map(ParamRef::new),
            actions: actions.collect(),
        }
    }
}

impl ParamRef {
    fn new(reference: &Value) -> Self {
        let selector = reference.get("selector").filter(|of| of.is_object());
        Self {
            name: text(reference, "name").to_owned(),
            namespace: text(reference, "namespace").to_owned(),
            selector: selector.map(|selector| Selector::from_label_selector(Some(selector))),
            denies_absence: text(reference, "parameterNotFoundAction") == "Deny",
        }
    }
}

fn text<'a>(holder: &'a Value, key: &str) -> &'a str {
    holder.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(holder: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    holder.get(key).and_then(Value::as_array).into_iter().flatten()
}
