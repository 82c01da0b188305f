//! Who is asking (`authenticate`) and may they (`authorize`).

pub mod authenticate;
pub mod authorize;
pub mod bootstrap;
mod claims;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod keys;
pub mod kubeconfig;
pub mod openid;
mod pki;
mod recent;
mod retry;
pub mod review;
mod signing;
mod tls;
mod token_request;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use authorize::rbac::PolicyRule;
pub use keys::{Jwk, SigningKey, VerifyingKey};
pub use pki::{Identity, Pki, PkiConfig};
pub use signing::{CertificateRequest, CertificateSigner, Order};
pub use token_request::Tokens;

use crate::api::request::User;
use crate::base::Histogram;

/// What a connection and a request show of their sender.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The client certificate chain (DER, leaf first), as the TLS handshake gave it; not yet verified for identity.
    pub certificates: Arc<[Vec<u8>]>,
    /// The token of `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// All headers with names in lower case, where the authenticator reads headers.
    pub headers: Vec<(String, String)>,
}

/// Finds out who asks. `Ok(None)`: nothing that this authenticator knows; `Err`: known and bad.
pub trait Authenticator: Send + Sync + 'static {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<Option<User>, Refused>>;

    /// Whether it wants to see headers.
    fn reads_headers(&self) -> bool {
        false
    }

    /// For how many seconds the client certificates of all requests so far were good yet; for `/metrics`.
    fn certificate_seconds_left(&self) -> Option<Histogram> {
        None
    }
}

/// Credentials that were recognised and are not valid; the reason is for the log, the client gets 401.
#[derive(thiserror::Error, Debug)]
#[error("{0}")]
pub struct Refused(pub String);

/// What is to be done, as authorizers see it (apiserver `pkg/authorization/authorizer`).
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub user: Arc<User>,
    /// A verb of the API or any other word (`impersonate`, `bind`, `escalate`, `use`); for paths the HTTP method in
    /// lower case.
    pub verb: String,
    pub resource_request: bool,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The URL path of a non-resource request.
    pub path: String,
    /// `fieldSelector` of a list, watch or deletecollection as it was sent; the Node authorizer looks at it.
    pub field_selector: String,
    /// `labelSelector`, likewise.
    pub label_selector: String,
}

/// An authorizer's answer; the reason ends the 403 message where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    Allow {
        reason: String,
    },
    Deny {
        reason: String,
    },
    NoOpinion {
        reason: String,
    },
    /// It could not be found out. Where it is not denied for that, others may still allow it.
    Failed {
        denied: bool,
        reason: String,
        error: String,
    },
}

impl Decision {
    /// # Errors
    /// The reason of everything but an Allow, and what failed.
    pub fn allowed(self) -> Result<(), Denied> {
        match self {
            Self::Allow { .. } => Ok(()),
            Self::Deny { reason } | Self::NoOpinion { reason } => Err(Denied { reason, error: None }),
            Self::Failed { reason, error, .. } => Err(Denied { reason, error: Some(error) }),
        }
    }
}

/// Why something is not allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    pub reason: String,
    /// What failed, when it could not be found out.
    pub error: Option<String>,
}

/// Decides whether a user may.
pub trait Authorizer: Send + Sync + 'static {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision>;

    /// What a user may in a namespace, as far as this authorizer can enumerate it (SelfSubjectRulesReview and
    /// escalation checks). Plain: nothing that can be enumerated.
    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let _ = (user, namespace);
        Rules::default()
    }

    /// What is counted of the authorizers of a server; for `/metrics`.
    fn measures(&self) -> Option<&authorize::measures::Measures> {
        None
    }
}

/// What a user may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub rules: Vec<PolicyRule>,
    /// There may be more than is listed.
    pub incomplete: bool,
    /// What went wrong while resolving; empty when nothing did.
    pub error: String,
}

/// What could not be done with keys, certificates, tokens and kubeconfigs.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    #[error("the text holds no key")]
    NoKey,
    #[error("the key is neither ECDSA P-256, ECDSA P-384 nor RSA")]
    KeyKind,
    #[error("the certificate could not be made or read")]
    Certificate(#[source] rcgen::Error),
    #[error("the TLS configuration is not usable")]
    Tls(#[source] rustls::Error),
    #[error("the token could not be signed")]
    Token(#[source] jsonwebtoken::errors::Error),
    /// In upstream's words.
    #[error("{0}")]
    Setting(String),
    #[error("{} cannot be used: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("{} could not be {action}", path.display())]
    File {
        path: PathBuf,
        action: &'static str,
        #[source]
        source: std::io::Error,
    },
}
