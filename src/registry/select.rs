//! Which objects of a type a list or watch means: by path, by label selector, by field selector.

use std::sync::Arc;

use super::{Call, persist};
use crate::api::request::ListOptions;
use crate::api::{Result, Status, fields, labels};
use crate::resources::Kind;
use crate::storage::{Collection, Key, Scope, Snapshot, Stored};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// A parsed selection; cheap to match.
pub(super) struct Selection {
    kind: Arc<Kind>,
    collection: Collection,
    namespaced: bool,
    /// From the path or a field selector; empty: all.
    namespace: Arc<str>,
    /// From the path or a field selector; empty: all.
    name: Arc<str>,
    labels: labels::Selector,
    fields: fields::Selector,
}

impl Selection {
    /// The type in the version of the request.
    pub(super) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// Reads the selectors of a request against the type.
    ///
    /// # Errors
    /// 400 with upstream's message for what does not parse and for fields that the type does not select by.
    pub(super) fn parse(call: &Call, options: &ListOptions) -> Result<Self> {
        let labels = match options.label_selector.as_str() {
            "" => labels::Selector::EVERYTHING,
            text => labels::Selector::parse(text).map_err(Status::bad_request)?,
        };
        let fields = match options.field_selector.as_str() {
            "" => fields::Selector::default(),
            text => fields::Selector::parse(text).map_err(Status::bad_request)?,
        };
        for term in fields.terms() {
            check_field(call, &term.field)?;
        }
        let target = &call.target;
        let namespace = match target.namespace.as_str() {
            "" if call.kind.namespaced => fields.required_value(NAMESPACE).unwrap_or(""),
            "" => "",
            given if call.kind.namespaced => given,
            _ => "",
        };
        let name = match target.name.as_str() {
            "" => fields.required_value(NAME).unwrap_or(""),
            name => name,
        };
        Ok(Self {
            kind: call.kind.clone(),
            collection: call.kind.collection.clone(),
            namespaced: call.kind.namespaced,
            namespace: Arc::from(namespace),
            name: Arc::from(name),
            labels,
            fields,
        })
    }

    pub(super) fn collection(&self) -> &Collection {
        &self.collection
    }

    /// The part of the collection that the store has to tell of.
    pub(super) fn scope(&self) -> Scope {
        if let Some(key) = self.single() {
            return Scope::Object { namespace: key.namespace, name: key.name };
        }
        if let Some(term) = self.fields.terms().iter().find(|t| self.exact(&t.field)) {
            return Scope::Field { field: Arc::from(term.field.as_str()), value: Arc::from(term.value.as_str()) };
        }
        if self.namespace.is_empty() { Scope::All } else { Scope::Namespace(self.namespace.clone()) }
    }

    /// The one object that can match, where name and namespace are fixed.
    pub(super) fn single(&self) -> Option<Key> {
        let fixed = !self.name.is_empty() && (!self.namespaced || !self.namespace.is_empty());
        fixed.then(|| Key {
            collection: self.collection.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        })
    }

    /// The one namespace that is meant; empty: all.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The key of an object of the collection.
    pub(super) fn key(&self, namespace: &str, name: &str) -> Key {
        Key { collection: self.collection.clone(), namespace: Arc::from(namespace), name: Arc::from(name) }
    }

    /// Whether anything follows an object in what the path says, meant by the selectors or not.
    pub(super) fn anything_after(&self, snapshot: &Snapshot, last: &Stored) -> bool {
        if self.single().is_some() {
            return false;
        }
        let namespace = Some(&*self.namespace).filter(|namespace| !namespace.is_empty());
        snapshot.list(&self.collection, namespace, Some((&last.key.namespace, &last.key.name))).next().is_some()
    }

    /// No selector narrows what the path says.
    pub(super) fn everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// How many objects the path says, meant by the selectors or not.
    pub(super) fn count(&self, snapshot: &Snapshot) -> usize {
        match self.namespace() {
            "" => snapshot.count(&self.collection),
            namespace => snapshot.count_in(&self.collection, namespace),
        }
    }

    /// Whether an object of the collection is meant.
    pub(super) fn matches(&self, stored: &Stored) -> bool {
        (self.namespace.is_empty() || stored.key.namespace == self.namespace)
            && (self.name.is_empty() || stored.key.name == self.name)
            && self.labels.matches(&*stored.facts.labels)
            && self.fields_match(stored)
    }

    fn fields_match(&self, stored: &Stored) -> bool {
        // Fields became selectable after the object was written.
        let unknown = |term: &fields::Term| {
            !matches!(term.field.as_str(), NAME | NAMESPACE) && stored.facts.field(&term.field).is_none()
        };
        let late = if self.kind.is_custom() && self.fields.terms().iter().any(unknown) {
            persist::tree(&self.kind, stored).map(|object| self.kind.behaviour.extract(&object)).unwrap_or_default()
        } else {
            Vec::new()
        };
        let late = |field: &str| late.iter().find(|(name, _)| **name == *field).map_or("", |(_, value)| value);
        self.fields.matches(|field| match field {
            NAME => &stored.key.name,
            NAMESPACE => &stored.key.namespace,
            other => stored.facts.field(other).map_or_else(|| late(other), |value| &**value),
        })
    }

    /// The objects of a snapshot that are meant, in order, after `start` (namespace, name). Uses the store's indexes.
    pub(super) fn candidates<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        start: Option<(&'a str, &'a str)>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Stored>> + 'a> {
        let after = move |stored: &&'a Arc<Stored>| {
            start.is_none_or(|start| (&*stored.key.namespace, &*stored.key.name) > start)
        };
        let meant = move |stored: &&'a Arc<Stored>| self.matches(stored);
        if let Some(key) = self.single() {
            return Box::new(snapshot.get(&key).into_iter().filter(after).filter(meant));
        }
        if let Some(term) = self.fields.terms().iter().find(|t| self.exact(&t.field)) {
            let found = snapshot.by_field(&self.collection, (&term.field, &term.value));
            return Box::new(found.filter(after).filter(meant));
        }
        let exact =
            self.labels.requirements().iter().find_map(|r| Some((&*r.key, self.labels.required_value(&r.key)?)));
        if let Some(label) = exact {
            return Box::new(snapshot.by_label(&self.collection, label).filter(after).filter(meant));
        }
        let namespace = Some(&*self.namespace).filter(|n| !n.is_empty());
        Box::new(snapshot.list(&self.collection, namespace, start).filter(meant))
    }

    /// A field of the type that must have one value.
    fn exact(&self, field: &str) -> bool {
        field != NAME && field != NAMESPACE && !self.kind.is_custom() && self.fields.required_value(field).is_some()
    }
}

/// Fields that the type does not select by are refused, as upstream's `ConvertFieldLabel` does.
fn check_field(call: &Call, field: &str) -> Result<()> {
    let (kind, behaviour) = (&call.kind, &call.kind.behaviour);
    // Custom resources without namespaces cannot be selected by one.
    let by_namespace = if kind.is_custom() { kind.namespaced } else { behaviour.selects_by_namespace(kind) };
    if field == NAME || (field == NAMESPACE && by_namespace) || behaviour.selects_by(field) {
        return Ok(());
    }
    let message = if behaviour.fields().is_empty() && !kind.is_custom() {
        format!(
            "{} is not a known field selector: only \"{NAME}\", \"{NAMESPACE}\"",
            crate::api::field::go_quote(field)
        )
    } else {
        behaviour.unselectable(kind, field)
    };
    Err(Status::bad_request(message))
}
