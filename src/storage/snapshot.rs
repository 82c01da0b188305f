//! The whole store at one revision: ordered, indexed, immutable, sharing all that did not change with its neighbours.
//! The engine edits a private copy and publishes it; everybody else reads.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{Collection, Facts, Index, Key, Stored};
use crate::api::Revision;

/// The whole store at one revision. Cloning costs nothing.
#[derive(Clone)]
pub struct Snapshot {
    state: Arc<State>,
}

impl Snapshot {
    pub(super) fn new(state: State) -> Self {
        Self { state: Arc::new(state) }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The revision whose state this is.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// The object with the key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.state.get(key)
    }

    /// As `get`, by the parts of the key.
    pub fn find(&self, collection: &str, namespace: &str, name: &str) -> Option<&Arc<Stored>> {
        self.state.shelves.get(collection)?.objects.get::<dyn Named + '_>(&(namespace, name))
    }

    /// Objects of a collection, or of one namespace of it, in the byte order of (namespace, name), after the object
    /// named `start_after` (namespace, name), which need not exist.
    pub fn list<'a>(
        &'a self,
        collection: &str,
        namespace: Option<&'a str>,
        start_after: Option<(&'a str, &'a str)>,
    ) -> Listing<'a> {
        let Some(shelf) = self.state.shelves.get(collection) else { return Listing { rows: None, namespace } };
        let first = (namespace.unwrap_or_default(), "");
        let start: Bound<&dyn Named> = match &start_after {
            Some(after) if *after >= first => Bound::Excluded(after),
            Some(_) | None => Bound::Included(&first),
        };
        Listing { rows: Some(shelf.objects.range::<_, dyn Named + '_>((start, Bound::Unbounded))), namespace }
    }

    /// How many objects a collection has.
    pub fn count(&self, collection: &str) -> usize {
        self.state.shelves.get(collection).map_or(0, |shelf| shelf.objects.len())
    }

    /// How many objects a namespace of a collection has; kept, not counted.
    pub fn count_in(&self, collection: &str, namespace: &str) -> usize {
        let shelf = self.state.shelves.get(collection);
        shelf.and_then(|shelf| shelf.namespaces.get(namespace)).copied().unwrap_or(0)
    }

    /// When a collection last changed; none when it never had an object. Compiled forms of it are current as long as
    /// this is the same.
    pub fn changed(&self, collection: &str) -> Revision {
        self.state.shelves.get(collection).map_or(Revision(0), |shelf| shelf.changed)
    }

    /// The collections that have had an object since the store was opened, in order, some now perhaps empty.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.state.shelves.keys()
    }

    /// Bytes of JSON of a collection.
    pub fn bytes(&self, collection: &str) -> u64 {
        self.state.shelves.get(collection).map_or(0, |shelf| shelf.bytes)
    }

    /// Objects of a collection with the label (key, value), in order.
    pub fn by_label<'a>(&'a self, collection: &str, label: (&str, &str)) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.state.shelves.get(collection).into_iter().flat_map(move |shelf| shelf.find(label_term(label)))
    }

    /// Objects of a collection with the selectable field (name, value), in order. A field without an index is
    /// looked for in all objects.
    pub fn by_field<'a>(
        &'a self,
        collection: &str,
        field: (&str, &str),
    ) -> Box<dyn Iterator<Item = &'a Arc<Stored>> + 'a> {
        let Some(shelf) = self.state.shelves.get(collection) else { return Box::new(std::iter::empty()) };
        if self.state.indexes.has(collection, field.0) {
            return Box::new(shelf.find(field_term(field)));
        }
        let (name, value) = (field.0.to_owned(), field.1.to_owned());
        let has = move |object: &&Arc<Stored>| object.facts.field(&name).is_some_and(|found| **found == *value);
        Box::new(shelf.objects.values().filter(has))
    }

    /// Objects of all collections that name `uid` among their owners.
    pub fn owned_by<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<Stored>> {
        let term = owner_term(uid);
        self.state.shelves.values().flat_map(move |shelf| shelf.find(term.clone()))
    }

    /// Objects of all collections in a namespace.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.collections().flat_map(move |collection| self.list(collection, Some(namespace), None))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.revision())
    }
}

