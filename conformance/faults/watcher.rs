//! Clients that watch, over the lives of the server, each in its own manner.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::history::{Change, End, From, Revision, Scope, Told, Watch};
use super::load::{TIERS, object, scope_path, unreadable};
use super::run::Stage;
use crate::server::{Connection, Protocol};

/// How long a restless watcher keeps a connection, at most.
const CONNECTION_MAX: Duration = Duration::from_millis(800);
/// How long a slow one waits after each piece that it reads.
const SLOWNESS: Duration = Duration::from_millis(50);
/// Between two tries of a watch that was refused.
const PAUSE: Duration = Duration::from_millis(20);

/// How a watcher behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Resumes where its connection ended.
    Steady,
    /// Cuts its connections, and resumes.
    Restless,
    /// Reads slowly.
    Slow,
    /// Begins with the present state each time.
    Fresh,
}

/// What is read, and how far.
type Reading<'a> = (&'a mut Watch, watch::Receiver<Revision>);

/// One watcher.
pub(super) struct Watcher {
    number: usize,
    pub scope: Scope,
    manner: Manner,
    protocol: Protocol,
    random: StdRng,
    /// The revision that it was told last.
    from: Revision,
    pub watches: Vec<Watch>,
}

/// A watcher of each kind, for what happens after a revision.
pub(super) fn watchers(stage: &Stage, seed: u64) -> Vec<Watcher> {
    let all = Scope::default;
    let namespace = |number: usize| Scope { namespace: Some(stage.namespaces[number].clone()), tier: None };
    let tier = |tier: usize| Scope { namespace: None, tier: Some(TIERS[tier].to_owned()) };
    let both = Scope { tier: tier(2).tier, ..namespace(1) };
    let kinds = [
        (all(), Manner::Steady, Protocol::Http2),
        (all(), Manner::Restless, Protocol::Http1),
        (all(), Manner::Slow, Protocol::Http1),
        (all(), Manner::Fresh, Protocol::Http2),
        (namespace(0), Manner::Steady, Protocol::Http1),
        (namespace(1), Manner::Restless, Protocol::Http2),
        (tier(0), Manner::Steady, Protocol::Http2),
        (tier(1), Manner::Restless, Protocol::Http1),
        (both.clone(), Manner::Steady, Protocol::Http2),
        (both, Manner::Fresh, Protocol::Http1),
    ];
    let watcher = |(number, (scope, manner, protocol))| Watcher {
        number,
        scope,
        manner,
        protocol,
        random: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
        from: stage.start,
        watches: Vec::new(),
    };
    kinds.into_iter().enumerate().map(watcher).collect()
}

impl Watcher {
    /// Watches until the server is gone, or the watcher has come as far as it shall, which may be said meanwhile.
    pub(super) async fn follow(&mut self, connection: &Connection, stage: &Stage, goal: watch::Receiver<Revision>) {
        let connection = connection.another(self.protocol);
        while !stage.ended() && self.reached() < *goal.borrow() {
            let patience = CONNECTION_MAX.mul_f64(self.random.random());
            let from = if self.manner == Manner::Fresh { From::Initial } else { From::After(self.from) };
            let (watcher, scope) = (self.number, self.scope.clone());
            let mut watch = Watch { watcher, scope, from, began: stage.now(), told: Vec::new(), end: End::Cut };
            let reading = self.read(&connection, stage, (&mut watch, goal.clone()));
            if self.manner == Manner::Restless {
                // Its end is the cut.
                let _ = tokio::time::timeout(patience, reading).await;
            } else {
                reading.await;
            }
            self.from = watch.told.last().map_or(self.from, |(_, told)| told.revision());
            let strange = matches!(watch.end, End::Strange(_) | End::Expired);
            if !watch.told.is_empty() || strange {
                self.watches.push(watch);
            } else {
                stage.wait(PAUSE).await;
            }
            if strange {
                return;
            }
        }
    }

    /// How far its last connection came.
    pub(super) fn reached(&self) -> Revision {
        self.watches.last().map_or(0, come_to)
    }

    async fn read(&self, connection: &Connection, stage: &Stage, (watch, mut goal): Reading<'_>) {
        let mut path = scope_path(stage, &watch.scope) + "&watch=true&allowWatchBookmarks=true";
        match watch.from {
            From::After(revision) => path.push_str(&format!("&resourceVersion={revision}")),
            From::Initial => path.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
        }
        if self.manner != Manner::Steady {
            // With a bookmark at its end.
            path.push_str("&timeoutSeconds=2");
        }
        let Ok(mut response) = connection.request(Method::GET, &path).send().await else { return };
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.text().await.unwrap_or_default();
            if !matches!(status.as_u16(), 429 | 503) && !unreadable(&body) {
                watch.end = End::Strange(format!("a watch is answered {status}: {body}"));
            }
            return;
        }
        let mut buffer = Vec::new();
        while come_to(watch) < *goal.borrow() {
            let piece = tokio::select! {
                piece = response.chunk() => piece,
                Ok(()) = goal.changed() => continue,
            };
            let Ok(Some(piece)) = piece else { return };
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                match told(&line) {
                    Ok(told) => watch.told.push((stage.now(), told)),
                    Err(end) => {
                        watch.end = end;
                        return;
                    }
                }
            }
            if self.manner == Manner::Slow {
                stage.wait(SLOWNESS).await;
            }
        }
    }
}

/// How far a watch came: an initial state counts when it was told to its end.
fn come_to(watch: &Watch) -> Revision {
    let is_end = |told: &Told| matches!(told, Told::Bookmark { initial_events_end: true, .. });
    let begun = watch.from != From::Initial || watch.told.iter().any(|(_, told)| is_end(told));
    watch.told.last().filter(|_| begun).map_or(0, |(_, told)| told.revision())
}

/// What a line of a watch says, or how it ends the watch.
fn told(line: &[u8]) -> Result<Told, End> {
    let strange = || End::Strange(String::from_utf8_lossy(line).into_owned());
    let event: Value = serde_json::from_slice(line).map_err(|_| strange())?;
    let change = match event["type"].as_str() {
        Some("ADDED") => Change::Added,
        Some("MODIFIED") => Change::Modified,
        Some("DELETED") => Change::Deleted,
        Some("BOOKMARK") => {
            let metadata = &event["object"]["metadata"];
            let revision = metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok());
            let end = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
            return Ok(Told::Bookmark { revision: revision.ok_or_else(strange)?, initial_events_end: end });
        }
        Some("ERROR") if event["object"]["code"] == 410 => return Err(End::Expired),
        Some("ERROR") if unreadable(event["object"]["message"].as_str().unwrap_or("")) => return Err(End::Cut),
        _ => return Err(strange()),
    };
    let (key, state) = object(&event["object"]).ok_or_else(strange)?;
    Ok(Told::Change { change, key, state })
}
