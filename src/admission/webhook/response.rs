//! What a webhook answers, checked as upstream checks it (apiserver `plugin/webhook/request/admissionreview.go`,
//! `plugin/webhook/errors/statuserror.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::review::Review;
use crate::api::field::go_quote;
use crate::api::status::{Cause, Details};
use crate::api::{Reason, Status};
use crate::remote::check_kind;

/// An answer that holds what it must.
#[derive(Debug)]
pub(super) struct Response {
    pub allowed: bool,
    pub warnings: Vec<String>,
    /// A JSON patch, unread.
    pub patch: Vec<u8>,
    pub patch_type: String,
    /// `status`, unread.
    pub result: Value,
}

/// Whether the webhook may change the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Mutating,
    Validating,
}

impl Response {
    /// Reads an answer.
    ///
    /// # Errors
    /// In upstream's words, what is wrong with it.
    pub(super) fn read(document: &Value, review: &Review, role: Role) -> Result<Self, String> {
        check_kind(document, (&review.api_version, "AdmissionReview"))
            .map_err(|why| format!("failed to call webhook: {why}"))?;
        let response = document.get("response").filter(|response| !response.is_null());
        let response =
            response.ok_or_else(|| "received invalid webhook response: webhook response was absent".to_owned())?;
        check_types(response).map_err(|why| format!("failed to call webhook: {why}"))?;
        Self::verify(document, response, (review, role))
            .map_err(|why| format!("received invalid webhook response: {why}"))
    }

    fn verify(document: &Value, response: &Value, (review, role): (&Review, Role)) -> Result<Self, String> {
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let latest = review.api_version.ends_with("/v1");
        let uid = text(response, "uid");
        if latest && uid != review.uid {
            return Err(format!("expected response.uid={}, got {}", go_quote(&review.uid), go_quote(&uid)));
        }
        let (kind, api_version) = (text(document, "kind"), text(document, "apiVersion"));
        if latest && (kind != "AdmissionReview" || api_version != review.api_version) {
            let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}/{version}, \
                 Kind={kind}"
            ));
        }
        let patch = STANDARD.decode(text(response, "patch")).unwrap_or_default();
        let mut patch_type = response.get("patchType").and_then(Value::as_str).map(str::to_owned);
        if !latest {
            patch_type = (!patch.is_empty()).then(|| "JSONPatch".to_owned());
        }
        match (role, patch.is_empty(), &patch_type) {
            (Role::Mutating, false, None) => {
                return Err("webhook returned response.patch but not response.patchType".to_owned());
            }
            (Role::Mutating, true, Some(_)) => {
                return Err("webhook returned response.patchType but not response.patch".to_owned());
            }
            (Role::Mutating, false, Some(kind)) if kind.is_empty() => {
                return Err("webhook returned invalid response.patchType of \"\"".to_owned());
            }
            (Role::Validating, false, _) if latest => {
                return Err("validating webhook may not return response.patch".to_owned());
            }
            (Role::Validating, _, Some(_)) if latest => {
                return Err("validating webhook may not return response.patchType".to_owned());
            }
            (Role::Mutating | Role::Validating, _, _) => {}
        }
        let warnings = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            allowed: response.get("allowed").and_then(Value::as_bool).unwrap_or(false),
            warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
            patch,
            patch_type: patch_type.unwrap_or_default(),
            result: response.get("status").cloned().unwrap_or_default(),
        })
    }
}

