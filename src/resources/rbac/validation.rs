//! Validation of roles and bindings.

use serde_json::Value;

use super::binding::GROUP;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::{Selector, validate_label_selector};
use crate::api::validation::names::{path_segment_name, subdomain_name};
use crate::resources::check::{choice, immutable, messages};
use crate::resources::tree::{Tree, count, list, text};

/// Whether an object belongs to a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Namespace,
    Cluster,
}

/// The rules of a role. That each has verbs is declared.
pub(super) fn validate_rules(object: &Object, reach: Reach) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("rules");
    for (i, rule) in list(object, &["rules"]).enumerate() {
        validate_rule(&mut errors, rule, (reach, &path.index(i)));
    }
    errors
}

fn validate_rule(errors: &mut Errors, rule: &Tree, (reach, path): (Reach, &Path<'_>)) {
    let given = |key: &str| count(rule, key) > 0;
    if given("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        let urls = rule.get("nonResourceURLs").cloned().unwrap_or(Value::Null);
        if reach == Reach::Namespace {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&at, urls.clone(), detail));
        }
        if given("apiGroups") || given("resources") || given("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, urls, detail));
        }
        return;
    }
    let needed = [("apiGroups", "api group"), ("resources", "resource")];
    for (key, what) in needed.into_iter().filter(|(key, _)| !given(key)) {
        let detail = format!("resource rules must supply at least one {what}");
        errors.push(FieldError::required(&path.child(key), detail));
    }
}

/// The rule by which other roles are taken together.
pub(super) fn validate_aggregation(object: &Object) -> Errors {
    let mut errors = Errors::new();
    if object.get(&["aggregationRule"]).is_none() {
        return errors;
    }
    let path = Path::new("aggregationRule");
    let path = path.child("clusterRoleSelectors");
    let selectors = object.get(&["aggregationRule", "clusterRoleSelectors"]).and_then(Value::as_array);
    let selectors = selectors.map_or(&[][..], Vec::as_slice);
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, detail));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let at = path.index(i);
        errors.extend(validate_label_selector(selector, &at));
        if Selector::from_label_selector(Some(selector)).is_err() {
            errors.push(FieldError::invalid(&at, Value::Null, "invalid label selector."));
        }
    }
    errors
}

/// The role and the subjects of a binding.
pub(super) fn validate_binding(object: &Object, reach: Reach) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("roleRef");
    choice(&mut errors, object.text_at(&["roleRef", "apiGroup"]), &path.child("apiGroup"), &[GROUP]);
    let kinds: &[&str] = match reach {
        Reach::Namespace => &["Role", "ClusterRole"],
        Reach::Cluster => &["ClusterRole"],
    };
    choice(&mut errors, object.text_at(&["roleRef", "kind"]), &path.child("kind"), kinds);
    match object.text_at(&["roleRef", "name"]) {
        "" => errors.push(FieldError::required(&path.child("name"), "")),
        name => messages(&mut errors, &path.child("name"), name, path_segment_name(name)),
    }
    let subjects = Path::new("subjects");
    for (i, subject) in list(object, &["subjects"]).enumerate() {
        validate_subject(&mut errors, subject, (reach, &subjects.index(i)));
    }
    errors
}

fn validate_subject(errors: &mut Errors, subject: &Tree, (reach, path): (Reach, &Path<'_>)) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                messages(errors, &path.child("name"), name, subdomain_name(name, false));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if reach == Reach::Cluster && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => choice(errors, group, &path.child("apiGroup"), &[GROUP]),
        kind => choice(errors, kind, &path.child("kind"), &["ServiceAccount", "User", "Group"]),
    }
}

/// A binding stays with its role.
pub(super) fn validate_binding_update(new: &Object, old: &Object, reach: Reach) -> Errors {
    let mut errors = validate_binding(new, reach);
    immutable(&mut errors, new.get(&["roleRef"]), old.get(&["roleRef"]), &Path::new("roleRef"));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn rules_are_about_resources_or_about_urls() {
        let rules = json!([{"verbs": ["get"]}, {"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}]);
        let expected = [
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
        ];
        check_errors(&validate_rules(&object(json!({"rules": rules})), Reach::Namespace), &expected);
    }

    #[test]
    fn bindings_name_roles_and_subjects_of_known_kinds() {
        let binding = json!({"roleRef": {"apiGroup": "x", "kind": "Role", "name": "a/b"}, "subjects": [
            {"kind": "ServiceAccount", "name": "s"}, {"kind": "User", "name": "u", "apiGroup": GROUP}, {"kind": "Robot", "name": "r"}]});
        check_errors(
            &validate_binding(&object(binding), Reach::Cluster),
            &[
                "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
                "subjects[0].namespace: Required value",
                "subjects[2].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ],
        );
    }
}
