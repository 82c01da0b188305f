//! Counts and histograms by key: what is added to while requests are answered, and read when `/metrics` is asked for.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::Histogram;

/// Keys that come from outside, as names of webhooks do, come without end.
const ROWS_MAX: usize = 4096;

/// Values by key. At the bound on rows, what has no row yet is not counted.
pub struct Tally<K, V> {
    /// Held for single steps.
    rows: Mutex<BTreeMap<K, V>>,
    make: fn() -> V,
}

impl<K: Ord + Clone, V: Clone> Tally<K, V> {
    /// No rows yet; `make` gives the value of a new one.
    pub fn new(make: fn() -> V) -> Self {
        Self { rows: Mutex::default(), make }
    }

    /// All rows as they are now, by key.
    pub fn rows(&self) -> Vec<(K, V)> {
        self.rows.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn change(&self, key: K, change: impl FnOnce(&mut V)) {
        let mut rows = self.rows.lock();
        if rows.len() < ROWS_MAX {
            change(rows.entry(key).or_insert_with(self.make));
        } else if let Some(value) = rows.get_mut(&key) {
            change(value);
        }
    }
}

impl<K: Ord + Clone> Tally<K, u64> {
    /// Nothing counted yet.
    pub fn counts() -> Self {
        Self::new(|| 0)
    }

    /// Counts one more.
    pub fn count(&self, key: K) {
        self.change(key, |count| *count += 1);
    }
}

impl<K: Ord + Clone> Tally<K, Histogram> {
    /// Puts a value in the histogram of a key.
    pub fn observe(&self, key: K, value: f64) {
        self.change(key, |histogram| histogram.observe(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_counted_for_itself() {
        let tally = Tally::counts();
        ["b", "a", "b"].into_iter().for_each(|key| tally.count(key));
        assert_eq!(tally.rows(), [("a", 1), ("b", 2)]);
        let tally = Tally::new(|| Histogram::new(&[1.0]));
        tally.observe("a", 0.5);
        tally.observe("a", 2.0);
        assert_eq!(tally.rows().iter().map(|(_, h)| h.count()).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn at_the_bound_rows_that_are_there_count_on_and_new_ones_are_not_made() {
        let tally = Tally::counts();
        (0..=ROWS_MAX).for_each(|key| tally.count(key));
        tally.count(0);
        let rows = tally.rows();
        assert_eq!((rows.len(), rows[0]), (ROWS_MAX, (0, 2)));
    }
}
