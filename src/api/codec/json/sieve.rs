//! Trees of the parts of an object that somebody wants to see; the rest of its text is passed over.

use serde_json::{Map, Value};

use super::super::Error;
use super::cursor::{Cursor, odd};

/// Which parts are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sieve {
    /// None: all of it.
    wanted: Vec<(&'static str, Sieve)>,
}

impl Sieve {
    /// What lies at these paths, keys joined by dots; a path goes through all items of a list. Without any path
    /// everything.
    pub fn of(paths: &[&'static str]) -> Self {
        let mut whole = Self::default();
        for path in paths {
            let mut place = &mut whole;
            for key in path.split('.') {
                let known = place.wanted.iter().position(|(wanted, _)| *wanted == key);
                let at = known.unwrap_or_else(|| {
                    place.wanted.push((key, Self::default()));
                    place.wanted.len() - 1
                });
                place = &mut place.wanted[at].1;
            }
        }
        whole
    }

    /// The tree of what is wanted of a text of our own making. What is there and is no object stays as it is.
    ///
    /// # Errors
    /// When the text is no JSON, or what is wanted as a whole nests too deeply.
    pub fn tree(&self, json: &[u8]) -> Result<Value, Error> {
        self.value(&mut Cursor::new(json))
    }

    fn value(&self, text: &mut Cursor<'_>) -> Result<Value, Error> {
        match text.peek() {
            b'{' if !self.wanted.is_empty() => self.object(text).map(Value::Object),
            b'[' if !self.wanted.is_empty() => self.items(text).map(Value::Array),
            b'"' => Ok(Value::String(text.quoted()?.text()?.into_owned())),
            _ => super::tree(text.value()?).map_err(|error| Error::new(error.to_string())),
        }
    }

    fn object(&self, text: &mut Cursor<'_>) -> Result<Map<String, Value>, Error> {
        text.expect(b'{')?;
        let mut out = Map::new();
        while !text.take(b'}') {
            let key = text.quoted()?;
            text.expect(b':')?;
            match self.wanted.iter().find(|(wanted, _)| wanted.as_bytes() == key.raw) {
                Some((wanted, sieve)) => drop(out.insert((*wanted).to_owned(), sieve.value(text)?)),
                None => drop(text.value()?),
            }
            if !text.take(b',') && text.peek() != b'}' {
                return Err(odd("mark"));
            }
        }
        Ok(out)
    }

    fn items(&self, text: &mut Cursor<'_>) -> Result<Vec<Value>, Error> {
        text.expect(b'[')?;
        let mut out = Vec::new();
        while !text.take(b']') {
            out.push(self.value(text)?);
            if !text.take(b',') && text.peek() != b']' {
                return Err(odd("mark"));
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::codec::json::{Layout, encode};

    #[track_caller]
    fn check(paths: &[&'static str], object: &Value, expected: &Value) {
        let text = encode(object, Layout::Sorted);
        assert_eq!(Sieve::of(paths).tree(&text).unwrap(), *expected);
    }

    #[test]
    fn only_what_is_wanted_is_there() {
        let object = json!({
            "metadata": {"name": "a\"<", "labels": {"x": "y"}},
            "spec": {"containers": [{"name": "c", "image": "i"}, {"image": "j"}], "replicas": 1, "gone": null},
            "status": [1, {"a": [true]}]
        });
        check(&[], &object, &object);
        check(&["metadata.name", "none.at.all"], &object, &json!({"metadata": {"name": "a\"<"}}));
        let spec = json!({"containers": [{"name": "c"}, {}], "replicas": 1, "gone": null});
        let paths = ["spec.containers.name", "spec.replicas.below", "spec.gone.below", "status"];
        check(&paths, &object, &json!({"spec": spec, "status": [1, {"a": [true]}]}));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "{\"a\"}", "{\"a\":1 \"b\":2}", "[1", "{\"a\":[1}"] {
            assert!(Sieve::of(&["b.c", "a.b"]).tree(text.as_bytes()).is_err(), "{text}");
        }
    }
}
