//! Gives names to what differs from run to run: equal values get equal names within a scenario.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// The names given so far in one scenario.
#[derive(Default)]
pub(crate) struct Names {
    given: HashMap<String, String>,
    /// The number of the present step is part of a name, so that a difference in one step moves no name of the next.
    step: usize,
    counts: HashMap<&'static str, usize>,
    prefixes: Vec<Regex>,
    port: Option<u64>,
}

/// Columns of tables that count time.
const AGES: &[&str] = &["Age", "Created At", "Last Seen", "First Seen", "Last Schedule", "Duration"];

static PATTERNS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    let compiled = |(name, pattern)| (name, Regex::new(pattern).unwrap());
    let patterns = [
        ("uid", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        // Times of long ago come from the scenario itself.
        ("microtime", r"20[2-9][5-9]-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
        ("time", r"20[2-9][5-9]-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
        ("certificate", r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+"),
        ("token", r"eyJ[\w-]+\.[\w-]+\.[\w-]+"),
        ("volume", r"kube-api-access-[a-z0-9]{5}"),
        ("address", r"\b\d+\.\d+\.\d+\.\d+:\d{4,5}\b"),
        ("ip", r"\b10\.0\.\d+\.\d+\b"),
        ("nodeport", r":3\d{4}/(TCP|UDP)"),
        ("revision", r#"\\*"resourceVersion\\*":\\*"\d+\\*""#),
        ("hash", r"hash=[0-9A-F]{128}"),
        ("current", r"current: \d+"),
        ("decoded", r"decodable revision=\d+"),
    ];
    patterns.into_iter().map(compiled).collect()
});

static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\d+[smhd](\d+[smh])?$").unwrap());

/// What is only marked, since two of them may be equal by chance.
const UNNUMBERED: &[&str] =
    &["microtime", "time", "certificate", "address", "nodeport", "revision", "hash", "current", "decoded"];

impl Names {
    /// Names for what a server at this address answers: its port stands in objects too.
    pub(crate) fn of_server(base: &str) -> Self {
        Self { port: base.rsplit(':').next().and_then(|port| port.parse().ok()), ..Self::default() }
    }

    /// What follows belongs to the next step.
    pub(crate) fn next_step(&mut self) {
        self.step += 1;
        self.counts.clear();
    }

    /// From now on, names that are made of this `generateName` are named.
    pub(crate) fn expect_generated(&mut self, prefix: &str) {
        // Upstream cuts a prefix so that the name stays a label.
        let prefix: String = prefix.chars().take(58).collect();
        if prefix.is_empty() {
            return;
        }
        let made = format!("\\b{}[bcdfghjklmnpqrstvwxz2456789]{{5}}\\b", regex::escape(&prefix));
        self.prefixes.push(Regex::new(&made).unwrap());
    }

    /// The tree with names in it.
    pub(crate) fn name(&mut self, mut tree: Value) -> Value {
        self.walk(&mut tree);
        tree
    }

    /// A text with names in it.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, name) in self.given.iter().filter_map(|(value, name)| Some((value.strip_prefix("version ")?, name)))
        {
            text = text.replace(&format!("({value})"), &format!("({name})"));
        }
        for prefix in self.prefixes.clone() {
            text = prefix.replace_all(&text, |found: &Captures<'_>| self.of("name", &found[0])).into_owned();
        }
        for (kind, pattern) in PATTERNS.iter() {
            text = pattern.replace_all(&text, |found: &Captures<'_>| self.of(kind, &found[0])).into_owned();
        }
        text
    }

    fn of(&mut self, kind: &'static str, value: &str) -> String {
        if UNNUMBERED.contains(&kind) {
            return format!("<{kind}>");
        }
        if let Some(name) = self.given.get(value) {
            return name.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let name = format!("<{kind}-{}.{count}>", self.step);
        self.given.insert(value.to_owned(), name.clone());
        name
    }

    fn walk(&mut self, tree: &mut Value) {
        match tree {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                let list = fields.contains_key("items") || fields.contains_key("rows");
                let bookmark = fields.get("type").is_some_and(|kind| kind == "BOOKMARK");
                name_ages(fields);
                *fields = std::mem::take(fields).into_iter().map(|(key, value)| (self.text(&key), value)).collect();
                for (key, value) in fields.iter_mut() {
                    match key.as_str() {
                        "resourceVersion" => self.version(value),
                        "continue" if value.as_str().is_some_and(|text| !text.is_empty()) => {
                            *value = "<continue>".into()
                        }
                        "nodePort" | "healthCheckNodePort" if value.is_u64() => {
                            *value = self.of("port", &format!("port {value}")).into()
                        }
                        "metadata" if list => {
                            hide_version(value);
                            self.walk(value);
                        }
                        "object" if bookmark => {
                            value.get_mut("metadata").into_iter().for_each(hide_version);
                            let row = value.pointer_mut("/rows/0/object/metadata");
                            row.into_iter().for_each(hide_version);
                            self.walk(value);
                        }
                        // The order of the first depends on which second of the clock a write fell into; stock gives
                        // the others in the order of a cache that has none.
                        "managedFields" | "nonResourceRules" | "resourceRules" => {
                            self.walk(value);
                            value.as_array_mut().into_iter().for_each(|items| items.sort_by_key(Value::to_string));
                        }
                        _ => self.walk(value),
                    }
                }
            }
            Value::Number(number) if self.port.is_some() && number.as_u64() == self.port => *tree = "<server>".into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn version(&mut self, value: &mut Value) {
        if let Some(text) = value.as_str().filter(|text| text.parse::<u64>().is_ok_and(|number| number > 0)) {
            *value = self.of("version", &format!("version {text}")).into();
        }
    }
}

/// The version of a list or a bookmark moves with whatever else happens in the cluster.
fn hide_version(metadata: &mut Value) {
    if let Some(version) = metadata.get_mut("resourceVersion").filter(|version| version.as_str() != Some("")) {
        *version = "<version>".into();
    }
}

/// Cells of a table that count the time since something. Later tables of a watch come without their columns; there a
/// cell is taken for one that looks like it.
fn name_ages(table: &mut serde_json::Map<String, Value>) {
    let is_age = |column: &Value| column["name"].as_str().is_some_and(|name| AGES.contains(&name));
    let columns = table.get("columnDefinitions").and_then(Value::as_array);
    let ages: Option<Vec<bool>> = columns.map(|columns| columns.iter().map(is_age).collect());
    let rows = table.get_mut("rows").and_then(Value::as_array_mut);
    for cells in rows.into_iter().flatten().filter_map(|row| row.get_mut("cells").and_then(Value::as_array_mut)) {
        for (index, cell) in cells.iter_mut().enumerate() {
            let counts = match &ages {
                Some(ages) => ages.get(index) == Some(&true) && cell != "<unknown>",
                None => cell.as_str().is_some_and(|text| AGE.is_match(text)),
            };
            if counts {
                *cell = "<age>".into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_get_equal_names() {
        let uid = "0f5a0b64-2a1c-4e0f-9d4c-0a51d0a1a001";
        let named = Names::default().name(json!({"a": uid, "b": format!("not {uid}"), "resourceVersion": "7"}));
        assert_eq!(named, json!({"a": "<uid-0.1>", "b": "not <uid-0.1>", "resourceVersion": "<version-0.1>"}));
    }

    #[test]
    fn generated_names_are_known_everywhere() {
        let mut names = Names::default();
        names.expect_generated("web-");
        names.name(json!({"metadata": {"generateName": "web-", "name": "web-x7k2p"}}));
        assert_eq!(names.text("pods \"web-x7k2p\" not found"), "pods \"<name-0.1>\" not found");
    }

    #[test]
    fn times_of_the_scenario_stay() {
        let mut names = Names::default();
        assert_eq!(names.text("2020-01-01T00:00:00Z 2026-11-21T11:00:00Z"), "2020-01-01T00:00:00Z <time>");
    }
}
