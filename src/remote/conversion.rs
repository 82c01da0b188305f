//! Conversion webhooks: objects of a custom resource brought to another of its versions (apiextensions-apiserver
//! `pkg/apiserver/conversion`). What the webhook may not change stays as it was.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Post, Remote, Site, check_kind, decode};
use crate::api::field::{Errors, Path, go_quote, go_type};
use crate::api::validation::metadata;
use crate::api::{GroupVersionKind, Object, Reason, Result, Status, labels};
use crate::resources::custom::ConversionWebhook;

/// As upstream's clients.
const LIMIT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Objects of one version in another, in one call.
///
/// # Errors
/// 500 in upstream's words for a webhook that cannot be reached, lies or changes what it may not.
pub async fn convert(
    remote: &Remote,
    webhook: &ConversionWebhook,
    objects: Vec<Object>,
    wanted: &GroupVersionKind,
) -> Result<Vec<Object>> {
    let from = objects.first().map(Object::gvk).unwrap_or_else(|| wanted.clone());
    let about = shown(&from);
    let failed = |why: String| failure(format!("conversion webhook for {about} failed: {why}"));
    let uid = uuid::Uuid::new_v4().to_string();
    let known = webhook.versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
    let version = known.ok_or_else(|| failure("no supported conversion review versions".to_owned()))?;
    let api_version = format!("apiextensions.k8s.io/{version}");
    let sent: Vec<Value> = objects.iter().map(|object| Value::Object(object.root().clone())).collect();
    let request = json!({ "uid": uid, "desiredAPIVersion": wanted.api_version(), "objects": sent });
    let review = json!({ "kind": "ConversionReview", "apiVersion": api_version, "request": request });
    let site = Site::of_client_config(&webhook.client_config);
    let post = Post {
        site: &site,
        body: review.to_string().into(),
        limit: LIMIT,
        answer_bytes_max: ANSWER_BYTES_MAX,
        authorization: None,
    };
    let reply = remote.post(post).await.map_err(failed)?;
    let document = decode(&reply).map_err(failed)?;
    check_kind(&document, (&api_version, "ConversionReview")).map_err(failed)?;
    let found = read(&document, (&uid, &api_version)).map_err(failed)?;
    if found.len() != objects.len() {
        let (found, wanted) = (found.len(), objects.len());
        return Err(failure(format!("conversion webhook for {about} returned {found} objects, expected {wanted}")));
    }
    let settle = |(before, after)| settle(before, after, wanted);
    objects.iter().zip(found).map(settle).collect()
}

/// 500 without a reason: to upstream this is an error like any other.
fn failure(message: String) -> Status {
    Status::new(500, Reason::Unknown, message)
}

fn shown(gvk: &GroupVersionKind) -> String {
    format!("{}, Kind={}", gvk.api_version(), gvk.kind)
}

/// The converted objects of an answer.
fn read(document: &Value, (uid, api_version): (&str, &str)) -> std::result::Result<Vec<Value>, String> {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let latest = api_version.ends_with("/v1");
    let (kind, given) = (text(document, "kind"), text(document, "apiVersion"));
    if latest && (kind != "ConversionReview" || given != api_version) {
        let (group, version) = given.split_once('/').unwrap_or(("", &given));
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {group}/{version}, \
             Kind={kind}"
        ));
    }
    let response = document.get("response").filter(|response| response.is_object());
    let response = response.ok_or_else(|| "no response provided".to_owned())?;
    let answered = text(response, "uid");
    if latest && answered != uid {
        return Err(format!("expected response.uid={}, got {}", go_quote(uid), go_quote(&answered)));
    }
    let result = response.get("result").unwrap_or(&Value::Null);
    if text(result, "status") != "Success" {
        return Err(match text(result, "message") {
            message if message.is_empty() => {
                format!("response.result.status was '{}', not 'Success'", text(result, "status"))
            }
            message => message,
        });
    }
    Ok(response.get("convertedObjects").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// A converted object with the metadata of the one that was sent, apart from labels and annotations.
fn settle(before: &Object, after: Value, wanted: &GroupVersionKind) -> Result<Object> {
    let about = shown(&before.gvk());
    let invalid = |why: String| failure(format!("conversion webhook for {about} returned invalid object{why}"));
    let mut after = Object::from_value(after).map_err(|_| {
        let why = "Object 'Kind' is missing in 'null'".to_owned();
        failure(why)
    })?;
    let (got, expected) = (after.gvk(), wanted);
    if (&got.group, &got.version) != (&expected.group, &expected.version) {
        let (expected, got) = (expected.api_version(), got.api_version());
        return Err(invalid(format!(" at index 0: invalid groupVersion (expected {expected}, received {got})")));
    }
    if got.kind != expected.kind {
        let (expected, got) = (&expected.kind, &got.kind);
        return Err(invalid(format!(" at index 0: invalid kind (expected {expected}, received {got})")));
    }
    let same = [
        ("name", before.name(), after.name()),
        ("namespace", before.namespace(), after.namespace()),
        ("UID", before.uid(), after.uid()),
    ];
    if let Some((what, before, after)) = same.into_iter().find(|(_, before, after)| before != after) {
        return Err(invalid(format!(": must have the same {what}: {before} != {after}")));
    }
    let metadata = restore(before, &after)
        .map_err(|why| failure(format!("conversion webhook for {about} returned invalid metadata: {why}")))?;
    after.root_mut().insert("metadata".to_owned(), Value::Object(metadata));
    Ok(after)
}

fn restore(before: &Object, after: &Object) -> std::result::Result<Map<String, Value>, String> {
    let given = after.root().get("metadata").ok_or_else(|| "missing metadata in converted object".to_owned())?;
    let given =
        given.as_object().ok_or_else(|| format!("invalid metadata of type {} in converted object", go_type(given)))?;
    let mut kept = before.root().get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        let Some(value) = given.get(field).filter(|value| !value.is_null()) else {
            kept.remove(field);
            continue;
        };
        let map = value.as_object();
        let map =
            map.ok_or_else(|| format!("invalid metadata.{field} of type {} in converted object", go_type(value)))?;
        if let Some((key, value)) = map.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!(
                "metadata.{field}[{key}] must be a string, but is {} in converted object",
                go_type(value)
            ));
        }
        if kept.get(field) != Some(value) {
            check(field, map)?;
        }
        kept.insert(field.to_owned(), value.clone());
    }
    Ok(kept)
}

