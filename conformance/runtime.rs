//! What is served under `--runtime-config` and `--feature-gates`: the discovery documents and how much the OpenAPI
//! documents hold, as lines, against those of stock kube-apiserver with the same flags. `runtime/default.txt` is the
//! whole without flags; the other files say what differs from it (`+` and `-`). To record them again:
//! `cargo test --test conformance -- --ignored runtime::record`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::server::{Server, coracle_with, stock_with};

/// Names of files, and the flags.
const SETS: [(&str, &[&str]); 6] = [
    ("default", &[]),
    ("all", &["--runtime-config=api/all=true"]),
    ("beta", &["--runtime-config=api/beta=true"]),
    ("alpha", &["--runtime-config=api/alpha=true"]),
    ("gates", &["--runtime-config=api/all=true", "--feature-gates=AllAlpha=true,AllBeta=true"]),
    (
        "single",
        &["--runtime-config=resource.k8s.io/v1beta1=true,apps/v1/deployments=false,batch/v1=false,\
           coordination.k8s.io/v1beta1/leasecandidates=true,api/beta=false"],
    ),
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/runtime")).join(format!("{name}.txt"))
}

async fn tree(server: &Server, path: &str, accept: &str) -> Value {
    let request = server.client.get(format!("{}{path}", server.base)).header("accept", accept);
    let text = request.bearer_auth("admin-token").send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn words(value: &Value, key: &str) -> String {
    items(value, key).filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// A resource or a subresource in one line.
fn row(version: &str, name: &str, resource: &Value) -> String {
    let kind = ["group", "version", "kind"].map(|key| resource["responseKind"][key].as_str().unwrap_or_default());
    let texts = ["scope", "singularResource"].map(|key| resource[key].as_str().unwrap_or_default());
    let lists = ["verbs", "shortNames", "categories"].map(|key| words(resource, key));
    format!("{version} {name} {} {} {}", kind.join("/"), texts.join(" "), lists.join(" ")).trim_end().to_owned()
}

async fn lines(server: &Server) -> BTreeSet<String> {
    const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let mut lines = BTreeSet::new();
    for path in ["/api", "/apis"] {
        let list = tree(server, path, AGGREGATED).await;
        let mut order = Vec::new();
        for group in items(&list, "items") {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in items(group, "versions") {
                let version_name = format!("{name}/{}", version["version"].as_str().unwrap());
                for resource in items(version, "resources") {
                    let plural = resource["resource"].as_str().unwrap();
                    lines.insert(row(&version_name, plural, resource));
                    for part in items(resource, "subresources") {
                        let name = format!("{plural}/{}", part["subresource"].as_str().unwrap());
                        lines.insert(row(&version_name, &name, part));
                    }
                }
                order.push(version_name);
            }
        }
        lines.insert(format!("{path} {}", order.join(" ")));
    }
    documents(server, &mut lines).await;
    lines
}

/// How many paths and schemas each document of OpenAPI has.
async fn documents(server: &Server, lines: &mut BTreeSet<String>) {
    let count = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
    let index = tree(server, "/openapi/v3", "application/json").await;
    for path in index["paths"].as_object().unwrap().keys().filter(|path| *path != "logs") {
        let document = tree(server, &format!("/openapi/v3/{path}"), "application/json").await;
        let (paths, schemas) = (count(&document["paths"]), count(&document["components"]["schemas"]));
        lines.insert(format!("/openapi/v3/{path} {paths} paths {schemas} schemas"));
    }
    let document = tree(server, "/openapi/v2", "application/json").await;
    let logs = document["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/logs")).count();
    let (paths, definitions) = (count(&document["paths"]) - logs, count(&document["definitions"]));
    lines.insert(format!("/openapi/v2 {paths} paths {definitions} definitions"));
}

fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// What a set of flags changes.
fn changes(before: &BTreeSet<String>, now: &BTreeSet<String>) -> String {
    let gone = before.difference(now).map(|line| format!("-{line}\n"));
    gone.chain(now.difference(before).map(|line| format!("+{line}\n"))).collect()
}

#[tokio::test]
async fn flags_switch_on_and_off_what_they_do_in_stock() {
    let recorded = std::fs::read_to_string(file("default")).unwrap();
    let recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    for (name, set) in SETS {
        let ours = lines(&coracle_with(|_| flags(set)).await).await;
        let expected = if name == "default" { String::new() } else { std::fs::read_to_string(file(name)).unwrap() };
        let (ours, expected) = (changes(&recorded, &ours), expected);
        let of = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (ours, expected) = (of(&ours), of(&expected));
        wrong.extend(ours.difference(&expected).map(|line| format!("{name}: ours {line}")));
        wrong.extend(expected.difference(&ours).map(|line| format!("{name}: stock {line}")));
    }
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Not a test of ours: it asks stock and writes what it serves.
#[tokio::test]
#[ignore = "needs the binaries of conformance/upstream/build"]
async fn record() {
    let mut before = BTreeSet::new();
    for (name, set) in SETS {
        let now = lines(&stock_with(|_| flags(set)).await).await;
        let text: String = match name {
            "default" => now.iter().map(|line| format!("{line}\n")).collect(),
            _ => changes(&before, &now),
        };
        std::fs::write(file(name), text).unwrap();
        if name == "default" {
            before = now;
        }
    }
}
