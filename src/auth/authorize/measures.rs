//! What is counted of authorizers (apiserver `pkg/authorization/metrics`, `pkg/authorization/cel/metrics.go`,
//! `plugin/pkg/authorizer/webhook/metrics`, `pkg/server/options/authorizationconfig/metrics`).

use std::time::Duration;

use super::{Decision, Mode};
use crate::base::{Histogram, Tally};

/// Upstream's bounds for webhooks and for match conditions, in seconds.
const WEBHOOK_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const CONDITION_SECONDS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

/// The counts of one server.
pub struct Measures {
    /// What ended the search for an opinion: by type and name of the authorizer and its word.
    pub decisions: Tally<(Mode, String, &'static str), u64>,
    /// Calls of webhooks by name and how they ended.
    pub webhooks: Tally<(String, &'static str), Histogram>,
    /// Failures of webhooks, likewise, that let others decide.
    pub failed_open: Tally<(String, &'static str), u64>,
    /// Match conditions by the name of their webhook: how long they took, how often they failed or did not match.
    pub conditions: Tally<String, Histogram>,
    pub condition_errors: Tally<String, u64>,
    pub exclusions: Tally<String, u64>,
    /// Readings of a changed configuration by whether it was good: how often, and when last in seconds.
    pub reloads: Tally<bool, u64>,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            decisions: Tally::counts(),
            webhooks: Tally::new(|| Histogram::new(&WEBHOOK_SECONDS)),
            failed_open: Tally::counts(),
            conditions: Tally::new(|| Histogram::new(&CONDITION_SECONDS)),
            condition_errors: Tally::counts(),
            exclusions: Tally::counts(),
            reloads: Tally::counts(),
        }
    }
}

impl Measures {
    /// Counts a decision that ends the search.
    pub(super) fn decided(&self, (mode, name): (Mode, &str), decision: &Decision) {
        let word = match decision {
            Decision::Allow { .. } => "allowed",
            Decision::Deny { .. } | Decision::Failed { denied: true, .. } => "denied",
            Decision::NoOpinion { .. } | Decision::Failed { denied: false, .. } => return,
        };
        self.decisions.count((mode, name.to_owned(), word));
    }

    /// Counts a call of a webhook.
    pub(super) fn called(&self, (name, how): (&str, &'static str), took: Duration) {
        self.webhooks.observe((name.to_owned(), how), took.as_secs_f64());
    }
}
