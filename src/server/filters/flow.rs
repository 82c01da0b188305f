//! Which FlowSchema a request belongs to, as upstream's priority and fairness classifies it. Only told in headers: the
//! bounds on requests in flight are `in_flight`'s.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;

use super::RequestInfo;
use crate::api::Revision;
use crate::api::request::User;
use crate::storage::Snapshot;

const SCHEMAS: &str = "flowschemas.flowcontrol.apiserver.k8s.io";
const LEVELS: &str = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io";

/// The FlowSchemas in the order in which they are asked.
#[derive(Default)]
pub(in crate::server) struct Flows {
    /// What was compiled last; compiled anew when one of the two collections has changed.
    compiled: ArcSwap<Compiled>,
}

#[derive(Default)]
struct Compiled {
    changed: Option<(Revision, Revision)>,
    schemas: Vec<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    metadata: Identity,
    #[serde(default)]
    spec: Spec,
    /// The uid of the priority level.
    #[serde(skip)]
    level: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identity {
    name: String,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    matching_precedence: i64,
    priority_level_configuration: Identity,
    rules: Vec<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Subject {
    kind: String,
    user: Identity,
    group: Identity,
    service_account: Account,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

impl Flows {
    /// The uids of the FlowSchema that a request belongs to and of its priority level.
    pub(super) fn classify(&self, snapshot: &Snapshot, info: &RequestInfo, user: &User) -> Option<(String, String)> {
        let changed = Some((snapshot.changed(SCHEMAS), snapshot.changed(LEVELS)));
        let mut compiled = self.compiled.load_full();
        if compiled.changed != changed {
            compiled = Arc::new(Compiled { changed, schemas: compile(snapshot) });
            self.compiled.store(compiled.clone());
        }
        let schema =
            compiled.schemas.iter().find(|schema| schema.spec.rules.iter().any(|rule| rule.fits(info, user)))?;
        Some((schema.metadata.uid.clone(), schema.level.clone()))
    }
}

/// By precedence, then by name. A schema whose level is not there takes no requests.
fn compile(snapshot: &Snapshot) -> Vec<Schema> {
    let mut schemas: Vec<Schema> = snapshot
        .list(SCHEMAS, None, None)
        .filter_map(|stored| serde_json::from_slice::<Schema>(&stored.body.json).ok())
        .filter_map(|mut schema| {
            let level = snapshot.find(LEVELS, "", &schema.spec.priority_level_configuration.name)?;
            schema.level = level.facts.uid.to_string();
            Some(schema)
        })
        .collect();
    schemas.sort_by(|a, b| {
        let key = |schema: &Schema| schema.spec.matching_precedence;
        key(a).cmp(&key(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    schemas
}

impl Rule {
    fn fits(&self, info: &RequestInfo, user: &User) -> bool {
        let asked = if info.resource_request {
            self.resource_rules.iter().any(|rule| rule.fits(info))
        } else {
            self.non_resource_rules.iter().any(|rule| rule.fits(info))
        };
        asked && self.subjects.iter().any(|subject| subject.is(user))
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self.kind.as_str() {
            "User" => self.user.name == "*" || self.user.name == user.name,
            "Group" => self.group.name == "*" || user.in_group(&self.group.name),
            "ServiceAccount" => {
                let prefix = format!("system:serviceaccount:{}:", self.service_account.namespace);
                let name = user.name.strip_prefix(&prefix);
                name.is_some_and(|name| self.service_account.name == "*" || self.service_account.name == name)
            }
            _ => false,
        }
    }
}

impl ResourceRule {
    fn fits(&self, info: &RequestInfo) -> bool {
        let resource = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        let scope =
            if info.namespace.is_empty() { self.cluster_scope } else { lists(&self.namespaces, &info.namespace) };
        lists(&self.verbs, &info.verb)
            && lists(&self.api_groups, &info.group)
            && lists(&self.resources, &resource)
            && scope
    }
}

impl PathRule {
    fn fits(&self, info: &RequestInfo) -> bool {
        let below = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => info.path.starts_with(prefix),
            None => *pattern == info.path,
        };
        lists(&self.verbs, &info.verb) && self.paths.iter().any(below)
    }
}

fn lists(list: &[String], item: &str) -> bool {
    list.iter().any(|known| known == "*" || known == item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_fits(rule: serde_json::Value, info: &RequestInfo, user: &User, expected: bool) {
        assert_eq!(serde_json::from_value::<Rule>(rule).unwrap().fits(info, user), expected);
    }

    #[test]
    fn a_rule_fits_by_subject_and_by_what_is_asked() {
        let leases = RequestInfo {
            path: "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n".to_owned(),
            verb: "update".to_owned(),
            resource_request: true,
            group: "coordination.k8s.io".to_owned(),
            namespace: "kube-node-lease".to_owned(),
            resource: "leases".to_owned(),
            ..RequestInfo::default()
        };
        let node =
            User { name: "system:node:n".to_owned(), groups: vec!["system:nodes".to_owned()], ..User::default() };
        let rule = |namespace: &str| {
            json!({
                "subjects": [{ "kind": "Group", "group": { "name": "system:nodes" } }],
                "resourceRules": [{
                    "verbs": ["*"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": [namespace],
                }],
            })
        };
        check_fits(rule("kube-node-lease"), &leases, &node, true);
        check_fits(rule("default"), &leases, &node, false);
        check_fits(rule("kube-node-lease"), &leases, &User::anonymous(), false);
        let account = User::service_account("kube-system", "a");
        let path = RequestInfo { path: "/healthz".to_owned(), verb: "get".to_owned(), ..RequestInfo::default() };
        let probes = json!({
            "subjects": [{ "kind": "ServiceAccount", "serviceAccount": { "namespace": "kube-system", "name": "*" } }],
            "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/health*"] }],
        });
        check_fits(probes.clone(), &path, &account, true);
        check_fits(probes, &path, &node, false);
    }
}
