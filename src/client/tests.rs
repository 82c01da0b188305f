//! The reflector against a scripted server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;

use super::*;
use crate::base::ManualClock;

#[derive(Deserialize)]
struct View {
    metadata: Meta,
}

impl Cached for View {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Answers requests in order; a stream stays open when its pieces are out.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

enum Answer {
    Refused(u16),
    Whole(&'static str),
    Stream(Vec<&'static str>),
    Ended(Vec<&'static str>),
}

impl Transport for Script {
    fn exchange(&self, ask: Ask) -> BoxFuture<'static, Result<Reply, Error>> {
        self.asked.lock().push(ask.target);
        let answer = self.answers.lock().pop_front();
        let pieces = |pieces: Vec<&'static str>| futures::stream::iter(pieces.into_iter().map(|p| Ok(Bytes::from(p))));
        Box::pin(async move {
            let (status, payload) = match answer {
                None => (500, Payload::Full(Bytes::new())),
                Some(Answer::Refused(code)) => (code, Payload::Full(Bytes::new())),
                Some(Answer::Whole(body)) => (200, Payload::Full(body.into())),
                Some(Answer::Stream(list)) => {
                    (200, Payload::Stream(pieces(list).chain(futures::stream::pending()).boxed()))
                }
                Some(Answer::Ended(list)) => (200, Payload::Stream(pieces(list).boxed())),
            };
            Ok(Reply { status, content_type: "application/json".to_owned(), payload })
        })
    }
}

const A1: &str = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}}\n";
const END_2: &str = concat!(
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"2\",",
    "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
);
const B3: &str = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"3\"}}}\n";
const A4_GONE: &str = "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"4\"}}}\n";
const EXPIRED: &str = "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\"}}\n";

/// Runs a reflector over the answers until it stands still, turning the clock over its waits.
fn run(answers: Vec<Answer>) -> (Vec<String>, Vec<String>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let cache = Cache::<View>::new(Resource::PODS.clone());
    let client = Client::new(Arc::clone(&script) as Arc<dyn Transport>, crate::api::request::User::default(), "test");
    let mut follow = follow(Arc::clone(&cache), client, Selection::default(), Arc::new(clock.clone())).boxed();
    while !script.answers.lock().is_empty() {
        assert!((&mut follow).now_or_never().is_none());
        clock.advance(Duration::from_secs(2));
    }
    assert!((&mut follow).now_or_never().is_none());
    let mut names: Vec<_> = cache.all().iter().map(|view| view.metadata.name.clone()).collect();
    names.sort();
    let asked = std::mem::take(&mut *script.asked.lock());
    (names, asked.iter().map(|target| target.split_once('?').unwrap_or(("", "")).1.to_owned()).collect())
}

#[test]
fn the_initial_events_and_what_follows_fill_the_cache() {
    let (names, asked) = run(vec![Answer::Stream(vec![A1, END_2, B3, A4_GONE])]);
    assert_eq!(names, ["b"]);
    assert!(asked[0].contains("sendInitialEvents=true"));
}

#[test]
fn lines_may_come_in_any_pieces() {
    let (head, tail) = B3.split_at(17);
    let (names, _) = run(vec![Answer::Stream(vec![A1, END_2, head, tail])]);
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_watch_that_ends_is_resumed_where_it_ended() {
    let (names, asked) = run(vec![Answer::Ended(vec![A1, END_2, B3]), Answer::Stream(vec![A4_GONE])]);
    assert_eq!(names, ["b"]);
    assert!(asked[1].contains("resourceVersion=3"), "{asked:?}");
}

#[test]
fn an_expired_watch_begins_anew() {
    let again = Answer::Stream(vec![B3, END_2]);
    let (names, asked) = run(vec![Answer::Stream(vec![A1, END_2, EXPIRED]), again]);
    assert_eq!(names, ["b"]);
    assert!(asked[1].contains("sendInitialEvents=true"), "{asked:?}");
}

#[test]
fn a_server_without_initial_events_is_listed_page_by_page() {
    let first = r#"{"metadata":{"resourceVersion":"2","continue":"x"},"items":[{"metadata":{"name":"a"}}]}"#;
    let second = r#"{"metadata":{"resourceVersion":"2"},"items":[{"metadata":{"name":"c"}}]}"#;
    let answers = vec![Answer::Refused(422), Answer::Whole(first), Answer::Whole(second), Answer::Stream(vec![B3])];
    let (names, asked) = run(answers);
    assert_eq!(names, ["a", "b", "c"]);
    assert!(asked[2].contains("continue=x"), "{asked:?}");
    assert!(asked[3].contains("resourceVersion=2"), "{asked:?}");
}
