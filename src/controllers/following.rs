//! Caches of the metadata of a set of resources that changes while the server runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::Context;
use crate::base::Shutdown;
use crate::client::{Cache, Cached, Resource, Selection, follow};

/// How long a new cache is waited for; one that cannot be filled must not hold up the others.
const FILL_MAX: Duration = Duration::from_secs(5);

/// What is done with a new cache.
type Begin<T> = dyn Fn(&Arc<Cache<T>>) + Send + Sync;

/// The resources that are followed, one cache each.
pub(super) struct Following<T> {
    ctx: Context,
    /// Subscribes to a new cache, before anything is in it.
    begin: Box<Begin<T>>,
    /// The end of each watch that runs, by resource; held for single steps.
    watches: Mutex<HashMap<Resource, Shutdown>>,
}

impl<T: Cached> Following<T> {
    /// Follows nothing yet; `begin` is told of each cache before it is filled.
    pub(super) fn new(ctx: Context, begin: impl Fn(&Arc<Cache<T>>) + Send + Sync + 'static) -> Self {
        Self { ctx, begin: Box::new(begin), watches: Mutex::default() }
    }

    /// Follows these resources and no others. Returns those that are no longer followed once the new ones are known.
    pub(super) async fn set(&self, wanted: Vec<Resource>) -> Vec<Resource> {
        let (mut fresh, mut ended) = (Vec::new(), Vec::new());
        {
            let mut watches = self.watches.lock();
            watches.retain(|resource, end| {
                let kept = wanted.contains(resource);
                if !kept {
                    end.begin();
                    ended.push(resource.clone());
                }
                kept
            });
            for resource in wanted {
                if !watches.contains_key(&resource) {
                    let end = self.ctx.tasks.shutdown().child();
                    watches.insert(resource.clone(), end.clone());
                    fresh.push(self.watch(resource, end));
                }
            }
        }
        let limit = self.ctx.clock.sleep(FILL_MAX);
        let filled = futures::future::join_all(fresh.iter().map(|cache| cache.synced()));
        tokio::select! {
            _ = filled => {}
            () = limit => {}
        }
        ended
    }

    fn watch(&self, resource: Resource, end: Shutdown) -> Arc<Cache<T>> {
        let cache = Cache::<T>::new(resource);
        (self.begin)(&cache);
        let selection = Selection { metadata_only: true, ..Selection::default() };
        let follow = follow(Arc::clone(&cache), self.ctx.client.clone(), selection, Arc::clone(&self.ctx.clock));
        self.ctx.tasks.spawn("metadata cache", async move {
            tokio::select! {
                () = follow => {}
                () = end.wait() => {}
            }
        });
        cache
    }
}
