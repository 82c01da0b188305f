//! Clients that ask for what comes to their mind, and write down what they were told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::history::{Answer, At, Call, Content, Key, Listing, MARK, Op, Page, Refusal, Scope, State};
use super::run::Stage;
use crate::server::Connection;

/// How many objects a namespace has room for: few, so that clients meet.
const NAMES: usize = 8;
pub(super) const TIERS: [&str; 3] = ["front", "middle", "back"];
/// The other fields that clients set.
const FIELDS: [&str; 4] = ["a", "b", "c", "d"];
/// The largest value of a field; most are small.
const VALUE_BYTES_MAX: usize = 20_000;
/// How long a client of short patience waits for an answer, at most.
const PATIENCE_MAX: Duration = Duration::from_millis(30);
const PAGES_MAX: usize = 40;

/// One client.
pub(super) struct Client {
    number: usize,
    random: StdRng,
    /// How many writes it has begun.
    writes: usize,
    /// Waits for every answer.
    pub patient: bool,
    /// The states that it saw last.
    known: HashMap<Key, State>,
    pub calls: Vec<Call>,
    pub lists: Vec<Listing>,
}

impl Client {
    pub(super) fn new(number: usize, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { number, random, writes: 0, patient: false, known: HashMap::new(), calls: Vec::new(), lists: Vec::new() }
    }

    /// Works until it is told to stop, or the server is gone.
    pub(super) async fn work(&mut self, connection: &Connection, stage: &Stage, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            let gone = match self.random.random_bool(0.08) {
                true => self.list(connection, stage).await,
                false => {
                    let key = self.key(stage);
                    let op = self.op(&key);
                    self.call(connection, stage, (key, op)).await
                }
            };
            if gone {
                return;
            }
            if !stage.rest.is_zero() {
                stage.wait(stage.rest.mul_f64(2.0 * self.random.random::<f64>())).await;
            }
        }
    }

    fn key(&mut self, stage: &Stage) -> Key {
        let namespace = stage.namespaces.choose(&mut self.random).unwrap().clone();
        Key { namespace, name: format!("object-{}", self.random.random_range(0..NAMES)) }
    }

    fn mark(&mut self) -> String {
        self.writes += 1;
        format!("{}-{}", self.number, self.writes)
    }

    fn content(&mut self) -> Content {
        let mark = self.mark();
        let tier = self.tier();
        let mut data = BTreeMap::from([(MARK.to_owned(), mark)]);
        for _ in 0..self.random.random_range(0..3) {
            let field = FIELDS.choose(&mut self.random).unwrap();
            data.insert((*field).to_owned(), self.value());
        }
        Content { tier, data }
    }

    fn tier(&mut self) -> Option<String> {
        let tier = TIERS.choose(&mut self.random).map(|tier| (*tier).to_owned());
        tier.filter(|_| self.random.random_bool(0.9))
    }

    fn value(&mut self) -> String {
        let bytes = if self.random.random_bool(0.05) { VALUE_BYTES_MAX } else { 60 };
        "v".repeat(self.random.random_range(0..bytes))
    }

    /// What to ask of an object, going by what is known of it.
    fn op(&mut self, key: &Key) -> Op {
        let known = self.known.get(key).cloned();
        let often = self.random.random_bool(0.7);
        let expect = known.as_ref().map(|state| state.revision).filter(|_| often);
        match (self.random.random_range(0..100), known) {
            (0..20, _) | (20..60, None) => Op::Get { stale: self.random.random_bool(0.3) },
            (20..32, _) | (_, None) => Op::Create(self.content()),
            (32..55, Some(_)) => Op::Replace { content: self.content(), expect },
            (55..72, Some(_)) => {
                let mark = self.mark();
                let tier = self.random.random_bool(0.4).then(|| self.tier());
                let mut data = BTreeMap::from([(MARK.to_owned(), Some(mark))]);
                let field = FIELDS.choose(&mut self.random).unwrap();
                let value = self.value();
                data.insert((*field).to_owned(), Some(value).filter(|_| self.random.random_bool(0.7)));
                Op::Merge { tier, data, expect }
            }
            (72..86, Some(state)) => Op::Swap { old: state.content.mark().to_owned(), new: self.mark() },
            (_, Some(state)) => {
                let uid = Some(state.uid).filter(|_| self.random.random_bool(0.5));
                Op::Delete { uid, expect }
            }
        }
    }

    /// Asks once; whether the server is gone.
    pub(super) async fn call(&mut self, connection: &Connection, stage: &Stage, (key, op): (Key, Op)) -> bool {
        let strategic = self.random.random_bool(0.3);
        let mut request = request(connection, (&key, &op), strategic);
        if !self.patient && self.random.random_bool(0.03) {
            request = request.timeout(PATIENCE_MAX.mul_f64(self.random.random()));
        }
        let began = stage.now();
        let answer = match request.send().await {
            Ok(response) => answer(&op, response).await,
            // It was never sent.
            Err(error) if error.is_connect() => return true,
            Err(_) => Answer::Lost,
        };
        let ended = stage.now();
        match &answer {
            Answer::Object(state) => drop(self.known.insert(key.clone(), state.clone())),
            Answer::Deleted { .. } => drop(self.known.remove(&key)),
            Answer::Refused(Refusal::NotFound) if !matches!(op, Op::Get { stale: true }) => {
                self.known.remove(&key);
            }
            Answer::Refused(_) | Answer::Lost | Answer::Strange(_) => {}
        }
        let doubt = answer == Answer::Lost;
        self.calls.push(Call { key, op, began, ended, answer });
        doubt && stage.ended()
    }

    /// Reads a list to its end; whether the server is gone.
    async fn list(&mut self, connection: &Connection, stage: &Stage) -> bool {
        let namespace = stage.namespaces.choose(&mut self.random).cloned().filter(|_| self.random.random_bool(0.5));
        let tier = self.tier().filter(|_| self.random.random_bool(0.5));
        let scope = Scope { namespace, tier };
        let known = self.known.values().map(|state| state.revision).max().unwrap_or(1);
        let limit = self.random.random_bool(0.6).then(|| self.random.random_range(1..8));
        let at = match (self.random.random_range(0..6), limit) {
            (0, None) => At::Any,
            (1, _) if known > 1 => At::NotOlderThan(known),
            (2, _) if known > 1 => At::Exact(known),
            (_, _) => At::Latest,
        };
        let began = stage.now();
        let mut ended = None;
        let mut pages: Vec<Page> = Vec::new();
        let mut token = String::new();
        while pages.len() < PAGES_MAX {
            let path = list_path(stage, (&scope, at), (limit, &token));
            let Ok(response) = connection.request(Method::GET, &path).send().await else { break };
            let status = response.status();
            let Ok(body) = response.json::<Value>().await else { break };
            if status != StatusCode::OK {
                if !matches!(status.as_u16(), 429 | 503) && !unreadable(body["message"].as_str().unwrap_or("")) {
                    pages.clear();
                    self.calls.push(strange(stage, format!("a list is answered {status}: {body}")));
                }
                break;
            }
            ended.get_or_insert_with(|| stage.now());
            token = body["metadata"]["continue"].as_str().unwrap_or("").to_owned();
            pages.push(page(&body));
            if token.is_empty() {
                self.lists.push(Listing { scope, at, began, ended: ended.unwrap_or(began), pages });
                return false;
            }
        }
        stage.ended()
    }
}

