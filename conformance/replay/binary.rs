//! What does not travel as text: bodies in protobuf, the frames of its watches, WebSocket messages. All of it is kept
//! as trees in recordings, with a note of whether our own encoder makes the same bytes of the tree.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coracle::api::GroupVersionKind;
use coracle::api::codec::protobuf;
use coracle::api::schema::TypeId;
use coracle::resources::facts::Facts;
use serde_json::{Value, json};

pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Kinds of the legacy group that stand among the types that all groups share.
const META: [&str; 7] =
    ["Status", "DeleteOptions", "WatchEvent", "APIGroup", "APIGroupList", "APIResourceList", "APIVersions"];

static FACTS: LazyLock<Facts> = LazyLock::new(Facts::load);

/// The bytes of an object that says what it is.
pub(super) fn encode(tree: &Value) -> Vec<u8> {
    let text = |key: &str| tree[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {tree}"));
    let id = type_of(text("apiVersion"), text("kind")).unwrap_or_else(|| panic!("no type for {tree}"));
    let mut tree = tree.clone();
    coracle::api::schema::decode::normalise(&mut tree, &FACTS.types, id).unwrap();
    protobuf::encode_object(&tree, &FACTS.types, id).unwrap()
}

/// The tree of an object on the wire; what cannot be read is kept as base64.
pub(super) fn decode(bytes: &[u8]) -> Value {
    let kept = || json!({ "base64": BASE64.encode(bytes) });
    let Ok(envelope) = protobuf::open(bytes) else { return kept() };
    let Some(id) = type_of(&envelope.api_version, &envelope.kind) else { return kept() };
    let Ok(mut tree) = protobuf::decode(envelope.raw, &FACTS.types, id) else { return kept() };
    let encoded = protobuf::encode(&tree, &FACTS.types, id).unwrap();
    let exact = protobuf::seal(&envelope.api_version, &envelope.kind, &encoded) == bytes;
    tree["apiVersion"] = envelope.api_version.into();
    tree["kind"] = envelope.kind.into();
    json!({ "protobuf": tree, "exact": exact })
}

/// The length of the first frame of a watch in protobuf, its head included, if it is there as a whole.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<4>()?;
    let length = 4 + u32::from_be_bytes(*head) as usize;
    (bytes.len() >= length).then_some(length)
}

/// One event, without the length before it.
pub(super) fn event(frame: &[u8]) -> Value {
    let Some((name, rest)) = field(frame, 1) else { return json!({ "base64": BASE64.encode(frame) }) };
    let object = field(rest, 2).and_then(|(extension, _)| field(extension, 1));
    let Some((object, _)) = object else { return json!({ "base64": BASE64.encode(frame) }) };
    let mut event = decode(object);
    event["type"] = String::from_utf8_lossy(name).into();
    event
}

/// The bytes of the field that a message begins with, and what follows it.
fn field(message: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = message.split_first()?;
    if *first != (tag << 3 | 2) {
        return None;
    }
    let mut length = 0usize;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return rest.split_at_checked(length);
        }
    }
    None
}

fn type_of(api_version: &str, kind: &str) -> Option<TypeId> {
    let (group, _) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::parse(api_version, kind);
    let meta = || {
        let common = group == "meta.k8s.io" || META.contains(&kind);
        common.then(|| FACTS.types.find(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")))?
    };
    meta().or_else(|| FACTS.type_of(&gvk))
}

/// One message of a WebSocket out of what was received, taken off its front; `None` when it is not there as a whole.
pub(super) fn take_message(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [first, second, ..] = received[..] else { return None };
    let short = usize::from(second & 0x7f);
    let (length, from) = match short {
        126 => (usize::from(u16::from_be_bytes(*received.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*received.get(2..)?.first_chunk()?)).ok()?, 10),
        short => (short, 2),
    };
    if received.len() < from + length {
        return None;
    }
    let message = received[from..from + length].to_vec();
    received.drain(..from + length);
    Some((first & 0x0f, message))
}

/// A message as it stands in a recording.
pub(super) fn message(code: u8, bytes: &[u8]) -> Value {
    match code {
        1 => json!({ "text": serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes))) }),
        2 => match serde_json::from_slice::<Value>(bytes) {
            Ok(tree) => json!({ "binary": tree }),
            Err(_) => json!({ "binary": event(bytes) }),
        },
        8 => json!({ "close": bytes.first_chunk().map(|code| u16::from_be_bytes(*code)) }),
        other => json!({ "code": other }),
    }
}

/// The bytes of a body that is given as `base64:…`.
pub(super) fn unwrapped(text: &str) -> Option<Vec<u8>> {
    text.strip_prefix("base64:").map(|encoded| BASE64.decode(encoded.trim()).unwrap())
}
