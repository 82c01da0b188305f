//! Validation of LimitRanges, in upstream's order and words.

use std::collections::BTreeSet;

use super::resource_list::amount;
use super::resource_names::{HUGE_PAGES, container_name, native, resource_name};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::{Format, Quantity};
use crate::api::validation::names::qualified_name;
use crate::resources::check::messages;
use crate::resources::tree::{Tree, child, items, text};

const STANDARD_TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
/// Above this, thousandths would not fit.
const MILLI_MAX: i64 = i64::MAX / 1000;

/// A LimitRange, new or changed.
pub(super) fn validate(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let spec = Path::new("spec");
    let list = spec.child("limits");
    let mut seen: Vec<&str> = Vec::new();
    for (i, limit) in items(child(object.root(), "spec").unwrap_or(&empty), "limits").enumerate() {
        let at = list.index(i);
        let kind = text(limit, "type");
        type_name(&mut errors, kind, &at.child("type"));
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(&at.child("type"), kind));
        }
        seen.push(kind);
        validate_limit(&mut errors, limit, &at);
    }
    errors
}

fn type_name(errors: &mut Errors, kind: &str, path: &Path<'_>) {
    let wrong = qualified_name(kind);
    if wrong.is_empty() && !kind.contains('/') && !STANDARD_TYPES.contains(&kind) {
        let detail = "must be a standard limit type or fully qualified";
        errors.push(FieldError::invalid(path, kind, detail));
    }
    messages(errors, path, kind, wrong);
}

fn validate_limit(errors: &mut Errors, limit: &Tree, path: &Path<'_>) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let kind = text(limit, "type");
    for key in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let at = path.child(key);
        let given = child(limit, key).filter(|given| !given.is_empty());
        if key == "maxLimitRequestRatio" {
            storage(errors, limit, path);
        }
        let Some(given) = given else { continue };
        if kind == "Pod" && key.starts_with("default") {
            errors.push(FieldError::forbidden(&at, "may not be specified when `type` is 'Pod'"));
            continue;
        }
        for name in given.keys() {
            if matches!(kind, "Pod" | "Container") {
                container_name(errors, name, &at.key(name));
            } else {
                resource_name(errors, name, &at.key(name));
            }
            names.insert(name);
        }
    }
    for name in names {
        let of = |key: &str| {
            let ignored = kind == "Pod" && key.starts_with("default");
            let given = child(limit, key).filter(|given| !ignored && given.contains_key(name));
            given.map(|given| amount(Some(given), name))
        };
        let amounts = Amounts {
            min: of("min"),
            max: of("max"),
            default: of("default"),
            request: of("defaultRequest"),
            ratio: of("maxLimitRequestRatio"),
        };
        amounts.validate(errors, name, path);
    }
}

fn storage(errors: &mut Errors, limit: &Tree, path: &Path<'_>) {
    let has = |key: &str| child(limit, key).is_some_and(|given| given.contains_key("storage"));
    if text(limit, "type") == "PersistentVolumeClaim" && !has("min") && !has("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
}

/// What a limit says of one resource.
struct Amounts {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Amounts {
    fn validate(&self, errors: &mut Errors, name: &str, path: &Path<'_>) {
        let Self { min, max, default, request, .. } = self;
        // The smaller one, the larger one, which of them is told and where, their names.
        let orders = [
            (min, max, Told::First, "min", ("min", "max")),
            (min, request, Told::Second, "defaultRequest", ("min", "default request")),
            (request, max, Told::First, "defaultRequest", ("default request", "max")),
            (request, default, Told::First, "defaultRequest", ("default request", "default limit")),
            (min, default, Told::First, "default", ("min", "default")),
            (default, max, Told::Second, "default", ("default", "max")),
        ];
        for (small, large, told, key, (first, second)) in orders {
            let (Some(small), Some(large)) = (small, large) else { continue };
            if small > large {
                let value = if told == Told::First { small } else { large };
                let detail = format!("{first} value {small} is greater than {second} value {large}");
                errors.push(FieldError::invalid(&path.child(key).key(name), value.to_string(), detail));
            }
        }
        self.ratio(errors, name, path);
        if let (Some(default), Some(request)) = (default, request)
            && (!native(name) || name.starts_with(HUGE_PAGES))
            && default != request
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(FieldError::invalid(&path.child("defaultRequest").key(name), request.to_string(), detail));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "upstream compares ratios as floating point numbers")]
    fn ratio(&self, errors: &mut Errors, name: &str, path: &Path<'_>) {
        let Some(ratio) = &self.ratio else { return };
        let at = path.child("maxLimitRequestRatio");
        let at = at.key(name);
        if *ratio < Quantity::new(1, Format::Decimal) {
            errors.push(FieldError::invalid(&at, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        let (Some(min), Some(max)) = (&self.min, &self.max) else { return };
        let fine = [ratio, min, max].iter().all(|amount| amount.value() < MILLI_MAX);
        let (given, limit) = if fine {
            (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64)
        } else {
            (ratio.value() as f64, max.value() as f64 / min.value() as f64)
        };
        if given > limit {
            let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
            errors.push(FieldError::invalid(&at, ratio.to_string(), detail));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    First,
    Second,
}
