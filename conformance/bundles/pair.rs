//! Stock and Coracle side by side: whatever is asked of one is asked of the other, and the answers are compared.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use reqwest::Method;
use serde_json::Value;

use crate::replay::{Names, tree_differences};
use crate::server::{Server, coracle, eventually, stock};

/// How many differences are printed in full.
const PRINTED_MAX: usize = 400;

/// The two servers and what they did not agree on.
pub(super) struct Pair {
    stock: Server,
    ours: Server,
    kubectl: PathBuf,
    folder: tempfile::TempDir,
    /// What was asked of each sort, and how much of it was answered differently.
    pub(super) counts: BTreeMap<&'static str, (usize, usize)>,
    names: [Names; 2],
    /// Whether what stock publishes later is waited for.
    pub(super) patient: bool,
}

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: Vec<u8>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, content_type: "", body: Vec::new() }
    }

    pub(super) fn json(method: Method, path: &'a str, body: &Value) -> Self {
        Self { method, path, content_type: "application/json", body: body.to_string().into_bytes() }
    }
}

/// What a server answers.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) warnings: Vec<String>,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn tree(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.bytes).into_owned()))
    }
}

impl Pair {
    pub(super) async fn start(kubectl: &Path) -> Self {
        let (stock, ours) = tokio::join!(stock(), coracle());
        let names = [&stock, &ours].map(|server| Names::of_server(&server.base));
        let (kubectl, folder) = (kubectl.to_owned(), tempfile::tempdir().unwrap());
        Self { stock, ours, kubectl, folder, counts: BTreeMap::new(), names, patient: true }
    }

    /// The answers of stock and of ours to one request.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> [Answer; 2] {
        let (stock, ours) = tokio::join!(send(&self.stock, ask), send(&self.ours, ask));
        [stock, ours]
    }

    /// The answers to two requests that are of the same sense.
    pub(super) async fn ask_each(&self, asks: [&Ask<'_>; 2]) -> [Answer; 2] {
        let (stock, ours) = tokio::join!(send(&self.stock, asks[0]), send(&self.ours, asks[1]));
        [stock, ours]
    }

    /// Asks and compares whole answers; gives whether stock took it.
    pub(super) async fn same(&mut self, sort: &'static str, title: &str, ask: Ask<'_>) -> bool {
        let answers = self.ask(&ask).await;
        let taken = answers[0].code < 300;
        self.compare(sort, title, answers);
        taken
    }

    /// Compares whole answers, apart from what chance gives.
    pub(super) fn compare(&mut self, sort: &'static str, title: &str, answers: [Answer; 2]) {
        let mut trees = answers.iter().map(|answer| {
            let mut body = answer.tree();
            sort_causes(&mut body);
            forget_chance(&mut body);
            serde_json::json!({"code": answer.code, "warnings": answer.warnings, "body": body})
        });
        let [stock, ours] = [trees.next().unwrap(), trees.next().unwrap()];
        self.compare_trees(sort, title, [stock, ours]);
    }

    pub(super) fn compare_trees(&mut self, sort: &'static str, title: &str, mut trees: [Value; 2]) {
        trees.iter_mut().for_each(hide_revisions);
        let [stock, ours] = trees;
        self.names.iter_mut().for_each(Names::next_step);
        let [first, second] = &mut self.names;
        let differences = tree_differences(title, [first.name(stock), second.name(ours)]);
        self.judge(sort, differences);
    }

    /// Counts one comparison and prints how it failed.
    pub(super) fn judge(&mut self, sort: &'static str, difference: Option<String>) {
        let printed: usize = self.counts.values().map(|(_, wrong)| wrong).sum();
        let (asked, wrong) = self.counts.entry(sort).or_default();
        *asked += 1;
        if let Some(text) = difference {
            *wrong += 1;
            if printed < PRINTED_MAX {
                crate::tell(&format!("  {sort}: {text}"));
            }
        }
    }

    /// Runs kubectl against both and compares what it prints and how it ends.
    pub(super) fn kubectl(&mut self, arguments: &[&str]) {
        let run = |server: &Server, name: &str| {
            let mut command = Command::new(&self.kubectl);
            command.args(["--server", &server.base, "--token=admin-token", "--insecure-skip-tls-verify=true"]);
            command.arg("--cache-dir").arg(self.folder.path().join(name)).env("KUBECONFIG", "/dev/null");
            let output = command.args(arguments).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            serde_json::json!({"code": output.status.code(), "out": out, "err": err})
        };
        let answers = std::thread::scope(|scope| {
            let stock = scope.spawn(|| run(&self.stock, "stock"));
            let ours = run(&self.ours, "ours");
            [stock.join().unwrap(), ours]
        });
        let title = format!("kubectl {}", arguments.iter().take(3).copied().collect::<Vec<_>>().join(" "));
        self.compare_trees("kubectl", &title, answers);
    }
}

/// The answer as soon as there is one: stock refuses for a while to tell of a kind that is new to it.
async fn send(server: &Server, ask: &Ask<'_>) -> Answer {
    let kept = Cell::new(None);
    eventually(async || {
        let answer = once(server, ask).await;
        let settled = answer.code != 429;
        kept.set(Some(answer));
        settled
    })
    .await;
    kept.into_inner().unwrap()
}

async fn once(server: &Server, ask: &Ask<'_>) -> Answer {
    let request = server.client.request(ask.method.clone(), format!("{}{}", server.base, ask.path));
    let mut request = request.bearer_auth("admin-token").body(ask.body.clone());
    if ask.method == Method::GET && !ask.content_type.is_empty() {
        request = request.header("accept", ask.content_type);
    } else if !ask.content_type.is_empty() {
        request = request.header("content-type", ask.content_type);
    }
    let answer = request.send().await.unwrap();
    let code = answer.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut warnings: Vec<String> = answer.headers().get_all("warning").iter().map(text).collect();
    // Go's maps have no order.
    warnings.sort();
    Answer { code, warnings, bytes: answer.bytes().await.unwrap().to_vec() }
}

/// Upstream stores a custom resource without the defaults of its status, which it gives whenever it reads; so it writes it
/// again where nothing changes. Which revision an object has is not compared.
fn hide_revisions(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("resourceVersion");
            }
            fields.values_mut().for_each(hide_revisions);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_revisions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes out which of several unknown fields stock came upon first, and how old what a table tells of is.
fn forget_chance(body: &mut Value) {
    static FIELD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" \.[^ ]*: field not declared in schema").unwrap());
    static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^([0-9]+[smhd])+$").unwrap());
    if let Some(Value::String(message)) = body.get_mut("message") {
        *message = FIELD.replace_all(message, " …: field not declared in schema").into_owned();
    }
    let rows = body.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten();
    let cells = rows.filter_map(|row| row["cells"].as_array_mut()).flatten();
    for cell in cells.filter(|cell| cell.as_str().is_some_and(|text| AGE.is_match(text))) {
        *cell = "age".into();
    }
}

/// Puts the causes of a refusal in order, which stock gives in that of a map, and takes out a message that only repeats
/// them.
fn sort_causes(status: &mut Value) {
    let Some(causes) = status.pointer("/details/causes").and_then(Value::as_array).cloned() else { return };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = text(&status["message"]);
    let repeated = causes.iter().all(|cause| message.contains(&text(&cause["message"])));
    let head = message.split(" is invalid: ").next().unwrap_or_default().to_owned();
    if repeated && message.contains(" is invalid: ") {
        status["message"] = format!("{head} is invalid").into();
    }
    if let Some(causes) = status.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
        causes.sort_by_key(Value::to_string);
    }
}