/// Whether an answer says that the disk could not be read, which is better than to say what is not so. It must not say
/// that there is damage: a backup would not help.
pub(super) fn unreadable(message: &str) -> bool {
    message.contains("could not be read or written")
}

/// Something that no question about an object was answered with.
pub(super) fn strange(stage: &Stage, what: String) -> Call {
    let key = Key { namespace: String::new(), name: String::new() };
    let now = stage.now();
    Call { key, op: Op::Get { stale: true }, began: now, ended: now, answer: Answer::Strange(what) }
}

/// The path of the objects in a scope, with its selector.
pub(super) fn scope_path(stage: &Stage, scope: &Scope) -> String {
    let run = &stage.run;
    let selector = match &scope.tier {
        Some(tier) => format!("run={run},tier={tier}"),
        None => format!("run={run}"),
    };
    match &scope.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/configmaps?labelSelector={selector}"),
        None => format!("/api/v1/configmaps?labelSelector={selector}"),
    }
}

fn list_path(stage: &Stage, (scope, at): (&Scope, At), (limit, token): (Option<u32>, &str)) -> String {
    let mut path = scope_path(stage, scope);
    if let Some(limit) = limit {
        path.push_str(&format!("&limit={limit}"));
    }
    if !token.is_empty() {
        return format!("{path}&continue={token}");
    }
    match at {
        At::Latest => path,
        At::Any => path + "&resourceVersion=0",
        At::NotOlderThan(revision) => {
            format!("{path}&resourceVersion={revision}&resourceVersionMatch=NotOlderThan")
        }
        At::Exact(revision) => format!("{path}&resourceVersion={revision}&resourceVersionMatch=Exact"),
    }
}

fn page(list: &Value) -> Page {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let revision = list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    Page { revision, items: items.iter().filter_map(object).collect() }
}

