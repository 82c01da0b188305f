//! Many watchers of one type while some clients write: what arrives when, and whether everything arrives, once and in
//! order. Each write carries a number of its own; a watcher must have seen the numbers of its objects and no others,
//! all watchers of the same objects in the same order, which is that of rising revisions.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::connection::{Ask, Connection};
use crate::figures::Figure;
use crate::load::joined;
use crate::process::own_work;

/// Watchers that share a connection.
const WATCHERS_EACH: usize = 100;
/// Writes of one run at most.
const WRITES_MAX: usize = 1 << 20;
/// How long after the last write all events must have arrived.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
const NUMBER_MARK: &[u8] = b"\"seq\":\"";
const NUMBER_DIGITS: usize = 8;
const REVISION_MARK: &[u8] = b"\"resourceVersion\":\"";

/// Which objects a watcher watches.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    All,
    /// Those of one of ten groups, by label.
    Label,
    /// One of them, by its name.
    One,
}

pub(crate) struct Plan {
    /// The collection, and what its objects are called before their number; object N has the label `group=gN`, N
    /// modulo ten.
    pub(crate) path: String,
    pub(crate) prefix: &'static str,
    pub(crate) objects: usize,
    pub(crate) scope: Scope,
    pub(crate) watchers: usize,
    pub(crate) writers: usize,
    pub(crate) time: Duration,
}

impl Plan {
    fn groups(&self) -> usize {
        match self.scope {
            Scope::All => 1,
            Scope::Label => 10,
            Scope::One => self.objects,
        }
    }

    fn watch(&self, group: usize, revision: &str) -> Ask {
        let selector = match self.scope {
            Scope::All => String::new(),
            Scope::Label => format!("&labelSelector=group%3Dg{group}"),
            Scope::One => format!("&fieldSelector=metadata.name%3D{}-{group}", self.prefix),
        };
        Ask::get(format!("{}?watch=1&timeoutSeconds=3600&resourceVersion={revision}{selector}", self.path))
    }

