//! Validation of Jobs and of the templates of Jobs, in upstream's order and words.

use serde_json::{Value, json};

use super::indexes::total_indexes;
use super::job::validate_restart_policy;
use crate::api::Object;
use crate::api::field::{ErrorKind, Errors, FieldError, Path, Shown};
use crate::api::labels::{Selector, validate_label_selector};
use crate::api::validation::names::{domain_prefixed_path, qualified_name};
use crate::resources::Gates;
use crate::resources::apps::validation::labels_selected;
use crate::resources::check::{choice, immutable, immutable_as, invalid_as, messages, nonnegatives};
use crate::resources::core::pod_validation::validate_pod_template;
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::tree::{Tree, child, count, int, is_set, items, text};

const INDEXED_MAX: i64 = 100_000;
const MANY_COMPLETIONS_MAX: i64 = 10_000;
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const MANAGER_BYTES_MAX: usize = 63;
const SUCCEEDED_BYTES_MAX: usize = 64 << 10;
const NOT_INDEXED: &str = "requires indexed completion mode";
const SUCCESS_POLICY: &str = "io.k8s.api.batch.v1.SuccessPolicy";
const FAILURE_POLICY: &str = "io.k8s.api.batch.v1.PodFailurePolicy";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";

/// A new Job.
pub(super) fn validate(job: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(job.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    generated_selector(&mut errors, job, spec);
    whole_spec(&mut errors, spec, &path);
    name_allows_completions(&mut errors, job, spec);
    errors
}

/// A changed Job.
pub(super) fn validate_update(gates: &Gates, new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let of = |job: &Object| child(job.root(), "spec").cloned().unwrap_or_default();
    let (now, before, path) = (of(new), of(old), Path::new("spec"));
    whole_spec(&mut errors, &now, &path);
    completions_change(&mut errors, &now, &before, &path);
    let pair = |key: &str| (now.get(key), before.get(key));
    immutable_as(&mut errors, pair("selector"), LABEL_SELECTOR, &path.child("selector"));
    template_change(&mut errors, (gates, old), (&now, &before), &path);
    let plain = |errors: &mut Errors, key: &str| immutable(errors, now.get(key), before.get(key), &path.child(key));
    plain(&mut errors, "completionMode");
    immutable_as(&mut errors, pair("podFailurePolicy"), FAILURE_POLICY, &path.child("podFailurePolicy"));
    plain(&mut errors, "backoffLimitPerIndex");
    plain(&mut errors, "managedBy");
    immutable_as(&mut errors, pair("successPolicy"), SUCCESS_POLICY, &path.child("successPolicy"));
    name_allows_completions(&mut errors, new, &now);
    errors
}

/// The selector that the server makes says the uid of the job.
fn generated_selector(errors: &mut Errors, job: &Object, spec: &Tree) {
    if spec.get("manualSelector") == Some(&Value::Bool(true)) || !is_set(spec, "selector") {
        return;
    }
    let path = Path::new("spec.template.metadata");
    let (uid, name) = (job.uid(), job.name());
    let wanted = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let labels = job.get(&["spec", "template", "metadata", "labels"]).cloned().unwrap_or(Value::Null);
    let at = path.child("labels");
    for (key, value) in wanted {
        match labels.get(key).and_then(Value::as_str) {
            None => errors.push(FieldError::required(&at.key(key), format!("must be '{value}'"))),
            Some(given) if given != value => {
                errors.push(FieldError::invalid(&at.key(key), labels.clone(), format!("must be '{value}'")));
            }
            Some(_) => {}
        }
    }
    let expected: Tree = wanted.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    if let Ok(selector) = Selector::from_label_selector(spec.get("selector"))
        && !selector.matches(&expected)
    {
        let given = spec.get("selector").cloned().unwrap_or(Value::Null);
        errors.push(invalid_as(&Path::new("spec.selector"), given, LABEL_SELECTOR, "`selector` not auto-generated"));
    }
}

fn name_allows_completions(errors: &mut Errors, job: &Object, spec: &Tree) {
    let Some(completions) = int(spec, "completions").filter(|count| *count > 0) else { return };
    if text(spec, "completionMode") != "Indexed" {
        return;
    }
    let host = format!("{}-{}", job.name(), completions - 1);
    if !crate::api::validation::names::dns1123_label(&host).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {host}");
        errors.push(FieldError::invalid(&Path::new("metadata.name"), job.name(), detail));
    }
}

