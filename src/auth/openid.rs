//! What others need to verify our ServiceAccount tokens: the OpenID discovery document and the key set (Kubernetes
//! `pkg/serviceaccount/openidmetadata.go`). Made once at start.

use bytes::Bytes;
use serde::Serialize;

use super::keys::{Jwk, VerifyingKey};

/// Where the discovery document is served.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the key set is served.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// The content type of the key set; that of the discovery document is JSON.
pub const KEYS_CONTENT_TYPE: &str = "application/jwk-set+json";
/// Both are sent with this.
pub const CACHE_CONTROL: &str = "public, max-age=3600";

/// The two documents.
#[derive(Clone, Debug)]
pub struct OpenId {
    pub configuration: Bytes,
    pub keys: Bytes,
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: Vec<&'a str>,
}

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

impl OpenId {
    /// Where a server that is reached at a host and port serves the key set itself.
    pub fn keys_uri(address: &str) -> String {
        format!("https://{address}{KEYS_PATH}")
    }

    /// For an issuer that is a plain https URL; `None` for any other, whose documents upstream does not serve.
    pub fn new(issuer: &str, jwks_uri: &str, keys: &[VerifyingKey]) -> Option<Self> {
        if !issuer.starts_with("https://") || issuer.contains(['?', '#']) || keys.is_empty() {
            return None;
        }
        let mut algorithms: Vec<_> = keys.iter().map(VerifyingKey::algorithm_name).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let configuration = Configuration {
            issuer,
            jwks_uri,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
        };
        let keys = KeySet { keys: keys.iter().map(VerifyingKey::jwk).collect() };
        Some(Self {
            configuration: serde_json::to_vec(&configuration).ok()?.into(),
            keys: serde_json::to_vec(&keys).ok()?.into(),
        })
    }
}
