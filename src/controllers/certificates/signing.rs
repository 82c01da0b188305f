//! `certificatesigningrequest-signing-controller`: signs what is approved and asks one of the built-in signers.

use std::time::Duration;

use base64::Engine;
use futures::FutureExt;
use serde_json::{Value, json};

use super::{ACCOUNT, Request, WORKERS, recognized};
use crate::auth::{CertificateRequest, CertificateSigner, Order};
use crate::client::{Cache, Error, ObjectName, Outcome, Resource, encode, work};
use crate::controllers::Controller;
use crate::controllers::context::Context;

pub(in crate::controllers) const SIGNING: Controller = Controller {
    name: "certificatesigningrequest-signing-controller",
    alias: "csrsigning",
    account: ACCOUNT,
    source: ACCOUNT,
    run: |ctx| run(ctx).boxed(),
};

/// The longest life of a certificate, and what it is when nothing is asked: a year, as upstream's default.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
const LIFE_MIN: Duration = Duration::from_secs(10 * 60);

async fn run(ctx: Context) {
    let Some(signer) = ctx.signer().cloned() else { return };
    let requests = ctx.cache::<Request>().await;
    let queue = ctx.queue_of(&requests);
    work(queue, WORKERS, SIGNING.name, |name| reconcile(&ctx, (&requests, &signer), name)).await;
}

async fn reconcile(
    ctx: &Context,
    (requests, signer): (&Cache<Request>, &CertificateSigner),
    name: ObjectName,
) -> Result<Outcome, Error> {
    let Some(request) = requests.get("", &name.name) else { return Ok(Outcome::Done) };
    let decided = request.condition("Approved").is_some() && request.condition("Denied").is_none();
    if request.issued() || !decided || request.condition("Failed").is_some() {
        return Ok(Outcome::Done);
    }
    let spec = &request.spec;
    let Ok(asked) = CertificateRequest::parse(&request.pem()) else { return Ok(Outcome::Done) };
    let Some(taken) = recognized::taken(&spec.signer_name, &asked, &spec.usages) else { return Ok(Outcome::Done) };
    let target = Resource::CERTIFICATE_REQUESTS.at("", &request.metadata.name);
    let mut object: Value = ctx.client.get(target).await?;
    object["metadata"]["resourceVersion"] = json!(request.metadata.resource_version);
    match taken {
        Err(why) => {
            let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let now = ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            conditions.push(json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                "message": why, "lastUpdateTime": now}));
            object["status"]["conditions"] = json!(conditions);
        }
        Ok(()) => {
            let order = Order { usages: &spec.usages, seconds: life(spec.expiration_seconds), now: ctx.clock.now() };
            let pem = match signer.sign(&asked, &order) {
                Ok(pem) => pem,
                Err(why) => {
                    // As upstream's: said in the log alone, and tried again when the request changes.
                    tracing::warn!(request = %request.metadata.name, why, "a certificate could not be signed");
                    return Ok(Outcome::Done);
                }
            };
            let encoded = base64::engine::general_purpose::STANDARD.encode(pem);
            object["status"]["certificate"] = json!(encoded);
        }
    }
    ctx.client.update(target.sub("status"), encode(&object)).await?;
    Ok(Outcome::Done)
}

/// How many seconds a certificate lives that is asked for with so many.
fn life(asked: Option<i64>) -> i64 {
    let [least, most] = [LIFE_MIN, LIFE_MAX].map(|limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
    asked.unwrap_or(most).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_lives_ten_minutes_to_a_year() {
        assert_eq!(life(None), 31_536_000);
        assert_eq!(life(Some(1)), 600);
        assert_eq!(life(Some(3600)), 3600);
        assert_eq!(life(Some(i64::MAX)), 31_536_000);
    }
}