/// Objects in order; see [`Snapshot::list`].
#[derive(Clone)]
pub struct Listing<'a> {
    rows: Option<imbl::ordmap::RangedIter<'a, Name, Arc<Stored>, imbl::shared_ptr::DefaultSharedPtr>>,
    namespace: Option<&'a str>,
}

impl<'a> Iterator for Listing<'a> {
    type Item = &'a Arc<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, object) = self.rows.as_mut()?.next()?;
        if self.namespace.is_some_and(|namespace| *name.0.namespace != *namespace) {
            self.rows = None;
            return None;
        }
        Some(object)
    }
}

/// Which fields are indexed, by collection.
#[derive(Default)]
struct Indexes {
    fields: HashMap<Collection, Vec<Arc<str>>>,
}

impl Indexes {
    fn new(indexes: &[Index]) -> Self {
        let mut fields: HashMap<_, Vec<_>> = HashMap::new();
        for index in indexes {
            fields.entry(Arc::clone(&index.collection)).or_default().push(Arc::clone(&index.field));
        }
        Self { fields }
    }

    fn of(&self, collection: &str) -> &[Arc<str>] {
        self.fields.get(collection).map_or(&[], Vec::as_slice)
    }

    fn has(&self, collection: &str, field: &str) -> bool {
        self.of(collection).iter().any(|indexed| **indexed == *field)
    }
}

/// The content of a snapshot; the engine's to edit.
#[derive(Clone, Default)]
pub(super) struct State {
    pub revision: Revision,
    shelves: OrdMap<Collection, Shelf>,
    indexes: Arc<Indexes>,
}

impl State {
    /// Without objects.
    pub(super) fn new(indexes: &[Index]) -> Self {
        Self { indexes: Arc::new(Indexes::new(indexes)), ..Self::default() }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.shelves.get(&key.collection)?.objects.get::<dyn Named + '_>(&(&*key.namespace, &*key.name))
    }

    /// Puts an object in the place of what has its key.
    pub(super) fn put(&mut self, object: Arc<Stored>, words: &mut Words) {
        let collection = &object.key.collection;
        let indexes = Arc::clone(&self.indexes);
        let fields = indexes.of(collection);
        if !self.shelves.contains_key(collection) {
            self.shelves.insert(Arc::clone(collection), Shelf::default());
        }
        let shelf = self.shelves.get_mut(collection).expect("it was put there above");
        shelf.changed = shelf.changed.max(object.revision);
        shelf.put(object, fields, words);
    }

    /// Removes what has the key, with the revision of the delete.
    pub(super) fn remove(&mut self, key: &Key, revision: Revision) {
        let indexes = Arc::clone(&self.indexes);
        if let Some(shelf) = self.shelves.get_mut(&key.collection) {
            shelf.changed = shelf.changed.max(revision);
            shelf.remove(key, indexes.of(&key.collection));
        }
    }
}

/// One collection.
#[derive(Clone, Default)]
struct Shelf {
    objects: OrdMap<Name, Arc<Stored>>,
    /// How many objects each namespace has that has any.
    namespaces: OrdMap<Arc<str>, usize>,
    /// All indexes in one: the first letter of a term tells which. An entry has no object but its name, so that an
    /// update which changes no indexed fact leaves the indexes alone.
    terms: OrdSet<Posting>,
    bytes: u64,
    /// The revision of the last change.
    changed: Revision,
}

impl Shelf {
    fn put(&mut self, object: Arc<Stored>, fields: &[Arc<str>], words: &mut Words) {
        let bytes = object.body.json.len() as u64;
        let sought: &dyn Named = &(&*object.key.namespace, &*object.key.name);
        let Some((name, present)) = self.objects.get_key_value_mut(sought) else {
            let name = Name::new(&object.key);
            for term in terms(&object.facts, fields) {
                self.terms.insert(Posting { term: words.word(&term), name: name.clone() });
            }
            *self.namespaces.entry(Arc::clone(&object.key.namespace)).or_insert(0) += 1;
            self.objects.insert(name, object);
            self.bytes += bytes;
            return;
        };
        let name = name.clone();
        let before = std::mem::replace(present, Arc::clone(&object));
        self.bytes = self.bytes - before.body.json.len() as u64 + bytes;
        if same_terms(&before.facts, &object.facts) {
            return;
        }
        let (old, new): (Vec<_>, Vec<_>) =
            (terms(&before.facts, fields).collect(), terms(&object.facts, fields).collect());
        for term in old.iter().filter(|term| !new.contains(term)) {
            self.terms.remove(&Posting { term: Arc::from(term.as_str()), name: name.clone() });
        }
        for term in new.iter().filter(|term| !old.contains(term)) {
            self.terms.insert(Posting { term: words.word(term), name: name.clone() });
        }
    }

