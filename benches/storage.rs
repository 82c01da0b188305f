//! Figures of the store alone: durable commits a second, the time to load 100,000 objects, memory per object, history
//! reads and the cost of many watchers. `cargo bench --bench storage [-- objects]`.

#![expect(clippy::print_stdout, reason = "the figures are the product")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "load generators are outside of any server")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coracle::api::Revision;
use coracle::base::{Shutdown, SystemClock, Tasks};
use coracle::storage::{Body, Change, Expect, Facts, Index, Key, Options, Place, Retention, Scope, Store, Write, open};

const BODY_BYTES: usize = 2_048;
const POD_BYTES: usize = 4_700;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn store(path: Option<&Path>) -> (Arc<dyn Store>, Tasks) {
    let tasks = Tasks::new(Shutdown::default());
    let options = Options {
        place: path.map_or(Place::Memory, |path| Place::File(path.to_owned())),
        indexes: vec![Index { collection: "pods".into(), field: "spec.nodeName".into() }],
        retention: Retention::FILE,
        clock: SystemClock::shared(),
        tasks: tasks.clone(),
    };
    (open(options).await.unwrap(), tasks)
}

fn pair(name: &str, value: String) -> (Arc<str>, Arc<str>) {
    (name.into(), value.into())
}

/// What a pod of a ReplicaSet looks like to the store.
fn pod(number: usize, bytes: usize, expect: Expect) -> Write {
    let name = format!("web-{:x}-{number:07}", number / 1000);
    let head = format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":""#);
    let at = head.len();
    let padding = "x".repeat(bytes.saturating_sub(at + 20));
    let json = Bytes::from(format!(r#"{head}"}},"spec":"{padding}"}}"#));
    let facts = Facts {
        uid: format!("0b9c1d3e-0000-4000-8000-{number:012}").as_str().into(),
        labels: [
            pair("app", format!("web-{}", number / 1000)),
            pair("pod-template-hash", format!("{:x}", number / 1000)),
            pair("tier", "front".to_owned()),
        ]
        .into(),
        fields: [
            pair("spec.nodeName", format!("node-{}", number % 1000)),
            pair("status.phase", "Running".to_owned()),
            pair("spec.restartPolicy", "Always".to_owned()),
        ]
        .into(),
        owners: [format!("owner-{}", number / 1000).into()].into(),
        deleting: false,
    };
    let key = Key { collection: "pods".into(), namespace: format!("ns-{}", number % 20).into(), name: name.into() };
    Write { key, expect, change: Change::Put { body: Body { json, revision_at: at..at }, facts } }
}

/// Commits `count` creates from `clients` at once and prints rate and latencies.
async fn commits(store: &Arc<dyn Store>, clients: usize, from: usize, count: usize) {
    let next = Arc::new(AtomicUsize::new(from));
    let (start, work) = (Instant::now(), work_time());
    let client = || {
        let (store, next) = (Arc::clone(store), Arc::clone(&next));
        tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= from + count {
                    return times;
                }
                let start = Instant::now();
                store.commit(vec![pod(number, BODY_BYTES, Expect::Absent)]).await.unwrap();
                times.push(start.elapsed());
            }
        })
    };
    let clients_running: Vec<_> = (0..clients).map(|_| client()).collect();
    let mut times: Vec<Duration> = Vec::new();
    for client in clients_running {
        times.extend(client.await.unwrap());
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let work = (work_time() - work) / u32::try_from(count).unwrap();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let [p50, p99, max] = [at(0.5), at(0.99), at(1.0)];
    println!("creates, {clients:4} clients: {rate:8.0} /s  p50 {p50:?}  p99 {p99:?}  max {max:?}  cpu {work:?} each");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() * 1024
}

/// What the processors worked for this process, load generator included: steadier than the clock on a busy machine.
fn work_time() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    TICK * ticks
}

async fn end(store: Arc<dyn Store>, tasks: Tasks) {
    store.close().await;
    tasks.shutdown().begin();
    tasks.ended().await;
}

