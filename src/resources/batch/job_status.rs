//! What a status of a Job may say after another one. A rule that would be broken already is not held against a write
//! that does not touch what it is about (batch `strategy.go`, `getStatusValidationOptions` of v1.37).

use std::collections::HashSet;

use serde_json::Value;

use super::indexes::{overlap, total_indexes};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::resources::check::{invalid_as, nonnegatives};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const COUNTERS: [&str; 5] = ["active", "succeeded", "failed", "ready", "terminating"];
const UNCOUNTED: &str = "uncountedTerminatedPods";

/// A job with a status.
struct Side<'a> {
    spec: &'a Tree,
    status: &'a Tree,
}

impl Side<'_> {
    fn holds(&self, kind: &str) -> bool {
        items(self.status, "conditions").any(|c| text(c, "type") == kind && text(c, "status") == "True")
    }

    fn denies(&self, kind: &str) -> bool {
        items(self.status, "conditions").any(|c| text(c, "type") == kind && text(c, "status") == "False")
    }

    fn finished(&self) -> bool {
        self.holds("Complete") || self.holds("Failed")
    }

    fn number(&self, key: &str) -> i64 {
        int(self.status, key).unwrap_or(0)
    }

    fn time(&self, key: &str) -> Option<jiff::Timestamp> {
        crate::api::time::parse_timestamp(text(self.status, key))
    }

    fn uncounted(&self) -> usize {
        let uncounted = child(self.status, UNCOUNTED);
        uncounted.map_or(0, |lists| count(lists, "succeeded") + count(lists, "failed"))
    }
}

/// What is wrong with a status that follows another.
pub(super) fn validate(new: &Object, old: &Object) -> Errors {
    let empty = Tree::new();
    let side = |job: &'_ Object| (child(job.root(), "spec").cloned(), child(job.root(), "status").cloned());
    let (now, before) = (side(new), side(old));
    let now = Side { spec: now.0.as_ref().unwrap_or(&empty), status: now.1.as_ref().unwrap_or(&empty) };
    let before = Side { spec: before.0.as_ref().unwrap_or(&empty), status: before.1.as_ref().unwrap_or(&empty) };
    let (mut errors, path) = (Errors::new(), Path::new("status"));
    let pair = Pair { now, before, path };
    nonnegatives(&mut errors, pair.now.status, &COUNTERS, &path);
    uncounted(&mut errors, &pair);
    conclusions(&mut errors, &pair);
    ends(&mut errors, &pair);
    indexes(&mut errors, &pair);
    running(&mut errors, &pair);
    criteria(&mut errors, &pair);
    transitions(&mut errors, &pair);
    errors
}

struct Pair<'a> {
    now: Side<'a>,
    before: Side<'a>,
    path: Path<'a>,
}

impl Pair<'_> {
    fn changed(&self, key: &str) -> bool {
        let null = &Value::Null;
        self.now.status.get(key).unwrap_or(null) != self.before.status.get(key).unwrap_or(null)
    }

    fn turned(&self, kind: &str) -> bool {
        self.now.holds(kind) != self.before.holds(kind)
    }

    fn finish_changed(&self) -> bool {
        self.now.finished() != self.before.finished()
    }

    fn value(&self, key: &str) -> Value {
        self.now.status.get(key).cloned().unwrap_or(Value::Null)
    }

    /// A refusal of the conditions, which are not shown.
    fn condition(&self, errors: &mut Errors, wrong: bool, detail: &str) {
        if wrong {
            let error = FieldError::invalid(&self.path.child("conditions"), Value::Null, detail);
            errors.push(error.shown(Shown::Nothing));
        }
    }

    fn field(&self, errors: &mut Errors, key: &str, (wrong, detail): (bool, &str)) {
        if wrong {
            errors.push(FieldError::invalid(&self.path.child(key), self.value(key), detail));
        }
    }
}

fn uncounted(errors: &mut Errors, pair: &Pair<'_>) {
    let Some(lists) = child(pair.now.status, UNCOUNTED) else { return };
    let at = pair.path.child(UNCOUNTED);
    let mut seen = HashSet::new();
    for key in ["succeeded", "failed"] {
        let list = at.child(key);
        for (i, uid) in texts(lists, key).enumerate() {
            if uid.is_empty() {
                errors.push(FieldError::invalid(&list.index(i), uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&list.index(i), uid));
            }
        }
    }
}

