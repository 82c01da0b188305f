//! Roles and bindings compiled by subject. What did not change between two compilations is taken over, so that one
//! changed role costs a walk over names and not the parsing of all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::rule::null_is_empty;
use super::{COLLECTIONS, PolicyRule};
use crate::api::Revision;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::auth::{Attributes, Decision, Rules};
use crate::storage::{Snapshot, Stored};

const ANY: &str = "";

/// All roles and bindings at one moment, by subject.
#[derive(Default)]
pub struct Policies {
    /// The revisions of the last changes of the four collections.
    changed: Option<[Revision; 4]>,
    /// By namespace (empty for cluster roles) and name.
    roles: HashMap<Name, (Revision, Arc<[PolicyRule]>)>,
    bindings: HashMap<Name, (Revision, Arc<Binding>)>,
    /// By namespace; the empty one holds cluster role bindings.
    grants: HashMap<Arc<str>, Grants>,
}

type Name = (Arc<str>, Arc<str>);

/// The role that a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    pub api_group: String,
    pub kind: String,
    pub name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Role {
    #[serde(deserialize_with = "null_is_empty")]
    rules: Vec<PolicyRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    role_ref: RoleRef,
    #[serde(deserialize_with = "null_is_empty")]
    subjects: Vec<Subject>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Arc<Grant>>>,
    groups: HashMap<String, Vec<Arc<Grant>>>,
}

/// What one subject of one binding gets.
struct Grant {
    /// `RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "b" to User "c"`.
    reason: String,
    /// The rules, or why there are none.
    rules: Result<Arc<[PolicyRule]>, String>,
}

impl Policies {
    /// Whether nothing has changed since.
    pub fn current(&self, snapshot: &Snapshot) -> bool {
        self.changed.is_some_and(|changed| changed == revisions(snapshot))
    }

    /// The policies of a snapshot.
    #[must_use]
    pub fn next(&self, snapshot: &Snapshot) -> Self {
        let [cluster_roles, cluster_bindings, roles, bindings] = COLLECTIONS;
        let mut next = Self { changed: Some(revisions(snapshot)), ..Self::default() };
        for stored in snapshot.list(cluster_roles, None, None).chain(snapshot.list(roles, None, None)) {
            let known = self.roles.get(&name(stored)).filter(|(revision, _)| *revision == stored.revision);
            let rules = known.map_or_else(|| parse::<Role>(stored).rules.into(), |(_, rules)| rules.clone());
            next.roles.insert(name(stored), (stored.revision, rules));
        }
        for stored in snapshot.list(cluster_bindings, None, None).chain(snapshot.list(bindings, None, None)) {
            let known = self.bindings.get(&name(stored)).filter(|(revision, _)| *revision == stored.revision);
            let binding = known.map_or_else(|| Arc::new(parse(stored)), |(_, binding)| binding.clone());
            next.add_grants(&stored.key.namespace, &stored.key.name, &binding);
            next.bindings.insert(name(stored), (stored.revision, binding));
        }
        next
    }

    fn add_grants(&mut self, namespace: &Arc<str>, name: &str, binding: &Binding) {
        let rules = self.role_rules(&binding.role_ref, namespace);
        let grants = self.grants.entry(namespace.clone()).or_default();
        for subject in &binding.subjects {
            let (by, key) = match subject.kind.as_str() {
                "User" => (&mut grants.users, subject.name.clone()),
                "Group" => (&mut grants.groups, subject.name.clone()),
                "ServiceAccount" => {
                    let home = if subject.namespace.is_empty() { namespace } else { subject.namespace.as_str() };
                    if home.is_empty() {
                        continue;
                    }
                    (&mut grants.users, format!("system:serviceaccount:{home}:{}", subject.name))
                }
                _ => continue,
            };
            let reason = describe(namespace, name, &binding.role_ref, subject);
            by.entry(key).or_default().push(Arc::new(Grant { reason, rules: rules.clone() }));
        }
    }

