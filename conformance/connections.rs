//! Connections that carry many requests at once: each is answered whole, and one that is given up goes alone.

use std::fmt::Write;

use futures::future::join_all;
use reqwest::{Response, Version};
use serde_json::{Value, json};

use crate::server::{Server, coracle, eventually};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn get(server: &Server, path: &str) -> Response {
    let answer = server.client.get(format!("{}{path}", server.base)).bearer_auth("admin-token").send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200), "{path}");
    answer
}

/// How many watches of ConfigMaps the server has.
async fn watches(server: &Server) -> u64 {
    let metrics = get(server, "/metrics").await.text().await.unwrap();
    let row = |line: &&str| line.starts_with("apiserver_longrunning_requests") && line.contains("configmaps");
    metrics.lines().filter(row).map(|row| row.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_watch_that_is_given_up_goes_while_its_connection_lives() {
    let server = coracle().await;
    let before = watches(&server).await;
    let watch = get(&server, &format!("{MAPS}?watch=true")).await;
    assert_eq!(watches(&server).await, before + 1);
    drop(watch);
    assert!(eventually(|| async { watches(&server).await == before }).await, "nothing happens that would be sent");
}

#[tokio::test]
async fn many_long_answers_on_one_connection_are_all_whole() {
    const MAPS_COUNT: usize = 40;
    const ANSWERS: usize = 30;
    let server = coracle().await;
    for number in 0..MAPS_COUNT {
        let mut text = String::new();
        (0..5_000).for_each(|word| write!(text, "{word} ").unwrap());
        let map = json!({"metadata": {"name": format!("map-{number}")}, "data": {"text": text}});
        let request = server.client.post(format!("{}{MAPS}", server.base)).bearer_auth("admin-token").json(&map);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }
    let answers = join_all((0..ANSWERS).map(|_| async { get(&server, MAPS).await.json::<Value>().await.unwrap() }));
    for answer in answers.await {
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.iter().filter(|item| item["data"]["text"].is_string()).count(), MAPS_COUNT);
    }
}
