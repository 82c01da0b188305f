//! Watching: the state at the start, if it was asked for, then every change after it, as the watcher's selectors see
//! it, with bookmarks in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::conversion::{Converter, Reading};
use super::select::Selection;
use super::{Call, Notice, NoticeKind, Registry, persist};
use crate::api::request::ListOptions;
use crate::api::{Result, Revision, Status};
use crate::base::{Clock, Shutdown};
use crate::remote::Remote;
use crate::storage::{Error, Event, EventKind, Store, Stored, Watch};

/// Time between bookmarks, as upstream's watch cache.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// The last bookmark comes this long before the end of a watch, as upstream's watch cache sends it.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// How many initial events are handed out at once.
const INITIAL_BATCH: usize = 100;

/// One watch on its way. `next` gives notices until the time is up, the store ends or the watch fell behind.
pub struct Watching {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    selection: Selection,
    stage: Stage,
    bookmarks: bool,
    /// The bookmark that ends the initial events is owed.
    initial_end: Option<Revision>,
    /// On the monotonic clock.
    ends_at: Option<Duration>,
    bookmark_at: Duration,
    /// All changes up to here were told.
    seen: Revision,
    /// Ends the watch when its type is no longer served as it was; only for types made at run time.
    retired: Option<Shutdown>,
    remote: Arc<Remote>,
    /// Notices that wait for a webhook.
    unconverted: Vec<Notice>,
    /// Upstream keeps no cache of the type.
    uncached: bool,
}

enum Stage {
    /// Waits for a revision that has not happened yet.
    Future {
        after: Revision,
    },
    Initial {
        rest: VecDeque<Arc<Stored>>,
        watch: Box<Watch>,
    },
    Live(Box<Watch>),
    /// The last notice is this, or nothing.
    Ending(Option<Status>),
}

impl Registry {
    /// Watches a type. What cannot be served (a revision that is compacted) comes as the first notice, as upstream
    /// sends it.
    ///
    /// # Errors
    /// 400 for selectors.
    pub async fn watch(&self, call: &Call, options: &ListOptions) -> Result<Watching> {
        let selection = Selection::parse(call, options)?;
        let asked = options.resource_version.filter(|r| r.0 != 0);
        let wants_initial = options.send_initial_events.unwrap_or(asked.is_none());
        let mut watching = Watching {
            store: self.store.clone(),
            clock: self.clock.clone(),
            selection,
            stage: Stage::Ending(None),
            bookmarks: options.allow_bookmarks,
            initial_end: None,
            ends_at: options.timeout_seconds.map(|s| self.clock.monotonic() + Duration::from_secs(s)),
            bookmark_at: Duration::ZERO,
            seen: Revision(0),
            retired: call.kind.custom.as_ref().map(|version| version.retired().clone()),
            remote: self.admission.remote.clone(),
            unconverted: Vec::new(),
            uncached: call.kind.group_resource().resource == "events",
        };
        watching.bookmark_at = watching.next_bookmark();
        if wants_initial {
            if let Some(revision) = asked
                && let Err(status) = self.fresh(revision).await
            {
                watching.stage = Stage::Ending(Some(status));
                return Ok(watching);
            }
            // The end of the initial events is a bookmark like any other.
            watching.start_with_state(options.send_initial_events == Some(true) && options.allow_bookmarks);
        } else {
            let after = asked.unwrap_or_else(|| self.store.revision());
            watching.start_after(after);
        }
        Ok(watching)
    }
}

impl Watching {
    /// Why a watch cannot begin or go on after a revision, in the words of upstream's watch cache, or of its storage for
    /// what has no cache.
    fn failure(&self, error: &Error, after: Revision) -> Status {
        match error {
            Error::Compacted { .. } if self.uncached => {
                Status::expired("The resourceVersion for the provided watch is too old.")
            }
            Error::Compacted { oldest } => Status::expired(format!("too old resource version: {after} ({oldest})")),
            Error::Lagged => Status::expired(format!("too old resource version: {after}, the watch fell behind")),
            other => Status::internal(other),
        }
    }

