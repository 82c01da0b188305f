//! Which FlowSchema a request belongs to, as upstream's priority and fairness classifies it. Only told in headers: the
//! bounds on requests in flight are `in_flight`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
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
    /// By the names of schema and level; those that are gone stay. Held for single steps.
    counts: Mutex<BTreeMap<(String, String), Arc<Counts>>>,
}

/// Schemas come and go without end; at the bound new ones are counted together.
const COUNTS_MAX: usize = 1024;

/// What is counted of the requests of one flow.
#[derive(Default)]
pub(in crate::server) struct Counts {
    dispatched: AtomicU64,
    refused: AtomicU64,
    executing: AtomicU64,
}

/// A request that is being answered, until dropped.
pub(super) struct Executing(Arc<Flow>);

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
    #[serde(skip)]
    flow: Arc<Flow>,
}

/// What requests of one FlowSchema have in common.
#[derive(Default)]
pub(in crate::server) struct Flow {
    pub schema: Identity,
    pub level: Identity,
    counts: Arc<Counts>,
}

/// An object by its name and uid.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(in crate::server) struct Identity {
    pub name: String,
    pub uid: String,
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
    /// The FlowSchema that a request belongs to, with its priority level.
    pub(super) fn classify(&self, snapshot: &Snapshot, info: &RequestInfo, user: &User) -> Option<Arc<Flow>> {
        let changed = Some((snapshot.changed(SCHEMAS), snapshot.changed(LEVELS)));
        let mut compiled = self.compiled.load_full();
        if compiled.changed != changed {
            compiled = Arc::new(Compiled { changed, schemas: self.compile(snapshot) });
            self.compiled.store(compiled.clone());
        }
        let schema =
            compiled.schemas.iter().find(|schema| schema.spec.rules.iter().any(|rule| rule.fits(info, user)))?;
        Some(schema.flow.clone())
    }

    /// What was counted of each flow, by the names of schema and level.
    pub(in crate::server) fn counts(&self) -> Vec<((String, String), Arc<Counts>)> {
        self.counts.lock().iter().map(|(names, counts)| (names.clone(), counts.clone())).collect()
    }

    fn counts_of(&self, schema: &str, level: &str) -> Arc<Counts> {
        let mut counts = self.counts.lock();
        let mut names = (schema.to_owned(), level.to_owned());
        if counts.len() >= COUNTS_MAX && !counts.contains_key(&names) {
            names = ("other".to_owned(), "other".to_owned());
        }
        counts.entry(names).or_default().clone()
    }
}

impl Flow {
    /// Counts a request that is being answered.
    pub(super) fn execute(self: &Arc<Self>) -> Executing {
        self.counts.dispatched.fetch_add(1, Ordering::Relaxed);
        self.counts.executing.fetch_add(1, Ordering::Relaxed);
        Executing(self.clone())
    }

    /// Counts a request that is refused because too many are being answered.
    pub(super) fn refuse(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.counts.executing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// How many requests were taken, how many were refused, and how many are being answered.
    pub(in crate::server) fn now(&self) -> [u64; 3] {
        [&self.dispatched, &self.refused, &self.executing].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Flows {
    /// By precedence, then by name. A schema whose level is not there takes no requests.
    fn compile(&self, snapshot: &Snapshot) -> Vec<Schema> {
        let mut schemas: Vec<Schema> = snapshot
            .list(SCHEMAS, None, None)
            .filter_map(|stored| serde_json::from_slice::<Schema>(&stored.body.json).ok())
            .filter_map(|mut schema| {
                let level = schema.spec.priority_level_configuration.name.clone();
                let uid = snapshot.find(LEVELS, "", &level)?.facts.uid.to_string();
                let level = Identity { name: level, uid };
                let counts = self.counts_of(&schema.metadata.name, &level.name);
                schema.flow = Arc::new(Flow { schema: schema.metadata.clone(), level, counts });
                Some(schema)
            })
            .collect();
        schemas.sort_by(|a, b| {
            let key = |schema: &Schema| schema.spec.matching_precedence;
            key(a).cmp(&key(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        schemas
    }
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
