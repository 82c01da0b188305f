//! What kube-apiserver itself keeps in order, whatever `--controllers` says: the conditions of FlowSchemas and of the
//! first range of Service addresses, APIServices of custom groups, and whether those of other servers are available. It
//! acts as upstream's loopback client does.

mod api_services;
mod availability;
mod flow_schemas;
mod service_range;

use std::sync::Arc;

use futures::future::join_all;

use crate::api::request::User;
use crate::base::{Clock, Tasks};
use crate::client::{
    Cache, Cached, Client, Error, ObjectName, Outcome, Queue, Resource, Selection, Transport, follow, work,
};

const AGENT: &str = "kube-apiserver";
const WORKERS: usize = 4;

/// What each of them works with.
struct Upkeep {
    client: Client,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

/// Starts them; resolves when each has seen to all that is there. They end with the tasks' shutdown.
pub async fn start(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, tasks: &Tasks) {
    let user = User {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..User::default()
    };
    let upkeep = Upkeep { client: Client::new(transport, user, AGENT), clock, tasks: tasks.clone() };
    futures::join!(
        flow_schemas::start(&upkeep),
        service_range::start(&upkeep),
        api_services::start(&upkeep),
        availability::start(&upkeep)
    );
}

impl Upkeep {
    /// A cache that is filled.
    async fn cache<T: Cached>(&self, resource: &Resource) -> Arc<Cache<T>> {
        let cache = Cache::<T>::new(resource.clone());
        let follow = follow(Arc::clone(&cache), self.client.clone(), Selection::default(), Arc::clone(&self.clock));
        self.tasks.spawn("apiserver cache", follow);
        cache.synced().await;
        cache
    }

    /// A queue of the names of what changes in a cache.
    fn queue_of<T: Cached>(&self, cache: &Cache<T>) -> Arc<Queue<ObjectName>> {
        let queue = Queue::new(Arc::clone(&self.clock));
        let changed = Arc::clone(&queue);
        cache.subscribe(move |delta| changed.add(delta.object().meta().object_name()));
        queue
    }

    /// Sees to all names once, then to each as it comes.
    async fn keep<R, F>(&self, queue: Arc<Queue<ObjectName>>, all: Vec<ObjectName>, reconcile: R)
    where
        R: Fn(ObjectName) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Outcome, Error>> + Send + 'static,
    {
        // What fails now is tried again by the queue, which has all names, too.
        drop(join_all(all.into_iter().map(&reconcile)).await);
        self.tasks.spawn("apiserver upkeep", async move { work(queue, WORKERS, "kube-apiserver", reconcile).await });
    }
}