    fn start_with_state(&mut self, tell_end: bool) {
        let snapshot = self.store.snapshot();
        let revision = snapshot.revision();
        let rest: VecDeque<Arc<Stored>> = self.selection.candidates(&snapshot, None).cloned().collect();
        self.seen = revision;
        self.initial_end = tell_end.then_some(revision);
        self.stage = match self.store.watch(self.selection.collection(), revision, self.selection.scope()) {
            Ok(watch) => Stage::Initial { rest, watch: Box::new(watch) },
            Err(error) => Stage::Ending(Some(self.failure(&error, revision))),
        };
    }

    /// Every minute, and shortly before the end; nothing is told at the end itself.
    fn next_bookmark(&self) -> Duration {
        let now = self.clock.monotonic();
        let regular = now + BOOKMARK_EVERY;
        match self.ends_at.map(|end| end.saturating_sub(BOOKMARK_BEFORE_END)) {
            None => regular,
            Some(last) if last > now => regular.min(last),
            Some(_) => Duration::MAX,
        }
    }

    fn start_after(&mut self, after: Revision) {
        self.seen = after;
        self.stage = match self.store.watch(self.selection.collection(), after, self.selection.scope()) {
            Ok(watch) => Stage::Live(Box::new(watch)),
            Err(Error::Future { .. }) => Stage::Future { after },
            Err(error) => Stage::Ending(Some(self.failure(&error, after))),
        };
    }

