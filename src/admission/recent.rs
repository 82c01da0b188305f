//! Values by key, of which the least recently used go first when there are too many; for what plugins remember.

use std::collections::{BTreeMap, HashMap};

/// After uses of a, b, a the stamps are a: 3, b: 2, and b goes first.
#[derive(Debug)]
pub(super) struct Recent<V> {
    max: usize,
    uses: u64,
    by_key: HashMap<String, (V, u64)>,
    by_use: BTreeMap<u64, String>,
}

impl<V> Recent<V> {
    /// Keeps at most `max` values.
    pub(super) fn new(max: usize) -> Self {
        Self { max, uses: 0, by_key: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// The value of a key, which counts as a use of it.
    pub(super) fn get(&mut self, key: &str) -> Option<&mut V> {
        let (value, used) = self.by_key.get_mut(key)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, key.to_owned());
        Some(value)
    }

    /// Puts a value in the place of what was there.
    pub(super) fn insert(&mut self, key: &str, value: V) {
        if let Some(present) = self.get(key) {
            *present = value;
            return;
        }
        if self.by_key.len() >= self.max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.to_owned());
        self.by_key.insert(key.to_owned(), (value, self.uses));
    }

    /// The value of a key, which is made where there is none.
    pub(super) fn get_or_insert_with(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        if !self.by_key.contains_key(key) {
            self.insert(key, make());
        }
        self.get(key).expect("it was there or has just been put there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get("b"), None);
        assert_eq!(recent.get("a"), Some(&mut 1));
        recent.insert("a", 4);
        assert_eq!(*recent.get_or_insert_with("a", || 9), 4);
        assert_eq!(recent.by_key.len(), recent.by_use.len());
    }
}
