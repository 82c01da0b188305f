//! What is counted of admission: how long plugins, webhooks and policies take and how they answer (apiserver
//! `pkg/admission/metrics`, `pkg/admission/plugin/policy/*/metrics`).

use std::time::Duration;

use super::Operation;
use crate::base::{Histogram, Tally};

/// Upstream's bounds for plugins and phases, for webhooks, and for policies; in seconds.
const PLUGIN_SECONDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const WEBHOOK_SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
const POLICY_SECONDS: [f64; 5] = [0.000_000_5, 0.001, 0.01, 0.1, 1.0];

/// The counts of one server.
pub struct Measures {
    /// By the plugin's place among those that run. A plugin that has nothing to do with a kind is not counted.
    pub plugins: Tally<(usize, Step), Histogram>,
    pub phases: Tally<Step, Histogram>,
    /// By the webhook's name.
    pub webhooks: Tally<(String, Step), Histogram>,
    /// With the code that was answered; 0 when it is the server that failed.
    pub webhook_answers: Tally<(String, Step, u16), u64>,
    pub webhook_refusals: Tally<(String, Step, Blame, u16), u64>,
    /// Failures that were passed over, by name and phase.
    pub webhook_failures_ignored: Tally<(String, Phase), u64>,
    /// Of validating policies: what was refused, warned of or written down.
    pub policies: Tally<Check, Histogram>,
    /// Of pods, and of what makes pods, by the standards of their namespaces.
    pub pod_security: Tally<Verdict, u64>,
}

/// A half of admission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    Admit,
    Validate,
}

/// A phase of an operation, and whether it ended in a refusal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Step {
    pub phase: Phase,
    pub operation: Operation,
    pub rejected: bool,
}

/// Whose fault a refusal by a webhook is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Blame {
    /// Nobody's: the webhook said no.
    None,
    /// The call failed.
    Call,
    /// The server could not make sense of the answer.
    Server,
}

/// What came of one expression of a policy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Check {
    pub policy: String,
    pub binding: String,
    /// `no_error`, or upstream's word for what went wrong.
    pub error: &'static str,
    /// `deny`, `warn` or `audit`.
    pub action: &'static str,
}

/// What a pod security standard says of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Verdict {
    pub allowed: bool,
    /// `enforce`, `audit` or `warn`.
    pub mode: &'static str,
    pub level: &'static str,
    /// `latest`, `v1.N`, or `future` for what is newer than this server.
    pub version: String,
    pub operation: Operation,
    /// `pod`, or `controller` for what makes pods.
    pub resource: &'static str,
    pub subresource: String,
}

impl Verdict {
    /// Of a pod in a namespace that allows everything.
    pub fn unlimited(operation: Operation) -> Self {
        let (level, version) = ("privileged", "latest".to_owned());
        Self { allowed: true, mode: "enforce", level, version, operation, resource: "pod", subresource: String::new() }
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            plugins: Tally::new(|| Histogram::new(&PLUGIN_SECONDS)),
            phases: Tally::new(|| Histogram::new(&PLUGIN_SECONDS)),
            webhooks: Tally::new(|| Histogram::new(&WEBHOOK_SECONDS)),
            webhook_answers: Tally::counts(),
            webhook_refusals: Tally::counts(),
            webhook_failures_ignored: Tally::counts(),
            policies: Tally::new(|| Histogram::new(&POLICY_SECONDS)),
            pod_security: Tally::counts(),
        }
    }
}

impl Measures {
    /// Counts an answer of a webhook, and whose fault it is when it refuses.
    pub(super) fn answered(&self, name: &str, (step, blame): (Step, Blame), (code, took): (u16, Duration)) {
        /// Upstream's bound on what a webhook may make of the codes.
        const CODE_MAX: u16 = 600;
        let code = code.min(CODE_MAX);
        self.webhooks.observe((name.to_owned(), step), took.as_secs_f64());
        self.webhook_answers.count((name.to_owned(), step, code));
        if step.rejected {
            self.webhook_refusals.count((name.to_owned(), step, blame, code));
        }
    }
}

impl Phase {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

impl Blame {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "no_error",
            Self::Call => "calling_webhook_error",
            Self::Server => "apiserver_internal_error",
        }
    }
}
