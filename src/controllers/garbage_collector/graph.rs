//! Who owns whom, by uid. Most objects of a cluster have no owner and wait for nothing: of these it is only known that
//! they are there, and where.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::watch;

use super::Key;
use super::plan::Owner;
use crate::api::Uid;
use crate::client::{Meta, OwnerReference, Resource, Sink, Time};

/// What is read of an object.
#[derive(Deserialize, Debug)]
#[serde(from = "Whole")]
pub(super) struct Object {
    uid: Uid,
    revision: u64,
    namespace: Box<str>,
    ties: Option<Box<Ties>>,
}

/// What is kept of an object that has owners, or waits for something before it goes.
#[derive(Debug)]
struct Ties {
    name: Box<str>,
    owners: Box<[OwnerReference]>,
    finalizers: Box<[String]>,
    deleted_at: Option<Time>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    metadata: Meta,
}

impl From<Whole> for Object {
    fn from(Whole { metadata }: Whole) -> Self {
        let tied = !metadata.owner_references.is_empty() || !metadata.finalizers.is_empty() || metadata.deleting();
        Self {
            uid: Uid::from(metadata.uid.as_str()),
            revision: metadata.revision(),
            namespace: metadata.namespace.into(),
            ties: tied.then(|| {
                Box::new(Ties {
                    name: metadata.name.into(),
                    owners: metadata.owner_references.into(),
                    finalizers: metadata.finalizers.into(),
                    deleted_at: metadata.deletion_timestamp,
                })
            }),
        }
    }
}

impl Ties {
    /// The metadata, as far as it is known.
    fn meta(&self, uid: &Uid, namespace: &str) -> Meta {
        Meta {
            name: self.name.to_string(),
            namespace: namespace.to_owned(),
            uid: uid.to_string(),
            owner_references: self.owners.to_vec(),
            finalizers: self.finalizers.to_vec(),
            deletion_timestamp: self.deleted_at.clone(),
            ..Meta::default()
        }
    }

    fn waiting(&self) -> bool {
        self.deleted_at.is_some() && self.finalizers.iter().any(|finalizer| finalizer == super::FOREGROUND)
    }

    /// It is being deleted, and that is for the collector to see to.
    fn due(&self) -> bool {
        let ours = |finalizer: &String| finalizer == super::ORPHAN || finalizer == super::FOREGROUND;
        self.deleted_at.is_some() && self.finalizers.iter().any(ours)
    }
}

/// An object that is there.
#[derive(Debug)]
struct Node {
    /// The place of its resource among all.
    resource: u32,
    namespace: Arc<str>,
    ties: Option<Box<Ties>>,
}

impl Node {
    fn owners(&self) -> &[OwnerReference] {
        self.ties.as_ref().map_or(&[], |ties| &ties.owners)
    }

    fn state(&self) -> Owner {
        if self.ties.as_ref().is_some_and(|ties| ties.waiting()) { Owner::Waiting } else { Owner::Present }
    }
}

#[derive(Default)]
struct Nodes {
    by_uid: HashMap<Uid, Node>,
    /// The objects that name an owner, whether that is there or not.
    dependents: HashMap<Uid, HashSet<Uid>>,
    /// The names of namespaces, each once.
    namespaces: HashSet<Arc<str>>,
}

/// With more names of namespaces than this, those that no object has any more are forgotten.
const NAMESPACES_MIN: usize = 1_024;

