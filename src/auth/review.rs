//! The reviews: questions about users, rights and tokens, answered from what was asked and never stored (Kubernetes
//! `pkg/registry/authorization`, `pkg/registry/authentication`). The objects are decoded; what is done with the
//! answer is the registry's matter.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::authenticate::{Authenticators, UNKNOWN_TOKEN};
use super::{Attributes, Authorizer, Decision, PolicyRule};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::request::User;
use crate::api::{GroupKind, Object, Result, Status, fields, labels};

/// About whose rights, and where, a review asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// `SubjectAccessReview`.
    Subject,
    /// `SelfSubjectAccessReview`.
    Myself,
    /// `LocalSubjectAccessReview`.
    Local,
}

/// Checks one of the three access reviews. `namespace` is that of the request's path.
///
/// # Errors
/// Upstream's statuses for a review that makes no sense.
pub fn check_access((kind, namespace): (Access, &str), review: &Object) -> Result<()> {
    let errors = access_errors(kind, review);
    if !errors.is_empty() {
        // Upstream's internal types have no kind at this place (v1.37).
        let kind = GroupKind { group: "authorization.k8s.io".into(), kind: "".into() };
        return Err(Status::invalid(&kind, "", &errors));
    }
    if kind == Access::Local && namespace != review.namespace() {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
        return Err(Status::bad_request(why));
    }
    Ok(())
}

/// Answers a checked access review.
pub async fn access(kind: Access, authorizer: &dyn Authorizer, user: &User, mut review: Object) -> Object {
    let who = Arc::new(if kind == Access::Myself { user.clone() } else { subject(&review) });
    let (attributes, problems) = attributes(&review, who);
    let decision = authorizer.authorize(&attributes).await;
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(matches!(decision, Decision::Allow { .. })));
    if matches!(decision, Decision::Deny { .. } | Decision::Failed { denied: true, .. }) {
        status.insert("denied".to_owned(), json!(true));
    }
    let (reason, error) = match decision {
        Decision::Allow { reason } | Decision::Deny { reason } | Decision::NoOpinion { reason } => (reason, None),
        Decision::Failed { reason, error, .. } => (reason, Some(error)),
    };
    let problems: Vec<String> = error.into_iter().chain(problems).collect();
    if !reason.is_empty() {
        status.insert("reason".to_owned(), json!(reason));
    }
    if !problems.is_empty() {
        status.insert("evaluationError".to_owned(), json!(problems.join("; ")));
    }
    review.set(&["status"], Value::Object(status));
    review
}

/// Checks a `SelfSubjectRulesReview`.
///
/// # Errors
/// 400 when it names no namespace.
pub fn check_rules(review: &Object) -> Result<()> {
    if review.text_at(&["spec", "namespace"]).is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    Ok(())
}

/// Answers a checked `SelfSubjectRulesReview`.
pub fn rules(authorizer: &dyn Authorizer, user: &User, review: &Object) -> Object {
    let namespace = review.text_at(&["spec", "namespace"]);
    let rules = authorizer.rules(user, namespace);
    let resource = rules.rules.iter().filter(|rule| !rule.resources.is_empty()).map(|rule| {
        let bare = PolicyRule { non_resource_urls: Vec::new(), ..rule.clone() };
        serde_json::to_value(bare).unwrap_or_default()
    });
    let path = rules.rules.iter().filter(|rule| !rule.non_resource_urls.is_empty());
    let path = path.map(|rule| json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls }));
    let mut answer = bare(review);
    answer.set(&["spec"], json!({}));
    let status = json!({
        "resourceRules": resource.collect::<Vec<_>>(), "nonResourceRules": path.collect::<Vec<_>>(),
        "incomplete": rules.incomplete,
    });
    answer.set(&["status"], status);
    if !rules.error.is_empty() {
        answer.set(&["status", "evaluationError"], rules.error);
    }
    answer
}

/// Answers a `SelfSubjectReview`: who the server takes the sender for.
pub fn myself(user: &User, review: &Object, now: Timestamp) -> Object {
    let mut answer = bare(review);
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    answer.set(&["metadata", "creationTimestamp"], second.to_string());
    answer.set(&["status", "userInfo"], user_info(user));
    answer
}

