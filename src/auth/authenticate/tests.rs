//! Who a request is from, by certificates, tokens and nothing at all.

use std::time::Duration;

use futures::FutureExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::*;
use crate::api::Object;
use crate::auth::fixture::{empty_store, put, remove};
use crate::auth::{Identity, Pki, PkiConfig, Tokens};
use crate::base::ManualClock;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

struct Bench {
    pki: Pki,
    store: Arc<dyn Store>,
    clock: ManualClock,
    authenticators: Authenticators,
    tokens: Tokens,
}

async fn bench() -> Bench {
    let clock = ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap());
    let pki = Pki::open(PkiConfig::default(), clock.now()).unwrap();
    let store = empty_store().await;
    put(&store, "serviceaccounts", json!({ "metadata": { "namespace": "web", "name": "bot" } })).await;
    let tokens = Tokens {
        issuer: ISSUER.to_owned(),
        audiences: vec![ISSUER.to_owned()],
        key: pki.signing_key(),
        expiration_max_seconds: None,
        extend: true,
        checks_uid: true,
    };
    let accept = Accept {
        client_authorities: pki.client_authorities().to_owned(),
        issuers: vec![ISSUER.to_owned()],
        verifying_keys: pki.verifying_keys().to_vec(),
        anonymous: true,
        looks_up: true,
        ..Accept::default()
    };
    let authenticators = Authenticators::new(accept, store.clone(), Arc::new(clock.clone())).unwrap();
    Bench { pki, store, clock, authenticators, tokens }
}

impl Bench {
    fn ask(&self, certificates: Vec<Vec<u8>>, bearer: Option<&str>) -> Result<Option<User>, Refused> {
        let credentials = Credentials {
            certificates: certificates.into(),
            bearer: bearer.map(str::to_owned),
            ..Credentials::default()
        };
        self.authenticators.authenticate(&credentials).now_or_never().unwrap()
    }

    fn request(&self, spec: Value) -> crate::api::Result<(Object, Vec<String>)> {
        let snapshot = self.store.snapshot();
        let account = snapshot.find("serviceaccounts", "web", "bot").unwrap().clone();
        let request = Object::from_value(json!({ "spec": spec })).unwrap();
        let mut request = request;
        self.tokens.check(&account, &mut request, self.clock.now())?;
        self.tokens.issue((&snapshot, &account), request, self.clock.now())
    }

    fn token(&self, spec: Value) -> String {
        self.request(spec).unwrap().0.text_at(&["status", "token"]).to_owned()
    }

    #[track_caller]
    fn check_refused(&self, token: &str, why: &str) {
        assert_eq!(self.ask(Vec::new(), Some(token)).unwrap_err().0, why);
    }
}

fn chain(identity: &Identity) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).map(|der| der.unwrap().to_vec()).collect()
}

#[tokio::test]
async fn nothing_shown_is_anonymous_and_something_bad_is_refused() {
    let bench = bench().await;
    assert_eq!(bench.ask(Vec::new(), None).unwrap(), Some(User::anonymous()));
    bench.check_refused("nonsense", "invalid bearer token");
    bench.check_refused("a.b.c", "invalid bearer token");
}

#[tokio::test]
async fn a_client_certificate_names_user_and_groups() {
    let bench = bench().await;
    let user = bench.ask(chain(&bench.pki.admin()), None).unwrap().unwrap();
    assert_eq!(user.name, "kubernetes-admin");
    assert_eq!(user.groups, ["system:masters", "system:authenticated"]);
    assert!(user.extra[0].1[0].starts_with("X509SHA256="));
    assert_eq!(bench.ask(chain(&bench.pki.admin()), None).unwrap().unwrap(), user);
}

#[tokio::test]
async fn certificates_of_others_and_expired_ones_are_refused() {
    let bench = bench().await;
    let stranger = Pki::open(PkiConfig::default(), bench.clock.now()).unwrap();
    assert!(bench.ask(chain(&stranger.admin()), None).is_err());
    assert!(bench.ask(vec![b"no certificate".to_vec()], None).is_err());
    assert!(bench.ask(chain(&bench.pki.admin()), None).is_ok());
    bench.clock.advance(Duration::from_secs(366 * 24 * 3600));
    assert!(bench.ask(chain(&bench.pki.admin()), None).is_err());
}

#[tokio::test]
async fn a_token_names_its_account_until_it_expires() {
    let bench = bench().await;
    let token = bench.token(json!({ "expirationSeconds": 600 }));
    let user = bench.ask(Vec::new(), Some(&token)).unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:web:bot", "uid-bot"));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated"]);
    assert_eq!(user.extra.len(), 1);
    assert!(user.extra[0].1[0].starts_with("JTI="));
    bench.clock.advance(Duration::from_secs(661));
    bench.check_refused(&token, "service account token has expired");
}

