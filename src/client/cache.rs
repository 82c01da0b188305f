//! Shared caches: the present objects of one type, each parsed once into a view that holds what its readers need, with
//! indexes by namespace, owner and one key of the type's own. Fed by `reflector`; read by every controller of a side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::meta::{Meta, ObjectName};
use super::reflector::Sink;
use super::resource::Resource;

/// A view of an object that a cache can hold.
pub trait Cached: DeserializeOwned + Send + Sync + 'static {
    /// The metadata of the object.
    fn meta(&self) -> &Meta;

    /// The key of the type's own index (of pods: the node); empty for none.
    fn index_key(&self) -> &str {
        ""
    }

    /// Takes from another object of the type what is the same in both and can be shared, so that it is held once.
    fn resemble(&mut self, _other: &Self) {}

    /// Whether the readers of the cache look at the object in this state. One at which they do not is not held: it is
    /// as if it were gone.
    fn wanted(&self) -> bool {
        true
    }
}

/// A change of a cache.
#[derive(Debug)]
pub enum Delta<'a, T> {
    Added(&'a Arc<T>),
    Updated { old: &'a Arc<T>, new: &'a Arc<T> },
    Deleted(&'a Arc<T>),
}

/// The present objects of one type.
pub struct Cache<T> {
    pub resource: Resource,
    /// The objects and their indexes; held for single look-ups and changes. Taken after `handlers`.
    shelf: RwLock<Shelf<T>>,
    /// Who is told of changes; held while they are told, so a handler must be quick and not subscribe.
    handlers: RwLock<Vec<Handler<T>>>,
    progress: watch::Sender<Progress>,
}

type Handler<T> = Box<dyn Fn(&Delta<'_, T>) + Send + Sync>;
type Group<T> = HashMap<Arc<str>, HashMap<ObjectName, Arc<T>>>;

struct Shelf<T> {
    /// The one that was put in last.
    latest: Option<Arc<T>>,
    items: HashMap<Arc<str>, HashMap<Arc<str>, Arc<T>>>,
    by_owner: Group<T>,
    by_index: Group<T>,
}

/// How far a cache has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    synced: bool,
    revision: u64,
}

impl<T> Delta<'_, T> {
    /// The present state, or the last one of what is gone.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Delta::Added(object) | Delta::Deleted(object) | Delta::Updated { new: object, .. } => object,
        }
    }
}

impl<T: Cached> Cache<T> {
    /// An empty cache.
    pub fn new(resource: Resource) -> Arc<Self> {
        let shelf = Shelf { latest: None, items: HashMap::new(), by_owner: HashMap::new(), by_index: HashMap::new() };
        Arc::new(Self {
            resource,
            shelf: RwLock::new(shelf),
            handlers: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
        })
    }

    /// Calls `handler` for all objects as added, and then for every change in order.
    pub fn subscribe(&self, handler: impl Fn(&Delta<'_, T>) + Send + Sync + 'static) {
        // Changes wait for the handlers; one that is seen already comes once more.
        let mut handlers = self.handlers.write();
        for object in &self.all() {
            handler(&Delta::Added(object));
        }
        handlers.push(Box::new(handler));
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.shelf.read().items.get(namespace)?.get(name).cloned()
    }

    /// The objects of a namespace, in no order.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let shelf = self.shelf.read();
        shelf.items.get(namespace).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// All objects, in no order.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.shelf.read().items.values().flat_map(HashMap::values).cloned().collect()
    }

    /// The objects that name the uid among their owners, in no order.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.shelf.read().by_owner.get(uid).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// The objects with this key in the type's own index, in no order.
    pub fn indexed(&self, key: &str) -> Vec<Arc<T>> {
        self.shelf.read().by_index.get(key).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.shelf.read().items.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Resolves when the first whole state is in.
    pub async fn synced(&self) {
        // The sender lives in self, so the wait cannot fail.
        drop(self.progress.subscribe().wait_for(|progress| progress.synced).await);
    }

    /// Resolves when every write up to `revision` is in: what one wrote, one then reads. Gives up after
    /// `CATCH_UP_MAX`, when the watch is broken for good.
    pub async fn reached(&self, revision: u64, clock: &dyn crate::base::Clock) {
        if self.progress.borrow().revision >= revision {
            return;
        }
        let mut progress = self.progress.subscribe();
        let limit = clock.sleep(CATCH_UP_MAX);
        tokio::select! {
            _ = progress.wait_for(|progress| progress.revision >= revision) => {}
            () = limit => tracing::warn!(resource = %self.resource.plural, revision, "cache did not catch up"),
        }
    }

    fn tell(&self, delta: &Delta<'_, T>) {
        for handler in self.handlers.read().iter() {
            handler(delta);
        }
    }
}

impl<T: Cached> Sink for Cache<T> {
    type View = T;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn put(&self, mut object: T) -> u64 {
        if !object.wanted() {
            return self.remove(object);
        }
        let alike = self.shelf.read().alike(&object);
        if let Some(alike) = alike {
            object.resemble(&alike);
        }
        let object = Arc::new(object);
        let revision = object.meta().revision();
        let old = self.shelf.write().insert(&object);
        match &old {
            Some(old) => self.tell(&Delta::Updated { old, new: &object }),
            None => self.tell(&Delta::Added(&object)),
        }
        self.advance(revision);
        revision
    }