/// Checks a `TokenReview`.
///
/// # Errors
/// 400 when it holds no token.
pub fn check_token(review: &Object) -> Result<()> {
    if review.text_at(&["spec", "token"]).is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    Ok(())
}

/// Answers a checked `TokenReview`: whose token it is, and for which of the wanted audiences.
pub async fn token(authenticators: &Authenticators, mut review: Object) -> Object {
    let token = review.text_at(&["spec", "token"]);
    let audiences = texts(review.get(&["spec", "audiences"]));
    let status = match authenticators.token(token, &audiences).await {
        Ok(known) => {
            let mut status = json!({ "authenticated": true, "user": user_info(&known.user) });
            if !known.audiences.is_empty() {
                status["audiences"] = json!(known.audiences);
            }
            status
        }
        Err(refused) => json!({ "user": {}, "error": token_error(&refused.to_string()) }),
    };
    review.set(&["status"], status);
    review
}

/// Upstream asks its token for itself first, which knows no other, and tells what both say (v1.37).
fn token_error(refused: &str) -> String {
    match refused {
        UNKNOWN_TOKEN => refused.to_owned(),
        _ => format!("[{UNKNOWN_TOKEN}, {refused}]"),
    }
}

/// A review with its kind and nothing else.
fn bare(review: &Object) -> Object {
    let mut bare = Object::default();
    bare.set_gvk(&review.gvk());
    bare.set(&["metadata"], json!({}));
    bare
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    let mut put = |key: &str, value: Value| drop(info.insert(key.to_owned(), value));
    if !user.name.is_empty() {
        put("username", json!(user.name));
    }
    if !user.uid.is_empty() {
        put("uid", json!(user.uid));
    }
    if !user.groups.is_empty() {
        put("groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        put("extra", user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect::<Map<_, _>>().into());
    }
    Value::Object(info)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn subject(review: &Object) -> User {
    let extra = review.get(&["spec", "extra"]).and_then(Value::as_object).into_iter().flatten();
    User {
        name: review.text_at(&["spec", "user"]).to_owned(),
        uid: review.text_at(&["spec", "uid"]).to_owned(),
        groups: texts(review.get(&["spec", "groups"])),
        extra: extra.map(|(key, values)| (key.clone(), texts(Some(values)))).collect(),
    }
}

/// What a review asks, and which selectors could not be read in full: they are left out, which asks for more.
fn attributes(review: &Object, user: Arc<User>) -> (Attributes, Vec<String>) {
    if let Some(path) = review.get(&["spec", "nonResourceAttributes"]).filter(|value| value.is_object()) {
        let text = |field: &str| path.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        return (Attributes { user, verb: text("verb"), path: text("path"), ..Attributes::default() }, Vec::new());
    }
    let text = |field| review.text_at(&["spec", "resourceAttributes", field]).to_owned();
    let version = text("version");
    let mut attributes = Attributes {
        user,
        verb: text("verb"),
        resource_request: true,
        group: text("group"),
        version: if version.is_empty() { "*".to_owned() } else { version },
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        ..Attributes::default()
    };
    let mut problems = Vec::new();
    for (field, term) in [("fieldSelector", field_term as Term), ("labelSelector", label_term)] {
        let selector = review.get(&["spec", "resourceAttributes", field]);
        let Some(selector) = selector.filter(|value| value.is_object()) else { continue };
        let (text, whole) = selector_text((field, selector), term);
        if !whole {
            let part = if text.is_empty() { "ignored" } else { "partially ignored" };
            problems.push(format!("spec.resourceAttributes.{field} {part} due to parse error"));
        }
        match field {
            "fieldSelector" => attributes.field_selector = text,
            _ => attributes.label_selector = text,
        }
    }
    (attributes, problems)
}

/// One requirement as a selector text; `None` when it makes none.
type Term = fn(&Value) -> Option<String>;

/// A selector as text, and whether all of it could be read.
fn selector_text((field, selector): (&str, &Value), term: Term) -> (String, bool) {
    let raw = selector.get("rawSelector").and_then(Value::as_str).unwrap_or("");
    if !raw.is_empty() {
        let good = if field == "fieldSelector" {
            fields::Selector::parse(raw).is_ok()
        } else {
            labels::Selector::parse(raw).is_ok()
        };
        return if good { (raw.to_owned(), true) } else { (String::new(), false) };
    }
    let requirements = selector.get("requirements").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let terms: Vec<_> = requirements.iter().filter_map(term).collect();
    (terms.join(","), terms.len() == requirements.len())
}

fn parts(requirement: &Value) -> (&str, &str, Vec<String>) {
    let text = |field: &str| requirement.get(field).and_then(Value::as_str).unwrap_or("");
    (text("key"), text("operator"), texts(requirement.get("values")))
}

fn field_term(requirement: &Value) -> Option<String> {
    match parts(requirement) {
        (key, "In", values) if values.len() == 1 => Some(format!("{key}={}", fields::escape(&values[0]))),
        (key, "NotIn", values) if values.len() == 1 => Some(format!("{key}!={}", fields::escape(&values[0]))),
        _ => None,
    }
}

fn label_term(requirement: &Value) -> Option<String> {
    let (key, operator, values) = parts(requirement);
    let text = match operator {
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    };
    labels::Selector::parse(&text).is_ok().then_some(text)
}

/// Attributes as upstream's errors show them: by the names of the fields in Go.
fn go_named(attributes: &Value) -> Value {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or("");
    json!({"Path": text("path"), "Verb": text("verb")})
}

fn access_errors(kind: Access, review: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let given = |field| review.get(&["spec", field]).filter(|value| value.is_object());
    let (resource, path) = (given("resourceAttributes"), given("nonResourceAttributes"));
    if resource.is_some() == path.is_some() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid(&spec, path.map(go_named).unwrap_or_default(), why));
    }
    let user = review.text_at(&["spec", "user"]);
    if kind != Access::Myself && user.is_empty() && texts(review.get(&["spec", "groups"])).is_empty() {
        errors.push(FieldError::invalid(&spec.child("user"), user, "at least one of user or group must be specified"));
    }
    if let Some(resource) = resource {
        let root = Path::new("spec.resourceAttributes");
        for field in ["fieldSelector", "labelSelector"] {
            let selector = resource.get(field).filter(|value| value.is_object());
            errors.extend(selector.into_iter().flat_map(|selector| selector_errors(selector, &root.child(field))));
        }
    }
    let ours = |field: &&String| *field != "managedFields" && (kind != Access::Local || *field != "namespace");
    let metadata = review.get(&["metadata"]);
    if metadata.and_then(Value::as_object).is_some_and(|metadata| metadata.keys().any(|field| ours(&field))) {
        let why = if kind == Access::Local { "must be empty except for namespace" } else { "must be empty" };
        errors.push(FieldError::invalid(&Path::new("metadata"), metadata.cloned().unwrap_or_default(), why));
    }
    if kind == Access::Local {
        let namespace = review.text_at(&["spec", "resourceAttributes", "namespace"]);
        if resource.is_some() && namespace != review.namespace() {
            let field = Path::new("spec.resourceAttributes.namespace");
            errors.push(FieldError::invalid(&field, namespace, "must match metadata.namespace"));
        }
        if let Some(path) = path {
            let field = Path::new("spec.nonResourceAttributes");
            errors.push(FieldError::invalid(&field, go_named(path), "disallowed on this kind of request"));
        }
    }
    errors
}

