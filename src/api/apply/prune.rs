//! What an apply takes away: fields that its manager applied before, applies no more, and nobody else owns.

use serde_json::Value;

use super::extract::fields_of;
use super::managed::Entry;
use super::remove::{remove, with_named_fields};
use super::scope::Scope;
use super::set::FieldSet;
use super::types::Root;
use crate::api::object::Object;

/// An object in some version of its kind.
#[derive(Clone)]
struct Tree<'s> {
    object: Object,
    root: Root<'s>,
    api_version: String,
}

impl<'s> Tree<'s> {
    /// The same in another version; `None` when that is not served.
    fn to(&self, scope: &Scope<'s>, api_version: &str) -> Option<Self> {
        if self.api_version == api_version {
            return Some(self.clone());
        }
        let root = if api_version == scope.api_version { Some(scope.root) } else { scope.versions.root(api_version) }?;
        let object = scope.versions.convert(&self.object, api_version)?;
        Some(Self { object, root, api_version: api_version.to_owned() })
    }

    fn without(&self, gone: &FieldSet<'_>) -> Self {
        let left = remove(self.object.root(), gone, self.root.top());
        let object = Object::from_value(Value::Object(left)).unwrap_or_default();
        Self { object, root: self.root, api_version: self.api_version.clone() }
    }

    /// All fields, with the declared ones on the way to them.
    fn named_fields(&self) -> FieldSet<'_> {
        let top = self.root.top();
        with_named_fields(&fields_of(self.object.root(), top), Some(top))
    }
}

/// The merged object without what the manager applied last (`last`) and nobody has in his set now (`own` and others).
pub(super) fn prune(
    scope: &Scope<'_>,
    merged: Object,
    last: &Entry<'_>,
    (others, own): (&[Entry<'_>], &Entry<'_>),
) -> Object {
    // Who applies the same fields again takes nothing away.
    let alike = |entry: &Entry<'_>| entry.api_version == scope.api_version;
    if alike(last) && others.iter().all(alike) && last.set.is_within(&own.set) {
        return merged;
    }
    let start = Tree { object: merged, root: scope.root, api_version: scope.api_version.to_owned() };
    let Some(merged) = start.to(scope, last.api_version) else { return start.object };
    let gone = with_named_fields(&last.set, Some(merged.root.top()));
    let pruned = merged.without(&gone);
    let pruned = add_back_owned(scope, (&merged, pruned), last.api_version, (others, own));
    let pruned = add_back_dangling(scope, &merged, &pruned, &gone);
    pruned.to(scope, scope.api_version).unwrap_or(pruned).object
}

/// Adds back what others, or the manager itself now, own.
fn add_back_owned<'s>(
    scope: &Scope<'s>,
    (merged, pruned): (&Tree<'s>, Tree<'s>),
    first: &str,
    (others, own): (&[Entry<'_>], &Entry<'_>),
) -> Tree<'s> {
    let mut versions: Vec<(&str, FieldSet<'_>)> = vec![(first, FieldSet::new())];
    for entry in others.iter().chain([own]) {
        match versions.iter_mut().find(|(version, _)| *version == entry.api_version) {
            Some((_, set)) => *set = std::mem::take(set).union(entry.set.clone()),
            None => versions.push((entry.api_version, entry.set.clone())),
        }
    }
    let (mut merged, mut pruned) = (merged.clone(), pruned);
    for (version, owned) in versions {
        let (Some(whole), Some(left)) = (merged.to(scope, version), pruned.to(scope, version)) else { continue };
        let keep = left.named_fields().into_owned().union(with_named_fields(&owned, Some(whole.root.top())));
        let gone = whole.named_fields().difference(&keep);
        pruned = whole.without(&gone);
        merged = whole;
    }
    pruned
}

/// Adds back what the manager did not own before either.
fn add_back_dangling<'s>(scope: &Scope<'s>, merged: &Tree<'s>, pruned: &Tree<'s>, last: &FieldSet<'_>) -> Tree<'s> {
    let Some(left) = pruned.to(scope, &merged.api_version) else { return merged.clone() };
    let gone = merged.named_fields().difference(&left.named_fields()).intersection(last);
    merged.without(&gone)
}