/// Conditions and the time of completion fit together.
fn conclusions(errors: &mut Errors, pair: &Pair<'_>) {
    let now = &pair.now;
    let (complete, failed) = (now.holds("Complete"), now.holds("Failed"));
    let completed = pair.turned("Complete");
    let wrong = (completed || pair.turned("Failed")) && complete && failed;
    pair.condition(errors, wrong, "cannot set Complete=True and Failed=true conditions");
    let wrong = (completed || pair.turned("FailureTarget")) && complete && now.holds("FailureTarget");
    pair.condition(errors, wrong, "cannot set Complete=True and FailureTarget=true conditions");
    let (timed, retimed) = (is_set(now.status, "completionTime"), completed || pair.changed("completionTime"));
    let detail = "cannot set completionTime when there is no Complete=True condition";
    pair.field(errors, "completionTime", (retimed && timed && !complete, detail));
    if retimed && !timed && complete {
        let at = pair.path.child("completionTime");
        errors.push(FieldError::required(&at, "completionTime is required for Complete jobs"));
    }
    if pair.changed("startTime") || pair.changed("completionTime") {
        let times = now.time("completionTime").zip(now.time("startTime"));
        let early = times.is_some_and(|(completed, started)| completed < started);
        pair.field(errors, "completionTime", (early, "must be equal to or after `startTime`"));
    }
    let wrong = (pair.turned("Failed") || pair.changed("failedIndexes")) && failed && !now.holds("FailureTarget");
    pair.condition(errors, wrong, "cannot set Failed=True condition without the FailureTarget=true condition");
    let met = now.holds("SuccessCriteriaMet");
    let wrong = (completed || pair.turned("SuccessCriteriaMet")) && complete && !met;
    pair.condition(errors, wrong, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
}

/// A job that has ended has started, and nothing of it goes on.
fn ends(errors: &mut Errors, pair: &Pair<'_>) {
    let now = &pair.now;
    if !now.finished() {
        return;
    }
    let changed = pair.finish_changed();
    let wrong = (changed || pair.changed("active")) && now.number("active") > 0;
    pair.field(errors, "active", (wrong, "active>0 is invalid for finished job"));
    let idle = now.spec.get("suspend") == Some(&Value::Bool(true)) && int(now.spec, "completions") == Some(0);
    if (changed || pair.changed("startTime")) && !idle && !is_set(now.status, "startTime") {
        let at = pair.path.child("startTime");
        errors.push(FieldError::required(&at, "startTime is required for finished job"));
    }
    if (changed || pair.changed(UNCOUNTED)) && now.uncounted() > 0 {
        let (value, detail) = (pair.value(UNCOUNTED), "must be empty for finished job");
        let of = "io.k8s.api.batch.v1.UncountedTerminatedPods";
        errors.push(invalid_as(&pair.path.child(UNCOUNTED), value, of, detail));
    }
}

fn indexes(errors: &mut Errors, pair: &Pair<'_>) {
    let (spec, status) = (pair.now.spec, pair.now.status);
    let completed = text(status, "completedIndexes");
    let failed = status.get("failedIndexes").and_then(Value::as_str);
    let (completed_changed, failed_changed) = (pair.changed("completedIndexes"), pair.changed("failedIndexes"));
    let completions = int(spec, "completions");
    let per_index = is_set(spec, "backoffLimitPerIndex");
    let mut parse = |key: &str, given: &str| {
        if let Some(Err(why)) = completions.map(|completions| total_indexes(given, completions)) {
            let detail = format!("error parsing {key}: {why}");
            errors.push(FieldError::invalid(&pair.path.child(key), given, detail));
        }
    };
    if completed_changed {
        parse("completedIndexes", completed);
    }
    if let Some(failed) = failed.filter(|_| failed_changed && per_index) {
        parse("failedIndexes", failed);
    }
    let wrong = completed_changed && !completed.is_empty() && text(spec, "completionMode") != "Indexed";
    let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
    pair.field(errors, "completedIndexes", (wrong, detail));
    let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
    pair.field(errors, "failedIndexes", (failed_changed && !per_index && failed.is_some(), detail));
    if let (Some(failed), Some(completions)) = (failed.filter(|_| completed_changed || failed_changed), completions)
        && let Some(index) = overlap(completed, failed, completions)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        pair.field(errors, "failedIndexes", (true, &detail));
    }
}

