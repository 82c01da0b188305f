//! What a mutation makes of an object (apiserver `pkg/admission/plugin/policy/mutating/patch`).

use serde_json::Value as Json;

use super::compile::{Mutation, Policy};
use crate::api::apply::{Root, configure, refuse_texts};
use crate::api::cel::admission::{Compiled, Evaluation, Inputs, configuration, patches};
use crate::api::cel::{RUNTIME_COST_BUDGET, Value};
use crate::api::{Object, Status, patch};
use crate::resources::Kind;

/// Why there is no changed object.
#[derive(Debug)]
pub(super) enum Failure {
    /// The failure policy decides.
    Policy(String),
    /// It ends the request.
    Refused(Status),
}

/// The object as a mutation makes it, in the version of the kind and before defaulting.
pub(super) fn apply(
    policy: &Policy,
    mutation: &Mutation,
    inputs: &Inputs<'_>,
    (kind, subresource): (&Kind, &str),
) -> Result<Object, Failure> {
    let Some(object) = inputs.object else { return Err(Failure::Policy("there is no object".to_owned())) };
    match mutation {
        Mutation::ApplyConfiguration(expression) => evaluate(policy, expression, inputs, &|value| {
            let config = configuration(value).map_err(Failure::Policy)?;
            merge(object, config, (kind, subresource))
        }),
        Mutation::JsonPatch(expression) => evaluate(policy, expression, inputs, &|value| {
            let operations = patches(value).map_err(Failure::Policy)?;
            run(object, operations, (kind, subresource))
        }),
    }
}

type Make<'m> = dyn Fn(&Value<'_>) -> Result<Object, Failure> + 'm;

fn evaluate(policy: &Policy, expression: &Compiled, inputs: &Inputs<'_>, make: &Make<'_>) -> Result<Object, Failure> {
    if let Err(error) = &expression.program {
        return Err(Failure::Policy(error.detail.clone()));
    }
    let activation = inputs.activation();
    let mut evaluation = Evaluation::new(&policy.variables, &activation, RUNTIME_COST_BUDGET);
    match evaluation.run(expression) {
        Ok(Ok(value)) => make(&value),
        Ok(Err(why)) => Err(Failure::Policy(why)),
        Err(ended) => Err(Failure::Policy(ended.to_owned())),
    }
}

fn merge(
    object: &Object,
    config: serde_json::Map<String, Json>,
    (kind, subresource): (&Kind, &str),
) -> Result<Object, Failure> {
    let mut config = Json::Object(config);
    refuse_texts(&mut config);
    let mut config = Object::from_value(config).unwrap_or_default();
    config.set_gvk(&object.gvk());
    // What is sent to a subresource with a type of its own is merged as its values are.
    let of_kind = *kind.payload(subresource) == kind.gvk;
    let root = if of_kind { kind.root() } else { Root::deduced(&kind.types) };
    let merged = configure(root, object, &config);
    merged.map_err(|why| Failure::Policy(format!("error applying patch: {why}")))
}

fn run(object: &Object, operations: Json, (kind, subresource): (&Kind, &str)) -> Result<Object, Failure> {
    let patched = match patch::apply_operations(object, operations) {
        Ok(patched) => patched,
        // A test that fails means that there is nothing to do.
        Err(why) if why.ends_with(": test failed") => return Ok(object.clone()),
        Err(why) => return Err(Failure::Policy(format!("JSON Patch: {why}"))),
    };
    let internal = |why: &dyn std::fmt::Display| Failure::Refused(Status::internal(why));
    let mut patched = patched;
    refuse_texts(&mut patched);
    if *kind.payload(subresource) == kind.gvk {
        let unknown = kind.behaviour.fit(kind, &mut patched).map_err(|error| internal(&error))?;
        if !kind.is_custom() && !unknown.is_empty() {
            let unknown = crate::api::codec::json::strict_errors(b"", &unknown, &[]);
            return Err(internal(&format!("strict decoding error: {}", unknown.join(", "))));
        }
    }
    let mut patched = Object::from_value(patched).map_err(|_| internal(&"an object is expected"))?;
    patched.set_gvk(&object.gvk());
    Ok(patched)
}
