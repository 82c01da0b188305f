//! Who is asking: a proxy's word, client certificate, bearer token (file, ServiceAccount, a server outside), else
//! anonymous. Something that was shown and is not good is an error and never becomes anonymous.

mod anonymous;
mod certificate;
mod front_proxy;
mod service_account;
#[cfg(test)]
mod tests;
mod token_file;
mod token_webhook;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::keys::VerifyingKey;
use super::{Authenticator, Credentials, Error, Refused};
use crate::api::cel::admission::aggregate;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::base::{Clock, Histogram};
use crate::storage::Store;

use certificate::Certificates;
use front_proxy::Proxies;
use service_account::ServiceAccounts;
use token_file::TokenFile;
use token_webhook::OutsideTokens;

pub use anonymous::Anonymous;
pub use front_proxy::FrontProxy;
pub use token_webhook::TokenWebhook;

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
    /// Whether tokens that live in Secrets must be there (`--service-account-lookup`).
    pub looks_up: bool,
    /// Whoever shows nothing is `system:anonymous`, whatever he asks for.
    pub anonymous: bool,
    /// Whose word is believed.
    pub front_proxy: FrontProxy,
    /// Who knows tokens that we do not.
    pub token_webhook: TokenWebhook,
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
    proxies: Option<Proxies>,
    certificates: Certificates,
    token_file: TokenFile,
    service_accounts: ServiceAccounts,
    outside: Option<OutsideTokens>,
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
        accept.front_proxy.check().map_err(Error::Setting)?;
        let outside =
            OutsideTokens::new(&accept.token_webhook, &audiences, (&store, &clock)).map_err(Error::Setting)?;
        Ok(Self {
            proxies: Proxies::new(accept.front_proxy, &accept.client_authorities)?,
            outside,
            certificates: Certificates::new(&accept.client_authorities)?,
            token_file: token_file.unwrap_or_default(),
            service_accounts: ServiceAccounts::new(
                store,
                (accept.issuers, accept.verifying_keys),
                (audiences.clone(), accept.looks_up),
            ),
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
    pub async fn token(&self, token: &str, audiences: &[String]) -> Result<Known, Refused> {
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.token_file.find(&digest) {
            // A static token is for this server, whatever it calls itself.
            let audiences = self.audiences.iter().filter(|a| wanted.contains(a)).cloned().collect::<Vec<_>>();
            if !audiences.is_empty() || self.audiences.is_empty() {
                return Ok(Known { user: authenticated(user.clone()), audiences });
            }
        }
        let mut errors = Vec::new();
        match self.service_accounts.authenticate((token, &digest), wanted, self.clock.now()) {
            Ok(Some(known)) => return Ok(Known { user: authenticated(known.user), ..known }),
            Ok(None) => {}
            Err(Refused(why)) => errors.push(why),
        }
        if let Some(outside) = &self.outside {
            match outside.find((token, digest), wanted).await {
                Ok(Some((user, audiences))) => return Ok(Known { user: authenticated(user), audiences }),
                Ok(None) => {}
                Err(Refused(why)) => errors.push(why),
            }
        }
        Err(Refused(if errors.is_empty() { UNKNOWN_TOKEN.to_owned() } else { aggregate(&errors) }))
    }

    async fn find(&self, credentials: &Credentials, now: Timestamp) -> Result<Option<User>, Refused> {
        let proxy = self.proxies.as_ref().map_or(Ok(None), |proxies| proxies.authenticate(credentials, now));
        if let Ok(Some(user)) = proxy {
            return Ok(Some(authenticated(user)));
        }
        let certificate = self.certificates.authenticate(&credentials.certificates, now);
        if let Ok(Some(user)) = certificate {
            return Ok(Some(authenticated(user)));
        }
        let token = credentials.bearer.as_deref().filter(|token| !token.is_empty());
        let token = match token {
            None => Ok(()),
            Some(token) => match self.token(token, &[]).await {
                Ok(known) => return Ok(Some(known.user)),
                Err(refused) => Err(refused),
            },
        };
        let errors = [proxy.err(), certificate.err(), token.err()].into_iter().flatten();
        let errors: Vec<String> = errors.map(|Refused(why)| why).collect();
        if errors.is_empty() { Ok(self.anonymous.then(User::anonymous)) } else { Err(Refused(aggregate(&errors))) }
    }
}

impl Authenticator for Authenticators {
    fn certificate_seconds_left(&self) -> Option<Histogram> {
        Some(self.certificates.seconds_left())
    }

    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<Option<User>, Refused>> {
        Box::pin(self.find(credentials, self.clock.now()))
    }

    fn reads_headers(&self) -> bool {
        self.proxies.is_some()
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
