//! `CertificateApproval`, `CertificateSigning` and `CertificateSubjectRestriction`: who may approve and sign requests
//! for which signer, and what nobody may ask the API server's client signer for (Kubernetes
//! `plugin/pkg/admission/certificates`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::{Object, Result};
use crate::auth::{self, Decision};
use crate::resources::Kind;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) struct CertificateApproval;
pub(super) struct CertificateSigning;
pub(super) struct CertificateSubjectRestriction;

fn is_request(kind: &Kind) -> bool {
    kind.resource == "certificatesigningrequests" && kind.gvk.group == "certificates.k8s.io"
}

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Update && subresource == "approval" && is_request(kind)
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(async move { may(ctx, attributes, "approve").await }))
    }
}

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Update && subresource == "status" && is_request(kind)
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(async move {
            let changes = |field| {
                let value = |object: Option<&Object>| object.and_then(|o| o.get(&["status", field])).cloned();
                value(attributes.object.as_deref()) != value(attributes.old)
            };
            if changes("certificate") || changes("conditions") { may(ctx, attributes, "sign").await } else { Ok(()) }
        }))
    }
}

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create && subresource.is_empty() && is_request(kind)
    }

    fn validate<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(subject(attributes))
    }
}

/// The right to do it for the signer, or for all signers of its domain. The old object counts: who approves cannot
/// choose another signer by the way.
async fn may(ctx: &Context, attributes: &Attributes<'_>, verb: &str) -> Result<()> {
    let signer = attributes.old.map_or("", |old| old.text_at(&["spec", "signerName"]));
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let asked = auth::Attributes {
            user: attributes.user.clone().into(),
            verb: verb.to_owned(),
            resource_request: true,
            group: "certificates.k8s.io".to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..auth::Attributes::default()
        };
        if matches!(ctx.authorizer.authorize(&asked).await, Decision::Allow { .. }) {
            return Ok(());
        }
    }
    Err(attributes.forbidden(format!("user not permitted to {verb} requests with signerName {}", go_quote(signer))))
}

fn subject(attributes: &Attributes<'_>) -> Result<()> {
    let Some(request) = attributes.object.as_deref() else { return Ok(()) };
    if request.text_at(&["spec", "signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    let organizations = organizations(request.text_at(&["spec", "request"]));
    let organizations = organizations.map_err(|why| attributes.forbidden(format!("failed to parse CSR: {why}")))?;
    if organizations.iter().any(|organization| organization == "system:masters") {
        let why = format!("use of {CLIENT_SIGNER} signer with system:masters group is not allowed");
        return Err(attributes.forbidden(why));
    }
    Ok(())
}

fn organizations(request: &str) -> std::result::Result<Vec<String>, &'static str> {
    const NOT_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(request).map_err(|_| NOT_PEM)?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).map_err(|_| NOT_PEM)?;
    let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|_| "x509: malformed certificate request")?;
    let organizations = parsed.certification_request_info.subject.iter_organization();
    Ok(organizations.filter_map(|o| o.as_str().ok()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::trial::Trial;
    use crate::api::request::User;
    use crate::auth::fixture::put;

    fn request(organization: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
        let key = rcgen::KeyPair::generate().unwrap();
        STANDARD.encode(params.serialize_request(&key).unwrap().pem().unwrap())
    }

    #[tokio::test]
    async fn nobody_asks_the_client_signer_for_superusers() {
        let trial = Trial::new().await;
        let check = async |signer: &str, request: String, why: Option<&str>| {
            let object = json!({ "metadata": { "name": "r" }, "spec": { "signerName": signer, "request": request } });
            let refused =
                trial.validate(&CertificateSubjectRestriction, "certificatesigningrequests", object).await.err();
            let message =
                why.map(|why| format!("certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        check(CLIENT_SIGNER, request("dev"), None).await;
        check("example.com/x", request("system:masters"), None).await;
        let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        check(CLIENT_SIGNER, request("system:masters"), Some(why)).await;
        let why = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
        check(CLIENT_SIGNER, "x".to_owned(), Some(why)).await;
    }

    #[tokio::test]
    async fn who_approves_needs_the_right_for_the_signer_or_its_domain() {
        let mut trial = Trial::new().await;
        trial.user = User { name: "bob".to_owned(), ..User::default() };
        let object = |signer: &str| json!({ "metadata": { "name": "r" }, "spec": { "signerName": signer } });
        let check = async |trial: &Trial, signer: &str| {
            let objects: (Value, Value) = (object(signer), object(signer));
            trial.update(&CertificateApproval, "certificatesigningrequests/approval", objects).await.map(|_| ())
        };
        let refused = check(&trial, "example.com/x").await.unwrap_err();
        let why = "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests \
                   with signerName \"example.com/x\"";
        assert_eq!(refused.message(), why);
        let group = "certificates.k8s.io";
        let rules = json!([{ "apiGroups": [group], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["approve"] }]);
        let role = json!({ "metadata": { "name": "a" }, "rules": rules });
        put(&trial.context.store, "clusterroles.rbac.authorization.k8s.io", role).await;
        let binding = json!({
            "metadata": { "name": "a" }, "roleRef": { "kind": "ClusterRole", "name": "a" },
            "subjects": [{ "kind": "User", "name": "bob" }],
        });
        put(&trial.context.store, "clusterrolebindings.rbac.authorization.k8s.io", binding).await;
        check(&trial, "example.com/x").await.unwrap();
        assert!(check(&trial, "other.com/x").await.is_err());
    }
}