    /// The rules of the role that a binding in a namespace (empty: a cluster role binding) refers to.
    ///
    /// # Errors
    /// Upstream's text when there is no such role.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<Arc<[PolicyRule]>, String> {
        let home = match role.kind.as_str() {
            "ClusterRole" => ANY,
            "Role" => namespace,
            kind => return Err(format!("unsupported role reference kind: {}", go_quote(kind))),
        };
        let found = (role.kind != "Role" || !home.is_empty())
            .then(|| self.roles.get(&(Arc::from(home), Arc::from(role.name.as_str()))))
            .flatten();
        found.map(|(_, rules)| rules.clone()).ok_or_else(|| {
            format!("{}.rbac.authorization.k8s.io {} not found", role.kind.to_lowercase(), go_quote(&role.name))
        })
    }

    /// Whether a rule allows the request.
    pub fn decide(&self, attributes: &Attributes) -> Decision {
        let mut errors = BTreeSet::new();
        for grant in self.grants_of(&attributes.user, &attributes.namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Decision::Allow { reason: grant.reason.clone() };
                }
                Ok(_) => {}
                Err(error) => drop(errors.insert(error.as_str())),
            }
        }
        let reason = aggregate(&errors);
        Decision::NoOpinion { reason: if reason.is_empty() { reason } else { format!("RBAC: {reason}") } }
    }

    /// All rules of a user in a namespace (empty: in none).
    pub fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut out = Rules::default();
        let mut errors = BTreeSet::new();
        for grant in self.grants_of(user, namespace) {
            match &grant.rules {
                Ok(rules) => out.rules.extend(rules.iter().cloned()),
                Err(error) => drop(errors.insert(error.as_str())),
            }
        }
        out.error = aggregate(&errors);
        out
    }

    fn grants_of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Grant> {
        let homes = [Some(ANY), (!namespace.is_empty()).then_some(namespace)];
        homes.into_iter().flatten().filter_map(|home| self.grants.get(home)).flat_map(move |grants| {
            let own = grants.users.get(&user.name).into_iter();
            own.chain(user.groups.iter().filter_map(|group| grants.groups.get(group))).flatten().map(|grant| &**grant)
        })
    }
}

fn revisions(snapshot: &Snapshot) -> [Revision; 4] {
    COLLECTIONS.map(|collection| snapshot.changed(collection))
}

fn name(stored: &Stored) -> Name {
    (stored.key.namespace.clone(), stored.key.name.clone())
}

/// What cannot be read grants nothing; it cannot be, since it went through decoding.
fn parse<T: Default + for<'de> Deserialize<'de>>(stored: &Stored) -> T {
    serde_json::from_slice(&stored.body.json).unwrap_or_else(|error| {
        tracing::error!(key = ?stored.key, %error, "a stored role or binding cannot be read and grants nothing");
        T::default()
    })
}

fn describe(namespace: &str, name: &str, role: &RoleRef, subject: &Subject) -> String {
    let (kind, name) = match namespace {
        "" => ("ClusterRoleBinding", name.to_owned()),
        _ => ("RoleBinding", format!("{name}/{namespace}")),
    };
    let who = match (subject.kind.as_str(), subject.namespace.as_str()) {
        ("ServiceAccount", "") => format!("{}/{namespace}", subject.name),
        ("ServiceAccount", home) => format!("{}/{home}", subject.name),
        _ => subject.name.clone(),
    };
    let (name, role_name, who) = (go_quote(&name), go_quote(&role.name), go_quote(&who));
    format!("RBAC: allowed by {kind} {name} of {} {role_name} to {} {who}", role.kind, subject.kind)
}

/// As Go prints an aggregate of errors.
fn aggregate(errors: &BTreeSet<&str>) -> String {
    match errors.len() {
        0 | 1 => errors.first().map(|error| (*error).to_owned()).unwrap_or_default(),
        _ => format!("[{}]", errors.iter().copied().collect::<Vec<_>>().join(", ")),
    }
}
