//! What stands in a ServiceAccount token, in upstream's order (Kubernetes `pkg/serviceaccount/claims.go`), and its
//! signing and reading. Knows nothing of the store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::{SigningKey, VerifyingKey};
use super::{Error, Refused};

/// The claims of a token. Legacy tokens, which live in Secrets, have the four long ones and no times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    pub iss: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jti: String,
    #[serde(rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    pub legacy_namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    pub legacy_secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", skip_serializing_if = "String::is_empty")]
    pub legacy_name: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid", skip_serializing_if = "String::is_empty")]
    pub legacy_uid: String,
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    pub sub: String,
}

/// The claim `kubernetes.io`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bound {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object that the token names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// A time may be written with a fraction, which counts for nothing.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(from)?;
    #[expect(clippy::cast_possible_truncation, reason = "a time beyond 64 bits saturates")]
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))))
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Signs claims.
pub(super) fn sign(key: &SigningKey, claims: &Claims) -> Result<String, Error> {
    let public = key.public();
    let header = format!(r#"{{"alg":"{}","kid":"{}"}}"#, public.algorithm_name(), public.id);
    let claims = serde_json::to_string(claims).expect("claims are texts, lists and numbers");
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{signature}"))
}

/// The claims of a token that one of the keys signed. `None`: not a token of one of the issuers.
pub(super) fn read(token: &str, issuers: &[String], keys: &[VerifyingKey]) -> Result<Option<Claims>, Refused> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let Ok(payload) = URL_SAFE_NO_PAD.decode(payload) else { return Ok(None) };
    let issuer = serde_json::from_slice::<Issuer>(&payload).map(|claims| claims.iss);
    if !issuer.is_ok_and(|issuer| issuers.contains(&issuer)) {
        return Ok(None);
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok().and_then(|header| serde_json::from_slice::<Header>(&header).ok());
    let Some(header) = header else { return Ok(None) };
    let candidates: Vec<_> = keys.iter().filter(|key| header.kid.is_empty() || key.id == header.kid).collect();
    if candidates.is_empty() {
        return Err(Refused("invalid signature, no keys found".to_owned()));
    }
    let message = &token.as_bytes()[..token.len() - signature.len() - 1];
    let signed = |key: &&VerifyingKey| key.algorithm_name() == header.alg && key.verifies(signature, message);
    if !candidates.iter().any(signed) {
        return Err(Refused("go-jose/go-jose: error in cryptographic primitive".to_owned()));
    }
    serde_json::from_slice(&payload).map(Some).map_err(|error| Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_token_passes_without_a_key(
            text in ".{0,40}|[A-Za-z0-9_.-]{0,60}",
            header in r#"\{"alg":"(none|ES256|RS256)"(,"kid":"[a-z]?")?\}|.{0,10}"#,
            payload in r#"\{"iss":"me"(,"[a-z]{1,3}":([0-9]{1,3}|"x"|null))*\}|.{0,10}"#,
        ) {
            let issuers = ["me".to_owned()];
            let made = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&payload));
            for token in [text, made] {
                proptest::prop_assert!(!matches!(read(&token, &issuers, &[]), Ok(Some(_))));
            }
        }
    }
}
