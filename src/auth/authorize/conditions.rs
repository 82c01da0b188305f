//! `matchConditions` of authorization webhooks: expressions over the SubjectAccessReview that would be sent (apiserver
//! `pkg/authorization/cel`).

use serde_json::{Map, Value, json};

use super::measures::Measures;
use crate::api::cel::admission::aggregate;
use crate::api::cel::{self, Activation, Env, Expressions, PER_CALL_LIMIT, Program, Type};
use crate::api::field::{ErrorKind, FieldError, Path};
use crate::base::Clock;

/// How many conditions a webhook may have.
const CONDITIONS_MAX: usize = 64;

const SPEC: &str = "kubernetes.SubjectAccessReviewSpec";
const RESOURCE: &str = "kubernetes.ResourceAttributes";
const NON_RESOURCE: &str = "kubernetes.NonResourceAttributes";
const FIELD_SELECTOR: &str = "kubernetes.FieldSelectorAttributes";
const LABEL_SELECTOR: &str = "kubernetes.LabelSelectorAttributes";
const REQUIREMENT: &str = "kubernetes.SelectorRequirement";

/// The compiled conditions of one webhook.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    programs: Vec<(String, Program)>,
}

impl Conditions {
    /// Compiles expressions; `at` is where the webhook stands.
    ///
    /// # Errors
    /// All that is wrong with them, in upstream's words.
    pub(super) fn compile(expressions: &[String], at: &Path<'_>) -> Result<Self, Vec<FieldError>> {
        let list = at.child("matchConditions");
        if expressions.len() > CONDITIONS_MAX {
            return Err(vec![FieldError::too_many(&list, expressions.len(), CONDITIONS_MAX)]);
        }
        let (env, mut errors, mut seen) = (environment(), Vec::new(), Vec::new());
        let mut programs = Vec::new();
        for (index, expression) in expressions.iter().enumerate() {
            let item = list.index(index);
            let path = item.child("expression");
            if expression.trim().is_empty() {
                errors.push(FieldError::required(&path, ""));
                continue;
            }
            if seen.contains(&expression) {
                errors.push(FieldError::duplicate(&path, expression.as_str()));
                continue;
            }
            seen.push(expression);
            match compile(expression, &env) {
                Ok(program) => programs.push((expression.clone(), program)),
                Err(why) => errors.push(FieldError::new(ErrorKind::Invalid, &path, expression.as_str(), why)),
            }
        }
        if errors.is_empty() { Ok(Self { programs }) } else { Err(errors) }
    }

    /// Whether all hold for what would be sent. One that does not decides, whatever failed before it.
    ///
    /// # Errors
    /// In upstream's words, when some fail and the others hold.
    pub(super) fn matches(
        &self,
        spec: &Value,
        (name, measures): (&str, &Measures),
        clock: &dyn Clock,
    ) -> Result<bool, String> {
        if self.programs.is_empty() {
            return Ok(true);
        }
        let began = clock.monotonic();
        let outcome = self.hold(&shown(spec));
        measures.conditions.observe(name.to_owned(), clock.monotonic().saturating_sub(began).as_secs_f64());
        let (matches, errors) = outcome;
        if !errors.is_empty() {
            measures.condition_errors.count(name.to_owned());
        }
        if !matches {
            measures.exclusions.count(name.to_owned());
            return Ok(false);
        }
        if errors.is_empty() { Ok(true) } else { Err(aggregate(&errors)) }
    }

    fn hold(&self, request: &Value) -> (bool, Vec<String>) {
        let activation = Activation::new().with("request", cel::Value::from_json(request));
        let mut errors = Vec::new();
        for (expression, program) in &self.programs {
            match program.evaluate(&activation, PER_CALL_LIMIT).value {
                Ok(cel::Value::Bool(true)) => {}
                Ok(cel::Value::Bool(false)) => return (false, errors),
                Ok(other) => errors.push(format!(
                    "cel evaluation error: expression '{expression}' eval result type should be bool but got {}",
                    other.type_name()
                )),
                Err(error) => {
                    errors.push(format!("cel evaluation error: expression '{expression}' resulted in error: {error}"))
                }
            }
        }
        (true, errors)
    }
}

fn compile(expression: &str, env: &Env) -> Result<Program, String> {
    let program = Program::compile(expression, env).map_err(|issues| format!("compilation failed: {issues}"))?;
    if *program.result_type() != Type::Bool {
        return Err(format!("must evaluate to bool but got {}", program.result_type()));
    }
    match program.instantiation_error() {
        Some(error) => Err(format!("program instantiation failed: {error}")),
        None => Ok(program),
    }
}