#[tokio::test]
async fn a_token_dies_with_its_account_and_is_not_that_of_a_new_one() {
    let bench = bench().await;
    let token = bench.token(json!({}));
    remove(&bench.store, "serviceaccounts", ("web", "bot")).await;
    bench.check_refused(&token, r#"serviceaccounts "bot" not found"#);
    put(&bench.store, "serviceaccounts", json!({ "metadata": { "namespace": "web", "name": "bot", "uid": "new" } }))
        .await;
    bench.check_refused(&token, "service account UID (new) does not match claim (uid-bot)");
}

#[tokio::test]
async fn a_pod_bound_token_names_pod_and_node_and_dies_with_the_pod() {
    let bench = bench().await;
    let pod = json!({ "metadata": { "namespace": "web", "name": "p" }, "spec": { "serviceAccountName": "bot", "nodeName": "n" } });
    put(&bench.store, "pods", pod).await;
    put(&bench.store, "nodes", json!({ "metadata": { "name": "n" } })).await;
    let (answer, _) = bench
        .request(json!({
            "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-p" }, "expirationSeconds": 3607,
        }))
        .unwrap();
    assert_eq!(answer.text_at(&["status", "expirationTimestamp"]), "2026-11-21T01:00:07Z");
    let token = answer.text_at(&["status", "token"]);
    let user = bench.ask(Vec::new(), Some(token)).unwrap().unwrap();
    let extra: Vec<_> = user.extra[1..].iter().map(|(key, values)| (key.as_str(), values[0].as_str())).collect();
    let expected = [
        ("authentication.kubernetes.io/node-name", "n"),
        ("authentication.kubernetes.io/node-uid", "uid-n"),
        ("authentication.kubernetes.io/pod-name", "p"),
        ("authentication.kubernetes.io/pod-uid", "uid-p"),
    ];
    assert_eq!(extra, expected);
    bench.clock.advance(Duration::from_secs(24 * 3600));
    assert!(bench.ask(Vec::new(), Some(token)).is_ok(), "the kubelet's tokens are extended");
    remove(&bench.store, "pods", ("web", "p")).await;
    bench.check_refused(token, "service account token has been invalidated");
}

