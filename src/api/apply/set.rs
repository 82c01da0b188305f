//! `FieldSet`: a set of field paths as a trie of sorted vectors. Membership of a path says nothing of its parents or
//! children, as in upstream's structured-merge-diff.

use std::cmp::Ordering;
use std::fmt;

use super::element::Element;

/// A set of paths. Every node is a member itself or has members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    nodes: Vec<Node<'a>>,
}

/// What becomes of members below a member that is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Below {
    Stays,
    Goes,
}

/// One step and what the set holds at and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    pub element: Element<'a>,
    /// The path that ends here is in the set.
    pub member: bool,
    pub children: FieldSet<'a>,
}

impl<'a> FieldSet<'a> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// A set from dotted field names, such as `status` or `metadata.labels`.
    pub fn of_fields(paths: &[&'a str]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(path.split('.').map(Element::field));
        }
        set
    }

    /// The nodes at the top, in order.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Whether the set has no members.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    /// Adds one path. The empty path stands for the whole object, which nobody owns.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element<'a>>) {
        let mut steps = path.into_iter().peekable();
        let mut at = self;
        while let Some(element) = steps.next() {
            let node = at.node_mut(element);
            if steps.peek().is_none() {
                node.member = true;
                return;
            }
            at = &mut node.children;
        }
    }

    /// The node of a step, made where there is none. The caller makes it a member or gives it members.
    pub(super) fn node_mut(&mut self, element: Element<'a>) -> &mut Node<'a> {
        let at = match self.nodes.last() {
            Some(last) if last.element >= element => self.nodes.binary_search_by(|n| n.element.cmp(&element)),
            _ => Err(self.nodes.len()),
        };
        let at = at.unwrap_or_else(|free| {
            self.nodes.insert(free, Node { element, member: false, children: Self::new() });
            free
        });
        &mut self.nodes[at]
    }

    /// Appends a node unless it would hold nothing; in order as a rule, otherwise it finds its place.
    pub(super) fn push(&mut self, node: Node<'a>) {
        if !node.member && node.children.is_empty() {
            return;
        }
        match self.nodes.last() {
            Some(last) if last.element >= node.element => {
                let here = self.node_mut(node.element);
                here.member |= node.member;
                let below = std::mem::take(&mut here.children);
                here.children = below.union(node.children);
            }
            _ => self.nodes.push(node),
        }
    }

    /// The node of a step.
    pub fn get(&self, element: &Element<'_>) -> Option<&Node<'a>> {
        let at = self.nodes.binary_search_by(|node| node.element.cmp(element)).ok()?;
        Some(&self.nodes[at])
    }

    /// Whether a path is a member.
    pub fn has(&self, path: &[Element<'_>]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(first).is_some_and(|node| if rest.is_empty() { node.member } else { node.children.has(rest) })
    }

    /// The members of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut out = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut left, mut right) = (self.nodes.into_iter().peekable(), other.nodes.into_iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.element.cmp(&b.element) {
                Ordering::Less => out.extend(left.next()),
                Ordering::Greater => out.extend(right.next()),
                Ordering::Equal => {
                    if let (Some(a), Some(b)) = (left.next(), right.next()) {
                        let member = a.member || b.member;
                        out.push(Node { element: a.element, member, children: a.children.union(b.children) });
                    }
                }
            }
        }
        out.extend(left);
        out.extend(right);
        Self { nodes: out }
    }

    /// The members of both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet<'_>) -> Self {
        let mut out = Self::new();
        pairs(self, other, |a, b| {
            if let Some(b) = b {
                let node = Node {
                    element: a.element.clone(),
                    member: a.member && b.member,
                    children: a.children.intersection(&b.children),
                };
                out.push(node);
            }
        });
        out
    }

    /// Whether any member is in both sets.
    pub fn meets(&self, other: &FieldSet<'_>) -> bool {
        let mut found = false;
        pairs(self, other, |a, b| {
            found = found || b.is_some_and(|b| a.member && b.member || a.children.meets(&b.children));
        });
        found
    }

    /// Whether all members are in `other` too.
    pub fn is_within(&self, other: &FieldSet<'_>) -> bool {
        let mut within = true;
        pairs(self, other, |a, b| {
            within = within && b.is_some_and(|b| (!a.member || b.member) && a.children.is_within(&b.children));
        });
        within
    }

    /// The members that are not in `other`; children of members of `other` stay.
    #[must_use]
    pub fn difference(&self, other: &FieldSet<'_>) -> Self {
        self.without(other, false)
    }

    /// The members that are not in `other` nor below a member of `other`.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet<'_>) -> Self {
        self.without(other, true)
    }

    /// `difference`, or `recursive_difference`, in place.
    pub(super) fn subtract(&mut self, other: &FieldSet<'_>, below: Below) {
        let mut others = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while others.next_if(|other| other.element < node.element).is_some() {}
            if let Some(other) = others.next_if(|other| other.element == node.element) {
                node.member &= !other.member;
                if other.member && below == Below::Goes {
                    node.children = Self::new();
                } else {
                    node.children.subtract(&other.children, below);
                }
            }
            node.member || !node.children.is_empty()
        });
    }

    fn without(&self, other: &FieldSet<'_>, recursive: bool) -> Self {
        let mut out = Self::new();
        pairs(self, other, |a, b| match b {
            None => out.nodes.push(a.clone()),
            Some(b) => {
                let children =
                    if recursive && b.member { Self::new() } else { a.children.without(&b.children, recursive) };
                out.push(Node { element: a.element.clone(), member: a.member && !b.member, children });
            }
        });
        out
    }

    /// The members in order, parents before children.
    pub fn paths(&self) -> Vec<FieldPath<'a>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    // All members of a level come before those below it, as upstream walks a set.
    fn collect(&self, prefix: &mut Vec<Element<'a>>, out: &mut Vec<FieldPath<'a>>) {
        for node in self.nodes.iter().filter(|node| node.member) {
            let mut path = prefix.clone();
            path.push(node.element.clone());
            out.push(FieldPath(path));
        }
        for node in &self.nodes {
            prefix.push(node.element.clone());
            node.children.collect(prefix, out);
            prefix.pop();
        }
    }

    /// The same without borrowing.
    pub fn into_owned(self) -> FieldSet<'static> {
        let nodes = self.nodes.into_iter().map(|node| Node {
            element: node.element.into_owned(),
            member: node.member,
            children: node.children.into_owned(),
        });
        FieldSet { nodes: nodes.collect() }
    }
}

/// Calls `each` for every node of `left` with the node of the same step in `right`.
fn pairs<'l, 'a, 'r, 'b>(
    left: &'l FieldSet<'a>,
    right: &'r FieldSet<'b>,
    mut each: impl FnMut(&'l Node<'a>, Option<&'r Node<'b>>),
) {
    let mut others = right.nodes.iter().peekable();
    for node in &left.nodes {
        while others.next_if(|other| other.element < node.element).is_some() {}
        each(node, others.next_if(|other| other.element == node.element));
    }
}

/// A path of a member; prints as `.spec.containers[name="x"].image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath<'a>(pub Vec<Element<'a>>);

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl fmt::Display for FieldSet<'_> {
    /// One path a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.paths().iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            path.fmt(f)?;
        }
        Ok(())
    }
}