    /// The revision where the run began makes each write a change, whatever the runs before it wrote.
    fn write(&self, number: usize, revision: &str) -> Ask {
        let path = format!("{}/{}-{}", self.path, self.prefix, number % self.objects);
        let annotations = format!(r#"{{"run":"{revision}","seq":"{number:0NUMBER_DIGITS$}"}}"#);
        let body = format!(r#"{{"metadata":{{"annotations":{annotations}}}}}"#);
        Ask::patch("application/merge-patch+json", path, body)
    }
}

/// What has come of a group, or must come. Two that are equal have seen the same events; with `order` in the same order.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Sum {
    count: u64,
    numbers: u64,
    order: u64,
}

impl Sum {
    fn add(&mut self, number: usize) {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (number as u64 + 1).wrapping_mul(SPREAD);
        self.count += 1;
        self.numbers = self.numbers.wrapping_add(mixed ^ (mixed >> 29));
        self.order = self.order.wrapping_mul(31).wrapping_add(mixed);
    }
}

/// One watcher.
struct Watcher {
    group: usize,
    /// The beginning of an event whose end has not come.
    partial: Vec<u8>,
    sum: Sum,
    /// Of the last event, where it is looked at.
    revision: u64,
    ended: bool,
}

/// When each write was sent, in µs since the start.
struct Sent {
    start: Instant,
    times: Vec<AtomicU32>,
}

impl Sent {
    fn now(&self) -> u32 {
        u32::try_from(self.start.elapsed().as_micros()).unwrap()
    }
}

/// The watchers of a connection, and what they have seen.
struct Ears {
    connection: Connection,
    /// By stream, which takes two numbers each from the first one on.
    watchers: Vec<Watcher>,
    first_stream: u32,
    sent: Arc<Sent>,
    /// Where the number was in the last event.
    hint: usize,
    latencies: Vec<u32>,
    last: Instant,
    wrong: Option<String>,
}

/// Runs a plan: events delivered a second, and the time from write to arrival.
pub(crate) async fn watch(cluster: &Cluster, plan: Plan) -> Result<Figure, String> {
    let revision = cluster.revision(&plan.path).await;
    let times = (0..WRITES_MAX).map(|_| AtomicU32::new(0)).collect();
    let sent = Arc::new(Sent { start: Instant::now(), times });
    let mut all = Vec::new();
    for first in (0..plan.watchers).step_by(WATCHERS_EACH) {
        let numbers = first..plan.watchers.min(first + WATCHERS_EACH);
        all.push(Ears::open(cluster, (&plan, &revision), (numbers, &sent)).await?);
    }
    cluster.forget_peaks();
    let (goal, expected) = watch::channel(None);
    let mut listening = JoinSet::new();
    for ears in all {
        listening.spawn(ears.listen(expected.clone()));
    }
    let (before, own_before, start) = (cluster.work(), own_work(), Instant::now());
    let writers = plan.writers;
    let groups = plan.groups();
    let must = write(cluster, (Arc::new(plan), &revision), &sent).await?;
    let writes: u64 = must.iter().map(|sum| sum.count).sum();
    goal.send_replace(Some(Arc::new(must)));
    let mut heard = Vec::new();
    while let Some(one) = listening.join_next().await {
        heard.push(joined(one));
    }
    check_order(&heard, groups)?;
    let work = [cluster.work() - before, own_work() - own_before];
    let delivered: usize = heard.iter().map(|ears| ears.latencies.len()).sum();
    let last = heard.iter().map(|ears| ears.last).max().unwrap_or(start);
    let mut latencies: Vec<u32> = heard.into_iter().flat_map(|ears| ears.latencies).collect();
    latencies.sort_unstable();
    let within = |share: f64| {
        let index = (latencies.len().saturating_sub(1) as f64 * share).ceil() as usize;
        latencies.get(index).map(|micros| f64::from(*micros) / 1000.0)
    };
    let value = delivered as f64 / last.duration_since(start).as_secs_f64();
    println!("    {writes} writes by {writers} clients, {delivered} events");
    let work = Some(work.map(|work| work.as_secs_f64() * 1e6 / delivered as f64));
    Ok(Figure { value, p50: within(0.5), p99: within(0.99), peak: Some(cluster.peak()), work, note: None })
}

/// Writes until the time is over, and tells what must have arrived of each group.
async fn write(cluster: &Cluster, (plan, revision): (Arc<Plan>, &str), sent: &Arc<Sent>) -> Result<Vec<Sum>, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut writing = JoinSet::new();
    for _ in 0..plan.writers {
        let mut connection = cluster.connect().await;
        let (plan, sent, next) = (Arc::clone(&plan), Arc::clone(sent), Arc::clone(&next));
        let revision = revision.to_owned();
        let start = Instant::now();
        writing.spawn(async move {
            let mut written = Vec::new();
            while start.elapsed() < plan.time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(time) = sent.times.get(number) else { break };
                let ask = plan.write(number, &revision);
                time.store(sent.now(), Ordering::Relaxed);
                let answer = connection.ask(&ask).await;
                if !answer.good {
                    return Err(format!("a write was refused: {}", String::from_utf8_lossy(answer.body)));
                }
                written.push(number);
            }
            Ok(written)
        });
    }
    let mut must = vec![Sum::default(); plan.groups()];
    while let Some(written) = writing.join_next().await {
        for number in joined(written)? {
            // There are a whole number of objects for each group.
            must[number % plan.groups()].add(number);
        }
    }
    Ok(must)
}

/// All watchers of a group must have seen the same order.
fn check_order(heard: &[Ears], groups: usize) -> Result<(), String> {
    let count = heard.iter().map(|ears| ears.watchers.len()).sum::<usize>();
    if let Some(wrong) = heard.iter().find_map(|ears| ears.wrong.as_deref()) {
        let broken = heard.iter().flat_map(|ears| &ears.watchers).filter(|watcher| watcher.ended).count();
        return Err(format!("{wrong}; {broken} of {count} watchers were ended by the server"));
    }
    let mut orders = vec![None; groups];
    for watcher in heard.iter().flat_map(|ears| &ears.watchers) {
        let order = *orders[watcher.group].get_or_insert(watcher.sum.order);
        if order != watcher.sum.order {
            return Err("two watchers saw the same events in different orders".to_owned());
        }
    }
    Ok(())
}

