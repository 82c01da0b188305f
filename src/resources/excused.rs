//! What a feature gate takes away from validation: the errors and warnings that are none while the gate is on, or while
//! it is off.

use serde_json::Value;

use super::Gates;
use crate::api::field::{ErrorKind, FieldError};

/// A rule that holds only by a gate.
struct Rule {
    gate: &'static str,
    /// The rule holds while the gate is like this.
    holds: bool,
    is: fn(&FieldError) -> bool,
}

/// What only the strict rules say of addresses and ranges of them.
const STRICT_ADDRESSES: [&str; 5] = [
    "must not have leading 0s",
    "must not be an IPv4-mapped IPv6 address",
    "must not have leading 0s in IP or prefix length",
    "must not have an IPv4-mapped IPv6 address",
    "must not have bits set beyond the prefix length",
];

/// What is said of a value that is compared and no number.
const NUMBERS: [&str; 2] = ["decimal integer", "strconv.ParseInt"];

const RULES: [Rule; 9] = [
    Rule {
        gate: "ManifestBasedAdmissionControlConfig",
        holds: true,
        is: |error| error.field == "metadata.name" && error.detail.contains(".static.k8s.io"),
    },
    Rule {
        gate: "MutablePVNodeAffinity",
        holds: false,
        is: |error| error.detail == "field is immutable, except for updating from beta label to GA",
    },
    Rule {
        gate: "PodDeletionCost",
        holds: true,
        is: |error| error.field.ends_with("annotations[controller.kubernetes.io/pod-deletion-cost]"),
    },
    Rule {
        gate: "StatefulSetRecreateStrategy",
        holds: false,
        is: |error| {
            error.field == "spec.updateStrategy" && error.value.get("type").and_then(Value::as_str) == Some("Recreate")
        },
    },
    Rule {
        gate: "StrictIPCIDRValidation",
        holds: true,
        // Ranges of Services came after the rule.
        is: |error| STRICT_ADDRESSES.contains(&&*error.detail) && !error.field.starts_with("spec.cidrs["),
    },
    Rule {
        gate: "TaintTolerationComparisonOperators",
        holds: false,
        is: |error| {
            let compares = matches!(error.value.as_str(), Some("Lt" | "Gt"));
            error.kind == ErrorKind::NotSupported && error.field.contains("tolerations[") && compares
        },
    },
    Rule {
        gate: "TaintTolerationComparisonOperators",
        holds: true,
        is: |error| error.field.contains("tolerations[") && NUMBERS.iter().any(|number| error.detail.contains(number)),
    },
    Rule {
        gate: "UserNamespacesHostNetworkSupport",
        holds: false,
        is: |error| error.field.ends_with("hostNetwork") && error.detail == "when `hostUsers` is false",
    },
    Rule {
        gate: "VolumeLimitScaling",
        holds: true,
        is: |error| error.kind == ErrorKind::Required && error.field == "spec.preventPodSchedulingIfMissing",
    },
];

/// A warning that is given only by a gate.
struct Warned {
    gate: &'static str,
    /// It is given while the gate is like this.
    holds: bool,
    /// Of what is there already it is given always.
    new_only: bool,
    is: fn(&str) -> bool,
}

const WARNINGS: [Warned; 2] = [
    Warned {
        gate: "ExcludeAdmissionWebhookVirtualResources",
        holds: true,
        new_only: false,
        is: |text| text.contains(" is excluded from admission webhooks; "),
    },
    Warned {
        gate: "ManifestBasedAdmissionControlConfig",
        holds: false,
        new_only: true,
        is: |text| text.starts_with("metadata.name: names ending with \".static.k8s.io\" "),
    },
];

/// Whether a gate is as it must be for a warning to be given; of what is new, or of what was there before.
pub fn is_given(gates: &Gates, warning: &str, new: bool) -> bool {
    let hidden = |of: &Warned| (new || !of.new_only) && gates.enabled(of.gate) != of.holds;
    !WARNINGS.iter().any(|of| (of.is)(warning) && hidden(of))
}

/// Whether a gate is as it must be for an error to be none.
pub fn excused(gates: &Gates, error: &FieldError) -> bool {
    RULES.iter().any(|rule| (rule.is)(error) && gates.enabled(rule.gate) != rule.holds)
}
