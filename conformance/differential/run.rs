//! Sends the cases of a family to stock over HTTPS, or to a server of ours in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use coracle::api::request::User;
use coracle::app::{Cluster, Config, Controllers};
use coracle::client::{Ask, Payload, Transport};
use coracle::resources::facts::Facts;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;

use super::answer;
use super::base::{self, Base, Family};
use super::change;
use super::mutate::{Mutation, Mutator, Style};

/// Cases in order, each with the text of its answer.
pub(super) type Answers = Vec<(String, String)>;

/// The bases of a family as stock completes them, by name.
type Full = BTreeMap<String, Value>;

/// Who is asked.
pub(super) enum Asked<'a> {
    Stock(&'a Server),
    Ours(Arc<dyn Transport>),
}

/// A server of ours in which nothing acts by itself.
pub(super) async fn cluster() -> Cluster {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let controllers = Controllers { selection: String::new(), scheduler: false, nodes: 0 };
    let ranges = vec!["10.0.0.0/16".parse().unwrap()];
    let config = Config { controllers, service_cluster_ip_ranges: ranges, ..Config::default() };
    Cluster::start(config).await.unwrap()
}

impl Asked<'_> {
    async fn send(&self, method: Method, target: &str, body: &Value) -> (u16, Vec<u8>) {
        match self {
            Self::Stock(server) => {
                let request = server.client.request(method, format!("{}{target}", server.base));
                let answer = request.bearer_auth("admin-token").json(body).send().await.unwrap();
                (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
            }
            Self::Ours(transport) => {
                let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
                let user = User { name: "admin".to_owned(), uid: "admin-uid".to_owned(), groups, ..User::default() };
                let ask = Ask {
                    method: method.as_str().parse().unwrap(),
                    target: target.to_owned(),
                    content_type: "application/json",
                    accept: "application/json".into(),
                    body: serde_json::to_vec(body).unwrap().into(),
                    user: Arc::new(user),
                    agent: "conformance/1.0",
                };
                let reply = transport.exchange(ask).await.unwrap();
                let Payload::Full(bytes) = reply.payload else { panic!("{target}: a stream") };
                (reply.status, bytes.to_vec())
            }
        }
    }

    /// Makes an object that must come into being, and gives it back.
    async fn make(&self, method: Method, target: &str, object: &Value) -> Value {
        let (code, body) = self.send(method, target, object).await;
        assert!(code < 300, "{target}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

async fn prepare(asked: &Asked<'_>, facts: &Facts, family: &Family) {
    let namespace = family.namespace();
    let account = json!({"metadata": {"name": "default"}});
    // It is there already when a family is run a second time.
    asked.send(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await;
    asked.send(Method::POST, &format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await;
    for need in &family.needs {
        let kind = base::kind(facts, &need.api_version, &need.resource);
        let (code, body) = asked.send(Method::POST, &base::path(kind, &namespace), &need.object).await;
        assert!(code < 300 || code == 409, "{}: {}", family.name, String::from_utf8_lossy(&body));
    }
}

/// The bases as the server completes them, without what it sets by itself.
pub(super) async fn complete(asked: &Asked<'_>, facts: &Facts, family: &Family) -> Full {
    prepare(asked, facts, family).await;
    let mut full = Full::new();
    let kind = family.kind(facts);
    for base in &family.bases {
        let mut object = base.object.clone();
        object["apiVersion"] = family.api_version.clone().into();
        object["kind"] = kind.gvk.kind.to_string().into();
        let mut made = asked.make(Method::POST, &format!("{}?dryRun=All", family.path(facts)), &object).await;
        let metadata = made["metadata"].as_object_mut().unwrap();
        for key in ["uid", "creationTimestamp", "managedFields", "generation", "resourceVersion"] {
            metadata.remove(key);
        }
        let keeps_status = object.get("status").is_some();
        if !keeps_status {
            made.as_object_mut().unwrap().remove("status");
        }
        full.insert(base.base.clone(), if base.as_sent { object } else { made });
    }
    full
}

/// All answers to a family's cases.
pub(super) async fn run(asked: &Asked<'_>, facts: &Facts, (family, full): (&Family, &Full)) -> Answers {
    prepare(asked, facts, family).await;
    let mut runner = Runner { asked, facts, family, mutator: Mutator::new(facts, family.kind(facts)), answers: vec![] };
    for base in &family.bases {
        runner.creates(base, &full[&base.base]).await;
    }
    for base in &family.bases {
        runner.updates(base, &full[&base.base]).await;
    }
    runner.answers
}

struct Runner<'a> {
    asked: &'a Asked<'a>,
    facts: &'a Facts,
    family: &'a Family,
    mutator: Mutator<'a>,
    answers: Answers,
}

impl Runner<'_> {
    async fn creates(&mut self, base: &Base, full: &Value) {
        let target = format!("{}?dryRun=All", self.family.path(self.facts));
        self.send(Method::POST, &target, (format!("create {}", base.base), full)).await;
        for mutation in self.mutator.mutations(full, Style::Create, (&base.only, &base.skip)) {
            let Mutation { what, object } = mutation;
            self.send(Method::POST, &target, (format!("create {} {what}", base.base), &object)).await;
        }
        self.by_hand(Method::POST, &target, (&format!("create {}", base.base), full)).await;
    }

    async fn updates(&mut self, base: &Base, full: &Value) {
        let changed = base.update.as_ref().unwrap_or(&base.only);
        let by_hand = self
            .family
            .changes
            .keys()
            .any(|key| key.ends_with(&format!(" {}", base.base)) && !key.starts_with("create "));
        let has_parts = !base.parts.is_empty() || !base.status.is_null() || by_hand;
        if base.update.as_ref().is_some_and(Vec::is_empty) && !has_parts {
            return;
        }
        let path = self.family.path(self.facts);
        let mut made = self.asked.make(Method::POST, &path, full).await;
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        let at = format!("{path}/{name}");
        if !base.status.is_null() {
            made["status"] = base.status.clone();
            made = self.asked.make(Method::PUT, &format!("{at}/status"), &made).await;
        }
        if base.update.as_ref().is_none_or(|paths| !paths.is_empty()) {
            let skip = [&base.skip[..], &["status".to_owned()]].concat();
            self.change(&at, (&format!("update {}", base.base), &made), (Style::Update, changed, &skip)).await;
        }
        if !base.status.is_null() {
            let (title, only) = (format!("status {}", base.base), vec!["status".to_owned()]);
            self.change(&format!("{at}/status"), (&title, &made), (Style::Create, &only, &base.skip)).await;
        }
        for (part, only) in &base.parts {
            let title = format!("{part} {}", base.base);
            self.change(&format!("{at}/{part}"), (&title, &made), (Style::Create, only, &base.skip)).await;
        }
        let family = self.family;
        for way in family.changes.keys().filter_map(|key| key.strip_suffix(&format!(" {}", base.base))) {
            let part = match way {
                "create" => continue,
                "update" => String::new(),
                part => format!("/{part}"),
            };
            let target = format!("{at}{part}?dryRun=All");
            self.by_hand(Method::PUT, &target, (&format!("{way} {}", base.base), &made)).await;
        }
        // Finalizers may hold it; then it is only no longer in the way of others.
        self.asked.send(Method::DELETE, &at, &json!({"gracePeriodSeconds": 0})).await;
        self.release(&at).await;
    }

    /// The changes that are written by hand for a way of writing a base.
    async fn by_hand(&mut self, method: Method, target: &str, (title, object): (&str, &Value)) {
        let family = self.family;
        for change in family.changes.get(title).into_iter().flatten() {
            let Mutation { what, object } = change::changed(object, change);
            self.send(method.clone(), target, (format!("{title} {what}"), &object)).await;
        }
    }

    /// Takes finalizers away from an object that may still be there.
    async fn release(&mut self, at: &str) {
        let (code, body) = self.asked.send(Method::GET, at, &Value::Null).await;
        if code == 200 {
            let mut left: Value = serde_json::from_slice(&body).unwrap();
            left["metadata"].as_object_mut().unwrap().remove("finalizers");
            self.asked.send(Method::PUT, at, &left).await;
            if self.family.resource == "namespaces" {
                left["spec"] = json!({});
                self.asked.send(Method::PUT, &format!("{at}/finalize"), &left).await;
            }
        }
    }

    async fn change(&mut self, at: &str, of: (&str, &Value), how: (Style, &[String], &[String])) {
        let (title, object) = of;
        let (style, only, skip) = how;
        let target = format!("{at}?dryRun=All");
        self.send(Method::PUT, &target, (title.to_owned(), object)).await;
        let part = title.split(' ').next().unwrap_or_default().to_owned();
        for Mutation { what, object } in self.mutator.mutations_through(&part, object, style, (only, skip)) {
            self.send(Method::PUT, &target, (format!("{title} {what}"), &object)).await;
        }
    }

    async fn send(&mut self, method: Method, target: &str, (case, object): (String, &Value)) {
        let (mut code, mut body) = self.asked.send(method.clone(), target, object).await;
        // Controllers inside the servers may have written to the object meanwhile.
        if code == 409
            && String::from_utf8_lossy(&body).contains("has been modified")
            && !case.contains("resourceVersion")
        {
            let at = target.split('?').next().unwrap_or_default();
            let (_, present) = self.asked.send(Method::GET, at, &Value::Null).await;
            let present: Value = serde_json::from_slice(&present).unwrap();
            let mut again = object.clone();
            again["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
            (code, body) = self.asked.send(method, target, &again).await;
        }
        self.answers.push((case, answer::render(code, &body, object)));
    }
}
