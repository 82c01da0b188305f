//! What one policy says of one request with one parameter (apiserver `pkg/admission/plugin/policy/validating/
//! validator.go`).

use std::time::Duration;

use super::compile::{Annotation, Policy, Validation};
use super::scene::{Scene, Stage};
use crate::api::Object;
use crate::api::cel::admission::{Evaluation, Failure, Inputs, OUT_OF_BUDGET};
use crate::api::cel::{RUNTIME_COST_BUDGET, Value};

/// The longest message that an expression may give.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// What a policy says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Of each validation that refuses the request: which, why and with which reason (empty: `Invalid`).
    pub denials: Vec<Denial>,
    /// Key and value.
    pub annotations: Vec<(String, String)>,
    /// Annotations that failed, which refuses the request whatever the binding says.
    pub errors: Vec<String>,
    /// How long it took to say it.
    pub took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub index: usize,
    pub message: String,
    pub reason: String,
    /// Whether the policy could not be evaluated, rather than saying no.
    pub failed: bool,
}

impl Verdict {
    /// The one answer of a policy that could not be evaluated.
    fn failed(policy: &Policy, message: String) -> Self {
        let denial = Denial { index: 0, message, reason: String::new(), failed: true };
        let fails = policy.failure == Failure::Fail;
        Self { denials: fails.then_some(denial).into_iter().collect(), ..Self::default() }
    }
}

/// Evaluates a policy.
pub(super) fn evaluate(
    policy: &Policy,
    (validations, annotations): (&[Validation], &[Annotation]),
    (stage, scene): (&Stage, &Scene),
    params: Option<&Object>,
) -> Verdict {
    match policy.conditions.matches(&policy.variables, &scene.conditions(stage, params)) {
        Err(message) => return Verdict::failed(policy, message),
        Ok(false) => return Verdict::default(),
        Ok(true) => {}
    }
    let inputs = scene.inputs(stage, params);
    let denials = match judge(policy, validations, &inputs) {
        Ok(denials) => denials,
        Err(ended) => return Verdict::failed(policy, ended.to_owned()),
    };
    let without_authorizer = Inputs { authorizer: None, ..inputs };
    match annotate(policy, annotations, &without_authorizer) {
        Ok((annotations, errors)) => Verdict { denials, annotations, errors, ..Verdict::default() },
        Err(ended) => Verdict::failed(policy, ended.to_owned()),
    }
}

fn judge(policy: &Policy, validations: &[Validation], inputs: &Inputs<'_>) -> Result<Vec<Denial>, &'static str> {
    let activation = inputs.activation();
    let mut evaluation = Evaluation::new(&policy.variables, &activation, RUNTIME_COST_BUDGET);
    let mut values = Vec::with_capacity(validations.len());
    for validation in validations {
        values.push(evaluation.run(&validation.expression)?);
    }
    let messages = messages(policy, validations, (inputs, evaluation.budget()));
    let mut denials = Vec::new();
    for (index, (validation, value)) in validations.iter().zip(values).enumerate() {
        let fails = |message: String| {
            (policy.failure == Failure::Fail).then(|| Denial { index, message, reason: String::new(), failed: true })
        };
        denials.extend(match (value, &messages) {
            (Err(error), _) => fails(error),
            (Ok(_), Err(ended)) => fails(format!("failed messageExpression: {ended}")),
            (Ok(Value::Bool(true)), Ok(_)) => None,
            (Ok(_), Ok(messages)) => {
                let given = messages.get(index).and_then(Option::as_deref);
                let (message, reason) = (message(validation, given), validation.reason.clone());
                Some(Denial { index, message, reason, failed: false })
            }
        });
    }
    Ok(denials)
}

/// The messages that expressions give; upstream evaluates all of them, also those that nobody will see.
fn messages(
    policy: &Policy,
    validations: &[Validation],
    (inputs, budget): (&Inputs<'_>, u64),
) -> Result<Vec<Option<String>>, &'static str> {
    let activation = Inputs { authorizer: None, ..*inputs }.activation();
    let mut evaluation = Evaluation::new(&policy.variables, &activation, budget);
    let mut messages = Vec::with_capacity(validations.len());
    for validation in validations {
        let Some(expression) = &validation.message_expression else {
            messages.push(None);
            continue;
        };
        messages.push(match evaluation.run(expression)? {
            Ok(Value::String(text)) => Some(text.trim().to_owned()),
            Ok(_) | Err(_) => None,
        });
    }
    Ok(messages)
}

fn message(validation: &Validation, given: Option<&str>) -> String {
    let usable = given.filter(|text| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n'));
    let fixed = Some(validation.message.trim()).filter(|text| !text.is_empty());
    match usable.or(fixed) {
        Some(text) => text.to_owned(),
        None => format!("failed expression: {}", validation.expression.source.trim()),
    }
}

type Annotated = (Vec<(String, String)>, Vec<String>);

fn annotate(policy: &Policy, annotations: &[Annotation], inputs: &Inputs<'_>) -> Result<Annotated, &'static str> {
    let activation = inputs.activation();
    let mut evaluation = Evaluation::new(&policy.variables, &activation, RUNTIME_COST_BUDGET);
    let (mut published, mut errors) = (Vec::new(), Vec::new());
    for annotation in annotations {
        match evaluation.run(&annotation.value).map_err(|_| OUT_OF_BUDGET)? {
            Ok(Value::String(text)) if !text.trim().is_empty() => {
                published.push((annotation.key.clone(), text.trim().to_owned()));
            }
            Ok(_) => {}
            Err(error) if policy.failure == Failure::Fail => errors.push(error),
            Err(_) => {}
        }
    }
    Ok((published, errors))
}
