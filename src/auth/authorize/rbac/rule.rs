//! One policy rule: whether it allows a request (Kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go`).

use serde::{Deserialize, Deserializer, Serialize};

use crate::api::field::go_quote;
use crate::auth::Attributes;

/// What a role grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

/// A list that Go wrote as null is an empty one.
pub(super) fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl PolicyRule {
    /// Whether the rule allows the request.
    pub fn allows(&self, attributes: &Attributes) -> bool {
        if !has(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.resource_request {
            return self.non_resource_urls.iter().any(|url| url_covers(url, &attributes.path));
        }
        has(&self.api_groups, &attributes.group)
            && self.resources.iter().any(|resource| resource_matches(resource, attributes))
            && (self.resource_names.is_empty() || self.resource_names.contains(&attributes.name))
    }
}

/// Whether a list names the word or everything.
fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|item| item == "*" || item == word)
}

fn resource_matches(rule: &str, attributes: &Attributes) -> bool {
    if rule == "*" {
        return true;
    }
    if attributes.subresource.is_empty() {
        return rule == attributes.resource;
    }
    match rule.split_once('/') {
        Some((resource, sub)) => (resource == "*" || resource == attributes.resource) && sub == attributes.subresource,
        None => false,
    }
}

/// Whether a rule's URL covers a path: the same, or a prefix that ends in `*`.
pub(super) fn url_covers(url: &str, path: &str) -> bool {
    url == "*" || url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
}

/// A rule on one line, as escalation messages show it.
pub(super) fn compact(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<_> = parts.map(|(name, list)| format!("{name}:{}", quoted(list))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// A list of texts as Go's `%q` prints it: `["a" "b"]`.
pub(super) fn quoted(list: &[String]) -> String {
    let items: Vec<_> = list.iter().map(|item| go_quote(item)).collect();
    format!("[{}]", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(|w| if w == "-" { String::new() } else { w.to_owned() }).collect()
    }

    fn rule(verbs: &str, groups: &str, resources: &str) -> PolicyRule {
        PolicyRule { verbs: list(verbs), api_groups: list(groups), resources: list(resources), ..PolicyRule::default() }
    }

    fn ask(verb: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.to_owned(),
            resource_request: true,
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    #[test]
    fn resources_match_exactly_by_star_and_by_star_of_a_subresource() {
        assert!(rule("get", "-", "pods").allows(&ask("get", "pods", "x")));
        assert!(!rule("get", "-", "pods").allows(&ask("get", "pods/log", "x")));
        assert!(rule("get", "-", "pods/log").allows(&ask("get", "pods/log", "x")));
        assert!(rule("get", "-", "*/log").allows(&ask("get", "pods/log", "x")));
        assert!(!rule("get", "-", "*/log").allows(&ask("get", "pods/logs", "x")));
        assert!(!rule("get", "-", "*/log").allows(&ask("get", "pods", "x")));
        assert!(rule("*", "*", "*").allows(&ask("anything", "pods/log", "x")));
        assert!(!rule("get", "apps", "pods").allows(&ask("get", "pods", "x")));
        assert!(!rule("list", "-", "pods").allows(&ask("get", "pods", "x")));
    }

    #[test]
    fn names_restrict_a_rule_where_they_are_given() {
        let named = PolicyRule { resource_names: list("a b"), ..rule("get", "-", "pods") };
        assert!(named.allows(&ask("get", "pods", "b")));
        assert!(!named.allows(&ask("get", "pods", "c")));
        assert!(!named.allows(&ask("get", "pods", "")));
    }

    #[test]
    fn paths_match_exactly_and_by_prefix_and_never_as_resources() {
        let rule =
            PolicyRule { verbs: list("get"), non_resource_urls: list("/healthz /api/*"), ..PolicyRule::default() };
        let path = |path: &str| Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() };
        assert!(rule.allows(&path("/healthz")));
        assert!(!rule.allows(&path("/healthz/ping")));
        assert!(rule.allows(&path("/api/v1")));
        assert!(!rule.allows(&path("/api")));
        assert!(!rule.allows(&ask("get", "pods", "")));
    }

    #[test]
    fn a_rule_reads_null_lists_as_empty_ones() {
        let rule: PolicyRule = serde_json::from_str(r#"{"verbs":["get"],"apiGroups":null}"#).unwrap();
        assert_eq!(rule, PolicyRule { verbs: list("get"), ..PolicyRule::default() });
    }
}
