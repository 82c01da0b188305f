//! What clients show at the door: nothing, what is wrong, what was right once or elsewhere, and what is right but gives
//! no rights. Made anew for each server, with its own keys.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use coracle::auth::SigningKey;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::server::Server;

/// The namespace of the ServiceAccount whose tokens are shown.
pub(super) const NAMESPACE: &str = "entrance";
const ISSUER: &str = "https://kubernetes.default.svc";
/// Where `guard` leaves the authority whose certificates a server accepts.
const AUTHORITY: &str = "clients";
/// Years of certificates that are over, and of those that are not.
const PAST: (i32, i32) = (2020, 2021);
const PRESENT: (i32, i32) = (2020, 2120);

/// One that is shown.
pub(super) struct Credential {
    pub name: &'static str,
    authorization: Option<String>,
    client: reqwest::Client,
}

impl Credential {
    /// A request of who shows it.
    pub(super) fn request(&self, method: reqwest::Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }
}

/// Makes an authority for client certificates in the folder of a server that is to start; gives its flags.
pub(super) fn guard(folder: &Path) -> Vec<String> {
    let (params, key) = authority();
    let certificate = params.self_signed(&key).unwrap();
    let file = |ending: &str| folder.join(format!("{AUTHORITY}.{ending}"));
    std::fs::write(file("crt"), certificate.pem()).unwrap();
    std::fs::write(file("key"), key.serialize_pem()).unwrap();
    vec![format!("--client-ca-file={}", file("crt").display())]
}

fn authority() -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    between(&mut params, PRESENT);
    (params, KeyPair::generate().unwrap())
}

fn between(params: &mut CertificateParams, (from, until): (i32, i32)) {
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
}

/// All of them, for a server that was started with what `guard` said.
pub(super) async fn credentials(server: &Server) -> Vec<Credential> {
    let mut all: Vec<_> =
        headers(server).await.into_iter().map(|(name, value)| with_header(server, name, value)).collect();
    all.extend(certificates(server));
    all
}

fn with_header(server: &Server, name: &'static str, authorization: Option<String>) -> Credential {
    Credential { name, authorization, client: server.client.clone() }
}

async fn headers(server: &Server) -> Vec<(&'static str, Option<String>)> {
    let (account, token) = account(server).await;
    let uid = account["metadata"]["uid"].as_str().unwrap();
    let keys = ["sa.key", "pki/sa.key"].map(|name| std::fs::read(server.file(name)));
    let key = SigningKey::from_pem(&keys.into_iter().find_map(Result::ok).unwrap()).unwrap();
    let stranger = SigningKey::generate().unwrap().0;
    let header = part(&token, 0);
    let good = claims(uid);
    let signed =
        |key: &SigningKey, change: Value| Some(format!("Bearer {}", sign(key, &header, merged(&good, change))));
    let unsigned = format!("{}.{}.", encode(&json!({"alg": "none", "typ": "JWT"})), encode(&good));
    let changed =
        format!("{}.{}.{}", encode(&header), encode(&merged(&good, json!({"sub": "admin"}))), text(&token, 2));
    let basic = STANDARD.encode("admin:admin-token");
    vec![
        ("nothing", None),
        ("empty", Some("Bearer ".to_owned())),
        ("password", Some(format!("Basic {basic}"))),
        ("scheme", Some("Magic admin-token".to_owned())),
        ("nonsense", Some("Bearer nonsense".to_owned())),
        ("almost", Some("Bearer admin-tokem".to_owned())),
        ("dots", Some("Bearer a.b.c".to_owned())),
        ("unsigned", Some(format!("Bearer {unsigned}"))),
        ("changed", Some(format!("Bearer {changed}"))),
        ("foreign", signed(&stranger, json!({}))),
        ("expired", signed(&key, json!({"exp": 1_600_000_000, "iat": 1_500_000_000, "nbf": 1_500_000_000}))),
        ("early", signed(&key, json!({"nbf": 4_000_000_000_u64}))),
        ("elsewhere", signed(&key, json!({"iss": "https://elsewhere.example"}))),
        ("audience", signed(&key, json!({"aud": ["vault"]}))),
        ("former", signed(&key, json!({"kubernetes.io": {"serviceaccount": {"name": "default", "uid": "former"}}}))),
        (
            "gone",
            signed(
                &key,
                json!({"kubernetes.io": {"serviceaccount": {"name": "gone", "uid": "gone"}},
            "sub": format!("system:serviceaccount:{NAMESPACE}:gone")}),
            ),
        ),
        ("powerless", Some(format!("Bearer {token}"))),
    ]
}

/// The ServiceAccount and a token of it.
async fn account(server: &Server) -> (Value, String) {
    let path = format!("{}/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default", server.base);
    let account: Value =
        server.client.get(&path).bearer_auth("admin-token").send().await.unwrap().json().await.unwrap();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = server.client.post(format!("{path}/token")).bearer_auth("admin-token").json(&request).send().await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    (account, answer["status"]["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned())
}

fn claims(uid: &str) -> Value {
    json!({"aud": [ISSUER], "exp": 4_000_000_000_u64, "iat": 1_700_000_000, "nbf": 1_700_000_000, "iss": ISSUER,
        "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": {"name": "default", "uid": uid}},
        "sub": format!("system:serviceaccount:{NAMESPACE}:default")})
}

fn merged(claims: &Value, change: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in change.as_object().unwrap() {
        match (claims[name].as_object_mut(), value.as_object()) {
            (Some(old), Some(new)) => old.extend(new.clone()),
            (_, _) => claims[name] = value.clone(),
        }
    }
    claims
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn text(token: &str, part: usize) -> &str {
    token.split('.').nth(part).unwrap()
}

fn part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text(token, number)).unwrap()).unwrap()
}

fn sign(key: &SigningKey, header: &Value, claims: Value) -> String {
    let message = format!("{}.{}", encode(header), encode(&claims));
    format!("{message}.{}", key.sign(message.as_bytes()).unwrap())
}

fn certificates(server: &Server) -> Vec<Credential> {
    let read = |ending: &str| std::fs::read_to_string(server.file(&format!("{AUTHORITY}.{ending}"))).unwrap();
    let known = Issuer::from_ca_cert_pem(&read("crt"), KeyPair::from_pem(&read("key")).unwrap()).unwrap();
    let (params, key) = authority();
    let unknown = Issuer::new(params, key);
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let all = [
        ("certificate-of-others", &unknown, (PRESENT, client.clone())),
        ("certificate-of-the-past", &known, (PAST, client.clone())),
        ("certificate-of-a-server", &known, (PRESENT, ExtendedKeyUsagePurpose::ServerAuth)),
        ("certificate-without-rights", &known, (PRESENT, client)),
    ];
    let credential = |(name, issuer, (years, usage))| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "stranger");
        // Only an authority that is known may give this group; then it is not given.
        if name != "certificate-without-rights" {
            params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        }
        params.extended_key_usages = vec![usage];
        between(&mut params, years);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        Credential { name, authorization: None, client: server.client_with(pem.as_bytes()) }
    };
    all.into_iter().map(credential).collect()
}
