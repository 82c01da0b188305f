//! What a write changed: the fields that were added, modified and removed between two trees of one type.

use std::iter::Peekable;

use serde_json::{Map, Value};

use super::element::Element;
use super::set::{FieldSet, Node};
use super::types::{Form, ListType, MapType, Type};

/// The difference of two trees; no path is in more than one of the sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    pub removed: FieldSet<'a>,
    pub modified: FieldSet<'a>,
    pub added: FieldSet<'a>,
}

/// Compares two objects.
///
/// # Errors
/// Upstream's words when a list has an item that its kind of list cannot have.
pub(super) fn compare<'a>(
    left: &'a Map<String, Value>,
    right: &'a Map<String, Value>,
    of: Type<'a>,
) -> Result<Comparison<'a>, String> {
    let mut out = Comparison::default();
    let mut walk = Walk::default();
    if let Form::Map(map) = of.form(&Value::Null) {
        walk.entries(map, (Some(left), Some(right)), &mut out);
    }
    walk.error.map_or(Ok(out), Err)
}

impl<'a> Comparison<'a> {
    fn push(&mut self, element: Element<'a>, modified: bool, below: Comparison<'a>) {
        let Comparison { removed, modified: changed, added } = below;
        if !removed.is_empty() {
            self.removed.push(Node { element: element.clone(), member: false, children: removed });
        }
        if !added.is_empty() {
            self.added.push(Node { element: element.clone(), member: false, children: added });
        }
        self.modified.push(Node { element, member: modified, children: changed });
    }
}

/// Numbers are equal when their values are, as upstream has it.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => same_entries(a, b),
        _ => a == b,
    }
}

/// The same for objects.
pub(super) fn same_entries(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
}

type Entries<'a> = &'a Map<String, Value>;

/// Two values that are both there.
type Pair<'a> = (&'a Value, &'a Value);

#[derive(Default)]
struct Walk {
    error: Option<String>,
}

impl Walk {
    fn all<'a>(&mut self, value: &'a Value, of: Type<'a>) -> FieldSet<'a> {
        let mut set = FieldSet::new();
        match (value, of.form(value)) {
            (Value::Object(entries), Form::Map(map)) if !map.atomic => {
                for (name, value) in entries {
                    let children = match value {
                        Value::Object(_) | Value::Array(_) => self.all(value, map.entry_or_any(name)),
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => FieldSet::new(),
                    };
                    set.push(Node { element: Element::field(name), member: true, children });
                }
            }
            (Value::Array(items), Form::List(list)) if !list.is_atomic() => {
                for (element, items) in Groups::new(self.index(list, items)) {
                    let children = match items.as_slice() {
                        [one] => self.all(one, list.item),
                        _ => FieldSet::new(),
                    };
                    set.push(Node { element, member: true, children });
                }
            }
            (_, Form::Scalar(_) | Form::List(_) | Form::Map(_)) => {}
        }
        set
    }

