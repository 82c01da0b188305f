//! A bounded memory of what was worked out lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

use parking_lot::Mutex;

/// Keeps the most recently used entries: at least `max`, at most twice as many. When the young half is full, the old
/// half is forgotten; an entry that is used again becomes young again.
pub(super) struct Recent<K, V> {
    max: usize,
    /// Protects the two halves; held for look-ups only, never while a value is worked out.
    halves: Mutex<Halves<K, V>>,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, halves: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() }) }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut halves = self.halves.lock();
        if let Some(value) = halves.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = halves.old.remove_entry(key)?;
        self.insert(&mut halves, key, value.clone());
        Some(value)
    }

    pub(super) fn put(&self, key: K, value: V) {
        self.insert(&mut self.halves.lock(), key, value);
    }

    fn insert(&self, halves: &mut Halves<K, V>, key: K, value: V) {
        if halves.young.len() >= self.max {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let recent = Recent::new(2);
        recent.put(0, "kept");
        for key in 1..100 {
            recent.put(key, "other");
            assert_eq!(recent.get(&0), Some("kept"), "after {key}");
        }
        assert_eq!(recent.get(&1), None);
        let halves = recent.halves.lock();
        assert!(halves.young.len() + halves.old.len() <= 4);
    }
}
