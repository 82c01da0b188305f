//! `Webhook`: a server outside is asked with a SubjectAccessReview, and its answers are kept for a while (apiserver
//! `plugin/pkg/authorizer/webhook`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::super::recent::Recent;
use super::super::retry::{Failure, Retry};
use super::super::{Attributes, Authorizer, Decision, Rules};
use super::conditions::Conditions;
use super::measures::Measures;
use crate::api::request::User;
use crate::api::{fields, labels};
use crate::base::Clock;
use crate::remote::{Backend, Remote, check_kind};
use crate::storage::Store;

const KIND: &str = "SubjectAccessReview";
/// Answers that are kept: at most twice as many, which is upstream's bound.
const ANSWERS_MAX: usize = 4096;
/// What senders write of their requests may be so long together that the answer is kept.
const KEPT_BYTES_MAX: usize = 10_000;

/// How a webhook is asked.
#[derive(Debug)]
pub(super) struct Settings {
    /// The kubeconfig file that says where it is.
    pub(super) kubeconfig: String,
    pub(super) version: Version,
    /// How long answers are kept; zero keeps none.
    pub(super) allowed_for: Duration,
    pub(super) refused_for: Duration,
    pub(super) limit: Duration,
    pub(super) on_failure: OnFailure,
    pub(super) conditions: Conditions,
}

/// The version of the review.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    V1,
    V1Beta1,
}

/// What a failure means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnFailure {
    NoOpinion,
    Deny,
}

/// The `Webhook` authorizer.
pub(super) struct Webhook {
    name: String,
    settings: Settings,
    backend: Backend,
    remote: Remote,
    clock: Arc<dyn Clock>,
    measures: Arc<Measures>,
    /// What was said, by the question, and until when it counts.
    answers: Recent<String, (Answer, Duration)>,
}

/// A `status`.
#[derive(Clone, Default)]
struct Answer {
    allowed: bool,
    denied: bool,
    reason: String,
}

impl Version {
    /// As `--authorization-webhook-version` and configurations name it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "authorization.k8s.io/v1",
            Self::V1Beta1 => "authorization.k8s.io/v1beta1",
        }
    }

    /// The `spec` as it is sent: the older version calls the groups by another name.
    fn sent(self, spec: &Value) -> Value {
        let mut spec = spec.clone();
        if let (Self::V1Beta1, Some(fields)) = (self, spec.as_object_mut())
            && let Some(groups) = fields.remove("groups")
        {
            fields.insert("group".to_owned(), groups);
        }
        spec
    }
}

impl Webhook {
    /// # Errors
    /// In clientcmd's words, when the kubeconfig file cannot be used.
    pub(super) fn new(
        name: &str,
        settings: Settings,
        (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
        measures: &Arc<Measures>,
    ) -> Result<Self, String> {
        let backend = Backend::read(&settings.kubeconfig)?;
        let remote = backend.remote(store.clone(), clock.clone());
        let (clock, measures, answers) = (clock.clone(), measures.clone(), Recent::new(ANSWERS_MAX));
        Ok(Self { name: name.to_owned(), settings, backend, remote, clock, measures, answers })
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        let spec = spec(attributes);
        let counted = (self.name.as_str(), &*self.measures);
        match self.settings.conditions.matches(&spec, counted, &*self.clock) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion { reason: String::new() },
            Err(why) => return self.failed(why),
        }
        let key = spec.to_string();
        let kept = self.answers.get(&key).filter(|(_, until)| self.clock.monotonic() < *until);
        let answer = match kept {
            Some((answer, _)) => answer,
            None => match self.ask(&spec).await {
                Ok(answer) => {
                    self.keep(attributes, key, &answer);
                    answer
                }
                Err((word, why)) => {
                    tracing::error!(name = self.name, why, "an authorization webhook does not answer");
                    if self.settings.on_failure == OnFailure::NoOpinion {
                        self.measures.failed_open.count((self.name.clone(), word));
                    }
                    return self.failed(why);
                }
            },
        };
        let Answer { allowed, denied, reason } = answer;
        match (denied, allowed) {
            (true, true) => {
                let error = "webhook subject access review returned both allow and deny response".to_owned();
                Decision::Failed { denied: true, reason, error }
            }
            (true, false) => Decision::Deny { reason },
            (false, true) => Decision::Allow { reason },
            (false, false) => Decision::NoOpinion { reason },
        }
    }

    fn failed(&self, error: String) -> Decision {
        let denied = self.settings.on_failure == OnFailure::Deny;
        Decision::Failed { denied, reason: String::new(), error }
    }

    fn keep(&self, attributes: &Attributes, key: String, answer: &Answer) {
        let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } = attributes;
        let written = [namespace, verb, group, version, resource, subresource, name, path];
        let stays = if answer.allowed { self.settings.allowed_for } else { self.settings.refused_for };
        if written.iter().map(|text| text.len()).sum::<usize>() < KEPT_BYTES_MAX && !stays.is_zero() {
            self.answers.put(key, (answer.clone(), self.clock.monotonic() + stays));
        }
    }

    /// Gives the word for a failure, too.
    async fn ask(&self, spec: &Value) -> Result<Answer, (&'static str, String)> {
        let api_version = self.settings.version.api_version();
        let (spec, status) = (self.settings.version.sent(spec), json!({ "allowed": false }));
        let review = json!({
            "kind": KIND, "apiVersion": api_version, "metadata": {}, "spec": spec, "status": status,
        });
        let retry = Retry::new((&self.backend, &self.remote), &*self.clock).within(self.settings.limit);
        let answer = retry.post(&review, |word, took| self.measures.called((&self.name, word), took)).await;
        let answer = answer.map_err(|Failure { word, why, .. }| (word, why))?;
        check_kind(&answer, (api_version, KIND)).map_err(|why| ("error", why))?;
        let status = answer.get("status").cloned().unwrap_or_default();
        let is = |field: &str| status.get(field).and_then(Value::as_bool) == Some(true);
        let reason = status.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Answer { allowed: is("allowed"), denied: is("denied"), reason })
    }
}

