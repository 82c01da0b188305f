//! The expressions of a definition's rules: whether they compile, and what they may cost (apiextensions-apiserver
//! `pkg/apis/apiextensions/validation`).

use std::sync::Arc;

use serde_json::Value;

use super::print;
use crate::api::cel::{self, Declared, Expressions, Program};
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::schema::structural::check::{Props, any, child, entries, flag, list, text};
use crate::resources::custom::rules::{compile, compile_message};

/// What one expression may cost, and all of a schema.
const COST_MAX: u64 = 10_000_000;
const TOTAL_COST_MAX: u64 = 100_000_000;
/// How many of the most expensive expressions are told of.
const TOLD_MAX: usize = 4;

/// Adds what is wrong with the expressions of a schema that is right otherwise.
pub(super) fn validate(props: &Props, path: &Path<'_>, errors: &mut Errors) {
    if !any(props, &|of| of.contains_key("x-kubernetes-validations")) {
        return;
    }
    let mut walk = Walk { errors, costs: Vec::new(), total: 0 };
    walk.node(props, &At { root: cel::Root::Yes, times: Some(1), uncorrelated: None }, path);
    let Walk { errors, mut costs, total } = walk;
    if total <= TOTAL_COST_MAX {
        return;
    }
    costs.sort_by(|a, b| b.cmp(a));
    for (_, field) in costs.iter().take(TOLD_MAX) {
        let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(&Path::new(field), detail));
    }
    let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    errors.push(FieldError::forbidden(path, too_much(name, total, TOTAL_COST_MAX)));
}

/// Where a node stands.
struct At<'a> {
    root: cel::Root,
    /// How often it can be there; `None`: as often as a request has room for.
    times: Option<u64>,
    /// The outermost place around it whose values before and after an update cannot be told apart.
    uncorrelated: Option<&'a str>,
}

struct Walk<'e> {
    errors: &'e mut Errors,
    /// What all expressions cost at most.
    total: u64,
    /// What each expression costs at most that costs a hundredth of what all may, with its field.
    costs: Vec<(u64, String)>,
}

impl Walk<'_> {
    fn node(&mut self, props: &Props, at: &At<'_>, path: &Path<'_>) {
        if list(props, "x-kubernetes-validations").next().is_some() {
            self.rules(props, at, path);
        }
        let here = path.to_string();
        let kept = |loose: bool| at.uncorrelated.or_else(|| loose.then_some(here.as_str()));
        let times = |key: &str| {
            let most = props.get(key).and_then(Value::as_u64);
            at.times.and_then(|times| most.map(|most| times.saturating_mul(most)))
        };
        let root = |of: &Props| match flag(of, "x-kubernetes-embedded-resource") {
            true => cel::Root::Yes,
            false => cel::Root::No,
        };
        if let Some(of) = child(props, "additionalProperties") {
            let below = At { root: root(of), times: times("maxProperties"), uncorrelated: at.uncorrelated };
            self.node(of, &below, &path.child("additionalProperties"));
        }
        let (properties, loose) = (path.child("properties"), text(props, "x-kubernetes-map-type") == "atomic");
        for (name, of) in entries(props, "properties") {
            let below = At { root: root(of), times: at.times, uncorrelated: kept(loose) };
            self.node(of, &below, &properties.key(name));
        }
        if let Some(of) = child(props, "items") {
            let loose = text(props, "x-kubernetes-list-type") != "map";
            let below = At { root: root(of), times: times("maxItems"), uncorrelated: kept(loose) };
            self.node(of, &below, &path.child("items"));
        }
    }

    fn rules(&mut self, props: &Props, at: &At<'_>, path: &Path<'_>) {
        let json = Value::Object(props.clone());
        let schema = cel::Schema::new(&json);
        let all = path.child("x-kubernetes-validations");
        let Some(declared) = Declared::new(&schema, at.root, "selfType").map(Arc::new) else {
            let detail = "internal error: failed to retrieve type information for x-kubernetes-validations";
            self.errors.push(FieldError::new(crate::api::field::ErrorKind::Internal, &all, Value::Null, detail));
            return;
        };
        let times = at.times.unwrap_or_else(|| declared.cardinality_max());
        for (index, rule) in list(props, "x-kubernetes-validations").enumerate() {
            let place = all.index(index);
            let invalid = |field: &Path<'_>, error: String| {
                let whole = Value::Object(rule.clone());
                FieldError::invalid(field, whole, error).shown(Shown::Text(print::rule(rule)))
            };
            match compile(rule, &declared, Expressions::New) {
                Ok(program) => {
                    self.cost(&program, times, (&place.child("rule"), "estimated rule cost"));
                    self.old_self(rule, &program, (at, &place));
                }
                Err(error) => self.errors.push(invalid(&place.child("rule"), error)),
            }
            if text(rule, "messageExpression").is_empty() {
                continue;
            }
            let field = place.child("messageExpression");
            match compile_message(rule, &declared, Expressions::New) {
                Ok(program) => self.cost(&program, 1, (&field, "estimated messageExpression cost")),
                Err(error) => self.errors.push(invalid(&field, error)),
            }
        }
    }

    fn cost(&mut self, program: &Program, times: u64, (field, name): (&Path<'_>, &str)) {
        let cost = program.estimate().max.saturating_mul(times);
        if cost > COST_MAX {
            self.errors.push(FieldError::forbidden(field, too_much(name, cost, COST_MAX)));
        }
        if cost >= TOTAL_COST_MAX / 100 {
            self.costs.push((cost, field.to_string()));
        }
        self.total = self.total.saturating_add(cost);
    }

    fn old_self(&mut self, rule: &Props, program: &Program, (at, place): (&At<'_>, &Path<'_>)) {
        if program.uses("oldSelf") {
            if let Some(around) = at.uncorrelated {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {around}");
                self.errors.push(FieldError::invalid(&place.child("rule"), text(rule, "rule"), detail));
            }
        } else if let Some(given) = rule.get("optionalOldSelf") {
            let detail = "may not be set if oldSelf is not used in rule";
            self.errors.push(FieldError::invalid(&place.child("optionalOldSelf"), given.clone(), detail));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the factor is shown with one digit")]
fn too_much(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