/// The fields of the version v1 of the review.
fn environment() -> Env {
    let texts = || Type::list(Type::String);
    let fields =
        |list: &[(&str, Type)]| list.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect::<Vec<_>>();
    let resource = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
    let mut resource: Vec<(&str, Type)> = resource.into_iter().map(|name| (name, Type::String)).collect();
    resource.push(("fieldSelector", Type::object(FIELD_SELECTOR)));
    resource.push(("labelSelector", Type::object(LABEL_SELECTOR)));
    let selector = [("rawSelector", Type::String), ("requirements", Type::list(Type::object(REQUIREMENT)))];
    let spec = [
        ("resourceAttributes", Type::object(RESOURCE)),
        ("nonResourceAttributes", Type::object(NON_RESOURCE)),
        ("user", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
        ("uid", Type::String),
    ];
    let requirement = [("key", Type::String), ("operator", Type::String), ("values", texts())];
    Env::new(Expressions::Stored)
        .variable("request", Type::object(SPEC))
        .object(SPEC, fields(&spec))
        .object(RESOURCE, fields(&resource))
        .object(NON_RESOURCE, fields(&[("path", Type::String), ("verb", Type::String)]))
        .object(FIELD_SELECTOR, fields(&selector))
        .object(LABEL_SELECTOR, fields(&selector))
        .object(REQUIREMENT, fields(&requirement))
}

/// A `spec` as expressions see it: texts that are empty are there, too.
fn shown(spec: &Value) -> Value {
    let text = |of: &Value, key: &str| of.get(key).cloned().unwrap_or_else(|| "".into());
    let mut shown = Map::new();
    shown.insert("user".to_owned(), text(spec, "user"));
    shown.insert("uid".to_owned(), text(spec, "uid"));
    shown.insert("groups".to_owned(), spec.get("groups").cloned().unwrap_or_else(|| json!([])));
    shown.insert("extra".to_owned(), spec.get("extra").cloned().unwrap_or_else(|| json!({})));
    if let Some(resource) = spec.get("resourceAttributes") {
        let names = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
        let mut all: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), text(resource, name))).collect();
        for selector in ["fieldSelector", "labelSelector"] {
            all.extend(resource.get(selector).map(|given| (selector.to_owned(), given.clone())));
        }
        shown.insert("resourceAttributes".to_owned(), all.into());
    }
    if let Some(path) = spec.get("nonResourceAttributes") {
        let all = json!({ "path": text(path, "path"), "verb": text(path, "verb") });
        shown.insert("nonResourceAttributes".to_owned(), all);
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    fn matches(expressions: &[&str], spec: Value) -> Result<bool, String> {
        let expressions: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        let conditions = Conditions::compile(&expressions, &Path::ROOT).unwrap();
        conditions.matches(&spec, ("w", &Measures::default()), &*SystemClock::shared())
    }

    #[test]
    fn conditions_see_what_would_be_sent() {
        let spec =
            json!({ "user": "bob", "groups": ["dev"], "resourceAttributes": { "namespace": "web", "verb": "get" } });
        let holds = |expression: &str| matches(&[expression], spec.clone());
        assert_eq!(holds("request.user == 'bob' && 'dev' in request.groups"), Ok(true));
        assert_eq!(holds("has(request.resourceAttributes) && request.resourceAttributes.name == ''"), Ok(true));
        assert_eq!(holds("has(request.nonResourceAttributes)"), Ok(false));
        let error = "cel evaluation error: expression 'request.nonResourceAttributes.path == '/'' resulted in error: no \
                     such key: nonResourceAttributes";
        assert_eq!(holds("request.nonResourceAttributes.path == '/'"), Err(error.to_owned()));
    }

    #[test]
    fn one_that_does_not_hold_decides_whatever_failed_before() {
        let conditions = ["request.extra['x'][0] == 'y'", "request.user != ''"];
        assert_eq!(matches(&conditions, json!({})), Ok(false));
        assert!(matches(&conditions, json!({ "user": "bob" })).is_err());
    }

    #[track_caller]
    fn check_errors(expressions: &[&str], errors: &[&str]) {
        let expressions: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        let found = Conditions::compile(&expressions, &Path::new("authorizers").index(0)).unwrap_err();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), errors);
    }

    #[test]
    fn conditions_that_make_no_sense_are_refused_in_upstreams_words() {
        let of_type =
            "authorizers[0].matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int";
        check_errors(&["1"], &[of_type]);
        let twice = "authorizers[0].matchConditions[1].expression: Duplicate value: \"true\"";
        let empty = "authorizers[0].matchConditions[2].expression: Required value";
        check_errors(&["true", "true", " "], &[twice, empty]);
    }
}