fn whole_spec(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    validate_spec(errors, spec, path);
    let at = path.child("selector");
    let given = spec.get("selector").filter(|selector| !selector.is_null());
    match given {
        None => errors.push(FieldError::required(&at, "")),
        Some(selector) => errors.extend(validate_label_selector(selector, &at)),
    }
    if let Ok(selector) = Selector::from_label_selector(given) {
        let empty = Tree::new();
        labels_selected(errors, child(spec, "template").unwrap_or(&empty), &selector, &path.child("template"));
    }
}

/// The spec of a job, or of the template of one in a CronJob, but for its selector.
pub(super) fn validate_spec(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    nonnegatives(errors, spec, &numbers, path);
    if is_set(spec, "maxFailedIndexes") && !is_set(spec, "backoffLimitPerIndex") {
        let at = path.child("backoffLimitPerIndex");
        errors.push(FieldError::required(&at, "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = spec.get("managedBy").and_then(Value::as_str) {
        managed_by(errors, manager, &path.child("managedBy"));
    }
    completion_mode(errors, spec, path);
    if child(spec, "podFailurePolicy").is_some() {
        failure_policy(errors, spec, &path.child("podFailurePolicy"));
    }
    if let Some(policy) = child(spec, "successPolicy") {
        let at = path.child("successPolicy");
        if text(spec, "completionMode") == "Indexed" {
            success_policy(errors, spec, policy, &at);
        } else {
            errors.push(invalid_as(&at, policy.clone(), SUCCESS_POLICY, NOT_INDEXED));
        }
    }
    if is_set(spec, "podReplacementPolicy") {
        let all: &[&str] =
            if is_set(spec, "podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        choice(errors, text(spec, "podReplacementPolicy"), &path.child("podReplacementPolicy"), all);
    }
    let empty = Tree::new();
    let template = child(spec, "template").unwrap_or(&empty);
    errors.extend(validate_pod_template(template, &path.child("template")));
    errors.extend(validate_restart_policy(spec, path));
}

fn managed_by(errors: &mut Errors, manager: &str, path: &Path<'_>) {
    if manager.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        let faults = domain_prefixed_path(manager);
        errors.extend(faults.into_iter().map(|(value, detail)| FieldError::invalid(path, value, detail)));
    }
    if manager.len() > MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(path, MANAGER_BYTES_MAX));
    }
}

fn completion_mode(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let (parallelism, completions) = (int(spec, "parallelism"), int(spec, "completions"));
    let failed = int(spec, "maxFailedIndexes");
    let mode = spec.get("completionMode").and_then(Value::as_str);
    if let Some(mode) = mode {
        choice(errors, mode, &path.child("completionMode"), &["NonIndexed", "Indexed"]);
    }
    match mode {
        Some("Indexed") => {
            if completions.is_none() {
                errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
            }
            let mut above = |key: &str, value: Option<i64>, max: i64, detail: String| {
                if let Some(value) = value.filter(|value| *value > max) {
                    errors.push(FieldError::invalid(&path.child(key), value, detail));
                }
            };
            let detail = format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed");
            above("parallelism", parallelism, INDEXED_MAX, detail);
            if let Some(completions) = completions {
                above("maxFailedIndexes", failed, completions, "must be less than or equal to completions".to_owned());
            }
            above("maxFailedIndexes", failed, INDEXED_MAX, format!("must be less than or equal to {INDEXED_MAX}"));
            many_completions(errors, spec, path);
        }
        None | Some("NonIndexed") => {
            for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = int(spec, key) {
                    errors.push(FieldError::invalid(&path.child(key), value, NOT_INDEXED));
                }
            }
        }
        Some(_) => {}
    }
}

fn many_completions(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let many = int(spec, "completions").is_some_and(|completions| completions > INDEXED_MAX);
    if !many || !is_set(spec, "backoffLimitPerIndex") {
        return;
    }
    if !is_set(spec, "maxFailedIndexes") {
        let detail = format!("must be specified when completions is above {INDEXED_MAX}");
        errors.push(FieldError::required(&path.child("maxFailedIndexes"), detail));
    }
    for key in ["parallelism", "maxFailedIndexes"] {
        if let Some(value) = int(spec, key).filter(|value| *value > MANY_COMPLETIONS_MAX) {
            let detail = format!(
                "must be less than or equal to {MANY_COMPLETIONS_MAX} when completions are above {INDEXED_MAX} and \
                 used with backoff limit per index"
            );
            errors.push(FieldError::invalid(&path.child(key), value, detail));
        }
    }
}

