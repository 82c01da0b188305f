//! Webhooks that misbehave: what they hang, cut or flood is theirs alone.

use std::collections::BTreeMap;

use futures::future::Either;
use serde_json::{Value, json};

use crate::server::{Server, coracle};
use crate::webhook::{self, Behaviour, Webhook};

fn behaviour(fault: &str) -> Behaviour {
    Behaviour { fault: fault.to_owned(), ..Behaviour::default() }
}

async fn outside() -> Webhook {
    let deny = Behaviour { response: json!({ "allowed": false }), ..Behaviour::default() };
    let faults = ["hang", "close", "endless", "torn"].map(|fault| (fault.to_owned(), behaviour(fault)));
    let good = [("accept".to_owned(), Behaviour::default()), ("deny".to_owned(), deny)];
    webhook::start(BTreeMap::from_iter(faults.into_iter().chain(good))).await
}

async fn send(server: &Server, method: reqwest::Method, (path, body): (&str, &Value)) -> (u16, Value) {
    let request = server.client.request(method, format!("{}{path}", server.base)).bearer_auth("admin-token");
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Has a webhook called for the ConfigMaps whose label `by` is the name of its path.
async fn configure(server: &Server, outside: &Webhook, path: &str, (failure_policy, limit): (&str, u64)) {
    let hook = json!({
        "name": format!("{path}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "timeoutSeconds": limit, "failurePolicy": failure_policy,
        "objectSelector": { "matchLabels": { "by": path } },
        "clientConfig": { "url": format!("{}/{path}", outside.url), "caBundle": outside.bundle },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"] }],
    });
    let made = json!({ "metadata": { "name": path }, "webhooks": [hook] });
    let at = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let (code, answer) = send(server, reqwest::Method::POST, (at, &made)).await;
    assert_eq!(code, 201, "{answer}");
}

async fn create(server: &Server, name: &str, by: &str) -> (u16, Value) {
    let map = json!({ "metadata": { "name": name, "labels": { "by": by } } });
    send(server, reqwest::Method::POST, ("/api/v1/namespaces/default/configmaps", &map)).await
}

#[tokio::test]
async fn a_webhook_that_fails_blocks_only_what_its_failure_policy_does_not_let_pass() {
    let (server, outside) = (coracle().await, outside().await);
    let told = [("close", "EOF"), ("torn", "unexpected EOF"), ("endless", "longer than"), ("hang", "context deadline")];
    for (fault, why) in told {
        configure(&server, &outside, fault, ("Fail", 5)).await;
        let (code, answer) = create(&server, fault, fault).await;
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(code, 500, "{message}");
        let start = format!("Internal error occurred: failed calling webhook \"{fault}.example.com\": ");
        assert!(message.starts_with(&start) && message.contains(why), "{message}");
        let at = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{fault}");
        let (code, _) = send(&server, reqwest::Method::DELETE, (&at, &json!({}))).await;
        assert_eq!(code, 200);
        configure(&server, &outside, fault, ("Ignore", 5)).await;
        let (code, answer) = create(&server, fault, fault).await;
        assert_eq!(code, 201, "{answer}");
    }
}

#[tokio::test]
async fn many_calls_that_hang_hold_up_nobody_else() {
    let (server, outside) = (coracle().await, outside().await);
    configure(&server, &outside, "hang", ("Fail", 30)).await;
    configure(&server, &outside, "accept", ("Fail", 30)).await;
    let names: Vec<String> = (0..200).map(|n| format!("hanging-{n}")).collect();
    let hanging = futures::future::join_all(names.iter().map(|name| create(&server, name, "hang")));
    let others = async {
        for n in 0..20 {
            assert_eq!(create(&server, &format!("quick-{n}"), "accept").await.0, 201);
        }
    };
    let others = std::pin::pin!(others);
    // Whoever hangs does so for longer than the others may take altogether.
    let first = futures::future::select(hanging, others).await;
    assert!(matches!(first, Either::Right(_)), "they waited for webhooks of others");
}

#[tokio::test]
async fn a_webhook_that_comes_back_is_called_again() {
    let server = coracle().await;
    let first = outside().await;
    configure(&server, &first, "deny", ("Fail", 30)).await;
    assert_eq!(create(&server, "a", "deny").await.0, 400);
    drop(first);
    let (code, answer) = create(&server, "a", "deny").await;
    assert_eq!(code, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap_or_default().contains("failed to call webhook: Post"), "{answer}");
}
