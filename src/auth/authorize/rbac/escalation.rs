//! Nobody grants what he does not hold: whether the rules of a user cover others (component-helpers
//! `auth/rbac/validation`, Kubernetes `pkg/registry/rbac/validation`).

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{PolicyRule, compact, quoted, url_covers};
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::auth::Rules;

/// Whether the user holds all that the rules grant.
///
/// # Errors
/// Upstream's text with the rules that are missing; it ends a 403.
pub fn confirm_no_escalation(user: &User, held: &Rules, granted: &[PolicyRule]) -> Result<(), String> {
    let missing = uncovered(&held.rules, granted);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compact_rules(missing).iter().map(compact).collect();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        go_quote(&user.name),
        quoted(&user.groups),
        lines.into_iter().collect::<Vec<_>>().join("\n"),
    );
    if !held.error.is_empty() {
        message.push_str(&format!("; resolution errors: [{}]", held.error));
    }
    Err(message)
}

/// The rules that let everything: what an aggregation rule needs.
pub fn full_authority() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

/// Of the wanted rules, taken apart into single grants, those that no held rule covers.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let single = wanted.iter().flat_map(break_down);
    single.filter(|rule| !held.iter().any(|own| rule_covers(own, rule))).collect()
}

/// An equal list of rules with one verb, one resource or URL and at most one name each.
fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let single = PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    out.push(single);
                    continue;
                }
                let named = |name| PolicyRule { resource_names: one(name), ..single.clone() };
                out.extend(rule.resource_names.iter().map(named));
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            out.push(PolicyRule { verbs: one(verb), non_resource_urls: one(url), ..PolicyRule::default() });
        }
    }
    out
}

fn rule_covers(own: &PolicyRule, wanted: &PolicyRule) -> bool {
    let all = |own: &[String], wanted: &[String]| wanted.iter().all(|item| own.contains(item));
    let star = |list: &[String]| list.iter().any(|item| item == "*");
    (star(&own.verbs) || all(&own.verbs, &wanted.verbs))
        && (star(&own.api_groups) || all(&own.api_groups, &wanted.api_groups))
        && wanted.resources.iter().all(|resource| resource_covered(&own.resources, resource))
        && wanted.non_resource_urls.iter().all(|url| own.non_resource_urls.iter().any(|own| path_covers(own, url)))
        && (own.resource_names.is_empty()
            || (!wanted.resource_names.is_empty() && all(&own.resource_names, &wanted.resource_names)))
}

fn resource_covered(own: &[String], wanted: &str) -> bool {
    let of_subresource = wanted.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    own.iter().any(|item| item == "*" || item == wanted || of_subresource.as_ref() == Some(item))
}

fn path_covers(own: &str, wanted: &str) -> bool {
    url_covers(own, wanted)
}

/// Joins rules of one group and resource that differ in their verbs only.
fn compact_rules(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    let mut simple: BTreeMap<(String, String, Option<String>), PolicyRule> = BTreeMap::new();
    for rule in rules {
        let (Some(group), Some(resource)) = (rule.api_groups.first(), rule.resources.first()) else {
            out.push(rule);
            continue;
        };
        let key = (group.clone(), resource.clone(), rule.resource_names.first().cloned());
        match simple.get_mut(&key) {
            Some(present) => present.verbs.extend(rule.verbs),
            None => drop(simple.insert(key, rule)),
        }
    }
    out.extend(simple.into_values());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str) -> PolicyRule {
        let list = |words: &str| words.split(' ').map(|w| w.trim_matches('-').to_owned()).collect();
        PolicyRule { verbs: list(verbs), api_groups: list(groups), resources: list(resources), ..PolicyRule::default() }
    }

    fn user() -> User {
        User {
            name: "bob".to_owned(),
            groups: vec!["dev".to_owned(), "system:authenticated".to_owned()],
            ..User::default()
        }
    }

    fn held(rules: &[PolicyRule]) -> Rules {
        Rules { rules: rules.to_vec(), ..Rules::default() }
    }

    #[test]
    fn held_rules_may_be_granted_in_any_division() {
        let own = held(&[rule("get list", "-", "pods services"), rule("*", "apps", "*")]);
        assert_eq!(
            confirm_no_escalation(&user(), &own, &[rule("get", "-", "pods"), rule("list", "-", "services")]),
            Ok(())
        );
        assert_eq!(confirm_no_escalation(&user(), &own, &[rule("delete patch", "apps", "deployments/scale")]), Ok(()));
        let named = PolicyRule { resource_names: vec!["x".to_owned()], ..rule("get", "-", "pods") };
        assert_eq!(confirm_no_escalation(&user(), &own, &[named]), Ok(()));
    }

    #[test]
    fn what_is_not_held_is_listed_as_upstream_lists_it() {
        let own = held(&[rule("get", "-", "pods")]);
        let error = confirm_no_escalation(&user(), &own, &[rule("get list watch", "-", "pods secrets")]).unwrap_err();
        let expected = "user \"bob\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions \
                        not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}\n\
                        {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\" \"watch\"]}";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_rule_for_one_name_does_not_cover_all_names() {
        let named = PolicyRule { resource_names: vec!["x".to_owned()], ..rule("get", "-", "pods") };
        assert!(confirm_no_escalation(&user(), &held(&[named]), &[rule("get", "-", "pods")]).is_err());
    }

    #[test]
    fn full_authority_covers_everything_and_nothing_less_covers_it() {
        let full = full_authority();
        assert!(uncovered(&full, &full).is_empty());
        assert_eq!(uncovered(&[rule("*", "apps", "*")], &full).len(), 2);
    }
}
