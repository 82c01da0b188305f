//! A webhook in this process: a TLS server that behaves well or badly as its path says. Servers under test reach it by
//! its URL and the authority in `bundle`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// What a path of the webhook does. All that is left out is as a good webhook does it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Behaviour {
    /// The response to an AdmissionReview; `uid` is that of the request unless it is given.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) response: Value,
    /// Operations that become `response.patch`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) patch: Value,
    /// Takes the place of `kind` and `apiVersion`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) review: Value,
    /// Refuses with the request itself as the message.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) tell: bool,
    /// How an ImageReview is answered, by the first image in it; `response` is its status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) images: BTreeMap<String, Behaviour>,
    /// How a SubjectAccessReview or TokenReview is answered, by the user or the token in it; `response` is its status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) subjects: BTreeMap<String, Behaviour>,
    /// The response to a ConversionReview, in place of a good one.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) conversion: Value,
    /// Values that every converted object gets, by pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) set: BTreeMap<String, Value>,
    /// The last converted object is left out.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) short: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    /// Sent as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// `hang`: never answers; `close`: ends the connection; `endless`: never stops to answer; `torn`: half an answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) fault: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A running webhook; it ends with the runtime of its test.
pub(crate) struct Webhook {
    /// Such as `https://127.0.0.1:4711`.
    pub(crate) url: String,
    /// For `caBundle`.
    pub(crate) bundle: String,
    pub(crate) port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What makes the response to the request of an AdmissionReview, by the path that was asked.
pub(crate) type Judge = fn(&str, &Value) -> Value;

/// How a webhook comes by its answers.
enum Logic {
    Behaviours(BTreeMap<String, Behaviour>),
    Judge(Judge),
}

/// Starts a webhook whose paths behave as they are named.
pub(crate) async fn start(behaviours: BTreeMap<String, Behaviour>) -> Webhook {
    serving(Logic::Behaviours(behaviours)).await
}

/// Starts a webhook that thinks for itself.
pub(crate) async fn judging(judge: Judge) -> Webhook {
    serving(Logic::Judge(judge)).await
}

/// The response that patches an object.
pub(crate) fn patched(operations: &Value) -> Value {
    json!({ "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string()) })
}

#[expect(clippy::disallowed_methods, reason = "a server of the tests, which ends with them")]
async fn serving(logic: Logic) -> Webhook {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "hook.outside.svc".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let logic = Arc::new(logic);
    let task = tokio::spawn(async move {
        // Dropped with the server, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, logic) = (acceptor.clone(), logic.clone());
            connections.spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    while serve(&mut stream, &logic).await.is_some() {}
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    Webhook { url: format!("https://127.0.0.1:{port}"), bundle: STANDARD.encode(made.cert.pem()), port, task }
}

/// One request; `None` when the connection is over.
async fn serve(stream: &mut TlsStream<tokio::net::TcpStream>, logic: &Logic) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let target = head.split(' ').nth(1)?;
    let name = target.split('?').next()?.trim_matches('/');
    let review: Value = serde_json::from_slice(&bytes[end..]).unwrap_or_default();
    let behaviours = match logic {
        Logic::Behaviours(behaviours) => behaviours,
        Logic::Judge(judge) => {
            let mut response = judge(name, &review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            let answer = json!({ "kind": review["kind"], "apiVersion": review["apiVersion"], "response": response });
            return say(stream, (200, "application/json", ""), &answer.to_string()).await;
        }
    };
    let default = Behaviour { status: Some(404), body: Some("no such behaviour".to_owned()), ..Behaviour::default() };
    let behaviour = behaviours.get(name).unwrap_or(&default);
    let image = review["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let behaviour = behaviour.images.get(image).unwrap_or(behaviour);
    let subject = review["spec"]["user"].as_str().or_else(|| review["spec"]["token"].as_str()).unwrap_or_default();
    let behaviour = behaviour.subjects.get(subject).unwrap_or(behaviour);
    match behaviour.fault.as_str() {
        "hang" => std::future::pending().await,
        "close" => return None,
        "torn" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
                .await
                .ok()?;
            return None;
        }
        "endless" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
                .await
                .ok()?;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await.ok()?;
            }
        }
        _ => {}
    }
    let body = behaviour.body.clone().unwrap_or_else(|| answer(behaviour, &review).to_string());
    let kind = behaviour.content_type.as_deref().unwrap_or("application/json");
    let status = behaviour.status.unwrap_or(200);
    let location = if (300..400).contains(&status) { "location: /accept\r\n" } else { "" };
    say(stream, (status, kind, location), &body).await
}

async fn say(
    stream: &mut TlsStream<tokio::net::TcpStream>,
    (status, kind, location): (u16, &str, &str),
    body: &str,
) -> Option<()> {
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\n{location}content-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

fn answer(behaviour: &Behaviour, asked: &Value) -> Value {
    let mut review = json!({ "kind": asked["kind"], "apiVersion": asked["apiVersion"] });
    if let Some(fields) = behaviour.review.as_object() {
        review = Value::Object(fields.clone());
    }
    if matches!(asked["kind"].as_str(), Some("ImageReview" | "SubjectAccessReview" | "TokenReview")) {
        review["status"] = judged(behaviour, asked);
        return review;
    }
    let mut response = match asked["kind"].as_str() {
        Some("ConversionReview") => converted(behaviour, asked),
        _ => admitted(behaviour, asked),
    };
    if let Some(fields) = response.as_object_mut() {
        fields.entry("uid").or_insert_with(|| asked["request"]["uid"].clone());
    }
    review["response"] = response;
    review
}

fn judged(behaviour: &Behaviour, asked: &Value) -> Value {
    if behaviour.tell {
        return json!({ "allowed": false, "reason": asked.to_string() });
    }
    behaviour.response.clone()
}

fn admitted(behaviour: &Behaviour, asked: &Value) -> Value {
    if behaviour.tell {
        let message = asked["request"].to_string();
        return json!({ "allowed": false, "status": { "message": message } });
    }
    let mut response = match &behaviour.response {
        Value::Null => json!({ "allowed": true }),
        given => given.clone(),
    };
    if !behaviour.patch.is_null() {
        response["patch"] = STANDARD.encode(behaviour.patch.to_string()).into();
        response["patchType"] = "JSONPatch".into();
    }
    response
}

fn converted(behaviour: &Behaviour, asked: &Value) -> Value {
    if !behaviour.conversion.is_null() {
        return behaviour.conversion.clone();
    }
    let mut objects = asked["request"]["objects"].as_array().cloned().unwrap_or_default();
    for object in &mut objects {
        object["apiVersion"] = asked["request"]["desiredAPIVersion"].clone();
        for (pointer, value) in &behaviour.set {
            put(object, pointer, value);
        }
    }
    if behaviour.short {
        objects.pop();
    }
    json!({ "result": { "status": "Success" }, "convertedObjects": objects })
}

fn put(object: &mut Value, pointer: &str, value: &Value) {
    let mut at = object;
    for key in pointer.split('/').skip(1) {
        at = &mut at[key];
    }
    *at = value.clone();
}
