//! What is counted of authorizers (apiserver `pkg/authorization/metrics` and its siblings).

use super::text::{Text, quoted};
use crate::auth::authorize::measures::Measures;
use crate::base::{Histogram, Tally};
use crate::server::Server;

pub(super) fn write(text: &mut Text, server: &Server) {
    let Some(measures) = server.parts().authorizer.measures() else { return };
    let name = "apiserver_authorization_decisions_total";
    text.metric(name, "counter", "Decisions by who made them.");
    for ((mode, who, decision), count) in measures.decisions.rows() {
        let (mode, who) = (mode.as_str(), quoted(&who));
        text.count(name, &format!("decision=\"{decision}\",name={who},type=\"{mode}\""), count);
    }
    conditions(text, measures);
    webhooks(text, measures);
    let name = "apiserver_authorization_config_controller_automatic_reloads_total";
    let reloads = measures.reloads.rows();
    if !reloads.is_empty() {
        text.metric(name, "counter", "Changes of the file that names the authorizers.");
    }
    for (good, count) in reloads {
        let status = if good { "success" } else { "failure" };
        text.count(name, &format!("apiserver_id_hash=\"\",status=\"{status}\""), count);
    }
}

/// Upstream tells of these only when there is a webhook, and so only of what was counted.
fn conditions(text: &mut Text, measures: &Measures) {
    let labels = |who: &str| format!("name={},type=\"Webhook\"", quoted(who));
    let name = "apiserver_authorization_match_condition_evaluation_seconds";
    histograms(text, (name, "How long match conditions took."), measures.conditions.rows(), |who| labels(who));
    let name = "apiserver_authorization_match_condition_evaluation_errors_total";
    counts(text, (name, "Match conditions that failed."), &measures.condition_errors, |who| labels(who));
    let name = "apiserver_authorization_match_condition_exclusions_total";
    counts(text, (name, "Requests that match conditions kept from a webhook."), &measures.exclusions, |who| {
        labels(who)
    });
}

fn webhooks(text: &mut Text, measures: &Measures) {
    let labels = |(who, result): &(String, &str)| format!("name={},result=\"{result}\"", quoted(who));
    let rows = measures.webhooks.rows();
    let name = "apiserver_authorization_webhook_duration_seconds";
    histograms(text, (name, "How long authorization webhooks took."), rows.clone(), labels);
    if !rows.is_empty() {
        let name = "apiserver_authorization_webhook_evaluations_total";
        text.metric(name, "counter", "Calls of authorization webhooks.");
        rows.iter().for_each(|(key, took)| text.count(name, &labels(key), took.count()));
    }
    let name = "apiserver_authorization_webhook_evaluations_fail_open_total";
    counts(text, (name, "Failures of authorization webhooks that let others decide."), &measures.failed_open, labels);
}

fn counts<K: Ord + Clone>(
    text: &mut Text,
    (name, about): (&str, &str),
    tally: &Tally<K, u64>,
    labels: impl Fn(&K) -> String,
) {
    let rows = tally.rows();
    if !rows.is_empty() {
        text.metric(name, "counter", about);
    }
    rows.iter().for_each(|(key, count)| text.count(name, &labels(key), *count));
}

fn histograms<K>(
    text: &mut Text,
    (name, about): (&str, &str),
    rows: Vec<(K, Histogram)>,
    labels: impl Fn(&K) -> String,
) {
    if !rows.is_empty() {
        text.metric(name, "histogram", about);
    }
    rows.iter().for_each(|(key, took)| text.histogram(name, &labels(key), took));
}
