//! Room on the stack. Trees are built, walked and dropped by recursion; what nests deeply is only built on threads with
//! a large stack. Elsewhere it is refused, which is noted, so that who began the work can begin it anew where there is
//! room. The usual work pays nothing for this.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// The deepest nesting that any thread of ours has room for.
pub const SHALLOW_MAX: usize = 127;

/// A stack with room for whatever may be built. Only what is touched takes memory, and it goes with the thread.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 1 << 30 } else { 256 << 20 };

/// How many works with room go on at once; more wait.
const ROOMS_MAX: usize = 4;

thread_local! {
    static HAS_ROOM: Cell<bool> = const { Cell::new(false) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether what nests deeper than `SHALLOW_MAX` may be built here. Where it may not, that is noted; the caller then
/// must fail, and its outcome will not be looked at.
pub fn may_nest_deeply() -> bool {
    let may = HAS_ROOM.get();
    if !may {
        REFUSED.set(true);
    }
    may
}

/// The outcome of a future; `None` as soon as it came upon something that nests too deeply for the stack it runs on.
pub async fn on_this_stack<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        REFUSED.set(false);
        let polled = work.as_mut().poll(cx);
        if REFUSED.take() { Poll::Ready(None) } else { polled.map(Some) }
    })
    .await
}

/// Does something here, or, when that came upon something that nests too deeply, anew where there is room.
pub fn wherever_it_fits<T: Send>(mut work: impl FnMut() -> T + Send) -> T {
    let before = REFUSED.replace(false);
    let outcome = work();
    if !REFUSED.replace(before) {
        return outcome;
    }
    with_room(work).unwrap_or(outcome)
}

/// Does something on a thread with room and waits for it; `None` when no thread could be made.
pub fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    if HAS_ROOM.get() {
        return Some(work());
    }
    let roomy = || {
        HAS_ROOM.set(true);
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("room".to_owned()).stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, roomy).ok()?.join() {
            Ok(outcome) => Some(outcome),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Threads with room for futures, so many and no more.
#[derive(Debug)]
pub struct Rooms {
    free: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(ROOMS_MAX)) }
    }
}

impl Rooms {
    /// The outcome of a future that is made and run on a thread with room; `None` when it panicked or no thread could
    /// be made. It is given up when this is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> BoxFuture<'static, T> + Send + 'static,
    ) -> Option<T> {
        let room = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let (mut sender, receiver) = oneshot::channel();
        let runtime = Handle::current();
        let work = move || {
            HAS_ROOM.set(true);
            let _entered = runtime.enter();
            let outcome = futures::executor::block_on(async {
                tokio::select! {
                    outcome = make() => Some(outcome),
                    () = sender.closed() => None,
                }
            });
            drop(room);
            if let Some(outcome) = outcome {
                // Nobody waits for it any more.
                let _ = sender.send(outcome);
            }
        };
        let thread = thread::Builder::new().name("room".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(work).ok()?;
        receiver.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn work_is_begun_anew_where_there_is_room() {
        let mut begun = 0;
        let outcome = wherever_it_fits(|| {
            begun += 1;
            may_nest_deeply()
        });
        assert_eq!((outcome, begun), (true, 2));
        assert!(!HAS_ROOM.get());
    }

    #[test]
    fn work_that_fits_is_done_once() {
        let mut begun = 0;
        wherever_it_fits(|| begun += 1);
        assert_eq!(begun, 1);
    }

    #[tokio::test]
    async fn a_future_ends_when_it_is_refused_and_not_before() {
        assert_eq!(on_this_stack(async { 1 }).await, Some(1));
        let refused = on_this_stack(async {
            tokio::task::yield_now().await;
            may_nest_deeply();
            std::future::pending::<()>().await;
        });
        assert_eq!(refused.await, None);
    }

    #[tokio::test]
    async fn a_refusal_stays_with_the_future_that_it_was_told() {
        let (refused, other) = tokio::join!(
            on_this_stack(async { may_nest_deeply() }),
            on_this_stack(async {
                tokio::task::yield_now().await;
                2
            })
        );
        assert_eq!((refused, other), (None, Some(2)));
    }

    #[tokio::test]
    async fn a_room_is_for_deep_recursion_and_is_free_again_after_it() {
        fn deep(levels: usize) -> usize {
            let here = [levels; 64];
            if levels == 0 { 0 } else { deep(std::hint::black_box(here)[7] - 1) + 1 }
        }
        let rooms = Rooms::default();
        for _ in 0..=ROOMS_MAX {
            assert_eq!(rooms.run(|| async { deep(100_000) }.boxed()).await, Some(100_000));
        }
        assert_eq!(rooms.run(|| async { panic!("as wished") }.boxed()).await, None::<()>);
        // The room is left after the answer is known to be none.
        assert!(rooms.free.acquire_many(u32::try_from(ROOMS_MAX).unwrap()).await.is_ok());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_given_up() {
        let rooms = Rooms::default();
        let waiting = rooms.run(|| std::future::pending::<()>().boxed());
        assert!(futures::poll!(Box::pin(waiting)).is_pending());
        let all = rooms.free.acquire_many(u32::try_from(ROOMS_MAX).unwrap()).await;
        assert!(all.is_ok());
    }
}
