//! `ClusterTrustBundleAttest`: who writes a bundle for a signer must be allowed to attest for it (K
//! `plugin/pkg/admission/certificates/ctbattest`).

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::{Object, Result};
use crate::auth::{self, Decision};
use crate::resources::Kind;

const GROUP: &str = "certificates.k8s.io";

pub(super) struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && kind.gvk.group == GROUP && kind.resource == "clustertrustbundles"
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(check(ctx, attributes)))
    }
}

async fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(bundle) = attributes.object.as_deref() else { return Ok(()) };
    let signer = bundle.text_at(&["spec", "signerName"]);
    if signer.is_empty() || attributes.old.is_some_and(|old| bare(bundle) == bare(old)) {
        return Ok(());
    }
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let asked = auth::Attributes {
            user: attributes.user.clone().into(),
            verb: "attest".to_owned(),
            resource_request: true,
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..auth::Attributes::default()
        };
        if matches!(ctx.authorizer.authorize(&asked).await, Decision::Allow { .. }) {
            return Ok(());
        }
    }
    Err(attributes.forbidden(format!("user not permitted to attest for signerName {}", go_quote(signer))))
}

/// A bundle without what the garbage collector may change.
fn bare(bundle: &Object) -> Object {
    let mut bare = bundle.clone();
    for field in ["ownerReferences", "finalizers", "managedFields"] {
        bare.remove(&["metadata", field]);
    }
    bare
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn a_bundle_for_a_signer_needs_the_right_to_attest() {
        let mut trial = Trial::new().await;
        let bundle = |signer: &str, label: &str| json!({ "metadata": { "name": "b", "labels": { "a": label } }, "spec": { "signerName": signer } });
        let plugin = ClusterTrustBundleAttest;
        assert!(trial.validate(&plugin, "clustertrustbundles", bundle("", "x")).await.is_ok());
        let refused = trial.validate(&plugin, "clustertrustbundles", bundle("x.io/y", "x")).await.unwrap_err();
        let message = "clustertrustbundles.certificates.k8s.io \"b\" is forbidden: user not permitted to attest for \
                       signerName \"x.io/y\"";
        assert_eq!(refused.message(), message);
        let same = (bundle("x.io/y", "x"), bundle("x.io/y", "x"));
        assert!(trial.update(&plugin, "clustertrustbundles", same).await.is_ok());
        trial.user.groups.push("system:masters".to_owned());
        assert!(trial.validate(&plugin, "clustertrustbundles", bundle("x.io/y", "x")).await.is_ok());
    }
}
