//! `/healthz`, `/livez`, `/readyz`: named checks that parts of the server mark as they come up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::message::Response;
use super::query::Query;
use crate::base::Shutdown;

/// The checks of one server, in the order in which they were added.
#[derive(Default)]
pub struct Health {
    /// Held for a push or a walk only.
    checks: RwLock<Vec<Check>>,
}

#[derive(Clone)]
struct Check {
    name: &'static str,
    scope: Scope,
    state: State,
    /// How often it passed and how often it failed when it was asked, by probe.
    asked: Arc<[[AtomicU64; 2]; Probe::ALL.len()]>,
}

/// What a check asks.
#[derive(Clone)]
enum State {
    Flag(Arc<AtomicBool>),
    /// It passes until the end begins.
    Until(Shutdown),
}

/// Which of the three paths ask a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All three.
    All,
    /// `/readyz` only.
    Ready,
    /// All but `/readyz`.
    Live,
}

/// Marks a check as passed or failed.
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// The check passes from now on.
    pub fn pass(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The check fails from now on.
    pub fn fail(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// One of the three paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Probe {
    Healthz,
    Livez,
    Readyz,
}

impl Probe {
    const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }

    fn asks(self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Ready => self == Self::Readyz,
            Scope::Live => self != Self::Readyz,
        }
    }
}

impl Health {
    /// Adds a check that fails until its flag says otherwise.
    pub fn add(&self, name: &'static str, scope: Scope) -> Flag {
        let state = Arc::new(AtomicBool::new(false));
        self.push((name, scope), State::Flag(state.clone()));
        Flag(state)
    }

    /// Adds a check that passes until the server ends (`shutdown`): who spreads requests over servers asks this one no
    /// more, while what is under way is still answered.
    pub fn add_until(&self, name: &'static str, scope: Scope, shutdown: Shutdown) {
        self.push((name, scope), State::Until(shutdown));
    }

