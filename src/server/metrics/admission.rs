//! What is counted of admission (apiserver `pkg/admission/metrics`, `pkg/admission/plugin/policy/validating/metrics`).

use std::collections::BTreeMap;

use super::text::{Text, quoted};
use crate::admission::Operation;
use crate::admission::measures::{Check, Phase, Step, Verdict};
use crate::server::Server;

pub(super) fn write(text: &mut Text, server: &Server) {
    let registry = &server.parts().registry;
    let measures = &registry.context().measures;
    let name = "apiserver_admission_controller_admission_duration_seconds";
    text.metric(name, "histogram", "How long admission plugins took.");
    let plugins = registry.plugins();
    for ((place, step), took) in measures.plugins.rows() {
        let plugin = plugins.get(place).map_or("", |plugin| plugin.name());
        text.histogram(name, &format!("name=\"{plugin}\",{}", labels(step)), &took);
    }
    let name = "apiserver_admission_step_admission_duration_seconds";
    text.metric(name, "histogram", "How long the phases of admission took.");
    measures.phases.rows().iter().for_each(|(step, took)| text.histogram(name, &labels(*step), took));
    webhooks(text, server);
    let rows = measures.policies.rows();
    let checks: Vec<_> = rows.iter().map(|(check, took)| (of_check(check), took)).collect();
    let name = "apiserver_validating_admission_policy_check_duration_seconds";
    text.metric(name, "histogram", "How long policies took that had something to say.");
    checks.iter().for_each(|(labels, took)| text.histogram(name, labels, took));
    let name = "apiserver_validating_admission_policy_check_total";
    text.metric(name, "counter", "What policies had to say, by what was done about it.");
    checks.iter().for_each(|(labels, took)| text.count(name, labels, took.count()));
    pod_security(text, server);
}

fn pod_security(text: &mut Text, server: &Server) {
    let name = "pod_security_evaluations_total";
    text.metric(name, "counter", "What the standards of namespaces said of pods.");
    let mut rows: BTreeMap<_, _> = server.parts().registry.context().measures.pod_security.rows().into_iter().collect();
    // Upstream tells of what is most common from the beginning.
    for operation in [Operation::Create, Operation::Update] {
        rows.entry(Verdict::unlimited(operation)).or_default();
    }
    for (verdict, count) in rows {
        let Verdict { allowed, mode, level, version, operation, resource, subresource } = verdict;
        let decision = if allowed { "allow" } else { "deny" };
        let operation = operation.as_str().to_lowercase();
        let labels = format!(
            "decision=\"{decision}\",mode=\"{mode}\",policy_level=\"{level}\",policy_version=\"{version}\",\
             request_operation=\"{operation}\",resource=\"{resource}\",subresource=\"{subresource}\""
        );
        text.count(name, &labels, count);
    }
}

fn webhooks(text: &mut Text, server: &Server) {
    let measures = &server.parts().registry.context().measures;
    let name = "apiserver_admission_webhook_admission_duration_seconds";
    text.metric(name, "histogram", "How long webhooks took.");
    for ((hook, step), took) in measures.webhooks.rows() {
        text.histogram(name, &format!("name={},{}", quoted(&hook), with(step, kind(step.phase))), &took);
    }
    let name = "apiserver_admission_webhook_fail_open_count";
    text.metric(name, "counter", "Failures of webhooks that were passed over.");
    for ((hook, phase), count) in measures.webhook_failures_ignored.rows() {
        text.count(name, &format!("name={},type=\"{}\"", quoted(&hook), kind(phase)), count);
    }
    let name = "apiserver_admission_webhook_rejection_count";
    text.metric(name, "counter", "Refusals by webhooks, by whose fault they are.");
    for ((hook, step, blame, code), count) in measures.webhook_refusals.rows() {
        let (blame, hook, operation) = (blame.as_str(), quoted(&hook), step.operation.as_str());
        let labels = format!(
            "error_type=\"{blame}\",name={hook},operation=\"{operation}\",rejection_code=\"{code}\",type=\"{}\"",
            kind(step.phase)
        );
        text.count(name, &labels, count);
    }
    let name = "apiserver_admission_webhook_request_total";
    text.metric(name, "counter", "Requests to webhooks.");
    for ((hook, step, code), count) in measures.webhook_answers.rows() {
        text.count(name, &format!("code=\"{code}\",name={},{}", quoted(&hook), with(step, kind(step.phase))), count);
    }
}

fn labels(step: Step) -> String {
    with(step, step.phase.as_str())
}

fn with(step: Step, kind: &str) -> String {
    format!("operation=\"{}\",rejected=\"{}\",type=\"{kind}\"", step.operation.as_str(), step.rejected)
}

fn of_check(check: &Check) -> String {
    let (policy, binding) = (quoted(&check.policy), quoted(&check.binding));
    let (action, error) = (check.action, check.error);
    format!("enforcement_action=\"{action}\",error_type=\"{error}\",policy={policy},policy_binding={binding}")
}

/// What upstream calls the kinds of webhooks.
fn kind(phase: Phase) -> &'static str {
    match phase {
        Phase::Admit => "admit",
        Phase::Validate => "validating",
    }
}
