//! What chance gives, replaced by words: names, times, addresses, revisions.

use std::sync::LazyLock;

use regex::Regex;

/// In this order: a rule sees what those before it made.
const RULES: [(&str, &str); 21] = [
    (r"/tmp/(LIVE|MERGED)-\d+", "/tmp/$1"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\d{4}-\d\d-\d\d [\d:.]+ \+0000( UTC)?", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} [\d:]+ \+0000", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r#"(resourceVersion\\?"?: ?\\?)"\d+\\?""#, "${1}REVISION"),
    (r"pod-template-hash(=|: )[a-z0-9]+", "pod-template-hash${1}HASH"),
    // Before what contains such a name.
    (r"\b(web|api)-[bcdf0-9][a-z0-9]{5,9}-[a-z0-9]{5}\b", "$1-HASH-POD"),
    (r"\b(web|api)-[bcdf0-9][a-z0-9]{5,9}\b", "$1-HASH"),
    (r"\b(web)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "$1-SUFFIX"),
    (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-SUFFIX"),
    (r"https://127\.0\.0\.1:\d+", "https://SERVER"),
    (r"\b\d+\.\d+\.\d+\.\d+:\d{4,5}\b", "SERVER"),
    (r"\b10\.(2[0-9]{2}|1?[0-9]{1,2})\.\d+\.\d+", "IP"),
    (r"\b172\.\d+\.\d+\.\d+", "IP"),
    (r"\bnode-[123]\b( +<none>)?", "NODE$1"),
    (r"\b(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b", "AGE"),
    (r"<invalid>", "AGE"),
    (r"[ \t]+", " "),
    (r"^ ?(-+ ?)+$", "---"),
    (r" $", ""),
];

/// How far a rollout is when it is looked at is chance.
const CHANCE: &str = "Waiting for deployment";

/// The lines of an output without what chance gives.
pub(super) fn normal(text: &str) -> Vec<String> {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| RULES.iter().map(|(rule, by)| (Regex::new(rule).unwrap(), *by)).collect());
    let replaced = |line: &str| {
        COMPILED.iter().fold(line.to_owned(), |line, (rule, by)| rule.replace_all(&line, *by).into_owned())
    };
    text.lines().filter(|line| !line.starts_with(CHANCE)).map(replaced).collect()
}

#[test]
fn what_chance_gives_is_replaced_and_nothing_else() {
    let line = "web-5d4f7c8b9-x2b4q   1/1     Running   0          12s   10.244.1.7   node-2   <none>";
    assert_eq!(normal(line), ["web-HASH-POD 1/1 Running 0 AGE IP NODE <none>"]);
    assert_eq!(normal("deployment.apps/web created"), ["deployment.apps/web created"]);
    assert_eq!(normal("replicas: 3 desired | 3 updated"), ["replicas: 3 desired | 3 updated"]);
}