#[tokio::test]
async fn a_token_for_others_is_not_for_us_but_reviews_well() {
    let bench = bench().await;
    let token = bench.token(json!({ "audiences": ["vault"] }));
    let why = format!(r#"token audiences ["vault"] is invalid for the target audiences ["{ISSUER}"]"#);
    bench.check_refused(&token, &why);
    let known =
        bench.authenticators.token(&token, &["vault".to_owned(), "x".to_owned()]).now_or_never().unwrap().unwrap();
    assert_eq!(known.audiences, ["vault"]);
}

#[tokio::test]
async fn a_changed_token_and_one_of_another_key_are_refused() {
    let bench = bench().await;
    let token = bench.token(json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    bench.check_refused(
        &format!("{message}.{flipped}{}", &signature[1..]),
        "go-jose/go-jose: error in cryptographic primitive",
    );
    let other = super::super::SigningKey::generate().unwrap().0;
    let tokens = Tokens { key: Arc::new(other), ..bench.tokens };
    let snapshot = bench.store.snapshot();
    let account = snapshot.find("serviceaccounts", "web", "bot").unwrap();
    let mut request = Object::default();
    tokens.check(account, &mut request, bench.clock.now()).unwrap();
    let (answer, _) = tokens.issue((&snapshot, account), request, bench.clock.now()).unwrap();
    let why = Bench { tokens, ..bench }.ask(Vec::new(), Some(answer.text_at(&["status", "token"]))).unwrap_err().0;
    assert_eq!(why, "invalid signature, no keys found");
}

#[tokio::test]
async fn a_legacy_token_lives_as_long_as_its_secret_holds_it() {
    use base64::Engine;
    let bench = bench().await;
    let account = bench.store.snapshot().find("serviceaccounts", "web", "bot").unwrap().clone();
    let token = bench.tokens.legacy(&account, "bot-token").unwrap();
    bench.check_refused(&token, "Token has been invalidated");
    let data = base64::engine::general_purpose::STANDARD.encode(&token);
    put(
        &bench.store,
        "secrets",
        json!({ "metadata": { "namespace": "web", "name": "bot-token" }, "data": { "token": data } }),
    )
    .await;
    let user = bench.ask(Vec::new(), Some(&token)).unwrap().unwrap();
    assert_eq!(user.name, "system:serviceaccount:web:bot");
    assert!(user.extra.is_empty());
    put(&bench.store, "secrets", json!({ "metadata": { "namespace": "web", "name": "bot-token" }, "data": {} })).await;
    bench.check_refused(&token, "Token does not match server's copy");
}

#[tokio::test]
async fn requests_that_do_not_fit_are_refused_in_upstreams_words() {
    let bench = bench().await;
    let check = |spec: Value, code: u16, message: &str| {
        let status = bench.request(spec).map(|_| ()).unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    };
    check(
        json!({ "expirationSeconds": 5 }),
        422,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a \
         duration less than 10 minutes",
    );
    check(json!({ "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "x" } }), 404, "pods \"x\" not found");
    check(
        json!({ "boundObjectRef": { "kind": "Service", "apiVersion": "v1", "name": "x" } }),
        400,
        "cannot bind token to object of type /v1, Kind=Service",
    );
}

#[test]
fn a_certificate_with_any_byte_changed_is_nobodys() {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    let pki = Pki::open(PkiConfig::default(), now).unwrap();
    let certificates = Certificates::new(pki.client_authorities()).unwrap();
    let der = CertificateDer::from_pem_slice(pki.admin().certificate.as_bytes()).unwrap().to_vec();
    assert!(matches!(certificates.authenticate(std::slice::from_ref(&der), now), Ok(Some(_))));
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x11;
        assert!(certificates.authenticate(&[changed], now).is_err(), "byte {at}");
        assert!(certificates.authenticate(&[der[..at].to_vec()], now).is_err(), "cut at {at}");
    }
}

/// An authority for a hundred years, and a certificate of version 1 that it has signed, both made by OpenSSL 3.0.
const OLD_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBcDCCARegAwIBAgIUBR+XAIIkz6dSq2fJC56Wt5VDFScwCgYIKoZIzj0EAwIw\n\
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIyMDQyMzExWhgPMjEyNjEwMjkwNDIzMTFa\n\
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEK+gxw4d2\n\
oYzr/YjBdqZAS8O7OzY8upSCi4ykYzyKOvKffK+OpfP323HqA+oR4G+CVYZmGMK3\n\
cEwUymWBGgpL3qNTMFEwHQYDVR0OBBYEFPdU61PgPMsC6x6qoFSPLC0ljH0NMB8G\n\
A1UdIwQYMBaAFPdU61PgPMsC6x6qoFSPLC0ljH0NMA8GA1UdEwEB/wQFMAMBAf8w\n\
CgYIKoZIzj0EAwIDRwAwRAIgcsO3Wa6FheE3rPta1lH9WLkUii3WeLuF3dpt0z0w\n\
2yoCIDgodn+cchmkl3Fgd4Uy+fjftWYreDAURvmiSQeiKe8C\n\
-----END CERTIFICATE-----\n\
";
const OLD_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBJTCBzAIUfQ9jZYj51h2nkybr4oRmOaW7Jy8wCgYIKoZIzj0EAwIwDTELMAkG\n\
A1UEAwwCY2EwIBcNMjYxMTIyMDQyMzExWhgPMjEyNjEwMjkwNDIzMTFaMBwxDDAK\n\
BgNVBAoMA2RldjEMMAoGA1UEAwwDam9lMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n\
QgAERJzzvVQv3UedIBWV690L398fW08X0zBo8xgDNZ94LqwvmwNHpd2beI0ZEPPc\n\
keMULWEtslGl5AqaB0w2RAw3QDAKBggqhkjOPQQDAgNIADBFAiEAjfQeyq63UcZt\n\
PI9aJweThI01jZHcKcMisZgUFDWZM28CIDRxl0svb+7cymxOXodSG/sO1Xl/GOKj\n\
1FSTaVPioLWf\n\
-----END CERTIFICATE-----\n\
";

/// Up to where it is signed.
const SIGNED_BYTES: usize = 211;

#[test]
fn certificates_without_extensions_are_verified_as_go_does() {
    let der = CertificateDer::from_pem_slice(OLD_CERTIFICATE.as_bytes()).unwrap().to_vec();
    let certificates = Certificates::new(OLD_AUTHORITY).unwrap();
    let ask = |der: &[u8], now: &str| certificates.authenticate(&[der.to_vec()], now.parse().unwrap());
    assert!(ask(&der, "2026-01-01T00:00:00Z").is_err(), "not yet");
    let user = ask(&der, "2027-01-01T00:00:00Z").unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.groups), ("joe", vec!["dev".to_owned()]));
    assert!(ask(&der, "2127-01-01T00:00:00Z").is_err(), "no longer");
    // Between what is signed and the signature stands the name of the algorithm once more.
    for at in (0..SIGNED_BYTES).chain(der.len() - 32..der.len()) {
        let mut changed = der.clone();
        changed[at] ^= 0x11;
        assert!(ask(&changed, "2027-01-01T00:00:00Z").is_err(), "byte {at}");
    }
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let other = Pki::open(PkiConfig::default(), now).unwrap();
    let others = Certificates::new(other.client_authorities()).unwrap();
    assert!(others.authenticate(&[der], now).is_err(), "another authority");
}
