//! Time. Everything that asks for the time or waits does so through a `Clock`, so that a test, and later a whole
//! cluster, can run on time that is turned by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Resolves once the clock has advanced by at least `duration`. Cancelled by being dropped.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// Time since an arbitrary start that never goes backwards; for measuring, never for display.
    fn monotonic(&self) -> Duration;
}

/// The machine's time.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// A shared system clock.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { start: tokio::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that waits on real time")]
        let sleep = tokio::time::sleep(duration);
        Box::pin(sleep)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is turned.
#[derive(Debug, Clone)]
pub struct ManualClock {
    /// Protects the time of day at which nothing had elapsed; held for a look.
    start: Arc<Mutex<Timestamp>>,
    /// Protects nothing but the sum of all turns; held for an addition only.
    elapsed: Arc<Mutex<Duration>>,
    turned: watch::Sender<Duration>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { start: Arc::new(Mutex::new(start)), elapsed: Arc::default(), turned: watch::Sender::new(Duration::ZERO) }
    }

    /// Sets the time of day, as somebody sets the clock of a machine: no time passes by that.
    pub fn set(&self, now: Timestamp) {
        let elapsed = self.monotonic();
        *self.start.lock() = now - elapsed;
    }

    /// Moves the time forward and wakes all sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        let now = {
            let mut elapsed = self.elapsed.lock();
            *elapsed += by;
            *elapsed
        };
        self.turned.send_replace(now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start = *self.start.lock();
        start + self.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let until = self.monotonic() + duration;
        let mut turned = self.turned.subscribe();
        Box::pin(async move {
            // The sender lives in the clock; a clock that is gone never wakes anybody.
            if turned.wait_for(|now| *now >= until).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_sleeper_wakes_when_the_manual_clock_passes_its_moment() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut sleep = clock.sleep(Duration::from_secs(10));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(9));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_some());
        assert_eq!(clock.now().as_second(), 10);
    }

    #[test]
    fn a_manual_clock_that_is_set_wakes_nobody() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(5));
        let mut sleep = clock.sleep(Duration::from_secs(10));
        clock.set("2026-11-21T00:00:00Z".parse().unwrap());
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(10));
        assert!((&mut sleep).now_or_never().is_some());
        assert_eq!(clock.now().to_string(), "2026-11-21T00:00:10Z");
    }
}
