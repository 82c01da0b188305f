//! Named tasks tied to a shutdown. Nothing is spawned elsewhere, so that nothing dies silently or outlives its server.

use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells everything that belongs to one server to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Asks everything to end; may be called again.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the end was asked for.
    pub fn begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when the end is asked for.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }

    /// A part that can be ended on its own and ends with the whole.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }
}

/// The tasks of one server. Clones share the same set.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    runtime: Arc<Handle>,
}

impl Tasks {
    /// An empty set whose tasks run on the runtime of the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { tracker: TaskTracker::new(), shutdown, runtime: Arc::new(Handle::current()) }
    }

    /// The shutdown that ends these tasks.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs a task until it ends or the shutdown begins, whichever is first. A panic is logged with the name.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.spawn_to_end(name, async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = task => {}
            }
        });
    }

    /// Runs a task that sees to its own end after the shutdown begins (a writer that must drain its queue).
    pub fn spawn_to_end(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let handle = self.runtime.spawn(self.tracker.track_future(task));
        let watcher = async move {
            if let Err(error) = handle.await
                && error.is_panic()
            {
                tracing::error!(task = name, %error, "task panicked");
            }
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        drop(self.runtime.spawn(watcher));
    }

    /// Does work that waits for a disk, or computes at length, on a thread of its own beside the caller's other work,
    /// and gives its answer. A panic goes on in the caller. Work that has begun ends whoever waits.
    pub async fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let token = self.tracker.token();
        let done = self.runtime.spawn_blocking(move || {
            let _counted = token;
            work()
        });
        match done.await {
            Ok(answer) => answer,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Computes something short as a task of its own, so that another processor may do it, and gives its answer. It
    /// begins when it is asked for, not when it is waited for. A panic goes on in the caller.
    pub fn share<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> BoxFuture<'static, T> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let done = self.runtime.spawn(self.tracker.track_future(async { work() }));
        let answer = async {
            match done.await.map_err(JoinError::try_into_panic) {
                Ok(answer) => answer,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it whoever waits.
                Err(Err(_)) => std::future::pending().await,
            }
        };
        answer.boxed()
    }

    /// Waits until all tasks have ended. Call after the shutdown has begun.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
