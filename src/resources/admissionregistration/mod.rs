//! The kinds of `admissionregistration.k8s.io`.

mod condition_validation;
mod match_resources;
pub(super) mod policy;
pub(super) mod policy_binding;
mod policy_validation;
mod rule_validation;
pub(super) mod webhook;
mod webhook_validation;

/// The group and resource of the reviews, without which nobody could be authorized: no webhook and no policy is asked
/// about them (apiserver `pkg/admission/plugin/webhook/predicates/rules`, `pkg/admission/plugin/policy/generic`).
pub const REVIEWS: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];
