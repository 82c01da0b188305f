//! Reading: get and list. Never parses an object that is served in its stored form, never touches the disk unless the
//! past is asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::continue_token::ContinueToken;
use super::conversion::Reading;
use super::ownership::to_served;
use super::select::Selection;
use super::{Answer, Call, Listing, Registry, persist};
use crate::api::request::{ListOptions, VersionMatch};
use crate::api::{Object, Result, Revision, Status};
use crate::resources::Kind;
use crate::storage::{Collection, Error, Snapshot, Stored};

/// How long a read waits for a resourceVersion that has not happened yet, as upstream's watch cache.
const FRESH_WAIT_MAX: Duration = Duration::from_secs(3);

/// How many snapshots of lists that are being paged are kept at hand; an older one is read from the log again.
const PAGED_MAX: usize = 8;

/// Snapshots that continue tokens point to.
#[derive(Default)]
pub(super) struct Paged {
    /// Newest last. Held for a push or a search only.
    snapshots: Mutex<VecDeque<Kept>>,
}

struct Kept {
    snapshot: Snapshot,
    /// Of the list that was paged last, so that its next page need not count.
    rest: Option<Rest>,
}

/// What follows a page: so many objects of the selection of a path, after the last one of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    collection: Collection,
    /// Empty: all.
    namespace: String,
    last: (String, String),
    count: u64,
}

impl Paged {
    /// `compacted`: what is older is let go of, and holds no memory.
    fn keep(&self, snapshot: &Snapshot, rest: Option<Rest>, compacted: Revision) {
        let mut snapshots = self.snapshots.lock();
        snapshots.retain(|kept| kept.snapshot.revision() >= compacted);
        if let Some(kept) = snapshots.iter_mut().find(|kept| kept.snapshot.revision() == snapshot.revision()) {
            kept.rest = rest;
            return;
        }
        if snapshots.len() == PAGED_MAX {
            snapshots.pop_front();
        }
        snapshots.push_back(Kept { snapshot: snapshot.clone(), rest });
    }

    fn find(&self, revision: Revision) -> Option<Snapshot> {
        let snapshots = self.snapshots.lock();
        snapshots.iter().map(|kept| &kept.snapshot).find(|snapshot| snapshot.revision() == revision).cloned()
    }

    /// What follows an object of a list whose last page ended with it.
    fn rest(&self, snapshot: &Snapshot, selection: &Selection, last: (&str, &str)) -> Option<u64> {
        let snapshots = self.snapshots.lock();
        let kept = snapshots.iter().find(|kept| kept.snapshot.revision() == snapshot.revision())?;
        let same = |rest: &&Rest| {
            rest.collection == *selection.collection()
                && rest.namespace == selection.namespace()
                && (rest.last.0.as_str(), rest.last.1.as_str()) == last
        };
        kept.rest.as_ref().filter(same).map(|rest| rest.count)
    }
}

impl Registry {
    /// One object. `not_older_than`: the `resourceVersion` parameter.
    ///
    /// # Errors
    /// 404; 504 when `not_older_than` does not happen in time.
    pub async fn get(&self, call: &Call, not_older_than: Option<Revision>) -> Result<Answer> {
        if let Some(revision) = not_older_than {
            self.fresh(revision).await?;
        }
        if let Some(component) = self.component(call) {
            return component.map(Answer::Object);
        }
        let stored = self.find(call)?;
        let stored = self.one_converted(&call.kind, &stored, Reading::One).await?;
        match call.target.subresource.as_str() {
            "scale" => self.scale_of(call, &stored).map(Answer::Object),
            _ => Ok(Answer::Stored(stored)),
        }
    }

    /// The stored object that a call names.
    pub(super) fn find(&self, call: &Call) -> Result<Arc<Stored>> {
        let key = self.named_key(call)?;
        let snapshot = self.store.snapshot();
        let found = snapshot.get(&key).cloned();
        found.ok_or_else(|| Status::not_found(&call.kind.group_resource(), &call.target.name))
    }

    /// An object in the version of `kind`.
    ///
    /// # Errors
    /// 500 when the stored bytes do not decode.
    pub fn serve(&self, kind: &Kind, stored: &Stored) -> Result<Object> {
        Ok(to_served(kind, persist::tree(kind, stored)?))
    }

    /// Whether the bytes of a stored object are what the kind serves.
    pub fn served_as_stored(kind: &Kind, stored: &Stored) -> bool {
        persist::as_stored(kind, stored)
    }

    /// A page of objects in the order of namespace and name.
    ///
    /// # Errors
    /// 400 for selectors and tokens, 410 for what is compacted, 504 for what does not happen in time.
    pub async fn list(&self, call: &Call, options: &ListOptions) -> Result<Listing> {
        let selection = Selection::parse(call, options)?;
        if let Some(listing) = self.components(call, &selection) {
            return Ok(listing);
        }
        let over_namespaces = call.kind.namespaced && call.target.namespace.is_empty();
        let token = match options.continue_token.as_str() {
            "" => None,
            token => Some(ContinueToken::decode(token, over_namespaces)?),
        };
        let snapshot = self.snapshot_for(options, &selection, (token.as_ref(), over_namespaces)).await?;
        let mut page = self.page(&snapshot, &selection, Page { options, token: token.as_ref(), over_namespaces });
        page.items = self.converted(&call.kind, page.items, Reading::Many).await?;
        Ok(page)
    }