    /// Compares two values that are both there; whether the value itself counts as modified.
    fn both<'a>(&mut self, (left, right): Pair<'a>, of: Type<'a>, out: &mut Comparison<'a>) -> bool {
        let form = of.form(left);
        let modified = self.in_form(form, (left, right), out);
        let other = of.form(right);
        let differs = std::mem::discriminant(&form) != std::mem::discriminant(&other);
        if differs { modified | self.in_form(other, (left, right), out) } else { modified }
    }

    fn in_form<'a>(&mut self, form: Form<'a>, (left, right): Pair<'a>, out: &mut Comparison<'a>) -> bool {
        match form {
            Form::Scalar(_) => !same(left, right),
            Form::List(list) => {
                let (a, b) = (left.as_array(), right.as_array());
                let empty = a.is_none_or(Vec::is_empty) && b.is_none_or(Vec::is_empty);
                // Equal lists differ nowhere; this spares the common case the index.
                if list.is_atomic() || empty || same(left, right) {
                    return (list.is_atomic() || empty) && !same(left, right);
                }
                self.items(list, [a, b].map(|items| items.map_or(&[][..], Vec::as_slice)), out);
                false
            }
            Form::Map(map) => {
                let (a, b) = (left.as_object(), right.as_object());
                if map.atomic || a.is_none_or(Map::is_empty) && b.is_none_or(Map::is_empty) {
                    return !same(left, right);
                }
                self.entries(map, (a, b), out);
                false
            }
        }
    }

    fn entries<'a>(
        &mut self,
        map: MapType<'a>,
        (left, right): (Option<Entries<'a>>, Option<Entries<'a>>),
        out: &mut Comparison<'a>,
    ) {
        let mut lefts = left.into_iter().flatten().peekable();
        let mut rights = right.into_iter().flatten().peekable();
        while let Some((name, left, right)) = next_pair(&mut lefts, &mut rights) {
            match (left, right) {
                // Most scalars are equal, and equal ones need no type.
                (Some(Value::String(a)), Some(Value::String(b))) if a == b => {}
                (Some(Value::Bool(a)), Some(Value::Bool(b))) if a == b => {}
                (Some(Value::Number(a)), Some(Value::Number(b))) if a == b => {}
                _ => self.child((Element::field(name), map.entry_or_any(name)), (left, right), out),
            }
        }
    }

    fn child<'a>(
        &mut self,
        (element, of): (Element<'a>, Type<'a>),
        sides: (Option<&'a Value>, Option<&'a Value>),
        out: &mut Comparison<'a>,
    ) {
        match sides {
            (None, None) => {}
            (None, Some(value)) => {
                out.added.push(Node { element, member: true, children: self.all(value, of) });
            }
            (Some(value), None) => {
                out.removed.push(Node { element, member: true, children: self.all(value, of) });
            }
            (Some(left), Some(right)) => {
                let mut below = Comparison::default();
                let modified = self.both((left, right), of, &mut below);
                out.push(element, modified, below);
            }
        }
    }

    fn items<'a>(&mut self, list: ListType<'a>, sides: [&'a [Value]; 2], out: &mut Comparison<'a>) {
        let mut lefts = Groups::new(self.index(list, sides[0])).peekable();
        let mut rights = Groups::new(self.index(list, sides[1])).peekable();
        loop {
            let (first_left, first_right) = (lefts.peek(), rights.peek());
            let (take_left, take_right) = match (first_left, first_right) {
                (None, None) => return,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some((a, _)), Some((b, _))) => (a <= b, b <= a),
            };
            let left = take_left.then(|| lefts.next()).flatten();
            let right = take_right.then(|| rights.next()).flatten();
            let Some(element) = left.as_ref().or(right.as_ref()).map(|(element, _)| element.clone()) else { return };
            let side = |group: Option<(Element<'a>, Vec<&'a Value>)>| group.map_or_else(Vec::new, |(_, items)| items);
            self.group((list, element), [side(left), side(right)], out);
        }
    }

    /// Compares the items of one step. More than one on a side are duplicates, owned as one value.
    fn group<'a>(
        &mut self,
        (list, element): (ListType<'a>, Element<'a>),
        [left, right]: [Vec<&'a Value>; 2],
        out: &mut Comparison<'a>,
    ) {
        let alone = |element: Element<'a>| Node { element, member: true, children: FieldSet::new() };
        match (left.as_slice(), right.as_slice()) {
            ([], [one]) => self.child((element, list.item), (None, Some(one)), out),
            ([one], []) => self.child((element, list.item), (Some(one), None), out),
            ([a], [b]) => self.child((element, list.item), (Some(a), Some(b)), out),
            ([_, _, ..], [_, _, ..]) => {
                let equal = left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| same(a, b));
                if !equal {
                    out.modified.push(alone(element));
                }
            }
            ([_, _, ..], rest) => {
                if let [one] = rest {
                    self.child((element.clone(), list.item), (None, Some(one)), out);
                }
                out.removed.push(alone(element));
            }
            (rest, [_, _, ..]) => {
                if let [one] = rest {
                    self.child((element.clone(), list.item), (Some(one), None), out);
                }
                out.added.push(alone(element));
            }
            ([], []) => {}
        }
    }

    /// The items with their steps, in order of the steps, duplicates in order of the list.
    fn index<'a>(&mut self, list: ListType<'a>, items: &'a [Value]) -> Vec<(Element<'a>, &'a Value)> {
        let mut out = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match list.element(item) {
                Ok(element) => out.push((element, item)),
                Err(error) => {
                    self.error.get_or_insert_with(|| format!("element {at}: {error}"));
                }
            }
        }
        out.sort_by(|(a, _), (b, _)| a.cmp(b));
        out
    }
}

/// The next key of two sorted maps with the values that it has in them.
fn next_pair<'a>(
    lefts: &mut Peekable<impl Iterator<Item = (&'a String, &'a Value)>>,
    rights: &mut Peekable<impl Iterator<Item = (&'a String, &'a Value)>>,
) -> Option<(&'a String, Option<&'a Value>, Option<&'a Value>)> {
    match (lefts.peek(), rights.peek()) {
        (None, None) => None,
        (Some(_), None) => lefts.next().map(|(name, left)| (name, Some(left), None)),
        (None, Some(_)) => rights.next().map(|(name, right)| (name, None, Some(right))),
        (Some((a, _)), Some((b, _))) => match a.cmp(b) {
            std::cmp::Ordering::Less => lefts.next().map(|(name, left)| (name, Some(left), None)),
            std::cmp::Ordering::Greater => rights.next().map(|(name, right)| (name, None, Some(right))),
            std::cmp::Ordering::Equal => {
                let (name, left) = lefts.next()?;
                let (_, right) = rights.next()?;
                Some((name, Some(left), Some(right)))
            }
        },
    }
}

/// Sorted items in groups of equal steps.
struct Groups<'a> {
    items: Peekable<std::vec::IntoIter<(Element<'a>, &'a Value)>>,
}

impl<'a> Groups<'a> {
    fn new(items: Vec<(Element<'a>, &'a Value)>) -> Self {
        Self { items: items.into_iter().peekable() }
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = (Element<'a>, Vec<&'a Value>);

    fn next(&mut self) -> Option<Self::Item> {
        let (element, first) = self.items.next()?;
        let mut group = vec![first];
        while let Some((_, item)) = self.items.next_if(|(next, _)| *next == element) {
            group.push(item);
        }
        Some((element, group))
    }
}
