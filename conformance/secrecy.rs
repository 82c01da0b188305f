//! No secret is in a log, however much is logged: keys and tokens are used in all the ways that there are, at `-v=10`,
//! and then looked for in what the server said.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Life, Signal};

/// Values that nobody may find again; each is sent in its own way.
const SECRETS: [&str; 9] = [
    "marker-of-a-secret",
    "marker-of-a-changed-secret",
    "marker-of-an-applied-secret",
    "marker-that-is-no-base64",
    "marker-in-half-a-body",
    "marker-of-a-wrong-token",
    "marker-of-a-password",
    "marker-of-a-subprotocol",
    "marker-of-a-webhook-key",
];
const ALL: &str = "/api/v1/namespaces/default/secrets";

async fn send(connection: &Connection, (method, path): (Method, &str), (kind, body): (&str, String)) -> Value {
    let request = connection.request(method, path).header("content-type", kind).body(body);
    request.send().await.unwrap().json().await.unwrap_or_default()
}

/// Secrets that are made, changed, read and sent in error.
async fn use_secrets(connection: &Connection) {
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let json = "application/json";
    let made = send(connection, (Method::POST, ALL), (json, secret("one", json!({"a": SECRETS[0]})).to_string())).await;
    assert_eq!(made["kind"], "Secret", "{made}");
    let merge = json!({"stringData": {"a": SECRETS[1]}}).to_string();
    let one = format!("{ALL}/one");
    send(connection, (Method::PATCH, &one), ("application/merge-patch+json", merge.clone())).await;
    send(connection, (Method::PATCH, &one), ("application/strategic-merge-patch+json", merge)).await;
    let pointer = json!([{"op": "test", "path": "/data/a", "value": SECRETS[1]}]).to_string();
    send(connection, (Method::PATCH, &one), ("application/json-patch+json", pointer)).await;
    let applied = secret("two", json!({"a": SECRETS[2]})).to_string();
    let path = format!("{ALL}/two?fieldManager=test");
    send(connection, (Method::PATCH, &path), ("application/apply-patch+yaml", applied)).await;
    let bad = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad"}, "data": {"a": SECRETS[3]}, "type": 1});
    send(connection, (Method::POST, ALL), (json, bad.to_string())).await;
    let half = secret("half", json!({"a": SECRETS[4]})).to_string();
    send(connection, (Method::POST, ALL), (json, half[..half.len() - 3].to_owned())).await;
    send(connection, (Method::POST, ALL), ("application/yaml", half[..half.len() - 3].to_owned())).await;
    let invalid =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "-"}, "stringData": {"-/": SECRETS[4]}});
    send(connection, (Method::POST, ALL), (json, invalid.to_string())).await;
    for path in [ALL, &one, &format!("{ALL}?watch=true&resourceVersion=1&timeoutSeconds=1")] {
        connection.request(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
    }
    let client = json!({"url": "https://127.0.0.1:1/", "caBundle": STANDARD.encode(SECRETS[8])});
    let webhook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "w"}, "webhooks": [{"name": "w.example.org", "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore", "rules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["*"], "resources": ["secrets"]}]}]});
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    send(connection, (Method::POST, webhooks), (json, webhook.to_string())).await;
    send(connection, (Method::POST, ALL), (json, secret("seen", json!({"a": SECRETS[0]})).to_string())).await;
    send(connection, (Method::DELETE, &one), (json, String::new())).await;
}

/// Tokens that are asked for, shown, reviewed; gives those that are good.
async fn use_tokens(connection: &Connection) -> Vec<String> {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let json = "application/json";
    send(connection, (Method::POST, accounts), (json, json!({"metadata": {"name": "bot"}}).to_string())).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}).to_string();
    let made = send(connection, (Method::POST, &format!("{accounts}/bot/token")), (json, request)).await;
    let token = made["status"]["token"].as_str().unwrap_or_else(|| panic!("no token: {made}")).to_owned();
    let basic = STANDARD.encode(format!("admin:{}", SECRETS[6]));
    let changed = format!("{}x", &token[..token.len() - 1]);
    for shown in [
        format!("Bearer {token}"),
        format!("Bearer {}", SECRETS[5]),
        format!("Bearer {changed}"),
        format!("Basic {basic}"),
    ] {
        for path in [ALL, "/api", "/nothing", "/api/v1/pods?watch=true&timeoutSeconds=1"] {
            connection.bare(Method::GET, path).header("authorization", &shown).send().await.unwrap();
        }
    }
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(SECRETS[7]));
    connection.bare(Method::GET, ALL).header("sec-websocket-protocol", protocol).send().await.unwrap();
    for reviewed in [&token, SECRETS[5]] {
        let review =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": reviewed}});
        let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
        send(connection, (Method::POST, reviews), (json, review.to_string())).await;
    }
    // The signature is what is secret.
    vec![token.rsplit('.').next().unwrap().to_owned(), "admin-token".to_owned()]
}

/// The lines of the private keys that the server made.
fn keys(data: &DataFolder) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(data.beside("pki")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "key") {
            let text = std::fs::read_to_string(path).unwrap();
            lines.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
        }
    }
    assert!(lines.len() > 4, "the keys were not found");
    lines
}

async fn said(life: Life) -> String {
    let log = life.log().to_owned();
    life.signal(Signal::Terminate);
    life.gone().await;
    std::fs::read_to_string(log).unwrap()
}

#[tokio::test]
async fn no_secret_is_in_a_log_at_any_level() {
    for format in ["--logging-format=text", "--logging-format=json"] {
        let mut data = DataFolder::new();
        let life = data.start_with(&["-v=10", format]);
        let connection = life.ready().await;
        use_secrets(&connection).await;
        let tokens = use_tokens(&connection).await;
        let said = said(life).await;
        assert!(
            said.lines().count() > 50 && said.contains("/api/v1/namespaces/default/secrets"),
            "not much is logged: {said}"
        );
        let encoded = SECRETS.iter().map(|secret| STANDARD.encode(secret));
        let hidden = SECRETS.iter().map(|secret| (*secret).to_owned()).chain(encoded).chain(tokens).chain(keys(&data));
        for hidden in hidden {
            let told: Vec<_> = said.lines().filter(|line| line.contains(&hidden)).take(3).collect();
            assert!(told.is_empty(), "{hidden} is in the log: {told:#?}");
        }
    }
}
