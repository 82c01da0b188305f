//! What a write is about, as far as field ownership goes; made by the registry for each operation.

use jiff::Timestamp;

use super::element::Element;
use super::set::{Below, FieldSet, Node};
use super::types::Root;
use crate::api::object::Object;

/// The served type that is written, and the rules of its strategy.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// The type in the version of the request, which is also the version of all objects given along.
    pub root: Root<'s>,
    /// Such as `apps/v1`.
    pub api_version: &'s str,
    pub kind: &'s str,
    /// Such as `status`; empty for the resource itself.
    pub subresource: &'s str,
    /// Which fields this path of writing can own at all.
    pub owns: Owns<'s>,
    pub versions: &'s dyn Versions,
}

/// The fields that a strategy lets its writers own (upstream: reset fields).
#[derive(Clone, Copy)]
pub enum Owns<'s> {
    All,
    /// All but these and what is below them, such as `status` on the resource itself.
    Except(&'s FieldSet<'static>),
    /// Only what is on or below these paths of field names; `*` is any step.
    Only(&'s [&'s [&'s str]]),
}

/// Who writes and when.
#[derive(Clone, Copy)]
pub struct Writer<'w> {
    pub manager: &'w str,
    pub now: Timestamp,
}

/// Whether an apply takes fields from other managers or gives a conflict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflicts {
    Refuse,
    Force,
}

/// The other versions of a kind, for entries that were written through them.
pub trait Versions: Sync {
    /// The type in a version; `None` when the version is not served any more, and its entries are dropped.
    fn root(&self, api_version: &str) -> Option<Root<'_>>;
    /// The object in that version.
    fn convert(&self, object: &Object, api_version: &str) -> Option<Object>;
}

/// A kind that has one version.
pub struct OneVersion;

impl Versions for OneVersion {
    fn root(&self, _: &str) -> Option<Root<'_>> {
        None
    }

    fn convert(&self, _: &Object, _: &str) -> Option<Object> {
        None
    }
}

impl Owns<'_> {
    /// The part of a set that can be owned.
    pub(super) fn filter<'a>(&self, mut set: FieldSet<'a>) -> FieldSet<'a> {
        match self {
            Self::All => set,
            Self::Except(fields) => {
                set.subtract(fields, Below::Goes);
                set
            }
            Self::Only(patterns) => keep(&set, patterns),
        }
    }
}

fn keep<'a>(set: &FieldSet<'a>, patterns: &[&[&str]]) -> FieldSet<'a> {
    let mut out = FieldSet::new();
    for node in set.nodes() {
        let matches = |step: &str| match &node.element {
            _ if step == "*" => true,
            Element::Field(name) => name == step,
            Element::Key(_) | Element::Value(_) | Element::Index(_) => false,
        };
        let rests: Vec<&[&str]> = patterns
            .iter()
            .filter_map(|pattern| pattern.split_first())
            .filter(|(first, _)| matches(first))
            .map(|(_, rest)| rest)
            .collect();
        if rests.iter().any(|rest| rest.is_empty()) {
            out.push(node.clone());
        } else if !rests.is_empty() {
            let children = keep(&node.children, &rests);
            out.push(Node { element: node.element.clone(), member: node.member, children });
        }
    }
    out
}
