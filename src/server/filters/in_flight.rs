//! Bounds on requests that are being answered at once, reading and writing apart, as kube-apiserver without priority
//! and fairness. Long-running requests do not count; `system:masters` is never refused.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::RequestInfo;
use crate::api::request::User;
use crate::server::message::Response;

/// Requests in flight; at the bound a request is answered with 429 and `Retry-After: 1`.
#[derive(Debug)]
pub struct InFlight {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
    reading_max: usize,
    writing_max: usize,
}

impl InFlight {
    /// Upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`.
    pub fn new(reading_max: usize, writing_max: usize) -> Self {
        let [reading, writing] = [reading_max, writing_max].map(|max| Arc::new(Semaphore::new(max)));
        Self { reading, writing, reading_max, writing_max }
    }

    /// How many requests are in flight, reading and writing.
    pub(in crate::server) fn now(&self) -> (u64, u64) {
        let used = |of: &Semaphore, max: usize| max.saturating_sub(of.available_permits()) as u64;
        (used(&self.reading, self.reading_max), used(&self.writing, self.writing_max))
    }

    /// Counts a request until the permit is dropped; `None` at the bound.
    pub(super) fn enter(&self, info: &RequestInfo, user: &User) -> Option<Permit> {
        if info.long_running() {
            return Some(Permit(None));
        }
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch" | "head");
        let semaphore = if reads { &self.reading } else { &self.writing };
        match semaphore.clone().try_acquire_owned() {
            Ok(permit) => Some(Permit(Some(permit))),
            Err(_) if user.in_group("system:masters") => Some(Permit(None)),
            Err(_) => None,
        }
    }
}

/// A place among the requests in flight.
#[derive(Debug)]
pub(super) struct Permit(
    #[expect(dead_code, reason = "held until the request is answered")] Option<OwnedSemaphorePermit>,
);

pub(super) fn refused() -> Response {
    Response::text(429, "Too many requests, please try again later.\n").with_header("retry-after", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_in_flight_than_may_be_however_many_come() {
        let bounds = InFlight::new(40, 20);
        let user = User { groups: vec!["system:authenticated".to_owned()], ..User::default() };
        for (verb, most) in [("create", 20), ("list", 40)] {
            let info = RequestInfo { verb: verb.to_owned(), ..RequestInfo::default() };
            let mut admitted: Vec<_> = (0..10 * most).filter_map(|_| bounds.enter(&info, &user)).collect();
            assert_eq!(admitted.len(), most, "{verb}");
            // Each that is answered makes room for one.
            admitted.pop();
            assert!(bounds.enter(&info, &user).is_some());
        }
        let refusal = refused();
        assert_eq!((refusal.status, refusal.headers.get("retry-after")), (429, Some("1")));
    }

    #[test]
    fn superusers_and_watches_are_never_refused() {
        let bounds = InFlight::new(1, 1);
        let master = User { groups: vec!["system:masters".to_owned()], ..User::default() };
        let info = |verb: &str| RequestInfo { verb: verb.to_owned(), ..RequestInfo::default() };
        let held: Vec<_> = (0..5).map(|_| bounds.enter(&info("create"), &master)).collect();
        assert!(held.iter().all(Option::is_some));
        let watches: Vec<_> = (0..5).map(|_| bounds.enter(&info("watch"), &User::default())).collect();
        assert!(watches.iter().all(Option::is_some));
        assert_eq!(bounds.now(), (0, 1));
    }
}
