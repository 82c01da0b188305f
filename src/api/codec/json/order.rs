//! Strict errors in the order of the text that they are about, as upstream's decoder meets them. Only walked when there
//! are any.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::api::field::go_quote;

/// The texts of strict errors (`unknown field "spec.x"`, `duplicate field "spec.y"`) in the order in which the faults
/// stand in a JSON text; what is not found there follows. Doubled fields inside unknown ones are no faults, as upstream
/// does not look there.
pub fn strict_errors(text: &[u8], unknown: &[String], duplicates: &[String]) -> Vec<String> {
    let mut walk = Walk {
        path: String::new(),
        seen: unknown.iter().chain(duplicates).map(|path| (path.as_str(), 0)).collect(),
        bytes_max: unknown.iter().chain(duplicates).map(String::len).max().unwrap_or(0),
        unknown,
        duplicates,
        told: Vec::new(),
    };
    let mut source = serde_json::Deserializer::from_slice(text);
    // What does not parse has no order; all is told below then.
    let _ = Here(&mut walk).deserialize(&mut source);
    let mut told = walk.told;
    let doubled = duplicates.iter().filter(|path| !unknown.iter().any(|outer| inside(path, outer)));
    let all = unknown.iter().map(|path| error("unknown", path)).chain(doubled.map(|path| error("duplicate", path)));
    for error in all {
        if !told.contains(&error) {
            told.push(error);
        }
    }
    told
}

fn error(what: &str, path: &str) -> String {
    format!("{what} field {}", go_quote(path))
}

fn inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']) || rest.is_empty())
}

struct Walk<'w> {
    path: String,
    /// How often each path of interest was met.
    seen: HashMap<&'w str, usize>,
    /// Nothing of interest has a longer path.
    bytes_max: usize,
    unknown: &'w [String],
    duplicates: &'w [String],
    told: Vec<String>,
}

impl Walk<'_> {
    fn meet(&mut self) {
        let Some(count) = self.seen.get_mut(self.path.as_str()) else { return };
        *count += 1;
        let met = |list: &[String]| list.contains(&self.path);
        if *count == 1 && met(self.unknown) {
            self.told.push(error("unknown", &self.path));
        } else if *count == 2 && met(self.duplicates) && !self.unknown.iter().any(|outer| inside(&self.path, outer)) {
            self.told.push(error("duplicate", &self.path));
        }
    }
}

/// The value at the present path.
struct Here<'a, 'w>(&'a mut Walk<'w>);

impl<'de> DeserializeSeed<'de> for Here<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        if self.0.path.len() > self.0.bytes_max {
            return source.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Here<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        for index in 0usize.. {
            self.0.path.push_str(&format!("[{index}]"));
            let item = items.next_element_seed(Here(&mut *self.0))?;
            self.0.path.truncate(length);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        while let Some(key) = entries.next_key::<String>()? {
            if length > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&key);
            self.0.meet();
            entries.next_value_seed(Here(&mut *self.0))?;
            self.0.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn faults_are_told_in_the_order_of_the_text() {
        let text = br#"{"zz":1,"metadata":{"name":"a","x":[{"y":1}],"name":"b"},"aa":{"b":1,"b":2},"aa":3,"data":1}"#;
        let told =
            strict_errors(text, &owned(&["aa", "metadata.x[0].y", "zz"]), &owned(&["aa.b", "metadata.name", "q"]));
        let expected = [
            "unknown field \"zz\"",
            "unknown field \"metadata.x[0].y\"",
            "duplicate field \"metadata.name\"",
            "unknown field \"aa\"",
            "duplicate field \"q\"",
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn every_fault_is_told_once_whatever_the_text(
            text in proptest::collection::vec(any::<u8>(), 0..60),
            unknown in proptest::collection::btree_set("[a-c]{1,2}", 0..4),
        ) {
            let unknown: Vec<String> = unknown.into_iter().collect();
            prop_assert_eq!(strict_errors(&text, &unknown, &[]).len(), unknown.len());
        }
    }
}
