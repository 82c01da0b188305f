//! How an object stands in a row: what is known beside its bytes in one blob, with a checksum of the whole row.

use std::ops::Range;

use crate::api::{Revision, Uid};
use crate::storage::snapshot::Words;
use crate::storage::{Body, Event, EventKind, Facts, Key, Pairs, Stored};

/// How many bytes of the blob are the checksum.
const CHECKSUM_BYTES: usize = 4;

/// The blob of facts for the row of an event.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let mut blob = vec![0; CHECKSUM_BYTES];
    let object = &*event.object;
    if event.kind != EventKind::Deleted {
        let Facts { uid, labels, fields, owners, deleting } = &object.facts;
        put_number(&mut blob, object.body.revision_at.start);
        put_number(&mut blob, object.body.revision_at.len());
        blob.push(u8::from(*deleting));
        put_text(&mut blob, &uid.to_string());
        for pairs in [labels, fields] {
            put_number(&mut blob, pairs.len());
            for (name, value) in pairs {
                put_text(&mut blob, name);
                put_text(&mut blob, value);
            }
        }
        put_number(&mut blob, owners.len());
        owners.iter().for_each(|uid| put_text(&mut blob, uid));
    }
    let json: &[u8] = if event.kind == EventKind::Deleted { &[] } else { &object.body.json };
    let sum = checksum(&object.key, object.revision, &blob[CHECKSUM_BYTES..], json);
    blob[..CHECKSUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    blob
}

/// A row beside its body.
pub(super) struct Head<'r> {
    pub key: Key,
    pub revision: Revision,
    pub facts: &'r [u8],
}

/// The object of a row; `None` if the row is damaged.
pub(super) fn decode(head: Head<'_>, json: Vec<u8>, words: &mut Words) -> Option<Stored> {
    let mut reader = Reader { rest: intact(&head, &json)? };
    let start = reader.number()?;
    let length = reader.number()?;
    let deleting = reader.byte()? != 0;
    let uid = Uid::from(reader.text()?);
    let labels = reader.pairs(words)?;
    let fields = reader.pairs(words)?;
    let owners = (0..reader.count()?).map(|_| Some(words.word(reader.text()?))).collect::<Option<_>>()?;
    let revision_at: Range<usize> = start..start.checked_add(length)?;
    if !reader.rest.is_empty() || revision_at.end > json.len() {
        return None;
    }
    let body = Body { json: json.into(), revision_at };
    Some(Stored {
        key: head.key,
        revision: head.revision,
        body,
        facts: Facts { uid, labels, fields, owners, deleting },
        note: 0.into(),
    })
}

/// The blob without its checksum, if that is right.
pub(super) fn intact<'r>(head: &Head<'r>, json: &[u8]) -> Option<&'r [u8]> {
    let (sum, rest) = head.facts.split_first_chunk::<CHECKSUM_BYTES>()?;
    (u32::from_le_bytes(*sum) == checksum(&head.key, head.revision, rest, json)).then_some(rest)
}

fn checksum(key: &Key, revision: Revision, facts: &[u8], json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&revision.0.to_le_bytes());
    hasher.update(key.namespace.as_bytes());
    hasher.update(b"/");
    hasher.update(key.name.as_bytes());
    hasher.update(facts);
    hasher.update(json);
    hasher.finalize()
}

/// Seven bits a byte, the low ones first; the high bit says that more follow.
fn put_number(blob: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        blob.push(number as u8 | 0x80);
        number >>= 7;
    }
    blob.push(number as u8);
}

fn put_text(blob: &mut Vec<u8>, text: &str) {
    put_number(blob, text.len());
    blob.extend_from_slice(text.as_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things that follow, each at least a byte long.
    fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= self.rest.len())
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }

    fn pairs(&mut self, words: &mut Words) -> Option<Pairs> {
        let count = self.count()?;
        (0..count).map(|_| Some((words.word(self.text()?), words.word(self.text()?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn event() -> Event {
        let pair = |a: &str, b: &str| (Arc::from(a), Arc::from(b));
        let key = Key { collection: "pods".into(), namespace: "default".into(), name: "a".into() };
        let facts = Facts {
            uid: "u".into(),
            labels: [pair("app", "web"), pair("long", &"x".repeat(300))].into(),
            fields: [pair("spec.nodeName", "")].into(),
            owners: ["o1".into(), "o2".into()].into(),
            deleting: true,
        };
        let body = Body { json: "{7}".into(), revision_at: 1..2 };
        Event::new(
            EventKind::Created,
            Arc::new(Stored { key, revision: Revision(7), body, facts, note: 0.into() }),
            None,
        )
    }

    fn read(blob: &[u8], json: &[u8]) -> Option<Stored> {
        let key = event().object.key.clone();
        decode(Head { key, revision: Revision(7), facts: blob }, json.to_vec(), &mut Words::default())
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let event = event();
        let object = &event.object;
        let read = read(&encode(&event), &object.body.json).unwrap();
        assert_eq!((&read.facts, &read.body, &read.key), (&object.facts, &object.body, &object.key));
    }

    #[test]
    fn one_wrong_bit_anywhere_is_noticed() {
        let blob = encode(&event());
        for bit in 0..blob.len() * 8 {
            let mut wrong = blob.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&wrong, b"{7}").is_none(), "bit {bit}");
        }
        assert!(read(&blob, b"{8}").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_facts_are_read_or_told_to_be_damaged(
            facts in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            place in 0_usize..60,
        ) {
            let mut blob = encode(&event());
            let at = CHECKSUM_BYTES + place % (blob.len() - CHECKSUM_BYTES);
            blob[at..].iter_mut().zip(&facts).for_each(|(byte, other)| *byte = *other);
            // With a checksum that is right, so that what follows is read.
            let key = event().object.key.clone();
            let sum = checksum(&key, Revision(7), &blob[CHECKSUM_BYTES..], b"{7}");
            blob[..CHECKSUM_BYTES].copy_from_slice(&sum.to_le_bytes());
            let _ = read(&blob, b"{7}");
        }
    }
}
