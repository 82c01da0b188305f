//! `certificatesigningrequest-cleaner-controller`: removes requests that are done or forgotten.
//!
//! Upstream looks at all once an hour; here each request has its own time.

use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::{ACCOUNT, Request, WORKERS};
use crate::client::{Cache, DeleteOptions, Error, ObjectName, Outcome, Resource, work};
use crate::controllers::Controller;
use crate::controllers::context::Context;

pub(in crate::controllers) const CLEANER: Controller = Controller {
    name: "certificatesigningrequest-cleaner-controller",
    alias: "csrcleaner",
    account: ACCOUNT,
    source: ACCOUNT,
    run: |ctx| run(ctx).boxed(),
};

/// How long a decided request stays.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// How long one stays that nobody decided, or that was approved and never signed.
const PENDING: SignedDuration = SignedDuration::from_hours(24);

async fn run(ctx: Context) {
    let requests = ctx.cache::<Request>().await;
    let queue = ctx.queue_of(&requests);
    work(queue, WORKERS, CLEANER.name, |name| reconcile(&ctx, &requests, name)).await;
}

async fn reconcile(ctx: &Context, requests: &Cache<Request>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(request) = requests.get("", &name.name) else { return Ok(Outcome::Done) };
    let Some(due) = due(&request) else { return Ok(Outcome::Done) };
    let left = Duration::try_from(due.duration_since(ctx.clock.now())).unwrap_or_default();
    if !left.is_zero() {
        return Ok(Outcome::Again(left));
    }
    let target = Resource::CERTIFICATE_REQUESTS.at("", &request.metadata.name);
    match ctx.client.delete(target, &DeleteOptions::of_uid(&request.metadata.uid)).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}

/// When a request is to go. A certificate that expires within its hour goes with the hour.
fn due(request: &Request) -> Option<Timestamp> {
    let mut times = Vec::new();
    if request.status.conditions.is_empty() {
        times.extend(request.metadata.creation_timestamp.as_ref().map(|time| time.0 + PENDING));
    }
    for condition in &request.status.conditions {
        let stays = match &*condition.kind {
            "Denied" | "Failed" => DECIDED,
            "Approved" if request.issued() => DECIDED,
            "Approved" => PENDING,
            _ => continue,
        };
        times.extend(condition.last_update_time.as_ref().map(|time| time.0 + stays));
    }
    times.into_iter().min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(status: serde_json::Value, expected: &str) {
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status});
        let request: Request = serde_json::from_value(object).unwrap();
        assert_eq!(due(&request).map(|time| time.to_string()).unwrap_or_default(), expected);
    }

    #[test]
    fn a_request_goes_an_hour_after_it_is_done_or_a_day_after_it_was_forgotten() {
        let condition = |kind: &str| json!({"type": kind, "lastUpdateTime": "2026-01-01T10:00:00Z"});
        check(json!({}), "2026-01-02T00:00:00Z");
        check(json!({"conditions": [condition("Denied")]}), "2026-01-01T11:00:00Z");
        check(json!({"conditions": [condition("Approved")]}), "2026-01-02T10:00:00Z");
        let signed = json!({"conditions": [condition("Approved")], "certificate": "eA=="});
        check(signed, "2026-01-01T11:00:00Z");
        check(json!({"conditions": [condition("Approved"), condition("Failed")]}), "2026-01-01T11:00:00Z");
        check(json!({"conditions": [condition("Other")]}), "");
    }
}
