//! An answer as a short text that is the same whenever the answers are: of an error its code, reason and causes, of an
//! object what differs from the one that was sent.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::mutate::LONG;

/// What a server sets by itself.
const SERVER_SET: &[&str] = &["uid", "creationTimestamp", "resourceVersion", "managedFields", "selfLink"];

static NAMES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compiled = |(pattern, name)| (Regex::new(pattern).unwrap(), name);
    let patterns = [
        (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-<random>"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r"20[2-9][6-9]-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
        (r"(ResourceVersion|resourceVersion): \d+", "$1: <revision>"),
        (r#""resourceVersion":"\d+""#, r#""resourceVersion":"<revision>""#),
        (r"\b10\.0\.\d+\.\d+\b", "<ip>"),
        (r#"(nodePort|healthCheckNodePort)("?:?) ?3[0-2]\d\d\d\b"#, "$1$2 <port>"),
    ];
    patterns.into_iter().map(compiled).collect()
});

/// The text of an answer to an object that was sent.
pub(crate) fn render(code: u16, body: &[u8], sent: &Value) -> String {
    let Ok(tree) = serde_json::from_slice::<Value>(body) else {
        return stable(&format!("{code} {}", String::from_utf8_lossy(body).trim()));
    };
    let text = if tree["kind"] == "Status" && tree["apiVersion"] == "v1" && code >= 300 {
        error(code, &tree)
    } else {
        let mut lines = vec![code.to_string()];
        changes("", Some(&bare(sent)), Some(&bare(&tree)), &mut lines);
        lines.join("\n ")
    };
    stable(&text)
}

fn stable(text: &str) -> String {
    let text = text.replace(LONG.as_str(), "<long>").replace('\u{a0}', " ").replace('\t', "<tab>");
    NAMES.iter().fold(text, |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}

fn error(code: u16, status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!("{code} {}", text(&status["reason"]))];
    let field = |cause: &Value| format!("{}: {}", text(&cause["field"]), text(&cause["message"]));
    let message = text(&status["message"]);
    let details = &status["details"];
    let head = format!("{} {:?} is invalid: ", kind(details), text(&details["name"]));
    let mut said: Vec<String> = Vec::new();
    for cause in causes.iter().map(field) {
        if !said.contains(&cause) {
            said.push(cause);
        }
    }
    let derived = match said.as_slice() {
        [one] => format!("{head}{one}"),
        many => format!("{head}[{}]", many.join(", ")),
    };
    // Most messages say nothing that the causes do not.
    if message != derived {
        lines.push(message);
    }
    lines.extend(causes.iter().map(|cause| format!("{} {}", text(&cause["reason"]), field(cause))));
    lines.join("\n ")
}

fn kind(details: &Value) -> String {
    let text = |key: &str| details[key].as_str().unwrap_or_default();
    if text("group").is_empty() { text("kind").to_owned() } else { format!("{}.{}", text("kind"), text("group")) }
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER_SET.contains(&key.as_str()));
    }
    object
}

/// Adds a line for each place that differs. What is null counts as absent.
fn changes(at: &str, sent: Option<&Value>, got: Option<&Value>, lines: &mut Vec<String>) {
    let (sent, got) = (sent.filter(|value| !value.is_null()), got.filter(|value| !value.is_null()));
    match (sent, got) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                changes(&format!("{at}.{key}"), left.get(key), right.get(key), lines);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                changes(&format!("{at}[{index}]"), left.get(index), right.get(index), lines);
            }
        }
        (Some(_), None) => lines.push(format!("-{at}")),
        (_, Some(value)) if sent != got => lines.push(format!("+{at} {value}")),
        (_, _) => {}
    }
}