impl Ears {
    async fn open(
        cluster: &Cluster,
        (plan, revision): (&Plan, &str),
        (numbers, sent): (std::ops::Range<usize>, &Arc<Sent>),
    ) -> Result<Self, String> {
        let mut connection = cluster.connect().await;
        let (mut watchers, mut streams) = (Vec::new(), Vec::new());
        for number in numbers {
            let group = number % plan.groups();
            let begun = connection.begin(&plan.watch(group, revision)).await;
            streams.push(begun.ok_or_else(|| format!("watcher {} was refused", number + 1))?);
            let (partial, sum) = (Vec::new(), Sum::default());
            watchers.push(Watcher { group, partial, sum, revision: 0, ended: false });
        }
        let (first_stream, sent, last) = (streams[0], Arc::clone(sent), Instant::now());
        Ok(Self { connection, watchers, first_stream, sent, hint: 0, latencies: Vec::new(), last, wrong: None })
    }

    /// Listens until everything that must come has come.
    async fn listen(mut self, mut expected: watch::Receiver<Option<Arc<Vec<Sum>>>>) -> Self {
        while expected.borrow_and_update().is_none() {
            tokio::select! {
                biased;
                changed = expected.changed() => if changed.is_err() { return self },
                () = self.hear() => if self.wrong.is_some() { return self },
            }
        }
        let must = expected.borrow().clone().expect("it is there");
        let rest = async {
            while self.wrong.is_none() && self.lacking(&must) > 0 {
                self.hear().await;
            }
        };
        let all = tokio::time::timeout(ARRIVAL_MAX, rest).await.is_ok();
        let lacking = self.lacking(&must);
        if !all {
            self.wrong.get_or_insert(format!("{lacking} watchers of a connection lack events after {ARRIVAL_MAX:?}"));
        }
        let strange =
            |one: &Watcher| one.sum.numbers != must[one.group].numbers || one.sum.count != must[one.group].count;
        if self.wrong.is_none() && self.watchers.iter().any(strange) {
            self.wrong = Some("a watcher saw other events than were written".to_owned());
        }
        self
    }

    fn lacking(&self, must: &[Sum]) -> usize {
        self.watchers.iter().filter(|one| one.sum.count < must[one.group].count).count()
    }

    /// Takes one piece in.
    async fn hear(&mut self) {
        let piece = self.connection.piece().await;
        let index = (piece.stream - self.first_stream) as usize / 2;
        let now = self.sent.now();
        self.last = Instant::now();
        let watcher = &mut self.watchers[index];
        watcher.ended = piece.last;
        let mut rest = self.connection.bytes(&piece);
        while !rest.is_empty() {
            let length = line_length(rest);
            let (line, after) = rest.split_at(length);
            rest = after;
            if !line.ends_with(b"\n") {
                watcher.partial.extend_from_slice(line);
                break;
            }
            let mut whole = std::mem::take(&mut watcher.partial);
            let event = if whole.is_empty() {
                line
            } else {
                whole.extend_from_slice(line);
                &whole
            };
            // Every event has its number read, but only one watcher of a connection its revision.
            let taken = number(event, &mut self.hint).map(|number| {
                watcher.sum.add(number);
                self.latencies.push(now.saturating_sub(self.sent.times[number].load(Ordering::Relaxed)));
            });
            if taken.is_none() {
                self.wrong = Some(format!("a watcher was sent {}", String::from_utf8_lossy(event)));
            }
            if index == 0 {
                let revision = revision(event);
                if revision <= watcher.revision {
                    self.wrong = Some(format!("revision {revision} came after {}", watcher.revision));
                }
                watcher.revision = revision;
            }
        }
        if piece.last {
            self.wrong.get_or_insert("a watch was ended".to_owned());
        }
    }
}

/// How long the first line is, its end included; the library's search looks at many bytes at once.
fn line_length(mut bytes: &[u8]) -> usize {
    bytes.skip_until(b'\n').expect("bytes can be read")
}

/// The number that an event carries; it mostly stands where it stood in the last one.
fn number(event: &[u8], hint: &mut usize) -> Option<usize> {
    if event.get(*hint..).is_none_or(|rest| !rest.starts_with(NUMBER_MARK)) {
        *hint = event.windows(NUMBER_MARK.len()).position(|window| window == NUMBER_MARK)?;
    }
    let start = *hint + NUMBER_MARK.len();
    std::str::from_utf8(event.get(start..start + NUMBER_DIGITS)?).ok()?.parse().ok()
}

fn revision(event: &[u8]) -> u64 {
    let at = event.windows(REVISION_MARK.len()).position(|window| window == REVISION_MARK);
    let digits = event[at.map_or(0, |at| at + REVISION_MARK.len())..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}
