//! Asking a server outside with a review, anew after failures that pass (apiserver `pkg/util/webhook`).

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::base::Clock;
use crate::remote::{Backend, Post, Remote, decode};

const ANSWER_BYTES_MAX: usize = 3 << 20;
/// So many calls in all, after a wait that grows by a factor.
const TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_FACTOR: f64 = 1.5;
/// The most by which a wait is lengthened by chance, as a part of it.
const JITTER: f64 = 0.2;
/// How long one call may take where nothing else is said.
const LIMIT: Duration = Duration::from_secs(30);

/// How a server is asked.
pub(super) struct Retry<'a> {
    backend: &'a Backend,
    remote: &'a Remote,
    clock: &'a dyn Clock,
    limit: Duration,
}

/// Why there is no answer.
pub(super) struct Failure {
    /// `timeout` or `error`.
    pub(super) word: &'static str,
    pub(super) why: String,
    passing: bool,
}

impl<'a> Retry<'a> {
    pub(super) fn new((backend, remote): (&'a Backend, &'a Remote), clock: &'a dyn Clock) -> Self {
        Self { backend, remote, clock, limit: LIMIT }
    }

    /// With another limit for one call.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The document of a good answer. Each call is told of: how it ended and how long it took.
    pub(super) async fn post(&self, review: &Value, tell: impl Fn(&'static str, Duration)) -> Result<Value, Failure> {
        let body = Bytes::from(review.to_string());
        let mut wait = BACKOFF;
        let mut attempt = 1;
        loop {
            let began = self.clock.monotonic();
            let answer = self.call(body.clone()).await;
            let word = answer.as_ref().err().map_or("success", |failure| failure.word);
            tell(word, self.clock.monotonic().saturating_sub(began));
            match answer {
                Err(Failure { passing: true, .. }) if attempt < TRIES => {}
                ended => return ended,
            }
            attempt += 1;
            self.clock.sleep(wait.mul_f64(1.0 + JITTER * rand::random::<f64>())).await;
            wait = wait.mul_f64(BACKOFF_FACTOR);
        }
    }

    async fn call(&self, body: Bytes) -> Result<Value, Failure> {
        let post = Post {
            site: &self.backend.site,
            body,
            limit: self.limit,
            answer_bytes_max: ANSWER_BYTES_MAX,
            authorization: self.backend.authorization.as_deref(),
        };
        let reply = self.remote.post(post).await.map_err(|why| Failure {
            word: if why.ends_with("context deadline exceeded") { "timeout" } else { "error" },
            passing: why.ends_with("connection reset by peer"),
            why,
        })?;
        decode(&reply).map_err(|why| Failure {
            word: if reply.status == 504 { "timeout" } else { "error" },
            passing: matches!(reply.status, 429 | 500 | 504),
            why,
        })
    }
}