    fn push(&self, (name, scope): (&'static str, Scope), state: State) {
        self.checks.write().push(Check { name, scope, state, asked: Arc::default() });
    }

    /// Adds a check that always passes (`ping`).
    pub fn add_passing(&self, name: &'static str, scope: Scope) {
        self.add(name, scope).pass();
    }

    /// Whether `/readyz` says ok.
    pub fn ready(&self) -> bool {
        self.checks.read().iter().filter(|c| Probe::Readyz.asks(c.scope)).all(Check::passes)
    }

    /// The paths of all probes and their checks.
    pub(super) fn paths(&self) -> Vec<String> {
        let checks = self.checks.read();
        let of = |probe: Probe| {
            let own = checks.iter().filter(move |c| probe.asks(c.scope));
            let below = own.map(move |c| format!("/{}/{}", probe.name(), c.name));
            std::iter::once(format!("/{}", probe.name())).chain(below)
        };
        Probe::ALL.into_iter().flat_map(of).collect()
    }

    /// Answers a path below one of the three; `None`: no such path.
    pub(super) fn answer(&self, path: &str, query: &Query) -> Option<Response> {
        let path = path.strip_prefix('/')?;
        let (name, sub) = path.split_once('/').unwrap_or((path, ""));
        let probe = Probe::ALL.into_iter().find(|probe| probe.name() == name)?;
        let checks: Vec<Check> = self.checks.read().iter().filter(|c| probe.asks(c.scope)).cloned().collect();
        if sub.is_empty() {
            if path.ends_with('/') {
                return None;
            }
            return Some(summary(probe, &checks, query));
        }
        let check = checks.iter().find(|check| check.name == sub)?;
        let failed = || Response::text(500, format!("internal server error: {}\n", check.reason()));
        Some(if check.ask(probe) { ok("ok") } else { failed() })
    }

    /// Each check by its name and probe, as it is now and how often it passed and failed.
    pub(super) fn told(&self) -> Vec<(&'static str, &'static str, bool, [u64; 2])> {
        let checks = self.checks.read();
        let of = |check: &Check| {
            let probes = Probe::ALL.into_iter().filter(|probe| probe.asks(check.scope));
            let told = |probe: Probe| {
                let asked = check.asked[probe as usize].each_ref().map(|count| count.load(Ordering::Relaxed));
                (check.name, probe.name(), check.passes(), asked)
            };
            probes.map(told).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = checks.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }
}

impl Check {
    fn passes(&self) -> bool {
        match &self.state {
            State::Flag(passes) => passes.load(Ordering::Acquire),
            State::Until(shutdown) => !shutdown.begun(),
        }
    }

    /// Why it fails, if it does: told to who asks for this check alone.
    fn reason(&self) -> &'static str {
        match &self.state {
            State::Flag(_) => "not finished",
            State::Until(_) => "process is shutting down",
        }
    }

    /// As `passes`, and counted.
    fn ask(&self, probe: Probe) -> bool {
        let passes = self.passes();
        self.asked[probe as usize][usize::from(!passes)].fetch_add(1, Ordering::Relaxed);
        passes
    }
}

fn ok(text: impl Into<String>) -> Response {
    Response::full(200, "text/plain; charset=utf-8", text.into())
}

fn summary(probe: Probe, checks: &[Check], query: &Query) -> Response {
    use std::fmt::Write as _;
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = Vec::new();
    for check in checks {
        let name = check.name;
        if excluded.contains(&name) {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
        } else if check.ask(probe) {
            let _ = writeln!(lines, "[+]{name} ok");
        } else {
            let _ = writeln!(lines, "[-]{name} failed: reason withheld");
            failed.push(name);
        }
    }
    let unknown: Vec<String> =
        excluded.iter().filter(|e| checks.iter().all(|c| c.name != **e)).map(|e| format!("{e:?}")).collect();
    if !unknown.is_empty() {
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {}", unknown.join(", "));
    }
    let name = probe.name();
    if !failed.is_empty() {
        return Response::text(500, format!("{lines}{name} check failed\n"));
    }
    let found = query.get("verbose").is_some();
    let mut response = if found { ok(format!("{lines}{name} check passed\n")) } else { ok("ok") };
    response.headers.add("x-content-type-options", "nosniff");
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::message::Body;

    fn text(response: Response) -> (u16, String) {
        let Body::Full(bytes) = response.body else { panic!("not a whole body") };
        (response.status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_check_fails_its_probes_until_it_is_passed() {
        let health = Health::default();
        health.add_passing("ping", Scope::All);
        let hook = health.add("poststarthook/rbac/bootstrap-roles", Scope::All);
        let none = Query::default();
        let failed = "[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n";
        assert_eq!(text(health.answer("/readyz", &none).unwrap()), (500, failed.to_owned()));
        assert!(!health.ready());
        let excluded = Query::parse("exclude=poststarthook/rbac/bootstrap-roles");
        assert_eq!(text(health.answer("/livez", &excluded).unwrap()), (200, "ok".to_owned()));
        hook.pass();
        let verbose = "[+]ping ok\n[+]poststarthook/rbac/bootstrap-roles ok\nhealthz check passed\n";
        assert_eq!(text(health.answer("/healthz", &Query::parse("verbose")).unwrap()), (200, verbose.to_owned()));
        assert_eq!(text(health.answer("/readyz/ping", &none).unwrap()), (200, "ok".to_owned()));
        assert!(health.answer("/readyz/nothing", &none).is_none());
    }

    #[test]
    fn a_server_that_ends_is_alive_and_not_ready() {
        let (health, shutdown) = (Health::default(), Shutdown::default());
        health.add_until("shutdown", Scope::Ready, shutdown.clone());
        let none = Query::default();
        assert_eq!(text(health.answer("/readyz", &none).unwrap()), (200, "ok".to_owned()));
        shutdown.begin();
        let failed = "[-]shutdown failed: reason withheld\nreadyz check failed\n";
        assert_eq!(text(health.answer("/readyz", &none).unwrap()), (500, failed.to_owned()));
        let alone = "internal server error: process is shutting down\n";
        assert_eq!(text(health.answer("/readyz/shutdown", &none).unwrap()), (500, alone.to_owned()));
        assert_eq!(text(health.answer("/livez", &none).unwrap()), (200, "ok".to_owned()));
    }
}
