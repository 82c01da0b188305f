//! Validation of PriorityLevelConfigurations, in upstream's order and words. Which parts belong to which type is
//! declared.

use serde_json::Value;

use super::flow_schema_validation::conditions;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::resources::check::choice;
use crate::resources::facts;
use crate::resources::tree::{Tree, child, int, is_zero, text};

const QUEUES_MAX: i64 = 10_000_000;
/// So many bits a hash of a flow has for choosing queues.
const HASH_BITS_MAX: f64 = 60.0;
const EXEMPT: &str = "exempt";
const SPEC: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec";
/// An annotation that an older version used, which is of no meaning any more.
const ROUND_TRIP: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

/// A priority level, new or changed.
pub(super) fn validate(level: &Object) -> Errors {
    let mut errors = Errors::new();
    if level.annotation(ROUND_TRIP).is_some() {
        let path = Path::new("metadata");
        let detail = format!("annotation '{ROUND_TRIP}' is forbidden");
        errors.push(FieldError::forbidden(&path.child("annotations"), detail));
    }
    let empty = Tree::new();
    let (spec, path) = (child(level.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let kind = text(spec, "type");
    let at = path.child("type");
    if (level.name() == EXEMPT) != (kind == "Exempt") {
        errors.push(FieldError::invalid(&at, kind, "must be 'Exempt' if and only if `name` is 'exempt'"));
    }
    match kind {
        "" => {}
        "Exempt" => {
            if let Some(exempt) = child(spec, "exempt") {
                shares(&mut errors, exempt, &path.child("exempt"));
                lendable(&mut errors, exempt, &path.child("exempt"));
            }
        }
        "Limited" => {
            if let Some(limited) = child(spec, "limited") {
                validate_limited(&mut errors, limited, &path.child("limited"));
            }
        }
        _ => choice(&mut errors, kind, &at, &["Exempt", "Limited"]),
    }
    errors.extend(mandatory(level.name(), spec, &path));
    errors.extend(conditions(level));
    errors
}

fn shares(errors: &mut Errors, holder: &Tree, path: &Path<'_>) {
    if let Some(shares) = int(holder, "nominalConcurrencyShares").filter(|shares| *shares < 0) {
        let at = path.child("nominalConcurrencyShares");
        errors.push(FieldError::invalid(&at, shares, "must be a non-negative integer"));
    }
}

fn lendable(errors: &mut Errors, holder: &Tree, path: &Path<'_>) {
    if let Some(percent) = int(holder, "lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        errors.push(FieldError::invalid(
            &path.child("lendablePercent"),
            percent,
            "must be between 0 and 100, inclusive",
        ));
    }
}

fn validate_limited(errors: &mut Errors, limited: &Tree, path: &Path<'_>) {
    shares(errors, limited, path);
    let empty = Tree::new();
    let response = child(limited, "limitResponse").unwrap_or(&empty);
    let at = path.child("limitResponse");
    match text(response, "type") {
        "" | "Reject" => {}
        "Queue" => {
            if let Some(queuing) = child(response, "queuing") {
                validate_queuing(errors, queuing, &at.child("queuing"));
            }
        }
        other => choice(errors, other, &at.child("type"), &["Queue", "Reject"]),
    }
    lendable(errors, limited, path);
    if let Some(percent) = int(limited, "borrowingLimitPercent").filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
}

#[expect(clippy::cast_precision_loss, reason = "both numbers have 32 bits")]
fn validate_queuing(errors: &mut Errors, queuing: &Tree, path: &Path<'_>) {
    let of = |key: &str| int(queuing, key).unwrap_or(0);
    let (length, queues, hand) = (of("queueLengthLimit"), of("queues"), of("handSize"));
    if length <= 0 {
        errors.push(FieldError::invalid(&path.child("queueLengthLimit"), length, "must be positive"));
    }
    let at = path.child("queues");
    if queues <= 0 {
        errors.push(FieldError::invalid(&at, queues, "must be positive"));
    } else if queues > QUEUES_MAX {
        errors.push(FieldError::invalid(&at, queues, format!("must not be greater than {QUEUES_MAX}")));
    }
    let at = path.child("handSize");
    if hand <= 0 {
        errors.push(FieldError::invalid(&at, hand, "must be positive"));
    } else if hand > queues {
        errors.push(FieldError::invalid(&at, hand, format!("should not be greater than queues ({queues})")));
    } else if ((queues as f64).log2() * hand as f64).ceil() > HASH_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        errors.push(FieldError::invalid(&at, hand, detail));
    }
}

/// The levels that every cluster has stay as they are; of `exempt` its shares may change.
fn mandatory(name: &str, spec: &Tree, path: &Path<'_>) -> Option<FieldError> {
    let fixed = fixed_spec("PriorityLevelConfiguration", name)?;
    let (mut now, mut wanted) = (spec.clone(), fixed);
    let mut except = "";
    if name == EXEMPT {
        except = " except the 'spec.exempt' field";
        now.remove(EXEMPT);
        wanted.remove(EXEMPT);
    }
    let detail = format!("spec of '{name}'{except} must equal the fixed value");
    differs(&now, &wanted).then(|| FieldError::invalid(path, spec.clone(), detail).shown(Shown::As(SPEC)))
}

/// The spec of an object that must be as it is.
pub(super) fn fixed_spec(kind: &str, name: &str) -> Option<Tree> {
    if !matches!(name, EXEMPT | "catch-all") {
        return None;
    }
    let all = facts::bootstrap_flow_control();
    let object = all.into_iter().find(|object| object.gvk().kind == kind && object.name() == name)?;
    child(object.root(), "spec").cloned()
}

/// Whether two specs differ by more than what is empty.
pub(super) fn differs(now: &Tree, wanted: &Tree) -> bool {
    let same = |key: &String| match (now.get(key), wanted.get(key)) {
        (Some(Value::Object(now)), Some(Value::Object(wanted))) => !differs(now, wanted),
        (Some(Value::Array(now)), Some(Value::Array(wanted))) => {
            now.len() == wanted.len() && now.iter().zip(wanted).all(|pair| same_item(pair.0, pair.1))
        }
        (now, wanted) => now == wanted || now.is_none_or(is_zero) && wanted.is_none_or(is_zero),
    };
    !now.keys().chain(wanted.keys()).all(same)
}

fn same_item(now: &Value, wanted: &Value) -> bool {
    match (now, wanted) {
        (Value::Object(now), Value::Object(wanted)) => !differs(now, wanted),
        (now, wanted) => now == wanted,
    }
}
