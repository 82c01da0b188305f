//! What a controller works with: its client, its event recorder, the clock, and the caches that all controllers share
//! under kube-controller-manager's own name, as upstream's informers do.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Controller, Settings};
use crate::api::request::User;
use crate::auth::CertificateSigner;
use crate::base::{Clock, Tasks};
use crate::client::{
    Cache, Cached, Client, EventApi, EventText, Meta, ObjectName, Queue, Recorder, Regarding, Resource, Selection,
    Transport, follow,
};

const AGENT: &str = "kube-controller-manager";

/// A view that controllers share a cache of.
pub(super) trait Shared: Cached {
    const RESOURCE: &'static Resource;

    /// Which of the objects; all, unless the view says otherwise.
    fn selection() -> Selection {
        Selection::default()
    }
}

/// What one controller works with.
#[derive(Clone)]
pub struct Context {
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    name: &'static str,
    recorder: Recorder,
    caches: Arc<Caches>,
}

impl Context {
    /// For a controller, with the caches of all.
    pub(super) fn new(controller: &Controller, caches: Arc<Caches>) -> Self {
        let user = service_account(controller.account);
        let client = Client::new(Arc::clone(&caches.transport), user, AGENT);
        let clock = Arc::clone(&caches.clock);
        let (recorder, writer) = Recorder::new(client.clone(), controller.source, EventApi::Core, Arc::clone(&clock));
        caches.tasks.spawn("event recorder", writer);
        Self { client, clock, tasks: caches.tasks.clone(), name: controller.name, recorder, caches }
    }

    /// The shared cache of a type, once it is filled.
    pub(super) async fn cache<T: Shared>(&self) -> Arc<Cache<T>> {
        let cache = self.caches.cache::<T>();
        cache.synced().await;
        cache
    }

    /// The certificate of the cluster's authority in PEM; empty when it is not known.
    pub(super) fn root_ca(&self) -> &str {
        &self.caches.settings.root_ca
    }

    /// What signs approved certificate requests.
    pub(super) fn signer(&self) -> Option<&CertificateSigner> {
        self.caches.settings.signer.as_ref()
    }

    /// A work queue, counted under the name of the controller.
    pub(super) fn queue<K: std::hash::Hash + Eq + Clone + Send + 'static>(&self) -> Arc<Queue<K>> {
        let queue = Queue::new(Arc::clone(&self.clock));
        self.caches.settings.queues.add(self.name, &queue);
        queue
    }

    /// A work queue that gets the name of every object of a cache that changes.
    pub(super) fn queue_of<T: Shared>(&self, cache: &Cache<T>) -> Arc<Queue<ObjectName>> {
        let queue = self.queue();
        let changed = Arc::clone(&queue);
        cache.subscribe(move |delta| changed.add(delta.object().meta().object_name()));
        queue
    }

    /// Records an event about an object of a cached type.
    pub(super) fn record<T: Shared>(&self, object: &T, text: EventText) {
        self.record_on(T::RESOURCE, object.meta(), text);
    }

    /// Records an event about an object.
    pub(super) fn record_on(&self, resource: &Resource, meta: &Meta, text: EventText) {
        self.recorder.record(Regarding::of(resource, meta), text, self.clock.now());
    }
}

/// The caches that all controllers share; each begins when it is first asked for.
pub(super) struct Caches {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    settings: Settings,
    client: Client,
    /// The caches by type of view; held for look-ups.
    by_type: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Caches {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        settings: Settings,
    ) -> Arc<Self> {
        let user = User {
            name: "system:kube-controller-manager".to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            ..User::default()
        };
        let client = Client::new(Arc::clone(&transport), user, AGENT);
        Arc::new(Self { transport, clock, tasks, settings, client, by_type: Mutex::default() })
    }

    fn cache<T: Shared>(&self) -> Arc<Cache<T>> {
        let mut by_type = self.by_type.lock();
        let known = by_type.get(&TypeId::of::<T>()).cloned().and_then(|cache| cache.downcast::<Cache<T>>().ok());
        known.unwrap_or_else(|| {
            let cache = Cache::<T>::new(T::RESOURCE.clone());
            let client = self.client.clone();
            let follow = follow(Arc::clone(&cache), client, T::selection(), Arc::clone(&self.clock));
            self.tasks.spawn("controller cache", follow);
            by_type.insert(TypeId::of::<T>(), Arc::clone(&cache) as Arc<dyn Any + Send + Sync>);
            cache
        })
    }
}

/// A ServiceAccount of `kube-system` as a user.
fn service_account(name: &str) -> User {
    User {
        name: format!("system:serviceaccount:kube-system:{name}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            "system:serviceaccounts:kube-system".to_owned(),
            "system:authenticated".to_owned(),
        ],
        ..User::default()
    }
}