/// An object as it is in JSON; `None` if it has no name or no revision.
pub(super) fn object(value: &Value) -> Option<(Key, State)> {
    let metadata = &value["metadata"];
    let text = |name: &str| metadata[name].as_str().map(str::to_owned);
    let data = value["data"].as_object();
    let data = data.into_iter().flatten().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
    let tier = metadata["labels"]["tier"].as_str().map(str::to_owned);
    let state = State {
        uid: text("uid")?,
        revision: text("resourceVersion")?.parse().ok()?,
        content: Content { tier, data: data.collect() },
    };
    Some((Key { namespace: text("namespace")?, name: text("name")? }, state))
}

fn request(connection: &Connection, (key, op): (&Key, &Op), strategic: bool) -> reqwest::RequestBuilder {
    let collection = format!("/api/v1/namespaces/{}/configmaps", key.namespace);
    let path = format!("{collection}/{}", key.name);
    // The namespace is named for the run.
    let run = key.namespace.split('-').next().unwrap_or("");
    let body = |content: &Content, expect: Option<u64>| {
        let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": content.data,
            "metadata": {"name": key.name, "labels": {"run": run}}});
        if let Some(tier) = &content.tier {
            body["metadata"]["labels"]["tier"] = json!(tier);
        }
        if let Some(expect) = expect {
            body["metadata"]["resourceVersion"] = json!(expect.to_string());
        }
        body
    };
    let patch = |kind: &str, body: &Value| {
        let request = connection.request(Method::PATCH, &path).body(body.to_string());
        request.header("content-type", format!("application/{kind}"))
    };
    match op {
        Op::Create(content) => connection.request(Method::POST, &collection).json(&body(content, None)),
        Op::Replace { content, expect } => connection.request(Method::PUT, &path).json(&body(content, *expect)),
        Op::Merge { tier, data, expect } => {
            let mut body = json!({"data": data});
            if let Some(tier) = tier {
                body["metadata"]["labels"]["tier"] = json!(tier);
            }
            if let Some(expect) = expect {
                body["metadata"]["resourceVersion"] = json!(expect.to_string());
            }
            patch(if strategic { "strategic-merge-patch+json" } else { "merge-patch+json" }, &body)
        }
        Op::Swap { old, new } => patch(
            "json-patch+json",
            &json!([{"op": "test", "path": "/data/mark", "value": old},
                {"op": "replace", "path": "/data/mark", "value": new}]),
        ),
        Op::Delete { uid, expect } => {
            let expect = expect.map(|revision| revision.to_string());
            let preconditions = json!({"uid": uid, "resourceVersion": expect});
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
            connection.request(Method::DELETE, &path).json(&options)
        }
        Op::Get { stale } => {
            let path = if *stale { format!("{path}?resourceVersion=0") } else { path };
            connection.request(Method::GET, &path)
        }
    }
}

async fn answer(op: &Op, response: Response) -> Answer {
    let status = response.status();
    let Ok(body) = response.json::<Value>().await else {
        // Cut off in the middle, unless the server says so much in plain words.
        return if status == StatusCode::TOO_MANY_REQUESTS { Answer::Refused(Refusal::NotNow) } else { Answer::Lost };
    };
    let strange = || Answer::Strange(format!("{status}: {body}"));
    let reason = body["reason"].as_str().unwrap_or("");
    let message = body["message"].as_str().unwrap_or("");
    match (status.as_u16(), reason) {
        (200, _) if matches!(op, Op::Delete { .. }) => match body["details"]["uid"].as_str() {
            Some(uid) => Answer::Deleted { uid: uid.to_owned() },
            None => strange(),
        },
        (200 | 201, _) => object(&body).map_or_else(strange, |(_, state)| Answer::Object(state)),
        (404, _) => Answer::Refused(Refusal::NotFound),
        (409, "AlreadyExists") => Answer::Refused(Refusal::AlreadyExists),
        (409, "Conflict") => Answer::Refused(Refusal::Conflict),
        (422, _) if matches!(op, Op::Swap { .. }) => Answer::Refused(Refusal::TestFailed),
        (429, _) => Answer::Refused(Refusal::NotNow),
        (500 | 507, _) if message.contains("was not made") => Answer::Refused(Refusal::NotNow),
        // It is about to end.
        (503, _) => Answer::Lost,
        (500, _) if message.contains("outcome of an earlier one is unknown") => Answer::Lost,
        (_, _) => strange(),
    }
}

/// A write to an object that every watcher is told of whose scope has it: the end of a run.
pub(super) fn last_write(namespace: &str, tier: &str) -> (Key, Op) {
    let key = Key { namespace: namespace.to_owned(), name: format!("last-{tier}") };
    let data = BTreeMap::from([(MARK.to_owned(), format!("last-{namespace}-{tier}"))]);
    (key, Op::Create(Content { tier: Some(tier.to_owned()), data }))
}
