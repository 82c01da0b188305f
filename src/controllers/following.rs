//! What follows the metadata of a set of resources that changes while the server runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::Context;
use crate::base::Shutdown;
use crate::client::{Resource, Selection, Sink, follow};

/// How long the first state of new resources is waited for; one that does not come must not hold up the others.
const FILL_MAX: Duration = Duration::from_secs(5);

/// Makes what is fed with the objects of a resource.
type Begin<S> = dyn Fn(Resource) -> Arc<S> + Send + Sync;

/// The resources that are followed, one watch each.
pub(super) struct Following<S> {
    ctx: Context,
    begin: Box<Begin<S>>,
    /// The end of each watch that runs, by resource; held for single steps.
    watches: Mutex<HashMap<Resource, Shutdown>>,
}

impl<S: Sink> Following<S> {
    /// Follows nothing yet; `begin` is called for each resource before its objects come.
    pub(super) fn new(ctx: Context, begin: impl Fn(Resource) -> Arc<S> + Send + Sync + 'static) -> Self {
        Self { ctx, begin: Box::new(begin), watches: Mutex::default() }
    }

    /// Follows these resources and no others. Returns those that are no longer followed once the new ones are known.
    pub(super) async fn set(&self, wanted: HashSet<Resource>) -> Vec<Resource> {
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
        let filled = futures::future::join_all(fresh.iter().map(|sink| sink.synced()));
        tokio::select! {
            _ = filled => {}
            () = limit => {}
        }
        ended
    }

    fn watch(&self, resource: Resource, end: Shutdown) -> Arc<S> {
        let sink = (self.begin)(resource);
        let selection = Selection { metadata_only: true, ..Selection::default() };
        let follow = follow(Arc::clone(&sink), self.ctx.client.clone(), selection, Arc::clone(&self.ctx.clock));
        self.ctx.tasks.spawn("metadata watch", async move {
            tokio::select! {
                () = follow => {}
                () = end.wait() => {}
            }
        });
        sink
    }
}
