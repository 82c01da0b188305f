//! Continue tokens, in upstream's form (apiserver `pkg/storage/continue.go`), so that their errors are upstream's.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use serde_json::{Value, json};

use crate::api::codec::json::Layout;
use crate::api::{Result, Revision, Status, codec};

const VERSION: &str = "meta.k8s.io/v1";

/// Where the next page starts. `revision` `None` means: whatever is newest (the rest after a compaction).
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct ContinueToken {
    pub revision: Option<Revision>,
    pub namespace: String,
    pub name: String,
    /// The page starts with the object of this name, if there is one; a token of our own names the last one told.
    pub included: bool,
}

impl ContinueToken {
    /// The token after an object; `namespaced`: the list runs over namespaces, so the key holds one.
    pub(super) fn encode(&self, over_namespaces: bool) -> String {
        let start =
            if over_namespaces { format!("{}/{}\0", self.namespace, self.name) } else { format!("{}\0", self.name) };
        let rv = self.revision.map_or(-1, |r| i64::try_from(r.0).unwrap_or(i64::MAX));
        let wire = json!({ "v": VERSION, "rv": rv, "start": start });
        URL_SAFE_NO_PAD.encode(codec::json::encode(&wire, Layout::Sorted))
    }

    /// Reads a token of `encode`.
    pub(super) fn decode(token: &str, over_namespaces: bool) -> Result<Self> {
        let wire = Wire::decode(token).map_err(invalid)?;
        if wire.version != VERSION {
            return Err(invalid(format!("server does not recognize this encoded version {}", wire.version)));
        }
        if wire.revision == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        if wire.start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)".to_owned()));
        }
        let key = wire.start.strip_prefix('/').unwrap_or(&wire.start);
        if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(wire.start));
        }
        let included = !key.ends_with('\0');
        let key = key.strip_suffix('\0').unwrap_or(key);
        let (namespace, name) = if over_namespaces { key.split_once('/').unwrap_or((key, "")) } else { ("", key) };
        Ok(Self {
            revision: u64::try_from(wire.revision).ok().map(Revision),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            included,
        })
    }
}

fn invalid(why: String) -> Status {
    Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
}

/// What a token says.
#[derive(Default)]
struct Wire {
    version: String,
    revision: i64,
    start: String,
}

impl Wire {
    /// Reads a token; the error is that of Go's decoders.
    fn decode(token: &str) -> std::result::Result<Self, String> {
        let data = URL_SAFE_NO_PAD.decode(token).map_err(|error| match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
                format!("illegal base64 data at input byte {at}")
            }
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
                format!("illegal base64 data at input byte {}", token.len())
            }
        })?;
        let value = codec::json::decode(&data).map_err(|error| error.to_string())?.value;
        let wrong = |value: &Value, field: &str, wanted: &str| {
            let what = match value {
                Value::Number(number) => format!("number {number}"),
                other => codec::json::kind_of(other).to_owned(),
            };
            format!("json: cannot unmarshal {what} into Go struct field continueToken.{field} of type {wanted}")
        };
        let fields = match &value {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            other => {
                let kind = codec::json::kind_of(other);
                return Err(format!("json: cannot unmarshal {kind} into Go value of type storage.continueToken"));
            }
        };
        let text = |field: &str| match fields.get(field) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong(other, field, "string")),
        };
        let revision = match fields.get("rv") {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_i64().ok_or_else(|| wrong(value, "rv", "int64"))?,
        };
        Ok(Self { version: text("v")?, revision, start: text("start")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        let token = ContinueToken {
            revision: Some(Revision(7)),
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            included: false,
        };
        assert_eq!(ContinueToken::decode(&token.encode(true), true).unwrap(), token);
    }

    #[test]
    fn a_foreign_token_is_a_bad_request() {
        for text in ["", "!", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0"] {
            let error = ContinueToken::decode(text, true).unwrap_err();
            assert_eq!(error.code(), 400, "{text}");
            assert!(error.message().starts_with("invalid continue token: continue key is not valid"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_more_than_a_bad_request(text in ".{0,40}", start in "[a./\0]{0,6}", rv in -3i64..3) {
            let _ = ContinueToken::decode(&text, true);
            let made = URL_SAFE_NO_PAD.encode(json!({"v": VERSION, "rv": rv, "start": start}).to_string());
            if let Err(status) = ContinueToken::decode(&made, false) {
                proptest::prop_assert_eq!(status.code(), 400);
            }
        }
    }
}
