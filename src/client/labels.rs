//! Labels as caches keep them: one piece of memory for all of them. A map of owned texts takes half a kilobyte for one
//! label, and most of what a cache keeps of a pod is its labels.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys and values, in the order of the keys. Looking one up walks them; objects have few.
///
/// Each text stands behind its length and a colon: `3:app3:web4:tier0:` is `app=web,tier=`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<str>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(present, _)| *present == key).map(|(_, value)| value)
    }

    /// Whether there is a label of this key, whatever its value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }

    /// The same as a map, to be changed.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// The first text, which is taken off.
fn take<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (length, behind) = rest.split_once(':')?;
    let (text, after) = behind.split_at_checked(length.parse().ok()?)?;
    *rest = after;
    Some(text)
}

impl<K: AsRef<str>, V: AsRef<str>> From<BTreeMap<K, V>> for Labels {
    fn from(map: BTreeMap<K, V>) -> Self {
        let mut all = String::new();
        for (key, value) in &map {
            for text in [key.as_ref(), value.as_ref()] {
                all.push_str(&text.len().to_string());
                all.push(':');
                all.push_str(text);
            }
        }
        Self(all.into_boxed_str())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Cow<'de, str>, Cow<'de, str>>::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn every_map_of_texts_is_kept_as_it_is(map: BTreeMap<String, String>) {
            let labels = Labels::from(map.clone());
            prop_assert_eq!(labels.to_map(), map.clone());
            prop_assert_eq!(labels.is_empty(), map.is_empty());
            for (key, value) in &map {
                prop_assert_eq!(labels.get(key), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn labels_are_read_and_written_as_a_map_in_the_order_of_the_keys() {
        let labels: Labels = serde_json::from_value(json!({"tier": "", "app": "3:web"})).unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"app":"3:web","tier":""}"#);
        assert_eq!((labels.get("tier"), labels.get("ap")), (Some(""), None));
    }
}