/// The Go types of the fields of a response.
fn check_types(response: &Value) -> Result<(), String> {
    let refuse = |value: &Value, field: &str, go: &str| {
        let kind = crate::api::codec::json::kind_of(value);
        let field = if field.is_empty() { "response".to_owned() } else { format!("response.{field}") };
        let owner = if field == "response" { "AdmissionReview" } else { "AdmissionResponse" };
        Err(format!("json: cannot unmarshal {kind} into Go struct field {owner}.{field} of type {go}"))
    };
    let Some(fields) = response.as_object() else { return refuse(response, "", "v1.AdmissionResponse") };
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value) {
            ("uid", value) if !value.is_string() => return refuse(value, "uid", "types.UID"),
            ("allowed", value) if !value.is_boolean() => return refuse(value, "allowed", "bool"),
            ("patchType", value) if !value.is_string() => return refuse(value, "patchType", "v1.PatchType"),
            ("patch", value) if !value.is_string() => return refuse(value, "patch", "[]uint8"),
            ("warnings", value) if !value.is_array() => return refuse(value, "warnings", "[]string"),
            ("status", value) if !value.is_object() => return refuse(value, "status", "v1.Status"),
            ("auditAnnotations", value) if !value.is_object() => {
                return refuse(value, "auditAnnotations", "map[string]string");
            }
            ("patch", Value::String(text)) => {
                STANDARD
                    .decode(text)
                    .map_err(|error| format!("illegal base64 data at input byte {}", place(&error)))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn place(error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(length) => *length,
        base64::DecodeError::InvalidPadding => 0,
    }
}

/// The refusal of a webhook, with what it says itself.
pub(super) fn denial(webhook: &str, result: &Value) -> Status {
    let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default();
    let denied = format!("admission webhook {} denied the request", go_quote(webhook));
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let code = result.get("code").and_then(Value::as_i64).filter(|code| *code >= 400);
    let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(400);
    let status = Status::new(code, Reason::Unknown, message).with_free_reason(text("reason"));
    match result.get("details").and_then(Value::as_object) {
        None => status,
        Some(_) => status.with_details(details(&result["details"])),
    }
}

fn details(value: &Value) -> Details {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let causes = value.get("causes").and_then(Value::as_array).into_iter().flatten();
    let seconds = value.get("retryAfterSeconds").and_then(Value::as_u64);
    Details {
        group: text(value, "group"),
        kind: text(value, "kind"),
        name: text(value, "name"),
        uid: text(value, "uid"),
        causes: causes
            .map(|cause| Cause {
                reason: text(cause, "reason"),
                message: text(cause, "message"),
                field: text(cause, "field"),
            })
            .collect(),
        retry_after_seconds: seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: Value, role: Role) -> Result<Response, String> {
        let review =
            Review { uid: "u".to_owned(), api_version: "admission.k8s.io/v1".to_owned(), body: bytes::Bytes::new() };
        Response::read(&document, &review, role)
    }

    fn review(response: Value) -> Value {
        json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response })
    }

    #[track_caller]
    fn check_invalid(document: Value, role: Role, why: &str) {
        assert_eq!(read(document, role).unwrap_err(), format!("received invalid webhook response: {why}"));
    }

    #[test]
    fn answers_that_lie_are_told_so_in_upstreams_words() {
        check_invalid(json!({}), Role::Mutating, "webhook response was absent");
        check_invalid(review(json!({ "uid": "v" })), Role::Mutating, "expected response.uid=\"u\", got \"v\"");
        check_invalid(
            json!({ "response": { "uid": "u" } }),
            Role::Mutating,
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
        );
        check_invalid(
            review(json!({ "uid": "u", "patch": "W10=" })),
            Role::Mutating,
            "webhook returned response.patch but not response.patchType",
        );
        check_invalid(
            review(json!({ "uid": "u", "patchType": "JSONPatch" })),
            Role::Mutating,
            "webhook returned response.patchType but not response.patch",
        );
        check_invalid(
            review(json!({ "uid": "u", "patch": "W10=", "patchType": "JSONPatch" })),
            Role::Validating,
            "validating webhook may not return response.patch",
        );
        let wrong = read(review(json!({ "uid": "u", "allowed": "yes" })), Role::Validating).unwrap_err();
        assert_eq!(
            wrong,
            "failed to call webhook: json: cannot unmarshal string into Go struct field \
             AdmissionResponse.response.allowed of type bool"
        );
    }

    #[test]
    fn a_denial_keeps_what_the_webhook_says_unless_it_is_no_refusal() {
        let said = |result: Value| {
            let status = denial("w", &result);
            (status.code(), status.reason(), status.message().to_owned())
        };
        let text = |rest: &str| format!("admission webhook \"w\" denied the request{rest}");
        assert_eq!(said(Value::Null), (400, Reason::Unknown, text(" without explanation")));
        assert_eq!(said(json!({ "code": 200, "message": "no" })), (400, Reason::Unknown, text(": no")));
        assert_eq!(said(json!({ "code": 403, "reason": "Forbidden" })), (403, Reason::Forbidden, text(": Forbidden")));
    }
}