impl Authorizer for Webhook {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(self.decide(attributes))
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        let error = "webhook authorizer does not support user rule resolution".to_owned();
        Rules { rules: Vec::new(), incomplete: true, error }
    }
}

/// The `spec` of the review in the version v1; what is empty is left out.
fn spec(attributes: &Attributes) -> Value {
    let mut spec = Map::new();
    let about = if attributes.resource_request { "resourceAttributes" } else { "nonResourceAttributes" };
    spec.insert(about.to_owned(), if attributes.resource_request { resource(attributes) } else { path(attributes) });
    let user = &attributes.user;
    put(&mut spec, "user", &user.name);
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        spec.insert("extra".to_owned(), extra.into());
    }
    put(&mut spec, "uid", &user.uid);
    spec.into()
}

fn put(of: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        of.insert(key.to_owned(), text.into());
    }
}

fn path(attributes: &Attributes) -> Value {
    let mut shown = Map::new();
    put(&mut shown, "path", &attributes.path);
    put(&mut shown, "verb", &attributes.verb);
    shown.into()
}

fn resource(attributes: &Attributes) -> Value {
    let Attributes { verb, group, version, resource, subresource, namespace, name, .. } = attributes;
    let mut shown = Map::new();
    let texts = [
        ("namespace", namespace),
        ("verb", verb),
        ("group", group),
        ("version", version),
        ("resource", resource),
        ("subresource", subresource),
        ("name", name),
    ];
    texts.into_iter().for_each(|(key, text)| put(&mut shown, key, text));
    let selectors = [
        ("fieldSelector", of_fields(&attributes.field_selector)),
        ("labelSelector", of_labels(&attributes.label_selector)),
    ];
    for (key, requirements) in selectors {
        if !requirements.is_empty() {
            shown.insert(key.to_owned(), json!({ "requirements": requirements }));
        }
    }
    shown.into()
}

/// A selector that cannot be read asks for everything, which is more than it could ask for.
fn of_fields(text: &str) -> Vec<Value> {
    let selector = fields::Selector::parse(text).unwrap_or_default();
    let operator = |comparison| match comparison {
        fields::Comparison::Equals => "In",
        fields::Comparison::NotEquals => "NotIn",
    };
    let requirement = |term: &fields::Term| json!({ "key": term.field, "operator": operator(term.comparison), "values": [term.value] });
    selector.terms().iter().map(requirement).collect()
}

fn of_labels(text: &str) -> Vec<Value> {
    use labels::Operator::{DoesNotExist, DoubleEquals, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn};
    let Ok(selector) = labels::Selector::parse(text) else { return Vec::new() };
    let requirement = |of: &labels::Requirement| {
        let operator = match of.operator {
            In | Equals | DoubleEquals => "In",
            NotIn | NotEquals => "NotIn",
            Exists => "Exists",
            DoesNotExist => "DoesNotExist",
            // No words for these in a review; without them it asks for more.
            GreaterThan | LessThan => return None,
        };
        let mut shown = json!({ "key": of.key, "operator": operator });
        if !of.values.is_empty() {
            shown["values"] = json!(of.values);
        }
        Some(shown)
    };
    selector.requirements().iter().filter_map(requirement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Attributes {
        let user = User {
            name: "bob".to_owned(),
            groups: vec!["dev".to_owned()],
            extra: vec![("a".to_owned(), vec!["b".to_owned()])],
            ..User::default()
        };
        Attributes {
            user: user.into(),
            verb: "list".to_owned(),
            resource_request: true,
            version: "v1".to_owned(),
            resource: "pods".to_owned(),
            namespace: "web".to_owned(),
            field_selector: "spec.nodeName=n,x!=y".to_owned(),
            label_selector: "a in (b,c),!d,e>1".to_owned(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_request_is_shown_with_its_selectors_and_without_what_is_empty() {
        let expected = json!({
            "user": "bob", "groups": ["dev"], "extra": { "a": ["b"] },
            "resourceAttributes": {
                "namespace": "web", "verb": "list", "version": "v1", "resource": "pods",
                "fieldSelector": { "requirements": [
                    { "key": "spec.nodeName", "operator": "In", "values": ["n"] },
                    { "key": "x", "operator": "NotIn", "values": ["y"] },
                ] },
                "labelSelector": { "requirements": [
                    { "key": "a", "operator": "In", "values": ["b", "c"] }, { "key": "d", "operator": "DoesNotExist" },
                ] },
            },
        });
        assert_eq!(spec(&asked()), expected);
        let path = Attributes { verb: "get".to_owned(), path: "/healthz".to_owned(), ..Attributes::default() };
        assert_eq!(spec(&path), json!({ "nonResourceAttributes": { "path": "/healthz", "verb": "get" } }));
    }

    #[test]
    fn the_older_version_has_groups_of_another_name() {
        let spec = spec(&asked());
        assert_eq!(Version::V1Beta1.sent(&spec)["group"], json!(["dev"]));
        assert_eq!(Version::V1.sent(&spec), spec);
    }
}
