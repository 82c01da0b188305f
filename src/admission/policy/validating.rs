//! Runs the validating policies over one request (apiserver `pkg/admission/plugin/policy/validating/dispatcher.go`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::compile::{Binding, Body, Policy};
use super::params;
use super::scene::{Scene, Stage};
use super::source::Hook;
use super::verdict::{Denial, Verdict, evaluate};
use crate::admission::measures::Check;
use crate::admission::{Attributes, Context, Invocation};
use crate::api::cel::admission::Failure;
use crate::api::status::Cause;
use crate::api::{Object, Reason, Result, Status};

/// How many failures one request's annotation names.
const FAILURES_MAX: usize = 50;
/// The longest annotation of a policy.
const ANNOTATION_BYTES_MAX: usize = 10 * 1024;

/// The annotation that lists what was refused and is only written down.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// What the policies have said so far.
#[derive(Default)]
struct Outcome {
    /// The first refusal: the whole message and the reason.
    denied: Option<(String, String)>,
    failures: Vec<serde_json::Value>,
}

impl Outcome {
    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, (message, reason): (&str, &str)) {
        let whole = || match binding {
            Some(binding) => {
                let (policy, binding) = (&policy.name, &binding.name);
                format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
            }
            None => format!("ValidatingAdmissionPolicy '{}' denied request: {message}", policy.name),
        };
        self.denied.get_or_insert_with(|| (whole(), reason.to_owned()));
    }

    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if policy.failure == Failure::Ignore {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.deny(policy, binding, (&format!("failed to configure {what}: {why}"), ""));
    }
}

/// Lets all policies judge a request.
///
/// # Errors
/// With the first refusal.
pub(super) async fn dispatch(ctx: &Context, attributes: &mut Attributes<'_>, hooks: Arc<Vec<Hook>>) -> Result<()> {
    let mut run = Run { ctx, stage: None, scenes: Vec::new(), outcome: Outcome::default() };
    for hook in hooks.iter() {
        run.policy(attributes, hook).await?;
    }
    let Outcome { denied, mut failures } = run.outcome;
    if !failures.is_empty() {
        failures.truncate(FAILURES_MAX);
        attributes.annotations.push((FAILURES.to_owned(), serde_json::Value::from(failures).to_string()));
    }
    denied.map_or(Ok(()), |(message, reason)| Err(refusal(attributes, &message, &reason)))
}

struct Run<'a> {
    ctx: &'a Context,
    stage: Option<Stage>,
    /// The request in each version that a policy asked for.
    scenes: Vec<Scene>,
    outcome: Outcome,
}