fn check(field: &str, map: &Map<String, Value>) -> std::result::Result<(), String> {
    let mut errors = Errors::new();
    let root = Path::new("metadata");
    match field {
        "labels" => metadata::labels(map, &root.child("labels"), &mut errors),
        // Upstream writes it so.
        _ => metadata::annotations(map, &root.child("annotation"), &mut errors),
    }
    if errors.is_empty() { Ok(()) } else { Err(labels::aggregate(&errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[track_caller]
    fn check_settled(after: Value, expected: std::result::Result<Value, &str>) {
        let before = object(json!({ "apiVersion": "a.b/v1", "kind": "K", "metadata": { "name": "n", "uid": "u",
            "labels": { "a": "b" }, "finalizers": ["x/y"] } }));
        let wanted = GroupVersionKind::of("a.b", "v2", "K");
        match (settle(&before, after, &wanted), expected) {
            (Ok(object), Ok(expected)) => assert_eq!(object.into_value(), expected),
            (Err(status), Err(expected)) => assert_eq!(status.message(), expected),
            (settled, _) => panic!("{settled:?}"),
        }
    }

    #[test]
    fn a_webhook_changes_no_metadata_but_labels_and_annotations() {
        check_settled(
            json!({ "apiVersion": "a.b/v2", "kind": "K", "metadata": { "name": "n", "uid": "u", "finalizers": [],
                "labels": { "c": "d" } }, "spec": 1 }),
            Ok(json!({ "apiVersion": "a.b/v2", "kind": "K", "metadata": { "name": "n", "uid": "u",
                "finalizers": ["x/y"], "labels": { "c": "d" } }, "spec": 1 })),
        );
        let start = "conversion webhook for a.b/v1, Kind=K returned invalid";
        check_settled(
            json!({ "apiVersion": "a.b/v1", "kind": "K", "metadata": {} }),
            Err(&format!("{start} object at index 0: invalid groupVersion (expected a.b/v2, received a.b/v1)")),
        );
        check_settled(
            json!({ "apiVersion": "a.b/v2", "kind": "K", "metadata": { "name": "m", "uid": "u" } }),
            Err(&format!("{start} object: must have the same name: n != m")),
        );
        check_settled(
            json!({ "apiVersion": "a.b/v2", "kind": "K", "metadata": { "name": "n", "uid": "u", "labels": { "a": 1 } } }),
            Err(&format!("{start} metadata: metadata.labels[a] must be a string, but is int64 in converted object")),
        );
    }

    #[test]
    fn an_answer_that_is_not_meant_for_the_question_is_refused() {
        let of = |document: Value| read(&document, ("u", "apiextensions.k8s.io/v1"));
        let review = |response: Value| json!({ "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response });
        assert_eq!(of(review(Value::Null)).unwrap_err(), "no response provided");
        assert_eq!(of(review(json!({ "uid": "v" }))).unwrap_err(), "expected response.uid=\"u\", got \"v\"");
        let failed = of(review(json!({ "uid": "u", "result": { "status": "Failure", "message": "no" } })));
        assert_eq!(failed.unwrap_err(), "no");
        let done = of(review(json!({ "uid": "u", "result": { "status": "Success" }, "convertedObjects": [{}] })));
        assert_eq!(done.unwrap(), [json!({})]);
    }
}