    fn remove(&self, last: T) -> u64 {
        let revision = last.meta().revision();
        let removed = self.shelf.write().remove(&last.meta().namespace, &last.meta().name);
        if removed.is_some() {
            self.tell(&Delta::Deleted(&Arc::new(last)));
        }
        self.advance(revision);
        revision
    }

    fn replace(&self, objects: Vec<T>, revision: u64) {
        let mut gone: HashMap<ObjectName, Arc<T>> =
            self.all().into_iter().map(|object| (object.meta().object_name(), object)).collect();
        for object in objects.into_iter().filter(T::wanted) {
            gone.remove(&object.meta().object_name());
            self.put(object);
        }
        for (name, object) in gone {
            self.shelf.write().remove(&name.namespace, &name.name);
            self.tell(&Delta::Deleted(&object));
        }
        self.shelf.write().shrink();
        self.progress.send_modify(|progress| {
            progress.synced = true;
            progress.revision = progress.revision.max(revision);
        });
    }

    fn advance(&self, revision: u64) {
        self.progress.send_if_modified(|progress| {
            let advanced = progress.synced && revision > progress.revision;
            if advanced {
                progress.revision = revision;
            }
            advanced
        });
    }

    async fn synced(&self) {
        Self::synced(self).await;
    }
}

/// How long a reader waits for its own writes before it goes on; upstream's life of an expectation.
const CATCH_UP_MAX: Duration = Duration::from_secs(300);

impl<T: Cached> Shelf<T> {
    /// The object that is most likely to have much in common with this one: its present state, another with the same
    /// owner, or the one before it.
    fn alike(&self, object: &T) -> Option<Arc<T>> {
        let meta = object.meta();
        let present = || self.items.get(meta.namespace.as_str())?.get(meta.name.as_str());
        let sibling = || self.by_owner.get(meta.owner_references.first()?.uid.as_str())?.values().next();
        present().or_else(sibling).or(self.latest.as_ref()).cloned()
    }

    fn insert(&mut self, object: &Arc<T>) -> Option<Arc<T>> {
        let meta = object.meta();
        let mut name = meta.object_name();
        // All names hold the same texts as the keys, so that each is there once.
        if let Some((namespace, group)) = self.items.get_key_value(&name.namespace) {
            name.namespace = Arc::clone(namespace);
            if let Some((known, _)) = group.get_key_value(&name.name) {
                name.name = Arc::clone(known);
            }
        }
        self.latest = Some(Arc::clone(object));
        let group = self.items.entry(Arc::clone(&name.namespace)).or_default();
        let old = group.insert(Arc::clone(&name.name), Arc::clone(object));
        if let Some(old) = &old {
            self.unlink(&name, old, Some(object));
        }
        for owner in &meta.owner_references {
            link(&mut self.by_owner, &owner.uid, &name, object);
        }
        link(&mut self.by_index, object.index_key(), &name, object);
        old
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let group = self.items.get_mut(namespace)?;
        let old = group.remove(name)?;
        if group.is_empty() {
            self.items.remove(namespace);
        }
        self.latest.take_if(|latest| Arc::ptr_eq(latest, &old));
        self.unlink(&ObjectName::new(namespace, name), &old, None);
        Some(old)
    }

    /// Takes the old state out of the groups in which the new one is not.
    fn unlink(&mut self, name: &ObjectName, old: &T, new: Option<&Arc<T>>) {
        let keeps = |uid: &str| new.is_some_and(|new| new.meta().owner_references.iter().any(|o| o.uid == uid));
        for owner in old.meta().owner_references.iter().filter(|owner| !keeps(&owner.uid)) {
            unlink(&mut self.by_owner, &owner.uid, name);
        }
        if new.is_none_or(|new| new.index_key() != old.index_key()) {
            unlink(&mut self.by_index, old.index_key(), name);
        }
    }