    /// The next notices, in order; waits for them. `None` when the watch has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Vec<Notice>> {
        if self.unconverted.is_empty() {
            self.unconverted = self.next_as_stored().await?;
        }
        if !self.converts() {
            return Some(std::mem::take(&mut self.unconverted));
        }
        // What was taken from the log is kept until it is converted, so that nothing is lost by being cancelled.
        let converted = self.converted().await;
        self.unconverted.clear();
        Some(converted.unwrap_or_else(|status| {
            self.stage = Stage::Ending(None);
            vec![Notice::Failed(status)]
        }))
    }

    fn converts(&self) -> bool {
        self.selection.kind().custom.as_ref().is_some_and(|version| version.conversion().is_some())
    }

    /// The notices with their objects in the version of the watch.
    async fn converted(&self) -> Result<Vec<Notice>> {
        let kind = self.selection.kind();
        let object = |notice: &Notice| match notice {
            Notice::Change { object, .. } => Some(object.clone()),
            Notice::Bookmark { .. } | Notice::Failed(_) => None,
        };
        let objects: Vec<Arc<Stored>> = self.unconverted.iter().filter_map(object).collect();
        let mut objects = Converter(&self.remote).converted(kind, objects, Reading::One).await?.into_iter();
        let convert = |notice: &Notice| match notice {
            Notice::Change { kind, object, event } => {
                let converted = objects.next().unwrap_or_else(|| object.clone());
                // What is shared by all watchers is in the version of the store.
                let event = event.clone().filter(|_| Arc::ptr_eq(&converted, object));
                Notice::Change { kind: *kind, object: converted, event }
            }
            other @ (Notice::Bookmark { .. } | Notice::Failed(_)) => other.clone(),
        };
        Ok(self.unconverted.iter().map(convert).collect())
    }

    async fn next_as_stored(&mut self) -> Option<Vec<Notice>> {
        loop {
            match &mut self.stage {
                Stage::Ending(status) => return status.take().map(|status| vec![Notice::Failed(status)]),
                Stage::Initial { .. } => {
                    if let Some(batch) = self.next_initial() {
                        return Some(batch);
                    }
                }
                Stage::Future { after } => {
                    let after = *after;
                    let patience = until(&self.clock, self.ends_at);
                    tokio::select! {
                        reached = self.store.reached(after) => match reached {
                            Ok(()) => self.start_after(after),
                            Err(_) => self.stage = Stage::Ending(None),
                        },
                        () = patience => self.stage = Stage::Ending(None),
                    }
                }
                Stage::Live(_) => {
                    if let Some(batch) = self.next_live().await {
                        return Some(batch);
                    }
                }
            }
        }
    }

    fn next_initial(&mut self) -> Option<Vec<Notice>> {
        let Stage::Initial { rest, .. } = &mut self.stage else { return None };
        let count = rest.len().min(INITIAL_BATCH);
        let added = |object| Notice::Change { kind: NoticeKind::Added, object, event: None };
        let mut batch: Vec<Notice> = rest.drain(..count).map(added).collect();
        if rest.is_empty() {
            if let Some(revision) = self.initial_end.take() {
                batch.push(Notice::Bookmark { revision, initial_events_end: true });
            }
            if let Stage::Initial { watch, .. } = std::mem::replace(&mut self.stage, Stage::Ending(None)) {
                self.stage = Stage::Live(watch);
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// `None`: nothing for this watcher among what happened, or the stage changed.
    async fn next_live(&mut self) -> Option<Vec<Notice>> {
        let Stage::Live(watch) = &mut self.stage else { return None };
        let now = self.clock.monotonic();
        let wake_at = match (self.ends_at, self.bookmarks) {
            (Some(end), true) => Some(end.min(self.bookmark_at)),
            (Some(end), false) => Some(end),
            (None, true) => Some(self.bookmark_at),
            (None, false) => None,
        };
        if wake_at.is_none_or(|at| at > now) {
            let wake = until(&self.clock, wake_at);
            tokio::select! {
                biased;
                batch = watch.next_batch() => return match batch {
                    Ok(events) => {
                        if let Some(last) = events.last() {
                            self.seen = last.revision;
                        }
                        let notices: Vec<Notice> =
                            events.into_iter().filter_map(|event| notice(&self.selection, event)).collect();
                        (!notices.is_empty()).then_some(notices)
                    }
                    Err(error) => {
                        let end = matches!(error, Error::Closed);
                        let seen = self.seen;
                        self.stage = Stage::Ending((!end).then(|| self.failure(&error, seen)));
                        None
                    }
                },
                () = retirement(self.retired.as_ref()) => {
                    self.stage = Stage::Ending(None);
                    return None;
                }
                () = wake => {}
            }
        }
        let revision = watch.progress().max(self.seen);
        let now = self.clock.monotonic();
        let ended = self.ends_at.is_some_and(|end| end <= now);
        if ended {
            self.stage = Stage::Ending(None);
            return None;
        }
        self.bookmark_at = self.next_bookmark();
        self.bookmarks.then(|| vec![Notice::Bookmark { revision, initial_events_end: false }])
    }
}

/// Resolves when the type is gone or another one stands in its place.
async fn retirement(of: Option<&Shutdown>) {
    match of {
        Some(retired) => retired.wait().await,
        None => std::future::pending().await,
    }
}

async fn until(clock: &Arc<dyn Clock>, moment: Option<Duration>) {
    match moment {
        Some(moment) => clock.sleep(moment.saturating_sub(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}

/// How a change looks through selectors: an object that starts or ceases to match is added or deleted.
fn notice(selection: &Selection, event: Arc<Event>) -> Option<Notice> {
    let now = event.kind != EventKind::Deleted && selection.matches(&event.object);
    let before = event.previous.as_ref().is_some_and(|previous| selection.matches(previous));
    let kind = match (before, now) {
        (false, false) => return None,
        (false, true) => NoticeKind::Added,
        (true, true) => NoticeKind::Modified,
        (true, false) => NoticeKind::Deleted,
    };
    if kind == NoticeKind::Deleted && event.kind != EventKind::Deleted {
        // The watcher is told of the last state that it could see, at the revision at which it left.
        let previous = event.previous.as_ref()?;
        let object = persist::at_revision(previous, event.revision);
        return Some(Notice::Change { kind, object, event: None });
    }
    Some(Notice::Change { kind, object: event.object.clone(), event: Some(event) })
}