    async fn snapshot_for(
        &self,
        options: &ListOptions,
        selection: &Selection,
        (token, over): (Option<&ContinueToken>, bool),
    ) -> Result<Snapshot> {
        if let Some(token) = token {
            if options.resource_version.is_some_and(|r| r.0 != 0) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let Some(revision) = token.revision else { return Ok(self.store.snapshot()) };
            // What is compacted is told as such, also to those who go on asking.
            if revision >= self.store.compacted()
                && let Some(snapshot) = self.paged.find(revision)
            {
                return Ok(snapshot);
            }
            return match self.store.at(revision).await {
                Err(Error::Compacted { .. }) => {
                    let rest = ContinueToken { revision: None, ..token.clone() };
                    Err(Status::expired(TOKEN_TOO_OLD).with_continue(rest.encode(over)))
                }
                other => self.past(other, revision),
            };
        }
        let Some(revision) = options.resource_version.filter(|r| r.0 != 0) else { return Ok(self.store.snapshot()) };
        let exact = match options.version_match {
            Some(VersionMatch::Exact) => true,
            Some(VersionMatch::NotOlderThan) => false,
            // Upstream gets a single object, of which there are no pages.
            None => options.limit > 0 && selection.single().is_none(),
        };
        if exact {
            return self.past(self.store.at(revision).await, revision);
        }
        self.fresh(revision).await?;
        Ok(self.store.snapshot())
    }

    fn past(&self, snapshot: std::result::Result<Snapshot, Error>, asked: Revision) -> Result<Snapshot> {
        snapshot.map_err(|error| match error {
            Error::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
            Error::Future { current } => Status::resource_version_too_large(asked.0, current.0),
            other => Status::internal(other),
        })
    }

    /// Waits until the store has reached a revision, for a bounded time.
    pub(super) async fn fresh(&self, revision: Revision) -> Result<()> {
        if self.store.revision() >= revision {
            return Ok(());
        }
        let patience = self.clock.sleep(FRESH_WAIT_MAX);
        tokio::select! {
            reached = self.store.reached(revision) => reached.map_err(Status::internal),
            () = patience => Err(Status::resource_version_too_large(revision.0, self.store.revision().0)),
        }
    }

    fn page<'a>(&self, snapshot: &'a Snapshot, selection: &'a Selection, page: Page<'a>) -> Listing {
        let limit = usize::try_from(page.limit()).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
        // The token of a list within one namespace does not name it.
        let namespace = |t: &'a ContinueToken| if page.over_namespaces { &*t.namespace } else { selection.namespace() };
        let start = page.token.map(|t| (namespace(t), t.name.as_str()));
        let first = page.token.filter(|token| token.included).and_then(|token| {
            let found = snapshot.get(&selection.key(namespace(token), &token.name));
            found.filter(|stored| selection.matches(stored))
        });
        let mut items: Vec<Arc<Stored>> = Vec::new();
        let mut more = false;
        for stored in first.into_iter().chain(selection.candidates(snapshot, start)) {
            items.push(stored.clone());
            if items.len() == limit {
                // Upstream stops here without looking whether what follows is meant.
                more = selection.anything_after(snapshot, stored);
                break;
            }
        }
        let revision = snapshot.revision();
        let mut listing = Listing { revision, items, continue_token: String::new(), remaining: None };
        if more && let Some(last) = listing.items.last() {
            let token = ContinueToken {
                revision: Some(revision),
                namespace: last.key.namespace.to_string(),
                name: last.key.name.to_string(),
                included: false,
            };
            listing.continue_token = token.encode(page.over_namespaces);
            let mut rest = None;
            if selection.everything() {
                let before = start.filter(|_| first.is_none());
                let before = before.and_then(|start| self.paged.rest(snapshot, selection, start));
                let known = before.and_then(|before| before.checked_sub(listing.items.len() as u64));
                // Of the first page it is known how many there are in all.
                let all = || selection.count(snapshot).checked_sub(listing.items.len());
                let known = known.or_else(|| all().filter(|_| page.token.is_none()).map(|rest| rest as u64));
                let counted = |last| selection.candidates(snapshot, Some(last)).count() as u64;
                let count = known.unwrap_or_else(|| counted((&*last.key.namespace, &*last.key.name)));
                listing.remaining = Some(count);
                rest = Some(Rest {
                    collection: selection.collection().clone(),
                    namespace: selection.namespace().to_owned(),
                    last: (token.namespace, token.name),
                    count,
                });
            }
            self.paged.keep(snapshot, rest, self.store.compacted());
        }
        listing
    }
}

struct Page<'a> {
    options: &'a ListOptions,
    token: Option<&'a ContinueToken>,
    over_namespaces: bool,
}

impl Page<'_> {
    /// What is read from any version comes whole: upstream's watch cache knows no pages then.
    fn limit(&self) -> u64 {
        let from_cache = self.options.resource_version.is_some_and(|revision| revision.0 == 0);
        if from_cache && self.token.is_none() { 0 } else { self.options.limit }
    }
}

/// Upstream's words for a continue token whose revision is compacted (apiserver `pkg/storage/etcd3/errors.go`).
const TOKEN_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can \
start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder \
of the results. Continuing with the provided token results in an inconsistent list - objects that were created, \
modified, or deleted between the time the first chunk was returned and now may show up in the list.";
