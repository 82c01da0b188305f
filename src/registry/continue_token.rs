//! Continue tokens, in upstream's form (apiserver `pkg/storage/continue.go`), so that their errors are upstream's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::api::{Result, Revision, Status};

const VERSION: &str = "meta.k8s.io/v1";

/// Where the next page starts. `revision` `None` means: whatever is newest (the rest after a compaction).
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct ContinueToken {
    pub revision: Option<Revision>,
    pub namespace: String,
    pub name: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

impl ContinueToken {
    /// The token after an object; `namespaced`: the list runs over namespaces, so the key holds one.
    pub(super) fn encode(&self, over_namespaces: bool) -> String {
        let start =
            if over_namespaces { format!("{}/{}\0", self.namespace, self.name) } else { format!("{}\0", self.name) };
        let rv = self.revision.map_or(-1, |r| i64::try_from(r.0).unwrap_or(i64::MAX));
        let wire = Wire { v: VERSION.to_owned(), rv, start };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("three plain fields always serialise"))
    }

    /// Reads a token of `encode`.
    pub(super) fn decode(token: &str, over_namespaces: bool) -> Result<Self> {
        let invalid = |why: String| Status::bad_request(format!("continue key is not valid: {why}"));
        let data = URL_SAFE_NO_PAD.decode(token).map_err(|error| invalid(error.to_string()))?;
        let wire: Wire = serde_json::from_slice(&data).map_err(|error| invalid(error.to_string()))?;
        if wire.v != VERSION {
            let message =
                format!("continue key is not valid: server does not recognize this encoded version {}", wire.v);
            return Err(Status::bad_request(message));
        }
        if wire.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        if wire.start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)".to_owned()));
        }
        let key = wire.start.trim_start_matches('/');
        if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(wire.start));
        }
        let key = key.strip_suffix('\0').unwrap_or(key);
        let (namespace, name) = if over_namespaces { key.split_once('/').unwrap_or((key, "")) } else { ("", key) };
        Ok(Self {
            revision: u64::try_from(wire.rv).ok().map(Revision),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        let token =
            ContinueToken { revision: Some(Revision(7)), namespace: "default".to_owned(), name: "a".to_owned() };
        assert_eq!(ContinueToken::decode(&token.encode(true), true).unwrap(), token);
    }

    #[test]
    fn a_foreign_token_is_a_bad_request() {
        for text in ["", "!", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0"] {
            let error = ContinueToken::decode(text, true).unwrap_err();
            assert_eq!(error.code(), 400, "{text}");
            assert!(error.message().starts_with("continue key is not valid"), "{error}");
        }
    }
}