    fn remove(&mut self, key: &Key, fields: &[Arc<str>]) {
        let Some((name, before)) = self.objects.remove_with_key::<dyn Named + '_>(&(&*key.namespace, &*key.name))
        else {
            return;
        };
        self.bytes -= before.body.json.len() as u64;
        match self.namespaces.get_mut(&key.namespace) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.namespaces.remove(&key.namespace)),
        }
        for term in terms(&before.facts, fields) {
            self.terms.remove(&Posting { term: Arc::from(term), name: name.clone() });
        }
    }

    /// The objects under a term, in order.
    fn find(&self, term: String) -> impl Iterator<Item = &Arc<Stored>> {
        let first = Posting { term: Arc::from(term), name: Name::first() };
        let term = Arc::clone(&first.term);
        self.terms
            .range(first..)
            .take_while(move |posting| posting.term == term)
            .filter_map(|posting| self.objects.get(&posting.name))
    }
}

fn label_term((key, value): (&str, &str)) -> String {
    format!("l{key}={value}")
}

fn field_term((name, value): (&str, &str)) -> String {
    format!("f{name}={value}")
}

fn owner_term(uid: &str) -> String {
    format!("o{uid}")
}

/// Under which terms an object is found, without repetition of a label or field.
fn terms<'a>(facts: &'a Facts, fields: &'a [Arc<str>]) -> impl Iterator<Item = String> + 'a {
    let labels = facts.labels.iter().map(|(key, value)| label_term((key, value)));
    let indexed = facts.fields.iter().filter(|(name, _)| fields.contains(name));
    let fields = indexed.map(|(name, value)| field_term((name, value)));
    labels.chain(fields).chain(facts.owners.iter().map(|uid| owner_term(uid)))
}

fn same_terms(before: &Facts, after: &Facts) -> bool {
    before.labels == after.labels && before.owners == after.owners && before.fields == after.fields
}

/// Namespace and name, shared by the collection and its indexes: eight bytes wherever it stands.
#[derive(Clone, PartialEq, Eq)]
struct Name(Arc<NameParts>);

#[derive(PartialEq, Eq)]
struct NameParts {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl Name {
    fn new(key: &Key) -> Self {
        Self(Arc::new(NameParts { namespace: Arc::clone(&key.namespace), name: Arc::clone(&key.name) }))
    }

    /// Orders before all others.
    fn first() -> Self {
        Self(Arc::new(NameParts { namespace: Arc::default(), name: Arc::default() }))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0.namespace, &other.0.namespace) {
            return self.0.name.cmp(&other.0.name);
        }
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What compares as namespace and name, so that a look-up needs no allocation.
trait Named {
    fn parts(&self) -> (&str, &str);
}

impl Named for Name {
    fn parts(&self) -> (&str, &str) {
        (&self.0.namespace, &self.0.name)
    }
}

impl Named for (&str, &str) {
    fn parts(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for Name {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Named + '_ {}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// An entry of an index.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Posting {
    term: Arc<str>,
    name: Name,
}

/// Strings that repeat from object to object, kept once. Forgets all when full, which costs memory, not truth.
#[derive(Default)]
pub(super) struct Words {
    known: std::collections::HashSet<Arc<str>>,
}

/// How many strings are kept for sharing.
const WORDS_MAX: usize = 65_536;

impl Words {
    /// The shared form of a string.
    pub(super) fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        self.learn(Arc::from(text))
    }

    /// The shared form of a string that is shared already.
    pub(super) fn share(&mut self, word: &mut Arc<str>) {
        *word = match self.known.get(word) {
            Some(known) => Arc::clone(known),
            None => self.learn(Arc::clone(word)),
        };
    }

    fn learn(&mut self, word: Arc<str>) -> Arc<str> {
        if self.known.len() >= WORDS_MAX {
            self.known.clear();
        }
        self.known.insert(Arc::clone(&word));
        word
    }
}
