//! Who is asking: client certificate, bearer token (file, ServiceAccount), else anonymous. Something that was shown
//! and is not good is an error and never becomes anonymous.

mod certificate;
mod recent;
mod service_account;
#[cfg(test)]
mod tests;
mod token_file;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::keys::VerifyingKey;
use super::{Authenticator, Credentials, Error, Refused};
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::base::{Clock, Histogram};
use crate::storage::Store;

use certificate::Certificates;
use service_account::ServiceAccounts;
use token_file::TokenFile;

/// What is said of a token that nobody knows.
pub(super) const UNKNOWN_TOKEN: &str = "invalid bearer token";
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// What to accept.
#[derive(Clone, Default)]
pub struct Accept {
    /// PEM of the authorities for client certificates.
    pub client_authorities: String,
    /// `--token-auth-file`.
    pub token_file: Option<PathBuf>,
    /// `--service-account-issuer`, given any number of times; the first one issues.
    pub issuers: Vec<String>,
    /// `--api-audiences`; by default the issuers.
    pub audiences: Vec<String>,
    pub verifying_keys: Vec<VerifyingKey>,
    /// `--anonymous-auth`.
    pub anonymous: bool,
}

/// A user whom a token named.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub user: User,
    /// For which of the wanted audiences the token is.
    pub audiences: Vec<String>,
}

/// Finds out who asks, by everything that is accepted.
pub struct Authenticators {
    certificates: Certificates,
    token_file: TokenFile,
    service_accounts: ServiceAccounts,
    audiences: Vec<String>,
    anonymous: bool,
    clock: Arc<dyn Clock>,
}

impl Authenticators {
    /// Reads the token file and the authorities.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn new(accept: Accept, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let audiences = if accept.audiences.is_empty() { accept.issuers.clone() } else { accept.audiences };
        let token_file = accept.token_file.as_deref().map(TokenFile::read).transpose()?;
        Ok(Self {
            certificates: Certificates::new(&accept.client_authorities)?,
            token_file: token_file.unwrap_or_default(),
            service_accounts: ServiceAccounts::new(store, accept.issuers, audiences.clone(), accept.verifying_keys),
            audiences,
            anonymous: accept.anonymous,
            clock,
        })
    }

    /// The audiences of this server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The user of a bearer token that is for one of the audiences (empty: this server's).
    ///
    /// # Errors
    /// When nobody knows the token (`invalid bearer token`) or it is not good.
    pub fn token(&self, token: &str, audiences: &[String]) -> Result<Known, Refused> {
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.token_file.find(&digest) {
            // A static token is for this server, whatever it calls itself.
            let audiences = self.audiences.iter().filter(|a| wanted.contains(a)).cloned().collect::<Vec<_>>();
            if !audiences.is_empty() || self.audiences.is_empty() {
                return Ok(Known { user: authenticated(user.clone()), audiences });
            }
        }
        let known = self.service_accounts.authenticate((token, &digest), wanted, self.clock.now())?;
        known
            .map(|known| Known { user: authenticated(known.user), ..known })
            .ok_or_else(|| Refused(UNKNOWN_TOKEN.to_owned()))
    }

    fn find(&self, credentials: &Credentials, now: Timestamp) -> Result<Option<User>, Refused> {
        let certificate = self.certificates.authenticate(&credentials.certificates, now);
        if let Ok(Some(user)) = certificate {
            return Ok(Some(authenticated(user)));
        }
        let token = credentials.bearer.as_deref().filter(|token| !token.is_empty());
        let token = token.map(|token| self.token(token, &[])).transpose();
        match (certificate, token) {
            (_, Ok(Some(known))) => Ok(Some(known.user)),
            (Err(first), Err(second)) => Err(Refused(format!("[{first}, {second}]"))),
            (Err(error), Ok(None)) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(None)) => Ok(self.anonymous.then(User::anonymous)),
        }
    }
}

impl Authenticator for Authenticators {
    fn certificate_seconds_left(&self) -> Option<Histogram> {
        Some(self.certificates.seconds_left())
    }

    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<Option<User>, Refused>> {
        Box::pin(std::future::ready(self.find(credentials, self.clock.now())))
    }
}

/// Everyone who is known is in `system:authenticated`.
fn authenticated(mut user: User) -> User {
    let known = |group: &String| group == "system:authenticated" || group == "system:unauthenticated";
    if !user.groups.iter().any(known) {
        user.groups.push("system:authenticated".to_owned());
    }
    user
}

/// A list of texts as Go's `%q` prints it.
fn quoted(list: &[String]) -> String {
    let items: Vec<_> = list.iter().map(|item| go_quote(item)).collect();
    format!("[{}]", items.join(" "))
}