fn failure_policy(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let policy = child(spec, "podFailurePolicy").unwrap_or(&empty);
    let list = path.child("rules");
    if count(policy, "rules") > RULES_MAX {
        errors.push(FieldError::too_many(&list, count(policy, "rules"), RULES_MAX));
    }
    let pods = child(spec, "template").and_then(|template| child(template, "spec")).unwrap_or(&empty);
    let named = ["containers", "initContainers"].into_iter().flat_map(|list| items(pods, list));
    let names: Vec<&str> = named.map(|container| text(container, "name")).collect();
    for (i, rule) in items(policy, "rules").enumerate() {
        let at = list.index(i);
        action(errors, spec, text(rule, "action"), &at.child("action"));
        if let Some(codes) = child(rule, "onExitCodes") {
            exit_codes(errors, codes, &names, &at.child("onExitCodes"));
        }
        pod_conditions(errors, rule, &at.child("onPodConditions"));
        let detail = match (is_set(rule, "onExitCodes"), count(rule, "onPodConditions") > 0) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            (true, false) | (false, true) => continue,
        };
        errors.push(FieldError::invalid(&at, Value::Null, detail).shown(Shown::Nothing));
    }
}

fn action(errors: &mut Errors, spec: &Tree, action: &str, path: &Path<'_>) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    match action {
        "" => errors.push(FieldError::required(path, format!("valid values: {}", quoted(&ACTIONS)))),
        "FailIndex" if !is_set(spec, "backoffLimitPerIndex") => {
            errors.push(FieldError::invalid(path, action, "requires the backoffLimitPerIndex to be set"));
        }
        other => choice(errors, other, path, &ACTIONS),
    }
}

/// As Go prints a list of texts with `%q`.
fn quoted(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", texts.join(" "))
}

fn pod_conditions(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    const STATES: [&str; 3] = ["False", "True", "Unknown"];
    if count(rule, "onPodConditions") > RULES_MAX {
        errors.push(FieldError::too_many(path, count(rule, "onPodConditions"), RULES_MAX));
    }
    for (i, pattern) in items(rule, "onPodConditions").enumerate() {
        let at = path.index(i);
        let kind = text(pattern, "type");
        messages(errors, &at.child("type"), kind, qualified_name(kind));
        match text(pattern, "status") {
            "" => {
                let detail = format!("valid values: {}", quoted(&STATES));
                errors.push(FieldError::required(&at.child("status"), detail));
            }
            state => choice(errors, state, &at.child("status"), &STATES),
        }
    }
}

fn exit_codes(errors: &mut Errors, codes: &Tree, names: &[&str], path: &Path<'_>) {
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    let operator = text(codes, "operator");
    match operator {
        "" => {
            let detail = format!("valid values: {}", quoted(&OPERATORS));
            errors.push(FieldError::required(&path.child("operator"), detail));
        }
        other => choice(errors, other, &path.child("operator"), &OPERATORS),
    }
    if let Some(name) = codes.get("containerName").and_then(Value::as_str).filter(|name| !names.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(&path.child("containerName"), name, detail));
    }
    let at = path.child("values");
    let given = codes.get("values").cloned().unwrap_or(Value::Null);
    let values: Vec<i64> = given.as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        errors.push(FieldError::invalid(&at, given.clone(), "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(&at, values.len(), EXIT_CODES_MAX));
    }
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.push(FieldError::invalid(&at.index(i), 0, "must not be 0 for the In operator"));
        }
        if values[..i].contains(value) {
            errors.push(FieldError::duplicate(&at.index(i), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(&at, given, "must be ordered"));
    }
}

fn success_policy(errors: &mut Errors, spec: &Tree, policy: &Tree, path: &Path<'_>) {
    let list = path.child("rules");
    if count(policy, "rules") == 0 {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&list, detail));
    }
    if count(policy, "rules") > RULES_MAX {
        errors.push(FieldError::too_many(&list, count(policy, "rules"), RULES_MAX));
    }
    let completions = int(spec, "completions").unwrap_or(0);
    for (i, rule) in items(policy, "rules").enumerate() {
        success_rule(errors, rule, completions, &list.index(i));
    }
}