impl Run<'_> {
    async fn policy(&mut self, attributes: &mut Attributes<'_>, hook: &Hook) -> Result<()> {
        let policy = &*hook.policy;
        let found = match &policy.criteria {
            Some(criteria) => criteria.matches(self.ctx, attributes).map_err(|status| status.message().to_owned()),
            None => Err("policy contained no match constraints, a required field".to_owned()),
        };
        let invocation = match found {
            Ok(Some(invocation)) => invocation,
            Ok(None) => return Ok(()),
            Err(why) => {
                self.outcome.misconfigured(policy, None, &why);
                return Ok(());
            }
        };
        let kind = match params::kind(self.ctx, policy) {
            Ok(kind) => kind,
            Err(why) => {
                self.outcome.misconfigured(policy, None, &why);
                return Ok(());
            }
        };
        let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for binding in &hook.bindings {
            let params = match bound(self.ctx, attributes, binding) {
                Ok(true) => {
                    params::collect(self.ctx, (policy, kind.as_deref()), (binding, attributes.namespace())).await
                }
                Ok(false) => continue,
                Err(why) => Err(why),
            };
            match params {
                Err(why) => self.outcome.misconfigured(policy, Some(binding), &why),
                Ok(params) if params.is_empty() => {}
                Ok(params) => {
                    let scene = match self.scene(attributes, &invocation).await {
                        Ok(scene) => scene,
                        Err(status) => {
                            let why = format!("failed to convert object version: {}", status.message());
                            self.outcome.misconfigured(policy, Some(binding), &why);
                            continue;
                        }
                    };
                    for param in params {
                        let verdict = self.evaluate(attributes, (policy, scene), param.as_ref()).await?;
                        self.act(attributes, (policy, binding), (verdict, &mut annotations));
                    }
                }
            }
        }
        for (key, values) in annotations {
            attributes.annotations.push((format!("{}/{key}", policy.name), values.join(", ")));
        }
        Ok(())
    }

    /// The place of the request in a version, which is made for the first policy that asks for it.
    async fn scene(&mut self, attributes: &Attributes<'_>, invocation: &Invocation) -> Result<usize> {
        if let Some(at) = self.scenes.iter().position(|scene| scene.kind.gvk == invocation.kind.gvk) {
            return Ok(at);
        }
        self.scenes.push(Scene::new(self.ctx, attributes, invocation).await?);
        Ok(self.scenes.len() - 1)
    }

    async fn evaluate(
        &mut self,
        attributes: &Attributes<'_>,
        (policy, scene): (&Policy, usize),
        params: Option<&Object>,
    ) -> Result<Verdict> {
        let Body::Validating { validations, annotations } = &policy.body else { return Ok(Verdict::default()) };
        if self.stage.is_none() {
            self.stage = Some(Stage::new(self.ctx, attributes)?);
        }
        let (Some(stage), Some(scene)) = (&self.stage, self.scenes.get(scene)) else { return Ok(Verdict::default()) };
        let began = self.ctx.clock.monotonic();
        let judged = || evaluate(policy, (validations, annotations), (stage, scene), params);
        let verdict = stage.settled(judged).await;
        Ok(Verdict { took: self.ctx.clock.monotonic().saturating_sub(began), ..verdict })
    }

    fn act(
        &mut self,
        attributes: &mut Attributes<'_>,
        (policy, binding): (&Policy, &Binding),
        (verdict, annotations): (Verdict, &mut BTreeMap<String, Vec<String>>),
    ) {
        for denial in &verdict.denials {
            for action in &binding.actions {
                self.count((policy, binding), (action, denial), verdict.took);
                self.enforce(attributes, (policy, binding), (action, denial));
            }
        }
        for (key, mut value) in verdict.annotations {
            let end = (0..=ANNOTATION_BYTES_MAX.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
            value.truncate(end.unwrap_or(0));
            let values = annotations.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        for error in &verdict.errors {
            self.ctx.measures.policies.observe(check((policy, binding), ("deny", true)), verdict.took.as_secs_f64());
            self.outcome.deny(policy, Some(binding), (error, ""));
        }
    }

    fn count(&self, of: (&Policy, &Binding), (action, denial): (&str, &Denial), took: Duration) {
        let action = match action {
            "Deny" => "deny",
            "Warn" => "warn",
            "Audit" => "audit",
            _ => return,
        };
        self.ctx.measures.policies.observe(check(of, (action, denial.failed)), took.as_secs_f64());
    }

    fn enforce(
        &mut self,
        attributes: &mut Attributes<'_>,
        (policy, binding): (&Policy, &Binding),
        (action, denial): (&str, &Denial),
    ) {
        match action {
            "Deny" => self.outcome.deny(policy, Some(binding), (&denial.message, &denial.reason)),
            "Warn" => attributes.warnings.push(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                policy.name, binding.name, denial.message
            )),
            "Audit" => self.outcome.failures.push(json!({ "message": denial.message, "policy": binding.policy,
                "binding": binding.name, "expressionIndex": denial.index, "validationActions": binding.actions })),
            _ => {}
        }
    }
}

/// What came of an expression, as it is counted: what was done, and whether it could not be evaluated.
fn check((policy, binding): (&Policy, &Binding), (action, failed): (&'static str, bool)) -> Check {
    let error = if failed { "invalid_error" } else { "no_error" };
    Check { policy: policy.name.clone(), binding: binding.name.clone(), error, action }
}

/// Whether a binding is meant for a request.
///
/// # Errors
/// In upstream's words, for a binding that cannot be applied.
pub(super) fn bound(
    ctx: &Context,
    attributes: &Attributes<'_>,
    binding: &Binding,
) -> std::result::Result<bool, String> {
    let Some(criteria) = &binding.criteria else { return Ok(true) };
    criteria.matches(ctx, attributes).map(|found| found.is_some()).map_err(|status| status.message().to_owned())
}

fn refusal(attributes: &Attributes<'_>, message: &str, reason: &str) -> Status {
    let forbidden = attributes.forbidden(message);
    let (code, reason) = match reason {
        "Forbidden" => (403, Reason::Forbidden),
        "Unauthorized" => (401, Reason::Unauthorized),
        "RequestEntityTooLarge" => (413, Reason::RequestEntityTooLarge),
        _ => (422, Reason::Invalid),
    };
    let details = forbidden.details().cloned().unwrap_or_default();
    let cause = Cause { message: message.to_owned(), ..Cause::default() };
    Status::new(code, reason, forbidden.message()).with_details(details).with_cause(cause)
}