    fn shrink(&mut self) {
        self.items.shrink_to_fit();
        self.by_owner.shrink_to_fit();
        self.by_index.shrink_to_fit();
    }
}

fn link<T>(group: &mut Group<T>, key: &str, name: &ObjectName, object: &Arc<T>) {
    if key.is_empty() {
        return;
    }
    if let Some(members) = group.get_mut(key) {
        members.insert(name.clone(), Arc::clone(object));
    } else {
        group.insert(key.into(), HashMap::from([(name.clone(), Arc::clone(object))]));
    }
}

fn unlink<T>(group: &mut Group<T>, key: &str, name: &ObjectName) {
    if let Some(members) = group.get_mut(key) {
        members.remove(name);
        if members.is_empty() {
            group.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;
    use futures::FutureExt;
    use parking_lot::Mutex;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    struct View {
        metadata: Meta,
        #[serde(default)]
        node: String,
        #[serde(skip)]
        shared: Arc<()>,
    }

    impl Cached for View {
        fn meta(&self) -> &Meta {
            &self.metadata
        }

        fn index_key(&self) -> &str {
            &self.node
        }

        fn wanted(&self) -> bool {
            self.node != "nowhere"
        }

        fn resemble(&mut self, other: &Self) {
            self.shared = Arc::clone(&other.shared);
        }
    }

    fn view(name: &str, revision: u64, node: &str, owner: &str) -> View {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "a", "name": name, "resourceVersion": revision.to_string(),
                "ownerReferences": [{"uid": owner}]},
            "node": node,
        }))
        .unwrap()
    }

    fn names(views: &[Arc<View>]) -> Vec<&str> {
        let mut names: Vec<_> = views.iter().map(|view| view.metadata.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn indexes_follow_an_object_that_changes_its_node_and_owner() {
        let cache = Cache::<View>::new(Resource::PODS.clone());
        cache.replace(vec![view("x", 1, "n1", "o1"), view("y", 2, "n1", "o1")], 2);
        assert_eq!(names(&cache.indexed("n1")), ["x", "y"]);
        cache.put(view("x", 3, "n2", "o2"));
        assert_eq!(names(&cache.indexed("n1")), ["y"]);
        assert_eq!(names(&cache.indexed("n2")), ["x"]);
        assert_eq!(names(&cache.owned_by("o1")), ["y"]);
        assert_eq!(names(&cache.owned_by("o2")), ["x"]);
        cache.remove(view("x", 4, "n2", "o2"));
        assert_eq!(names(&cache.all()), ["y"]);
        assert!(cache.owned_by("o2").is_empty());
    }

    #[test]
    fn an_object_shares_with_its_state_before_then_with_a_sibling_then_with_the_latest() {
        let cache = Cache::<View>::new(Resource::PODS.clone());
        let shared = |name: &str| Arc::clone(&cache.get("a", name).unwrap().shared);
        cache.put(view("x", 1, "", "o1"));
        let first = shared("x");
        cache.put(view("y", 2, "", "o2"));
        assert!(Arc::ptr_eq(&shared("y"), &first));
        cache.remove(view("y", 3, "", "o2"));
        cache.put(view("z", 4, "", "o2"));
        assert!(!Arc::ptr_eq(&shared("z"), &first));
        cache.put(view("v", 5, "", "o1"));
        cache.put(view("x", 6, "", "o2"));
        assert!(Arc::ptr_eq(&shared("v"), &first) && Arc::ptr_eq(&shared("x"), &first));
    }

    #[test]
    fn a_whole_new_state_tells_what_came_changed_and_went() {
        let cache = Cache::<View>::new(Resource::PODS.clone());
        cache.replace(vec![view("x", 1, "", "o"), view("y", 2, "", "o")], 2);
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        cache.subscribe(move |delta| {
            let word = match delta {
                Delta::Added(_) => "added",
                Delta::Updated { .. } => "updated",
                Delta::Deleted(_) => "deleted",
            };
            log.lock().push(format!("{word} {}", delta.object().metadata.name));
        });
        told.lock().clear();
        cache.replace(vec![view("y", 3, "", "o"), view("z", 4, "", "o")], 4);
        assert_eq!(*told.lock(), ["updated y", "added z", "deleted x"]);
    }

    #[test]
    fn an_object_that_is_not_wanted_any_more_is_told_as_deleted_and_counts_as_seen() {
        let clock = ManualClock::new(jiff::Timestamp::UNIX_EPOCH);
        let cache = Cache::<View>::new(Resource::PODS.clone());
        cache.replace(vec![view("x", 1, "", "o"), view("y", 2, "nowhere", "o")], 2);
        assert_eq!(names(&cache.all()), ["x"]);
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&deleted);
        cache.subscribe(move |delta| {
            if let Delta::Deleted(last) = delta {
                log.lock().push(last.metadata.resource_version.clone());
            }
        });
        cache.put(view("x", 3, "nowhere", "o"));
        cache.put(view("x", 4, "nowhere", "o"));
        assert!(cache.is_empty() && cache.owned_by("o").is_empty());
        assert_eq!(*deleted.lock(), ["3"]);
        assert!(cache.reached(4, &clock).now_or_never().is_some());
    }

    #[test]
    fn a_reader_waits_until_its_own_write_is_in() {
        let clock = ManualClock::new(jiff::Timestamp::UNIX_EPOCH);
        let cache = Cache::<View>::new(Resource::PODS.clone());
        cache.replace(Vec::new(), 5);
        assert!(cache.reached(5, &clock).now_or_never().is_some());
        assert!(cache.reached(6, &clock).now_or_never().is_none());
        cache.put(view("x", 6, "", "o"));
        assert!(cache.reached(6, &clock).now_or_never().is_some());
    }
}