impl Nodes {
    fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(name) {
            return Arc::clone(known);
        }
        if self.namespaces.len() >= NAMESPACES_MIN && self.namespaces.len() == self.namespaces.capacity() {
            self.namespaces.retain(|name| Arc::strong_count(name) > 1);
        }
        let name: Arc<str> = name.into();
        self.namespaces.insert(Arc::clone(&name));
        name
    }

    fn state(&self, uid: &str) -> Option<Owner> {
        self.by_uid.get(&Uid::from(uid)).map(Node::state)
    }

    fn of_resource(&self, at: usize) -> impl Iterator<Item = &Uid> {
        self.by_uid.iter().filter(move |(_, node)| node.resource as usize == at).map(|(uid, _)| uid)
    }

    /// Puts an object in; gives what was known of it.
    fn put(&mut self, uid: &Uid, node: Node) -> Option<Node> {
        let before = self.by_uid.remove(uid);
        let same = before.as_ref().is_some_and(|before| before.owners() == node.owners());
        if !same {
            before.iter().for_each(|before| self.untie(uid, before));
            for owner in node.owners() {
                self.dependents.entry(Uid::from(owner.uid.as_str())).or_default().insert(uid.clone());
            }
        }
        self.by_uid.insert(uid.clone(), node);
        before
    }

    fn remove(&mut self, uid: &Uid) -> Option<Node> {
        let node = self.by_uid.remove(uid)?;
        self.untie(uid, &node);
        Some(node)
    }

    fn untie(&mut self, uid: &Uid, node: &Node) {
        for owner in node.owners() {
            let owner = Uid::from(owner.uid.as_str());
            if let Some(dependents) = self.dependents.get_mut(&owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }

    /// The owners that wait and may have lost their last dependent.
    fn waiting<'a>(&'a self, owners: &'a [OwnerReference]) -> impl Iterator<Item = Key> + 'a {
        let waits = |owner: &&OwnerReference| self.state(&owner.uid) == Some(Owner::Waiting);
        owners.iter().filter(waits).map(|owner| Key::Object(Uid::from(owner.uid.as_str())))
    }

    /// Takes a state in; adds the objects that are to be looked at because of it.
    fn note(&mut self, resource: u32, object: Object, woken: &mut Vec<Key>) {
        let Object { uid, namespace, ties, .. } = object;
        let node = Node { resource, namespace: self.namespace(&namespace), ties };
        if let Some(ties) = &node.ties {
            woken.extend(ties.due().then(|| Key::Object(uid.clone())));
            woken.extend(ties.waiting().then(|| Key::DependentsOf(uid.clone())));
        }
        let before = self.put(&uid, node);
        let owners = self.by_uid.get(&uid).map_or(&[][..], Node::owners);
        if before.as_ref().is_some_and(|before| before.owners() == owners) {
            return;
        }
        let doubtful = |owner: &OwnerReference| self.state(&owner.uid) != Some(Owner::Present);
        woken.extend(owners.iter().any(doubtful).then(|| Key::Object(uid.clone())));
        woken.extend(before.iter().flat_map(|before| self.waiting(before.owners())));
    }

    fn forget(&mut self, uid: &Uid, woken: &mut Vec<Key>) {
        let Some(node) = self.remove(uid) else { return };
        woken.push(Key::DependentsOf(uid.clone()));
        woken.extend(self.waiting(node.owners()));
    }
}

/// All objects that are known.
#[derive(Default)]
pub(super) struct Graph {
    /// Held for single steps.
    nodes: RwLock<Nodes>,
    /// All resources that were ever followed, and whether they are now; held for look-ups.
    resources: RwLock<Vec<(Resource, bool)>>,
}

impl Graph {
    /// Follows a resource; gives its place among all.
    fn add(&self, resource: &Resource) -> u32 {
        let mut resources = self.resources.write();
        let at = resources.iter().position(|(known, _)| known == resource).unwrap_or_else(|| {
            resources.push((resource.clone(), true));
            resources.len() - 1
        });
        resources[at].1 = true;
        u32::try_from(at).expect("no server serves so many resources")
    }

    /// Forgets the objects of a resource.
    pub(super) fn remove(&self, resource: &Resource) {
        let mut resources = self.resources.write();
        let Some(at) = resources.iter().position(|(known, _)| known == resource) else { return };
        resources[at].1 = false;
        drop(resources);
        let mut nodes = self.nodes.write();
        let gone: Vec<Uid> = nodes.of_resource(at).cloned().collect();
        for uid in gone {
            nodes.remove(&uid);
        }
    }

    /// The metadata of an object that has owners or waits for something, and its resource.
    pub(super) fn tied(&self, uid: &Uid) -> Option<(Resource, Meta)> {
        let nodes = self.nodes.read();
        let node = nodes.by_uid.get(uid)?;
        let meta = node.ties.as_ref()?.meta(uid, &node.namespace);
        Some((self.resources.read().get(node.resource as usize)?.0.clone(), meta))
    }

    /// The namespace and the state of an owner.
    pub(super) fn owner(&self, uid: &str) -> Option<(Arc<str>, Owner)> {
        let nodes = self.nodes.read();
        let node = nodes.by_uid.get(&Uid::from(uid))?;
        Some((Arc::clone(&node.namespace), node.state()))
    }

    /// The objects that name an owner.
    pub(super) fn dependents(&self, uid: &Uid) -> Vec<Uid> {
        self.nodes.read().dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// The watched resource of a kind.
    pub(super) fn resource_of(&self, group: &str, kind: &str) -> Option<Resource> {
        let resources = self.resources.read();
        let is = |resource: &Resource| resource.group == group && resource.kind == kind;
        resources.iter().find(|(resource, followed)| *followed && is(resource)).map(|(resource, _)| resource.clone())
    }
}

/// The objects of one resource on their way into the graph.
pub(super) struct Members {
    resource: Resource,
    place: u32,
    graph: Arc<Graph>,
    wake: Box<dyn Fn(Key) + Send + Sync>,
    synced: watch::Sender<bool>,
}

impl Members {
    /// Follows a resource. Objects that are to be looked at are named to `wake`.
    pub(super) fn new(graph: Arc<Graph>, resource: Resource, wake: impl Fn(Key) + Send + Sync + 'static) -> Arc<Self> {
        let place = graph.add(&resource);
        Arc::new(Self { resource, place, graph, wake: Box::new(wake), synced: watch::Sender::new(false) })
    }

    fn change(&self, change: impl FnOnce(&mut Nodes, &mut Vec<Key>)) {
        let mut woken = Vec::new();
        change(&mut self.graph.nodes.write(), &mut woken);
        woken.into_iter().for_each(&self.wake);
    }
}

impl Sink for Members {
    type View = Object;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn put(&self, object: Object) -> u64 {
        let revision = object.revision;
        self.change(|nodes, woken| nodes.note(self.place, object, woken));
        revision
    }

    fn remove(&self, last: Object) -> u64 {
        self.change(|nodes, woken| nodes.forget(&last.uid, woken));
        last.revision
    }

    fn replace(&self, objects: Vec<Object>, _revision: u64) {
        self.change(|nodes, woken| {
            if *self.synced.borrow() {
                let present: HashSet<&Uid> = objects.iter().map(|object| &object.uid).collect();
                let known = nodes.of_resource(self.place as usize);
                let gone: Vec<Uid> = known.filter(|uid| !present.contains(uid)).cloned().collect();
                gone.iter().for_each(|uid| nodes.forget(uid, woken));
            }
            objects.into_iter().for_each(|object| nodes.note(self.place, object, woken));
        });
        self.synced.send_replace(true);
    }

    fn advance(&self, _revision: u64) {}

    async fn synced(&self) {
        // The sender lives in self, so the wait cannot fail.
        drop(self.synced.subscribe().wait_for(|synced| *synced).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use serde_json::json;

    const OWNER: &str = "0b9de1bc-3f3b-4b0c-8b5e-2f6f0f6d7a01";
    const DEPENDENT: &str = "0b9de1bc-3f3b-4b0c-8b5e-2f6f0f6d7a02";

    fn object(uid: &str, more: &serde_json::Value) -> Object {
        let mut metadata = json!({ "name": "x", "namespace": "a", "uid": uid, "resourceVersion": "7" });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn dependent() -> Object {
        object(DEPENDENT, &json!({ "ownerReferences": [{ "kind": "Pod", "name": "o", "uid": OWNER }] }))
    }

    struct Pods {
        graph: Arc<Graph>,
        members: Arc<Members>,
        woken: Arc<Mutex<Vec<Key>>>,
    }

    fn pods() -> Pods {
        let (graph, woken) = (Arc::new(Graph::default()), Arc::new(Mutex::new(Vec::new())));
        let told = Arc::clone(&woken);
        let members = Members::new(Arc::clone(&graph), Resource::PODS.clone(), move |key| told.lock().push(key));
        Pods { graph, members, woken }
    }

    impl Pods {
        fn woken(&self) -> Vec<Key> {
            std::mem::take(&mut self.woken.lock())
        }
    }

    #[test]
    fn an_object_whose_owner_is_not_known_is_looked_at() {
        let pods = pods();
        pods.members.put(dependent());
        assert_eq!(pods.woken(), [Key::Object(DEPENDENT.into())]);
        pods.members.put(object(OWNER, &json!({})));
        pods.members.put(dependent());
        assert_eq!(pods.woken(), []);
        assert_eq!(pods.graph.owner(OWNER), Some(("a".into(), Owner::Present)));
        let (resource, meta) = pods.graph.tied(&DEPENDENT.into()).unwrap();
        assert_eq!((resource, &*meta.uid, &*meta.name), (Resource::PODS.clone(), DEPENDENT, "x"));
    }

    #[test]
    fn the_dependents_of_what_is_gone_are_looked_at_also_when_it_went_unseen() {
        let pods = pods();
        let gone = || [Key::DependentsOf(OWNER.into())];
        pods.members.replace(vec![object(OWNER, &json!({})), dependent()], 7);
        assert_eq!(pods.woken(), []);
        pods.members.remove(object(OWNER, &json!({})));
        assert_eq!(pods.woken(), gone());
        assert_eq!(pods.graph.dependents(&OWNER.into()), [Uid::from(DEPENDENT)]);
        pods.members.put(object(OWNER, &json!({})));
        pods.members.replace(vec![dependent()], 9);
        assert_eq!(pods.woken(), gone());
    }

    #[test]
    fn an_owner_that_waits_is_looked_at_when_a_dependent_lets_go() {
        let pods = pods();
        let waiting = json!({ "finalizers": ["foregroundDeletion"], "deletionTimestamp": "2026-01-01T00:00:00Z" });
        pods.members.replace(vec![object(OWNER, &json!({})), dependent()], 7);
        pods.members.put(object(OWNER, &waiting));
        assert_eq!(pods.woken(), [Key::Object(OWNER.into()), Key::DependentsOf(OWNER.into())]);
        pods.members.put(object(DEPENDENT, &json!({})));
        assert_eq!(pods.woken(), [Key::Object(OWNER.into())]);
        assert!(pods.graph.dependents(&OWNER.into()).is_empty());
    }

    #[test]
    fn what_is_no_longer_followed_is_forgotten() {
        let pods = pods();
        pods.members.replace(vec![object(OWNER, &json!({})), dependent()], 7);
        pods.graph.remove(Resource::PODS);
        assert!(pods.graph.owner(OWNER).is_none() && pods.graph.dependents(&OWNER.into()).is_empty());
        assert!(pods.graph.resource_of("", "Pod").is_none());
    }
}
