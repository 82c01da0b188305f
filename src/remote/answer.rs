//! From an answer to the document in it, as client-go takes answers (`rest/request.go`).

use serde_json::Value;

use super::Reply;
use crate::api::codec::{self, json, yaml};

/// How much of an answer that is no document stands in an error, as in client-go.
const TEXT_BYTES_MAX: usize = 2048;

/// The document of a good answer; what is no JSON is read as YAML, and whatever its type is said to be.
///
/// # Errors
/// In client-go's words, for other status codes and for what is no document.
pub fn decode(reply: &Reply) -> Result<Value, String> {
    let media_type = reply.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !(200..=206).contains(&reply.status) {
        return Err(told(reply).unwrap_or_else(|| refusal(reply, &media_type)));
    }
    if reply.body.is_empty() {
        let shown = if media_type.is_empty() { "application/json" } else { &reply.content_type };
        return Err(format!("0-length response with status code: {} and content type: {shown}", reply.status));
    }
    let unread = |why: &dyn std::fmt::Display| format!("couldn't get version/kind; json parse error: {why}");
    let looks_like_json = reply.body.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
    let document = match looks_like_json {
        true => json::decode(&reply.body).map(|decoded| decoded.value).map_err(|error| unread(&error))?,
        false => yaml::decode(&reply.body).map(|decoded| decoded.value).map_err(|error| unread(&error))?,
    };
    if document.is_object() {
        return Ok(document);
    }
    let kind = json::kind_of(&document);
    Err(unread(&format!(
        "json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string \
         \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )))
}

/// Whether a document is of the kind that was asked for, or says nothing of it, as decoding it finds out.
///
/// # Errors
/// In the words of upstream's scheme.
pub fn check_kind(document: &Value, (api_version, kind): (&str, &str)) -> Result<(), String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    let (given, named) = (text("apiVersion"), text("kind"));
    if given.is_empty() || named.is_empty() || (given, named) == (api_version, kind) {
        return Ok(());
    }
    let split = |text: &str| text.split_once('/').map(|(group, version)| (group.to_owned(), version.to_owned()));
    let ((group, version), (own, wanted)) = (split(given).unwrap_or_default(), split(api_version).unwrap_or_default());
    if named == kind && group == own && matches!(version.as_str(), "v1" | "v1beta1") {
        return Err(format!("converting ({version}.{kind}) to ({wanted}.{kind}): unknown conversion"));
    }
    Err(codec::not_registered(given, named))
}

/// The message of a `Status` in the answer.
fn told(reply: &Reply) -> Option<String> {
    let status: Value = serde_json::from_slice(&reply.body).ok()?;
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_status = matches!(text("kind"), "Status" | "") && matches!(text("apiVersion"), "v1" | "");
    (is_status && text("status") == "Failure").then(|| text("message").to_owned())
}

/// What a status code says by itself.
fn refusal(reply: &Reply, media_type: &str) -> String {
    let cut = &reply.body[..reply.body.len().min(TEXT_BYTES_MAX)];
    let textual = media_type.is_empty() || media_type.starts_with("text/");
    let said = if textual { String::from_utf8_lossy(cut).trim().to_owned() } else { "unknown".to_owned() };
    let fixed = match reply.status {
        400 => "the server rejected our request for an unknown reason",
        401 => "the server has asked for the client to provide credentials",
        403 | 415 => return said,
        404 => "the server could not find the requested resource",
        405 => "the server does not allow this method on the requested resource",
        406 if matches!(said.as_str(), "" | "unknown") => {
            "the server was unable to respond with a content type that the client supports"
        }
        406 => return said,
        409 => "the server reported a conflict",
        422 => "the server rejected our request due to an error in our request",
        429 => "the server has received too many requests and has asked us to try again later",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        code if code >= 500 => {
            let said = crate::api::field::go_quote(&said);
            return format!("an error on the server ({said}) has prevented the request from succeeding");
        }
        code => {
            return format!("the server responded with the status code {code} but did not return more information");
        }
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(status: u16, content_type: &str, body: &'static str, message: &str) {
        let reply = Reply { status, content_type: content_type.to_owned(), body: body.into() };
        assert_eq!(decode(&reply).unwrap_err(), message);
    }

    #[test]
    fn what_is_no_document_is_told_in_client_gos_words() {
        check_error(
            500,
            "text/plain",
            "boom\n",
            "an error on the server (\"boom\") has prevented the request from succeeding",
        );
        check_error(404, "", "", "the server could not find the requested resource");
        check_error(302, "", "", "the server responded with the status code 302 but did not return more information");
        let why = "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type \
                   struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                   \"json:\\\"kind,omitempty\\\"\" }";
        check_error(200, "text/html", "<p>", why);
        check_error(
            200,
            "application/json",
            "",
            "0-length response with status code: 200 and content type: application/json",
        );
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no"}"#;
        check_error(500, "application/json", status, "no");
    }

    #[test]
    fn a_document_is_given_as_it_is() {
        let reply = Reply { status: 200, content_type: String::new(), body: r#"{"a":1}"#.into() };
        assert_eq!(decode(&reply).unwrap(), serde_json::json!({ "a": 1 }));
    }
}