fn running(errors: &mut Errors, pair: &Pair<'_>) {
    let now = &pair.now;
    let wrong = (pair.finish_changed() || pair.changed("terminating")) && now.finished();
    let detail = "terminating>0 is invalid for finished job";
    pair.field(errors, "terminating", (wrong && now.number("terminating") > 0, detail));
    let wrong = (pair.changed("ready") || pair.changed("active")) && now.number("ready") > now.number("active");
    let wrong = wrong && is_set(now.status, "ready");
    pair.field(errors, "ready", (wrong, "cannot set more ready pods than active"));
}

fn criteria(errors: &mut Errors, pair: &Pair<'_>) {
    let now = &pair.now;
    let met = now.holds("SuccessCriteriaMet");
    let wrong = met && now.holds("Failed");
    pair.condition(errors, wrong, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    let wrong = met && now.holds("FailureTarget");
    pair.condition(errors, wrong, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    let wrong = is_set(now.spec, "successPolicy") && !met && now.holds("Complete");
    let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
    pair.condition(errors, wrong, detail);
}

/// What has been said once is not taken back.
fn transitions(errors: &mut Errors, pair: &Pair<'_>) {
    let (now, before) = (&pair.now, &pair.before);
    for kind in ["Failed", "Complete", "FailureTarget"] {
        let wrong = before.holds(kind) && !now.holds(kind);
        pair.condition(errors, wrong, &format!("cannot disable the terminal {kind}=True condition"));
    }
    let fewer = |key: &str| now.number(key) < before.number(key);
    let less = |errors: &mut Errors, key: &str| {
        if fewer(key) {
            let detail = format!("cannot decrease the {key} counter");
            errors.push(FieldError::invalid(&pair.path.child(key), now.number(key), detail));
        }
    };
    less(errors, "failed");
    let elastic =
        text(now.spec, "completionMode") == "Indexed" && int(now.spec, "completions") == int(now.spec, "parallelism");
    if !elastic {
        less(errors, "succeeded");
    }
    let moved = |key: &str| is_set(before.status, key) && pair.changed(key);
    let wrong = is_set(now.status, "completionTime") && moved("completionTime");
    pair.field(errors, "completionTime", (wrong, "field is immutable"));
    let resuming = before.holds("Suspended") && now.denies("Suspended");
    let suspended = now.spec.get("suspend") == Some(&Value::Bool(true));
    let detail = "field is immutable for unsuspended job once set";
    pair.field(errors, "startTime", (moved("startTime") && !resuming && !suspended, detail));
    let (met, was_met) = (now.holds("SuccessCriteriaMet"), before.holds("SuccessCriteriaMet"));
    pair.condition(errors, was_met && !met, "cannot disable the SuccessCriteriaMet=True condition");
    let wrong = before.holds("Complete") && !was_met && met;
    let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
    pair.condition(errors, wrong, detail);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check(old: Value, new: Value, expected: &[&str]) {
        let job = |status: Value| {
            let spec = json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed", "suspend": false});
            Object::from_value(json!({"spec": spec, "status": status})).unwrap()
        };
        check_errors(&validate(&job(new), &job(old)), expected);
    }

    #[test]
    fn counters_grow_and_fit_together() {
        check(json!({"succeeded": 1}), json!({"succeeded": 2, "active": 1, "ready": 1}), &[]);
        check(
            json!({"succeeded": 1}),
            json!({"ready": 1}),
            &[
                "status.ready: Invalid value: 1: cannot set more ready pods than active",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            ],
        );
    }

    #[test]
    fn a_job_that_has_ended_stays_so() {
        let failed = json!([{"type": "Failed", "status": "True"}, {"type": "FailureTarget", "status": "True"}]);
        let ended = json!({"conditions": failed, "startTime": "2020-01-01T00:00:00Z"});
        check(json!({"startTime": "2020-01-01T00:00:00Z"}), ended.clone(), &[]);
        check(ended.clone(), ended.clone(), &[]);
        check(
            ended,
            json!({"startTime": "2020-01-01T00:00:00Z"}),
            &[
                "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
                "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            ],
        );
    }
}
