//! The real world's custom resources: bundles of definitions that others wrote (`bundles.yaml`) are installed with
//! kubectl on stock and on Coracle, then their authors' samples, then thousands of changes of those, and whatever the
//! two do not answer alike is printed. Nothing is recorded and nothing downloaded is kept here: `conformance/run bundles`.
//!
//! `BUNDLES=name,name` takes some of them, `BUNDLE_CHANGES=5000` so many changes of each kind.

mod download;
mod pair;
mod samples;
mod vary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::differential::render;
use crate::server::{BINARIES, eventually, setting};

use download::{Bundle, Files};
use pair::{Answer, Ask, Pair};
use samples::{Kinds, Sample, kinds, samples};
use vary::{Change, Changer};

/// How many changes of the objects of one kind are tried.
const CHANGES_PER_KIND: u64 = 300;
/// How many of them are under way at once.
const TOGETHER: usize = 4;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const GROUPS: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn bundles() -> Vec<Bundle> {
    let all: Vec<Bundle> = serde_saphyr::from_str(include_str!("bundles.yaml")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests that users of them turn")]
    let wanted = std::env::var("BUNDLES").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|name| !name.is_empty()).collect();
    all.into_iter().filter(|bundle| wanted.is_empty() || wanted.contains(&bundle.name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "downloads bundles, and needs the binaries of conformance/upstream/build"]
async fn bundles_of_others_and_their_samples_are_taken_as_on_stock() {
    let kubectl = Path::new(BINARIES).join("kubectl");
    assert!(kubectl.is_file(), "run conformance/upstream/build first");
    let (mut wrong, mut missing) = (0, Vec::new());
    for bundle in bundles() {
        match bundle.download() {
            Ok(files) => wrong += check(&kubectl, &bundle, &files).await,
            Err(why) => {
                println!("{}: NOT CHECKED, it cannot be downloaded: {}", bundle.name, why.trim());
                missing.push(bundle.name);
            }
        }
    }
    assert_eq!(wrong, 0, "answers differ from those of stock");
    assert!(missing.is_empty(), "not checked: {}", missing.join(", "));
}

/// Plays all of a bundle on two new servers; gives how many answers differed.
async fn check(kubectl: &Path, bundle: &Bundle, files: &Files) -> usize {
    crate::tell(&format!("{} {}", bundle.name, bundle.version));
    let mut pair = Pair::start(kubectl).await;
    install(&mut pair, files).await;
    let [definitions, _] = pair.ask(&Ask::get(DEFINITIONS)).await;
    let kinds = kinds(&definitions.tree());
    published(&mut pair, &kinds).await;
    let samples = samples(&files.samples, &kinds);
    let taken = apply(&mut pair, &samples).await;
    for kind in kinds.values() {
        let all = kind.everywhere();
        pair.same("lists", &kind.plural, Ask::get(&all)).await;
        let table = Ask { content_type: TABLE, ..Ask::get(&all) };
        pair.same("tables", &kind.plural, table).await;
    }
    vary(&mut pair, &taken).await;
    let_go(&pair, &taken).await;
    remove(&mut pair, files).await;
    let told: Vec<_> =
        pair.counts.iter().map(|(sort, (asked, wrong))| format!("{sort} {asked} ({wrong} differ)")).collect();
    crate::tell(&format!("{}: {} kinds; {}", bundle.name, kinds.len(), told.join(", ")));
    pair.counts.values().map(|(_, wrong)| wrong).sum()
}

async fn install(pair: &mut Pair, files: &Files) {
    let mut arguments = vec!["apply", "--server-side"];
    for file in &files.definitions {
        arguments.extend(["-f", file.to_str().unwrap()]);
    }
    pair.kubectl(&arguments);
    established(pair).await;
    pair.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all"]);
    // Again: nothing changes.
    pair.kubectl(&arguments);
    let [stock, ours] = pair.ask(&Ask::get(DEFINITIONS)).await;
    let by_name = |answer: &Answer| -> BTreeMap<String, Value> {
        let items = answer.tree()["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), in_order(item))).collect()
    };
    let (stock, mut ours) = (by_name(&stock), by_name(&ours));
    for (name, definition) in stock {
        pair.compare_trees("definitions", &name, [definition, ours.remove(&name).unwrap_or_default()]);
    }
}

/// Waits for both servers: kubectl gives up on a definition that has no conditions at all yet.
async fn established(pair: &Pair) {
    eventually(async || {
        let answers = pair.ask(&Ask::get(DEFINITIONS)).await;
        answers.iter().all(|answer| answer.tree()["items"].as_array().into_iter().flatten().all(is_established))
    })
    .await;
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == "Established" && one["status"] == "True")
}

/// A definition with its conditions in order: which controller of stock's comes first is chance.
fn in_order(mut definition: Value) -> Value {
    let conditions = definition.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    conditions.into_iter().for_each(|all| all.sort_by_key(|condition| condition["type"].to_string()));
    definition
}

/// A list of resources in order: stock's is that of a map.
fn by_name(mut tree: Value) -> Value {
    let resources = tree["resources"].as_array_mut();
    resources.into_iter().for_each(|all| all.sort_by_key(|resource| resource["name"].to_string()));
    for version in tree["items"].as_array_mut().into_iter().flatten() {
        for version in version["versions"].as_array_mut().into_iter().flatten() {
            let resources = version["resources"].as_array_mut();
            resources.into_iter().for_each(|all| all.sort_by_key(|resource| resource["resource"].to_string()));
        }
    }
    tree
}

/// A document without the words that describe what is upstream's own, which we say in ours.
fn undescribed(mut tree: Value) -> Value {
    strip(&mut tree);
    tree
}

fn strip(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            fields.retain(|key, value| key != "description" || !value.is_string());
            fields.values_mut().for_each(strip);
            // Their order is that of names which upstream gives them by a hash of their words.
            if let Some(parameters) = fields.get_mut("parameters").and_then(Value::as_array_mut) {
                parameters.sort_by_key(|parameter| format!("{} {}", parameter["name"], parameter["in"]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Discovery and OpenAPI of the bundle's groups. Stock publishes them a while after it took them.
async fn published(pair: &mut Pair, kinds: &Kinds) {
    let versions: BTreeSet<String> = kinds.keys().map(|(version, _)| version.clone()).collect();
    let groups: BTreeSet<String> = kinds.values().map(|kind| kind.group.clone()).collect();
    for group in &groups {
        pair.same("discovery", group, Ask::get(&format!("/apis/{group}"))).await;
    }
    for version in &versions {
        settled(pair, ("discovery", &format!("/apis/{version}"), ""), by_name).await;
        let path = format!("/openapi/v3/apis/{version}");
        settled(pair, ("openapi v3", &path, ""), undescribed).await;
    }
    let of_groups = |mut tree: Value| {
        let known = |item: &Value| item["metadata"]["name"].as_str().is_some_and(|name| groups.contains(name));
        tree["items"].as_array_mut().into_iter().for_each(|items| items.retain(known));
        by_name(tree)
    };
    settled(pair, ("discovery", "/apis", GROUPS), of_groups).await;
    let paths: Vec<String> = groups.iter().map(|group| format!("/apis/{group}/")).collect();
    let of_paths = |tree: Value| {
        let path = |(path, item): (&String, &Value)| {
            paths.iter().any(|start| path.starts_with(start)).then(|| (path.clone(), item.clone()))
        };
        let named: serde_json::Map<String, Value> =
            tree["paths"].as_object().into_iter().flatten().filter_map(path).collect();
        let defined = |(name, item): (&String, &Value)| {
            let group = item.pointer("/x-kubernetes-group-version-kind/0/group").and_then(Value::as_str)?;
            groups.contains(group).then(|| (name.clone(), item.clone()))
        };
        let definitions: serde_json::Map<String, Value> =
            tree["definitions"].as_object().into_iter().flatten().filter_map(defined).collect();
        undescribed(json!({ "paths": named, "definitions": definitions }))
    };
    settled(pair, ("openapi v2", "/openapi/v2", ""), of_paths).await;
}

/// Compares a part of a document as soon as it is the same, or when it should be.
async fn settled(pair: &mut Pair, (sort, path, accept): (&'static str, &str, &str), part: impl Fn(Value) -> Value) {
    let both = async |pair: &Pair| {
        let ask = Ask { content_type: accept, ..Ask::get(path) };
        pair.ask(&ask).await.map(|answer| part(answer.tree()))
    };
    // Who waited in vain once does not wait again: there is a difference.
    pair.patient = pair.patient
        && eventually(async || {
            let [stock, ours] = both(pair).await;
            stock == ours
        })
        .await;
    let trees = both(pair).await;
    pair.compare_trees(sort, path, trees);
}

/// Applies all samples; gives those that stock took.
async fn apply<'a>(pair: &mut Pair, samples: &'a [Sample]) -> Vec<&'a Sample> {
    let namespaces: BTreeSet<&str> = samples.iter().map(|sample| sample.namespace.as_str()).collect();
    for namespace in namespaces {
        let body = json!({ "metadata": { "name": namespace } });
        pair.ask(&Ask::json(Method::POST, "/api/v1/namespaces", &body)).await;
    }
    let mut taken = Vec::new();
    for sample in samples {
        let path = format!("{}?fieldManager=kubectl&fieldValidation=Strict&force=true", sample.path());
        let body = sample.text.clone().into_bytes();
        let ask = Ask { method: Method::PATCH, path: &path, content_type: APPLY, body };
        if pair.same("samples", &sample.title, ask).await {
            taken.push(sample);
        }
    }
    taken
}

/// Creates and updates of changed samples, all in dry runs.
async fn vary(pair: &mut Pair, samples: &[&Sample]) {
    let limit = setting("BUNDLE_CHANGES").unwrap_or(CHANGES_PER_KIND) as usize;
    let mut by_kind: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_kind.entry(sample.kind.everywhere()).or_default().push(sample);
    }
    for samples in by_kind.values() {
        let mut changer = Changer::default();
        let mut left = limit;
        for sample in samples {
            let mut changes = changer.changes(&sample.kind.schema, &sample.object);
            // Spread over the object rather than its beginning.
            let every = changes.len().div_ceil(left.max(1)).max(1);
            changes = changes.into_iter().step_by(every).take(left).collect();
            left -= changes.len();
            try_changes(pair, sample, changes).await;
        }
    }
}

async fn try_changes(pair: &mut Pair, sample: &Sample, changes: Vec<Change>) {
    let stored = pair.ask(&Ask::get(&sample.path())).await.map(|answer| answer.tree());
    let told: Vec<_> = futures::stream::iter(&changes)
        .map(|change| try_change(pair, (sample, &stored), change))
        .buffered(TOGETHER)
        .collect()
        .await;
    for (change, [created, updated]) in changes.iter().zip(told) {
        pair.judge("creates", created.map(|text| format!("{} {}\n{text}", sample.title, change.what)));
        pair.judge("updates", updated.map(|text| format!("{} {}\n{text}", sample.title, change.what)));
    }
}

/// What differs when a changed sample is created under another name, and when it takes the place of the sample.
async fn try_change(pair: &Pair, (sample, stored): (&Sample, &[Value; 2]), change: &Change) -> [Option<String>; 2] {
    let query = "dryRun=All&fieldValidation=Warn&fieldManager=vary";
    let mut object = change.object.clone();
    object["metadata"]["name"] = "varied".into();
    let path = format!("{}?{query}", sample.kind.collection(&sample.namespace));
    let created = pair.ask(&Ask::json(Method::POST, &path, &object)).await;
    let created = unlike([&object, &object], created);
    let bodies = stored.each_ref().map(|stored| {
        let mut object = change.object.clone();
        object["metadata"] = stored["metadata"].clone();
        object
    });
    let path = format!("{}?{query}", sample.path());
    let asks = bodies.each_ref().map(|body| Ask::json(Method::PUT, &path, body));
    let updated = pair.ask_each([&asks[0], &asks[1]]).await;
    [created, unlike([&bodies[0], &bodies[1]], updated)]
}

fn unlike(sent: [&Value; 2], answers: [Answer; 2]) -> Option<String> {
    let mut texts = answers.iter().zip(sent).map(|(answer, sent)| {
        let text = render(answer.code, &answer.bytes, sent);
        let mut lines: Vec<&str> = text.lines().collect();
        // Stock tells them in the order of a map.
        lines[1..].sort_unstable();
        format!("{}{}", lines.join("\n"), answer.warnings.iter().map(|line| format!("\n {line}")).collect::<String>())
    });
    let (stock, ours) = (texts.next()?, texts.next()?);
    (stock != ours).then(|| format!("    stock: {stock}\n    ours:  {ours}"))
}

/// Takes away the finalizers whose controllers are not here.
async fn let_go(pair: &Pair, samples: &[&Sample]) {
    for sample in samples.iter().filter(|sample| sample.object["metadata"]["finalizers"].is_array()) {
        let body = json!({ "metadata": { "finalizers": null } }).to_string().into_bytes();
        let content_type = "application/merge-patch+json";
        pair.ask(&Ask { method: Method::PATCH, path: &sample.path(), content_type, body }).await;
    }
}

/// Takes the bundle away, and every object with it.
async fn remove(pair: &mut Pair, files: &Files) {
    let mut arguments = vec!["delete", "--timeout=60s"];
    for file in &files.definitions {
        arguments.extend(["-f", file.to_str().unwrap()]);
    }
    pair.kubectl(&arguments);
    pair.same("definitions", "those left", Ask::get(DEFINITIONS)).await;
}
