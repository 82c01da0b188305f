//! A server outside says whose tokens are, asked with a TokenReview; its answers are kept for a while (apiserver
//! `plugin/pkg/authenticator/token/webhook`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Refused;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::auth::recent::Recent;
use crate::auth::retry::{Failure, Retry};
use crate::base::Clock;
use crate::remote::{Backend, Remote, check_kind};
use crate::storage::Store;

const KIND: &str = "TokenReview";
/// Answers that are kept: at most twice as many.
const ANSWERS_MAX: usize = 4096;
/// What counts where `--authentication-token-webhook-cache-ttl` is not given.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// `--authentication-token-webhook-…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenWebhook {
    /// The kubeconfig file that says where it is; without it nobody is asked.
    pub config_file: Option<String>,
    pub version: Option<String>,
    pub kept_for: Option<Duration>,
}

/// The tokens that a server outside knows.
pub(super) struct OutsideTokens {
    api_version: &'static str,
    kept_for: Duration,
    /// Those of this server.
    audiences: Vec<String>,
    backend: Backend,
    remote: Remote,
    clock: Arc<dyn Clock>,
    /// By digest of the token and the audiences that were wanted. Held for a look-up.
    answers: Recent<([u8; 32], Vec<String>), (Answer, Duration)>,
}

/// The user and the audiences of the token that it told; `None`: it does not know the token.
type Answer = Option<(User, Vec<String>)>;

impl OutsideTokens {
    /// # Errors
    /// In upstream's words, when the settings cannot be used.
    pub(super) fn new(
        settings: &TokenWebhook,
        audiences: &[String],
        (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
    ) -> Result<Option<Self>, String> {
        let Some(file) = &settings.config_file else { return Ok(None) };
        let version = settings.version.as_deref().unwrap_or("v1beta1");
        let api_version = match version {
            "v1" => "authentication.k8s.io/v1",
            "v1beta1" => "authentication.k8s.io/v1beta1",
            other => {
                let (other, known) = (go_quote(other), "\"v1\", \"v1beta1\"");
                return Err(format!(
                    "unsupported authentication webhook version {other}, supported versions are {known}"
                ));
            }
        };
        let backend = Backend::read(file)?;
        let remote = backend.remote(store.clone(), clock.clone());
        let kept_for = settings.kept_for.unwrap_or(KEPT_FOR);
        let (clock, answers) = (clock.clone(), Recent::new(ANSWERS_MAX));
        let audiences = audiences.to_vec();
        Ok(Some(Self { api_version, kept_for, audiences, backend, remote, clock, answers }))
    }

    /// The user of a token that is for one of the audiences, and those that the server told.
    pub(super) async fn find(
        &self,
        (token, digest): (&str, [u8; 32]),
        audiences: &[String],
    ) -> Result<Answer, Refused> {
        let key = (digest, audiences.to_vec());
        if let Some((answer, until)) = self.answers.get(&key)
            && self.clock.monotonic() < until
        {
            return Ok(answer);
        }
        let answer = self.ask(token, audiences).await?;
        // What is not known may be known the next moment: a new token is not refused for long for having come early.
        if answer.is_some() && !self.kept_for.is_zero() {
            self.answers.put(key, (answer.clone(), self.clock.monotonic() + self.kept_for));
        }
        Ok(answer)
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<Answer, Refused> {
        let mut spec = json!({ "token": token });
        if !audiences.is_empty() {
            spec["audiences"] = json!(audiences);
        }
        let review = json!({
            "kind": KIND, "apiVersion": self.api_version, "metadata": {}, "spec": spec, "status": { "user": {} },
        });
        let retry = Retry::new((&self.backend, &self.remote), &*self.clock);
        let answer = retry.post(&review, |_, _| {}).await.map_err(|Failure { why, .. }| {
            tracing::error!(why, "the server that knows tokens does not answer");
            Refused(why)
        })?;
        check_kind(&answer, (self.api_version, KIND)).map_err(Refused)?;
        read(&answer["status"], (audiences, &self.audiences))
    }
}

/// What a `status` says of a token that is wanted for some audiences.
fn read(status: &Value, (wanted, own): (&[String], &[String])) -> Result<Answer, Refused> {
    let texts = |of: &Value| -> Vec<String> {
        of.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let told = texts(&status["audiences"]);
    // One that tells none has not looked, and means this server's own.
    let meant = if told.is_empty() { own } else { &told };
    let shared: Vec<String> = wanted.iter().filter(|one| meant.contains(one)).cloned().collect();
    if shared.is_empty() && !wanted.is_empty() {
        return Ok(None);
    }
    let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    if status["authenticated"].as_bool() != Some(true) {
        let error = text(&status["error"]);
        return if error.is_empty() { Ok(None) } else { Err(Refused(error)) };
    }
    let user = &status["user"];
    let extra = user["extra"].as_object().into_iter().flatten();
    let user = User {
        name: text(&user["username"]),
        uid: text(&user["uid"]),
        groups: texts(&user["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    };
    Ok(Some((user, shared)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_must_be_for_one_of_the_audiences() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let status = |audiences: Value| json!({ "authenticated": true, "user": { "username": "bob", "extra": { "k": ["v"] } }, "audiences": audiences });
        let audiences =
            |told: Value| read(&status(told), (&wanted, &wanted[..1])).unwrap().map(|(_, audiences)| audiences);
        assert_eq!(audiences(json!(["b", "c"])), Some(vec!["b".to_owned()]));
        assert_eq!(audiences(json!(["c"])), None);
        assert_eq!(audiences(Value::Null), Some(wanted[..1].to_vec()));
        let (user, _) = read(&status(Value::Null), (&[], &[])).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.extra.len()), ("bob", 1));
    }

    #[test]
    fn an_error_is_told_and_an_unknown_token_is_nobodys() {
        assert_eq!(read(&json!({ "authenticated": false }), (&[], &[])).unwrap(), None);
        let refused = read(&json!({ "error": "expired" }), (&[], &[])).unwrap_err();
        assert_eq!(refused.to_string(), "expired");
    }
}
