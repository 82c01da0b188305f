//! CSIDriver.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{choice, immutable};
use crate::resources::print::{age, flag, or_none};
use crate::resources::tree::{Tree, child, count, fill, fill_zero, int, is_set, items, text, texts};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct CsiDriver;

const TOKENS_WARNING: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true \
    to prevent possible logging of tokens in volume attributes";

impl Behaviour for CsiDriver {
    fn default(&self, kind: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "attachRequired", true);
        fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        fill_zero(spec, "volumeLifecycleModes", json!(["Persistent"]));
        for key in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            fill(spec, key, false);
        }
        if kind.gates.enabled("VolumeLimitScaling") {
            fill(spec, "preventPodSchedulingIfMissing", false);
        }
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        // A new driver has no generation; the first change counts from there.
        if new.get(&["spec"]) != old.get(&["spec"]) {
            new.set(&["metadata", "generation"], old.generation() + 1);
        }
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate(new);
        let path = Path::new("spec");
        for (key, name) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
            immutable(&mut errors, new.get(&["spec", key]), old.get(&["spec", key]), &path.child(name));
        }
        errors
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let requests = |o: &Object| o.get(&["spec", "tokenRequests"]).cloned();
        let given = child(object.root(), "spec").is_some_and(|s| items(s, "tokenRequests").next().is_some());
        let unsaid = object.get(&["spec", "serviceAccountTokenInSecrets"]).is_none();
        let changed = old.is_none_or(|old| requests(old) != requests(object));
        if given && unsaid && changed { vec![TOKENS_WARNING.to_owned()] } else { Vec::new() }
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let spec = child(object.root(), "spec").cloned().unwrap_or_default();
        let audiences: Vec<&str> = items(&spec, "tokenRequests").map(|t| text(t, "audience")).collect();
        let tokens = if spec.contains_key("tokenRequests") { audiences.join(",") } else { "<unset>".to_owned() };
        let modes: Vec<&str> = texts(&spec, "volumeLifecycleModes").collect();
        let of = |key: &str, otherwise: bool| json!(flag(object, &["spec", key], otherwise));
        Some(vec![
            json!(object.name()),
            of("attachRequired", true),
            of("podInfoOnMount", false),
            of("storageCapacity", false),
            json!(tokens),
            of("requiresRepublish", false),
            json!(or_none(&modes.join(","))),
            json!(age(object, moment)),
        ])
    }
}

const PERIOD_SECONDS_MIN: i64 = 10;
const EXPIRATION_SECONDS_MIN: i64 = 600;
const EXPIRATION_SECONDS_MAX: i64 = 1 << 32;

fn validate(driver: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(driver.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    // The path of one of them differs from the name of its field.
    let needed = [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ];
    for (_, name) in needed.iter().filter(|(key, _)| !is_set(spec, key)) {
        errors.push(FieldError::required(&path.child(name), ""));
    }
    if is_set(spec, "fsGroupPolicy") {
        let supported = ["File", "None", "ReadWriteOnceWithFSType"];
        choice(&mut errors, text(spec, "fsGroupPolicy"), &path.child("fsGroupPolicy"), &supported);
    }
    token_requests(&mut errors, spec, &path.child("tokenRequests"));
    for mode in texts(spec, "volumeLifecycleModes") {
        choice(&mut errors, mode, &path.child("volumeLifecycleModes"), &["Persistent", "Ephemeral"]);
    }
    if !is_set(spec, "seLinuxMount") {
        errors.push(FieldError::required(&path.child("seLinuxMount"), ""));
    }
    let period = int(spec, "nodeAllocatableUpdatePeriodSeconds");
    if let Some(seconds) = period.filter(|seconds| *seconds < PERIOD_SECONDS_MIN) {
        let detail = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), seconds, detail));
    }
    if let Some(given) = spec.get("serviceAccountTokenInSecrets").filter(|given| given.is_boolean())
        && count(spec, "tokenRequests") == 0
    {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(FieldError::invalid(&path.child("serviceAccountTokenInSecrets"), given.clone(), detail));
    }
    if !is_set(spec, "preventPodSchedulingIfMissing") {
        errors.push(FieldError::required(&path.child("preventPodSchedulingIfMissing"), ""));
    }
    errors
}

fn token_requests(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, request) in items(spec, "tokenRequests").enumerate() {
        let at = path.index(i);
        let audience = text(request, "audience");
        if seen.contains(&audience) {
            errors.push(FieldError::duplicate(&at.child("audience"), audience));
            continue;
        }
        seen.push(audience);
        let Some(seconds) = int(request, "expirationSeconds") else { continue };
        let at = at.child("expirationSeconds");
        if seconds < EXPIRATION_SECONDS_MIN {
            errors.push(FieldError::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > EXPIRATION_SECONDS_MAX {
            errors.push(FieldError::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
}
