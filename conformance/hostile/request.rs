//! A request that somebody hostile sends: how it is spoilt, and what may not come back.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::JSON;
use crate::server::{Connection, chosen};

/// What a body is said to be.
const CONTENT_TYPES: [&str; 8] = [
    JSON,
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
];

/// What is put in the place of something.
const NONSENSE: [&str; 30] = [
    "",
    "null",
    "-1",
    "0",
    "1e400",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "true",
    "\"\"",
    "{}",
    "[]",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "%00",
    "%zz",
    "..",
    "/",
    "//",
    "~0~1~2",
    "$patch",
    "replace",
    "&a *a",
    "!!binary",
    "1Ei",
    "1e-99999",
    "a,b in (",
    "=,=,=",
    "{\"a\":{\"a\":{\"a\":",
];

/// What kube-apiserver v1.37 answers with 500, although it is the client's fault.
const FAULTS_OF_UPSTREAM: [&str; 8] = [
    "resourceVersion: Invalid value",
    "strconv.ParseUint: parsing",
    "resourceVersion should not be set on objects to be created",
    "failed to create typed patch object",
    "does not contain declared merge key",
    "list element types are not identical",
    "unable to find api field in struct",
    // Of a Binding, all that is wrong with it.
    "target.name: Required value",
];

/// What came of a request.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) taken: bool,
    pub(super) wrong: Option<String>,
}

/// A request that somebody hostile sends.
#[derive(Clone, Debug)]
pub(super) struct Hostile {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: String,
    pub(super) accept: &'static str,
    pub(super) body: Vec<u8>,
}

impl Hostile {
    /// Changes something of what is sent or of where it goes.
    pub(super) fn spoil(&mut self, random: &mut StdRng) {
        let nonsense = *NONSENSE.choose(random).unwrap();
        match random.random_range(0..12) {
            0 => self.body.truncate(random.random_range(0..=self.body.len())),
            1 | 2 if !self.body.is_empty() => {
                let at = random.random_range(0..self.body.len());
                self.body[at] = random_byte(random);
            }
            3..6 => {
                let at = random.random_range(0..=self.body.len());
                let end = (at + random.random_range(0..6)).min(self.body.len());
                self.body.splice(at..end, nonsense.bytes());
            }
            6 => self.body = nested(random),
            7 => self.body = self.body.repeat(random.random_range(2..50)),
            8 => self.content_type = (*CONTENT_TYPES.choose(random).unwrap()).to_owned(),
            9 => self.method = [Method::GET, Method::PUT, Method::PATCH].choose(random).unwrap().clone(),
            // In the query or the name.
            _ => {
                let escaped: String = nonsense.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let ends: Vec<_> = self.path.match_indices(['=', '&', '/']).map(|(at, _)| at + 1).collect();
                self.path.insert_str(*ends.choose(random).unwrap(), &escaped);
            }
        }
    }

    /// Sends it and looks at the answer: whether it is a success, and what is wrong with it, if anything.
    pub(super) async fn send(&self, connection: &Connection) -> Outcome {
        match self.answered(connection).await {
            Ok(taken) => Outcome { taken, wrong: None },
            Err(wrong) => Outcome { taken: false, wrong: Some(wrong) },
        }
    }

    async fn answered(&self, connection: &Connection) -> Result<bool, String> {
        let mut request = connection.request(self.method.clone(), &self.path).body(self.body.clone());
        request = request.header("accept", self.accept);
        if !self.content_type.is_empty() {
            request = request.header("content-type", &self.content_type);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            // The client library refuses to send it.
            Err(error) if error.is_builder() => return Ok(false),
            // As many warnings as upstream sends are more headers than the client library takes over HTTP/1.1.
            Err(error) if format!("{error:?}").contains("Parse(TooLarge)") => return Ok(false),
            Err(error) => return Err(format!("no answer: {error:?}")),
        };
        let status = answer.status();
        if status.is_success() && self.path.contains("watch") {
            // It may have lost the end that it was given.
            return Ok(true);
        }
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) => return Err(format!("half an answer: {error:?}")),
        };
        if status.is_success() || status.is_redirection() {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let told = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => value["kind"] == "Status" && value["code"] == status.as_u16(),
            // In another encoding that was asked for.
            Err(_) if text.starts_with("k8s\0") || text.contains("\nkind: Status\n") => text.contains("Status"),
            // Upstream answers some before it knows of kinds, in plain words.
            Err(_) => !text.trim().is_empty() && status.is_client_error(),
        };
        // A resourceVersion of the future is waited for.
        let allowed = status.is_client_error()
            || status == StatusCode::GATEWAY_TIMEOUT
            || FAULTS_OF_UPSTREAM.iter().any(|words| text.contains(words));
        if told && allowed { Ok(false) } else { Err(format!("{status}: {text}")) }
    }
}

fn random_byte(random: &mut StdRng) -> u8 {
    *[0, 0xff, b'"', b'{', b'}', b'[', b']', b':', b'\\', b'\n', b' ', b'-', random.random()].choose(random).unwrap()
}

/// Deep or wide, in JSON and YAML.
fn nested(random: &mut StdRng) -> Vec<u8> {
    // An unoptimized server has not the stack for the 127 levels that it allows in YAML.
    let times = random.random_range(1..if chosen() || !cfg!(debug_assertions) { 20_000 } else { 50 });
    match random.random_range(0..6) {
        0 => "[".repeat(times).into_bytes(),
        1 => [&"[".repeat(times)[..], &"]".repeat(times)[..]].concat().into_bytes(),
        2 => [&"{\"a\":".repeat(times)[..], "1", &"}".repeat(times)[..]].concat().into_bytes(),
        3 => format!(
            "a: &a [x]\nb: &b [{0}]\nc: &c [{1}]\nd: [{2}]\n",
            "*a,".repeat(99),
            "*b,".repeat(99),
            "*c,".repeat(99)
        )
        .into_bytes(),
        4 => format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"generateName":"h-","labels":{{{}}}}}}}"#,
            (0..times.min(5_000)).map(|number| format!("\"l{number}\":\"\"")).collect::<Vec<_>>().join(",")
        )
        .into_bytes(),
        _ => format!("[{}]", vec![r#"{"op":"add","path":"/data/-","value":"x"}"#; times.min(12_000)].join(","))
            .into_bytes(),
    }
}
