//! `certificatesigningrequest-approving-controller`: approves what a kubelet may ask for itself.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCOUNT, KUBELET_CLIENT, Request, WORKERS, recognized};
use crate::auth::CertificateRequest;
use crate::client::{Cache, Error, ObjectName, Outcome, Resource, encode, work};
use crate::controllers::Controller;
use crate::controllers::context::Context;

pub(in crate::controllers) const APPROVING: Controller = Controller {
    name: "certificatesigningrequest-approving-controller",
    alias: "csrapproving",
    account: ACCOUNT,
    source: ACCOUNT,
    run: |ctx| run(ctx).boxed(),
};

/// A right to have such a request approved, and the message of the approval.
struct Right {
    subresource: &'static str,
    message: &'static str,
    /// Whether it is for the asking kubelet's own certificate only.
    own: bool,
}

const RIGHTS: [Right; 2] = [
    Right {
        subresource: "selfnodeclient",
        message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
        own: true,
    },
    Right {
        subresource: "nodeclient",
        message: "Auto approving kubelet client certificate after SubjectAccessReview.",
        own: false,
    },
];

#[derive(Deserialize)]
struct Review {
    status: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(default)]
    allowed: bool,
}

async fn run(ctx: Context) {
    let requests = ctx.cache::<Request>().await;
    let queue = ctx.queue_of(&requests);
    work(queue, WORKERS, APPROVING.name, |name| reconcile(&ctx, &requests, name)).await;
}

async fn reconcile(ctx: &Context, requests: &Cache<Request>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(request) = requests.get("", &name.name) else { return Ok(Outcome::Done) };
    if request.issued() || request.condition("Approved").is_some() || request.condition("Denied").is_some() {
        return Ok(Outcome::Done);
    }
    if request.spec.signer_name != KUBELET_CLIENT {
        return Ok(Outcome::Done);
    }
    let Ok(asked) = CertificateRequest::parse(&request.pem()) else { return Ok(Outcome::Done) };
    if recognized::kubelet_client(&asked, &request.spec.usages).is_err() {
        return Ok(Outcome::Done);
    }
    for right in RIGHTS.iter().filter(|right| !right.own || request.spec.username == asked.common_name) {
        if may(ctx, &request, right).await? {
            return approve(ctx, &request, right.message).await;
        }
    }
    Ok(Outcome::Done)
}

async fn may(ctx: &Context, request: &Request, right: &Right) -> Result<bool, Error> {
    let spec = &request.spec;
    let attributes = json!({"group": "certificates.k8s.io", "resource": "certificatesigningrequests",
        "subresource": right.subresource, "verb": "create", "version": "*"});
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {"user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
            "resourceAttributes": attributes}});
    let written = ctx.client.create(Resource::ACCESS_REVIEWS.all(), encode(&review)).await?;
    let review: Review = serde_json::from_slice(&written.body)?;
    Ok(review.status.allowed)
}

async fn approve(ctx: &Context, request: &Request, message: &str) -> Result<Outcome, Error> {
    let target = Resource::CERTIFICATE_REQUESTS.at("", &request.metadata.name);
    let mut object: Value = ctx.client.get(target).await?;
    object["metadata"]["resourceVersion"] = json!(request.metadata.resource_version);
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.push(json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}));
    object["status"]["conditions"] = json!(conditions);
    ctx.client.update(target.sub("approval"), encode(&object)).await?;
    Ok(Outcome::Done)
}