/// Fills a file and updates some of it.
async fn fill(path: &Path, count: usize) {
    let (filled, tasks) = store(Some(path)).await;
    for first in (0..count).step_by(1000) {
        let group = (first..(first + 1000).min(count)).map(|number| pod(number, POD_BYTES, Expect::Absent)).collect();
        filled.commit(group).await.unwrap();
    }
    let (start, work) = (Instant::now(), work_time());
    let mut past = filled.revision();
    let snapshot = filled.snapshot();
    for object in snapshot.list("pods", None, None).take(1000) {
        let Write { change, .. } = pod(1, POD_BYTES, Expect::Absent);
        let write = Write { key: object.key.clone(), expect: Expect::At(object.revision), change };
        filled.commit(vec![write]).await.unwrap();
    }
    println!("1,000 updates by one client: {:?}, cpu {:?}", start.elapsed(), work_time() - work);
    for _connection in ["new", "warm"] {
        let (start, work) = (Instant::now(), work_time());
        filled.at(past).await.unwrap();
        println!("the state of 1,000 revisions ago: {:?}, cpu {:?}", start.elapsed(), work_time() - work);
        past = Revision(past.0 + 1);
    }
    end(filled, tasks).await;
}

/// Runs a part in a process of its own, so that only what it needs is in its memory.
fn apart(part: &str, path: &Path, count: usize) {
    let program = std::env::current_exe().unwrap();
    let status = std::process::Command::new(program).arg(part).arg(path).arg(count.to_string()).status().unwrap();
    assert!(status.success());
}

/// Opens a file that was filled.
async fn load(path: &Path, count: usize) {
    println!("file of {count} objects of {POD_BYTES} bytes: {} MB", path.metadata().unwrap().len() >> 20);
    let before = resident_bytes();
    let (start, work) = (Instant::now(), work_time());
    let (loaded, tasks) = store(Some(path)).await;
    println!("opened in {:?}, cpu {:?}", start.elapsed(), work_time() - work);
    let each = resident_bytes().saturating_sub(before) as f64 / count as f64;
    println!("memory per object: {each:.0} bytes, {:.2} of its JSON", each / POD_BYTES as f64);
    let snapshot = loaded.snapshot();
    let start = Instant::now();
    let bytes: usize = snapshot.list("pods", None, None).map(|object| object.body.json.len()).sum();
    println!("listed {} objects, {} MB: {:?}", snapshot.count("pods"), bytes >> 20, start.elapsed());
    let start = Instant::now();
    let found = snapshot.by_field("pods", ("spec.nodeName", "node-7")).count();
    println!("found {found} by field: {:?}", start.elapsed());
    end(loaded, tasks).await;
}

/// Many watchers of one collection.
async fn watchers(path: &Path, count: usize) {
    let (watched, tasks) = store(Some(path)).await;
    watched.commit(vec![pod(0, BODY_BYTES, Expect::Absent)]).await.unwrap();
    let before = resident_bytes();
    let mut handles = Vec::new();
    const EVENTS: usize = 100;
    for _ in 0..count {
        let mut watch = watched.watch(&"pods".into(), Revision(1), Scope::All).unwrap();
        handles.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < EVENTS {
                seen += watch.next_batch().await.unwrap().len();
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("{count} idle watchers with their tasks: {} bytes each", resident_bytes().saturating_sub(before) / count);
    let start = Instant::now();
    for number in 1..=EVENTS {
        watched.commit(vec![pod(number, BODY_BYTES, Expect::Absent)]).await.unwrap();
    }
    let committed = start.elapsed();
    for handle in handles {
        handle.await.unwrap();
    }
    println!("{EVENTS} events to {count} watchers: committed in {committed:?}, all seen in {:?}", start.elapsed());
    end(watched, tasks).await;
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, part, path, count] = &arguments[..] {
        let (path, count) = (Path::new(path), count.parse().unwrap());
        return match part.as_str() {
            "fill" => fill(path, count).await,
            "load" => load(path, count).await,
            "watchers" => watchers(path, count).await,
            _ => commits_to(path).await,
        };
    }
    let objects = arguments.iter().filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000);
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("load.db");
    apart("fill", &path, objects);
    apart("load", &path, objects);
    apart("watchers", &folder.path().join("watchers.db"), 10_000);
    println!("in memory");
    let (memory, tasks) = store(None).await;
    commits(&memory, 64, 0, 100_000).await;
    end(memory, tasks).await;
    commits_to(&folder.path().join("commits.db")).await;
}

async fn commits_to(path: &Path) {
    println!("in a file");
    let (file, tasks) = store(Some(path)).await;
    let mut from = 0;
    for (clients, count) in [(1, 5_000), (8, 20_000), (64, 100_000), (256, 100_000), (1000, 100_000)] {
        commits(&file, clients, from, count).await;
        from += count;
    }
    end(file, tasks).await;
}