fn selector_errors(selector: &Value, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    let raw = selector.get("rawSelector").and_then(Value::as_str).unwrap_or("");
    let requirements = selector.get("requirements").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !raw.is_empty() && !requirements.is_empty() {
        let why = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(&path.child("rawSelector"), raw, why));
    }
    let list = path.child("requirements");
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(&list, why));
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let item = list.index(index);
        let (key, operator, values) = parts(requirement);
        if key.is_empty() {
            errors.push(FieldError::required(&item.child("key"), "must be specified"));
        }
        let field = item.child("values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(FieldError::required(&field, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&field, why));
            }
            _ => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::auth::Rules;

    /// Allows what is asked in the namespace `web`, and shows what it was asked.
    #[derive(Default)]
    struct Web {
        asked: parking_lot::Mutex<Option<Attributes>>,
    }

    impl Authorizer for Web {
        fn authorize<'a>(&'a self, attributes: &'a Attributes) -> futures::future::BoxFuture<'a, Decision> {
            *self.asked.lock() = Some(attributes.clone());
            let reason = "because".to_owned();
            let decision = match attributes.namespace == "web" {
                true => Decision::Allow { reason },
                false => Decision::NoOpinion { reason: String::new() },
            };
            Box::pin(std::future::ready(decision))
        }

        fn rules(&self, _: &User, _: &str) -> Rules {
            let rule: PolicyRule = serde_json::from_value(
                json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "nonResourceURLs": ["/x"] }),
            )
            .unwrap();
            Rules { rules: vec![rule], incomplete: true, error: "no".to_owned() }
        }
    }

    fn review(kind: &str, spec: Value) -> Object {
        let api_version = "authorization.k8s.io/v1";
        Object::from_value(json!({ "apiVersion": api_version, "kind": kind, "metadata": {}, "spec": spec })).unwrap()
    }

    fn ask(kind: Access, web: &Web, spec: Value) -> Result<Object> {
        let user = User { name: "me".to_owned(), ..User::default() };
        let review = review("SubjectAccessReview", spec);
        check_access((kind, ""), &review)?;
        Ok(access(kind, web, &user, review).now_or_never().unwrap())
    }

    #[test]
    fn a_review_tells_what_the_authorizer_says_of_the_subject() {
        let web = Web::default();
        let spec = |namespace: &str| json!({ "user": "bob", "resourceAttributes": { "namespace": namespace, "verb": "get", "resource": "pods" } });
        let allowed = ask(Access::Subject, &web, spec("web")).unwrap();
        assert_eq!(allowed.get(&["status"]), Some(&json!({ "allowed": true, "reason": "because" })));
        let asked = web.asked.lock().take().unwrap();
        assert_eq!((asked.user.name.as_str(), asked.version.as_str()), ("bob", "*"));
        let refused = ask(Access::Subject, &web, spec("db")).unwrap();
        assert_eq!(refused.get(&["status"]), Some(&json!({ "allowed": false })));
        ask(Access::Myself, &web, spec("db")).unwrap();
        assert_eq!(web.asked.lock().take().unwrap().user.name, "me");
    }

    #[test]
    fn selectors_are_passed_on_as_far_as_they_can_be_read() {
        let web = Web::default();
        let requirements = json!([
            { "key": "spec.nodeName", "operator": "In", "values": ["n"] }, { "key": "x", "operator": "Near", "values": ["y"] },
        ]);
        let spec = json!({ "user": "bob", "resourceAttributes": {
            "fieldSelector": { "requirements": requirements }, "labelSelector": { "rawSelector": "a==" },
        } });
        let answer = ask(Access::Subject, &web, spec).unwrap();
        let asked = web.asked.lock().take().unwrap();
        assert_eq!(asked.field_selector, "spec.nodeName=n");
        let error = "spec.resourceAttributes.fieldSelector partially ignored due to parse error";
        assert!(answer.text_at(&["status", "evaluationError"]).starts_with(error));
    }

    #[test]
    fn a_review_that_makes_no_sense_is_invalid_in_upstreams_words() {
        let message = ask(Access::Subject, &Web::default(), json!({})).unwrap_err().message().to_owned();
        let expected = ".authorization.k8s.io \"\" is invalid: [spec: Invalid value: null: exactly one of \
                        nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: \"\": at \
                        least one of user or group must be specified]";
        assert_eq!(message, expected);
    }

    #[test]
    fn rules_are_told_apart_by_what_they_are_about() {
        let user = User::default();
        let asked = review("SelfSubjectRulesReview", json!({ "namespace": "web" }));
        let answer = rules(&Web::default(), &user, &asked);
        let expected = json!({
            "resourceRules": [{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }],
            "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/x"] }],
            "incomplete": true, "evaluationError": "no",
        });
        assert_eq!(answer.get(&["status"]), Some(&expected));
        assert_eq!(check_rules(&review("R", json!({}))).unwrap_err().code(), 400);
    }
}
