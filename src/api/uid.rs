//! The identity of an object, as the store and the collector of garbage keep one for each object there is.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A uid: 16 bytes if it is one that API servers make, a text for any other. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Arc<str>),
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        // Other ways to write the same uuid are other uids.
        let same = |uuid: &Uuid| *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
        let uuid = Uuid::try_parse(text).ok().filter(same);
        Self(uuid.map_or_else(|| Form::Text(text.into()), |uuid| Form::Uuid(uuid.into_bytes())))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::from("")
    }
}

impl PartialEq<str> for Uid {
    fn eq(&self, text: &str) -> bool {
        match &self.0 {
            Form::Uuid(bytes) => {
                *Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text
            }
            Form::Text(own) => **own == *text,
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(bytes) => Uuid::from_bytes(*bytes).hyphenated().fmt(f),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_told_as_it_was_given() {
        let lower = "0b9de1bc-3f3b-4b0c-8b5e-2f6f0f6d7a01";
        let upper = lower.to_uppercase();
        for text in [lower, &upper, "{0b9de1bc-3f3b-4b0c-8b5e-2f6f0f6d7a01}", "any text", ""] {
            let uid = Uid::from(text);
            assert_eq!(uid.to_string(), text);
            assert!(uid == *text && uid != *"another");
        }
        assert_ne!(Uid::from(lower), Uid::from(upper.as_str()));
    }

    #[test]
    fn a_usual_uid_needs_no_memory_of_its_own() {
        assert!(matches!(Uid::from(Uuid::new_v4().to_string().as_str()).0, Form::Uuid(_)));
        assert_eq!(size_of::<Uid>(), 24);
    }
}
