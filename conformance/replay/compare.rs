//! Where two answers differ, which differences are wanted, and which steps are still open.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::scenario::Step;

/// How many differences of one step are printed.
const SHOWN_MAX: usize = 8;

/// A place where stock and we do not say the same.
pub(super) struct Difference {
    /// A JSON pointer into the answer, such as `/body/metadata/name`.
    pub(super) at: String,
    pub(super) stock: Option<Value>,
    pub(super) ours: Option<Value>,
}

/// A difference that we want, with its reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `scenario: step`, or the beginning of such.
    steps: String,
    /// The place or a place above it.
    at: String,
    /// Why a user is better off.
    #[expect(dead_code, reason = "for people who read the file; it must not be missing")]
    reason: String,
}

impl Wanted {
    pub(super) fn covers(&self, step: &str, difference: &Difference) -> bool {
        let below = difference.at.strip_prefix(&self.at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        step.starts_with(&self.steps) && below
    }
}

/// The list of wanted differences.
pub(super) fn wanted(path: &Path) -> Vec<Wanted> {
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Steps, one a line, that are known to differ; the list only shrinks.
pub(super) fn open(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// All places where two answers differ.
pub(super) fn differences(stock: &Step, ours: &Step) -> Vec<Difference> {
    let (stock, ours) = (serde_json::to_value(&stock.answer).unwrap(), serde_json::to_value(&ours.answer).unwrap());
    let mut found = Vec::new();
    collect(String::new(), Some(&stock), Some(&ours), &mut found);
    found
}

/// What differs between two trees, for people; nothing when they are the same.
pub(crate) fn tree_differences(title: &str, [stock, ours]: [Value; 2]) -> Option<String> {
    let mut found = Vec::new();
    collect(String::new(), Some(&stock), Some(&ours), &mut found);
    (!found.is_empty()).then(|| report(title, &found))
}

fn collect(at: String, stock: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (stock, ours) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let below = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                collect(below, left.get(key), right.get(key), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                collect(format!("{at}/{index}"), left.get(index), right.get(index), found);
            }
        }
        (left, right) if left != right => {
            found.push(Difference { at, stock: left.cloned(), ours: right.cloned() });
        }
        _ => {}
    }
}

/// A step's differences for people.
pub(super) fn report(step: &str, differences: &[Difference]) -> String {
    let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    let mut text = format!("{step}\n");
    for difference in differences.iter().take(SHOWN_MAX) {
        let (stock, ours) = (show(&difference.stock), show(&difference.ours));
        text.push_str(&format!("    {}\n        stock: {stock}\n        ours:  {ours}\n", difference.at));
    }
    if differences.len() > SHOWN_MAX {
        text.push_str(&format!("    … and {} more\n", differences.len() - SHOWN_MAX));
    }
    text
}
