//! Which requests each of the built-in signers takes (Kubernetes `pkg/apis/certificates/helpers.go`).

use super::{CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY};
use crate::auth::CertificateRequest;

const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";

/// Whether the signer of that name takes a request; nothing when there is no such signer here.
///
/// # Errors
/// What is wrong with the request, in upstream's words.
pub(super) fn taken(signer: &str, request: &CertificateRequest, usages: &[String]) -> Option<Result<(), String>> {
    match signer {
        CLIENT => Some(client_usages(usages)),
        KUBELET_CLIENT => Some(kubelet_client(request, usages)),
        KUBELET_SERVING => Some(kubelet_serving(request, usages)),
        LEGACY => Some(Ok(())),
        _ => None,
    }
}

fn client_usages(usages: &[String]) -> Result<(), String> {
    const OPTIONAL: [&str; 2] = ["digital signature", "key encipherment"];
    const REQUIRED: &str = "client auth";
    match usages.iter().find(|usage| *usage != REQUIRED && !OPTIONAL.contains(&usage.as_str())) {
        Some(other) => Err(format!("invalid usage for client certificate: {other}")),
        None if usages.iter().any(|usage| usage == REQUIRED) => Ok(()),
        None => Err(format!("missing required usage for client certificate: {REQUIRED}")),
    }
}

/// Whether a kubelet may ask so for its client certificate.
pub(super) fn kubelet_client(request: &CertificateRequest, usages: &[String]) -> Result<(), String> {
    of_nodes(request)?;
    let forbidden = [
        (request.names.is_empty(), "DNS subjectAltNames are not allowed"),
        (request.emails.is_empty(), "Email subjectAltNames are not allowed"),
        (request.addresses.is_empty(), "IP subjectAltNames are not allowed"),
        (request.uris.is_empty(), "URI subjectAltNames are not allowed"),
    ];
    if let Some((_, why)) = forbidden.iter().find(|(none, _)| !none) {
        return Err((*why).to_owned());
    }
    of_node(request)?;
    exactly(usages, "client auth")
}

fn kubelet_serving(request: &CertificateRequest, usages: &[String]) -> Result<(), String> {
    of_nodes(request)?;
    let forbidden = [
        (!request.names.is_empty() || !request.addresses.is_empty(), "DNS or IP subjectAltName is required"),
        (request.emails.is_empty(), "Email subjectAltNames are not allowed"),
        (request.uris.is_empty(), "URI subjectAltNames are not allowed"),
    ];
    if let Some((_, why)) = forbidden.iter().find(|(good, _)| !good) {
        return Err((*why).to_owned());
    }
    exactly(usages, "server auth")?;
    of_node(request)
}

fn of_nodes(request: &CertificateRequest) -> Result<(), String> {
    match request.organizations == [NODES] {
        true => Ok(()),
        false => Err(format!("subject organization is not {NODES}")),
    }
}

fn of_node(request: &CertificateRequest) -> Result<(), String> {
    match request.common_name.starts_with(NODE) {
        true => Ok(()),
        false => Err(format!("subject common name does not begin with {NODE}")),
    }
}

/// Digital signature, the purpose and, for RSA keys, key encipherment; nothing else.
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    const SIGNATURE: &str = "digital signature";
    const ENCIPHERMENT: &str = "key encipherment";
    let has = |wanted: &str| usages.iter().any(|usage| usage == wanted);
    let known = |usage: &String| [SIGNATURE, ENCIPHERMENT, purpose].contains(&usage.as_str());
    match has(SIGNATURE) && has(purpose) && usages.iter().all(known) {
        true => Ok(()),
        false => {
            let mut wanted = [SIGNATURE, ENCIPHERMENT, purpose];
            wanted.sort_unstable();
            Err(format!("usages did not match [{}]", wanted.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet() -> CertificateRequest {
        CertificateRequest {
            common_name: "system:node:a".to_owned(),
            organizations: vec![NODES.to_owned()],
            ..CertificateRequest::default()
        }
    }

    #[track_caller]
    fn check(signer: &str, request: &CertificateRequest, usages: &[&str], expected: Result<(), &str>) {
        let usages: Vec<_> = usages.iter().map(|&usage| usage.to_owned()).collect();
        assert_eq!(taken(signer, request, &usages), Some(expected.map_err(str::to_owned)), "{usages:?}");
    }

    #[test]
    fn a_client_asks_for_client_usages() {
        let request = CertificateRequest::default();
        check(CLIENT, &request, &["client auth", "digital signature"], Ok(()));
        check(CLIENT, &request, &["server auth"], Err("invalid usage for client certificate: server auth"));
        let why = "missing required usage for client certificate: client auth";
        check(CLIENT, &request, &["digital signature"], Err(why));
    }

    #[test]
    fn a_kubelet_asks_for_itself_and_no_name() {
        let usages = ["client auth", "digital signature"];
        check(KUBELET_CLIENT, &kubelet(), &usages, Ok(()));
        let named = CertificateRequest { names: vec!["a".to_owned()], ..kubelet() };
        check(KUBELET_CLIENT, &named, &usages, Err("DNS subjectAltNames are not allowed"));
        let other = CertificateRequest { common_name: "a".to_owned(), ..kubelet() };
        check(KUBELET_CLIENT, &other, &usages, Err("subject common name does not begin with system:node:"));
        let other = CertificateRequest { organizations: Vec::new(), ..kubelet() };
        check(KUBELET_CLIENT, &other, &usages, Err("subject organization is not system:nodes"));
        let why = "usages did not match [client auth digital signature key encipherment]";
        check(KUBELET_CLIENT, &kubelet(), &["client auth"], Err(why));
    }

    #[test]
    fn a_kubelet_that_serves_has_a_name_or_an_address() {
        let usages = ["server auth", "digital signature", "key encipherment"];
        check(KUBELET_SERVING, &kubelet(), &usages, Err("DNS or IP subjectAltName is required"));
        let named = CertificateRequest { addresses: vec![vec![10, 0, 0, 1]], ..kubelet() };
        check(KUBELET_SERVING, &named, &usages, Ok(()));
    }

    #[test]
    fn another_signer_is_not_ours() {
        assert_eq!(taken("example.com/x", &kubelet(), &[]), None);
    }
}