fn success_rule(errors: &mut Errors, rule: &Tree, completions: i64, path: &Path<'_>) {
    let (indexes, succeeded) = (rule.get("succeededIndexes").and_then(Value::as_str), int(rule, "succeededCount"));
    if indexes.is_none() && succeeded.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let at = path.child("succeededIndexes");
        if indexes.len() > SUCCEEDED_BYTES_MAX {
            errors.push(FieldError::new(ErrorKind::TooLong, &at, Value::Null, too_long()));
        }
        match total_indexes(indexes, completions) {
            Ok(sum) => total = sum,
            Err(why) => {
                errors.push(FieldError::invalid(&at, indexes, format!("error parsing succeededIndexes: {why}")));
            }
        }
    }
    let Some(succeeded) = succeeded else { return };
    let at = path.child("succeededCount");
    let mut refuse = |detail: String| errors.push(FieldError::invalid(&at, succeeded, detail));
    if succeeded < 0 {
        refuse("must be greater than or equal to 0".to_owned());
    }
    if succeeded > completions {
        refuse(format!("must be less than or equal to {completions} (the number of specified completions)"));
    }
    if indexes.is_some() && succeeded > total {
        refuse(format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        ));
    }
}

fn too_long() -> String {
    format!("may not be more than {SUCCEEDED_BYTES_MAX} bytes")
}

/// The number of completions stays, or goes with the parallelism of an indexed job.
fn completions_change(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    let at = path.child("completions");
    if text(now, "completionMode") != "Indexed" {
        return immutable(errors, now.get("completions"), before.get("completions"), &at);
    }
    let (new, old) = (int(now, "completions"), int(before, "completions"));
    if let Some(completions) = new.filter(|_| new != old)
        && Some(completions) != int(now, "parallelism")
    {
        errors.push(FieldError::invalid(&at, completions, "can only be modified in tandem with spec.parallelism"));
    }
}

/// The template stays; of a job that is suspended and of which nothing runs, where its pods may run and what they
/// need may change.
fn template_change(
    errors: &mut Errors,
    (gates, old_job): (&Gates, &Object),
    (now, before): (&Tree, &Tree),
    path: &Path<'_>,
) {
    let mut expected = before.get("template").cloned().unwrap_or(Value::Null);
    let new = now.get("template").cloned().unwrap_or(Value::Null);
    let suspended = before.get("suspend") == Some(&Value::Bool(true));
    let started = old_job.get(&["status", "startTime"]).is_some_and(|time| !time.is_null());
    let idle = suspended
        && (!started || is_true(old_job, "Suspended"))
        && old_job.int_at(&["status", "active"]).unwrap_or(0) == 0;
    let scheduled_anew =
        if gates.enabled("MutableSchedulingDirectivesForSuspendedJobs") { idle } else { suspended && !started };
    if scheduled_anew {
        for keys in [
            &["spec", "nodeSelector"][..],
            &["spec", "tolerations"],
            &["spec", "schedulingGates"],
            &["metadata", "annotations"],
            &["metadata", "labels"],
            &["spec", "affinity"],
        ] {
            let (holder, key) = (keys[0], keys[1]);
            let value = new.get(holder).and_then(|holder| holder.get(key)).cloned();
            let Some(holder) = expected.get_mut(holder).and_then(Value::as_object_mut) else { continue };
            match value {
                Some(value) => holder.insert(key.to_owned(), value),
                None => holder.remove(key),
            };
        }
    }
    if !(idle && gates.enabled("MutablePodResourcesForSuspendedJobs")) {
        return immutable_as(errors, (Some(&new), Some(&expected)), TEMPLATE, &path.child("template"));
    }
    let (new, mut expected) = (new.get("spec"), expected.get("spec").cloned());
    for list in ["containers", "initContainers"] {
        resources_as(list, new, expected.as_mut());
    }
    immutable_as(errors, (new, expected.as_ref()), POD_SPEC, &path.child("template.spec"));
}

/// Takes the resources of containers that stand at the same place in both.
fn resources_as(list: &str, new: Option<&Value>, old: Option<&mut Value>) {
    let new = new.and_then(|spec| spec.get(list)?.as_array());
    let old = old.and_then(|spec| spec.get_mut(list)?.as_array_mut());
    let (Some(new), Some(old)) = (new, old) else { return };
    if new.len() != old.len() {
        return;
    }
    for (new, old) in new.iter().zip(old) {
        let Some(fields) = old.as_object_mut().filter(|old| old.get("name") == new.get("name")) else { continue };
        match new.get("resources") {
            Some(resources) => fields.insert("resources".to_owned(), resources.clone()),
            None => fields.remove("resources"),
        };
    }
}

fn is_true(job: &Object, kind: &str) -> bool {
    let conditions = job.get(&["status", "conditions"]).and_then(Value::as_array).into_iter().flatten();
    conditions.filter(|condition| condition["type"] == kind).any(|condition| condition["status"] == "True")
}
