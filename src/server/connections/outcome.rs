//! What became of a command, from what a kubelet says of it to what a client is told (client-go
//! `tools/remotecommand/v4.go`, apiserver `pkg/util/proxy/streamtranslator.go`).

use serde_json::{Value, json};

use crate::api::Status;

/// The status that a client gets at the end, from what the kubelet wrote to the stream for errors.
pub(super) fn of(protocol: &str, message: Vec<u8>) -> Value {
    if message.is_empty() {
        return success();
    }
    let text = String::from_utf8_lossy(&message);
    if !matches!(protocol, "v5.channel.k8s.io" | "v4.channel.k8s.io") {
        return internal(&format!("error executing remote command: {text}"));
    }
    let status: Value = match serde_json::from_slice(&message) {
        Ok(status) => status,
        Err(error) => return internal(&format!("error stream protocol error: {error} in {text:?}")),
    };
    let field = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    match (field("status"), field("reason")) {
        ("Success", _) => success(),
        ("Failure", "NonZeroExitCode") => exit_code(&status),
        ("Failure", _) => internal(field("message")),
        _ => internal("error stream protocol error: unknown error"),
    }
}

/// Something that went wrong with the kubelet.
pub(super) fn internal(why: &str) -> Value {
    bare(Status::internal(why).to_value())
}

fn success() -> Value {
    json!({ "metadata": {}, "status": "Success" })
}

fn exit_code(status: &Value) -> Value {
    let Some(details) = status.get("details").filter(|details| details.is_object()) else {
        return internal("error stream protocol error: details must be set");
    };
    let causes = details.get("causes").and_then(Value::as_array);
    let is_code = |cause: &&Value| cause.get("reason").and_then(Value::as_str) == Some("ExitCode");
    let Some(cause) = causes.into_iter().flatten().find(is_code) else {
        return internal("error stream protocol error: no ExitCode cause given");
    };
    let text = cause.get("message").and_then(Value::as_str).unwrap_or_default();
    let Ok(code) = text.parse::<u8>() else {
        return internal(&format!("error stream protocol error: invalid exit code value {text:?}"));
    };
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
    })
}

/// A status as Go writes it.
pub(super) fn text(status: &Value) -> String {
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let causes: Vec<String> =
        causes.into_iter().flatten().map(|cause| in_order(cause, &["reason", "message"])).collect();
    let mut text = in_order(status, &["metadata", "status", "message", "reason"]);
    // The rest of these statuses follows their braces.
    text.pop();
    if !causes.is_empty() {
        text.push_str(&format!(",\"details\":{{\"causes\":[{}]}}", causes.join(",")));
    }
    if let Some(code) = status.get("code") {
        text.push_str(&format!(",\"code\":{code}"));
    }
    text.push('}');
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// The fields of an object in an order.
fn in_order(object: &Value, order: &[&str]) -> String {
    let field = |name: &&str| Some(format!("\"{name}\":{}", object.get(*name)?));
    let fields: Vec<String> = order.iter().filter_map(field).collect();
    format!("{{{}}}", fields.join(","))
}

/// A status as upstream writes it here: without its type.
fn bare(mut status: Value) -> Value {
    if let Some(fields) = status.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: &str, message: &str, told: &str) {
        let status = of(protocol, message.as_bytes().to_vec());
        let message = status["message"].as_str().unwrap_or(status["status"].as_str().unwrap());
        assert_eq!(message, told);
        assert_eq!(status.get("kind"), None);
    }

    #[test]
    fn a_status_is_written_in_the_order_of_go() {
        let details = r#""details":{"causes":[{"message":"a\u0026b"}]}"#;
        let message = r#""message":"Internal error occurred: a\u0026b","reason":"InternalError""#;
        let expected = format!(r#"{{"metadata":{{}},"status":"Failure",{message},{details},"code":500}}"#);
        assert_eq!(text(&internal("a&b")), expected);
    }

    #[test]
    fn a_command_ends_for_the_client_as_the_kubelet_says() {
        let code = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        check("v4.channel.k8s.io", "", "Success");
        check("v5.channel.k8s.io", r#"{"status":"Success"}"#, "Success");
        check(
            "v5.channel.k8s.io",
            code,
            "command terminated with non-zero exit code: command terminated with exit code 3",
        );
        check("v4.channel.k8s.io", r#"{"status":"Failure","message":"gone"}"#, "Internal error occurred: gone");
        check("v2.channel.k8s.io", "gone", "Internal error occurred: error executing remote command: gone");
        let odd = r#"{"status":"Failure","reason":"NonZeroExitCode"}"#;
        check("v4.channel.k8s.io", odd, "Internal error occurred: error stream protocol error: details must be set");
    }
}
