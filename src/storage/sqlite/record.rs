//! How a revision stands in a row: beside its columns a blob with two checksums, the roll, and what is known of the
//! object beside its bytes.
//!
//! The first checksum is over the whole row but its body, the second over the body: who only asks what changed when
//! need not read bodies. SQLite has no checksums of its own, and what a damaged page shows can be too little: the rows
//! that are there say which others must be (`previous`, the roll, and each revision after the one before).

use std::ops::Range;

use crate::api::{Revision, Uid};
use crate::storage::snapshot::Words;
use crate::storage::{Body, Event, EventKind, Facts, Key, Pairs, Stored};

/// Where the parts of the blob end: the checksum of the row, that of the body, and the roll.
const ROW_SUM_END: usize = 4;
const BODY_SUM_END: usize = 8;
const ROLL_END: usize = 16;

/// Which revisions are the present, in one number: the sum of what each becomes when it is mixed. A row has that of
/// the state which it made.
///
/// Example: 1 creates a, 2 creates b, 3 updates a: the roll of row 3 is mix(2) + mix(3). Whoever finds only row 3, or
/// 1 too, finds another sum.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Roll(u64);

impl Roll {
    pub(super) fn add(&mut self, revision: Revision) {
        self.0 = self.0.wrapping_add(mixed(revision.0));
    }

    pub(super) fn remove(&mut self, revision: Revision) {
        self.0 = self.0.wrapping_sub(mixed(revision.0));
    }

    /// Takes a change in.
    pub(super) fn follow(&mut self, kind: EventKind, revision: Revision, previous: Option<Revision>) {
        if kind != EventKind::Deleted {
            self.add(revision);
        }
        if let Some(previous) = previous {
            self.remove(previous);
        }
    }
}

/// Spreads each bit over all (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The columns of a row but the blob and the body.
#[derive(Debug)]
pub(super) struct Head {
    pub key: Key,
    pub revision: Revision,
    pub kind: EventKind,
    pub previous: Option<Revision>,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Bytes of bodies ever written.
    pub written: i64,
}

/// What the blob of an intact row says.
pub(super) struct Sealed<'r> {
    body_sum: u32,
    pub roll: Roll,
    facts: &'r [u8],
}

#[cfg(test)]
impl<'r> Sealed<'r> {
    pub(super) fn facts(&self) -> &'r [u8] {
        self.facts
    }
}

impl Head {
    /// Of the row of an event.
    pub(super) fn of(event: &Event, (at, written): (i64, i64)) -> Self {
        let previous = event.previous.as_ref().map(|previous| previous.revision);
        Self { key: event.object.key.clone(), revision: event.revision, kind: event.kind, previous, at, written }
    }

    /// The blob for the row; `facts` is empty for a deletion, as is its body.
    pub(super) fn seal(&self, roll: Roll, (facts, json): (&[u8], &[u8])) -> Vec<u8> {
        let mut blob = vec![0; ROLL_END];
        blob[ROW_SUM_END..BODY_SUM_END].copy_from_slice(&crc32fast::hash(json).to_le_bytes());
        blob[BODY_SUM_END..ROLL_END].copy_from_slice(&roll.0.to_le_bytes());
        blob.extend_from_slice(facts);
        let sum = self.checksum(&blob[ROW_SUM_END..]);
        blob[..ROW_SUM_END].copy_from_slice(&sum.to_le_bytes());
        blob
    }

    /// What the blob says; `None` if the row is not as it was written.
    pub(super) fn open<'r>(&self, blob: &'r [u8]) -> Option<Sealed<'r>> {
        let (sum, rest) = blob.split_first_chunk()?;
        if u32::from_le_bytes(*sum) != self.checksum(rest) {
            return None;
        }
        let (body_sum, rest) = rest.split_first_chunk()?;
        let (roll, facts) = rest.split_first_chunk()?;
        Some(Sealed { body_sum: u32::from_le_bytes(*body_sum), roll: Roll(u64::from_le_bytes(*roll)), facts })
    }

    fn checksum(&self, rest: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let kind = super::append::kind_number(self.kind);
        let previous = self.previous.map_or(-1, super::integer);
        for number in [super::integer(self.revision), kind, previous, self.at, self.written] {
            hasher.update(&number.to_le_bytes());
        }
        for name in [&self.key.collection, &self.key.namespace, &self.key.name] {
            hasher.update(name.as_bytes());
            hasher.update(b"/");
        }
        hasher.update(rest);
        hasher.finalize()
    }
}

/// What is known of an event's object beside its bytes.
pub(super) fn facts(event: &Event) -> Vec<u8> {
    let mut blob = Vec::new();
    if event.kind == EventKind::Deleted {
        return blob;
    }
    let object = &*event.object;
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
    blob
}

/// The object of a row; `None` if the row is damaged, or is a deletion.
pub(super) fn decode(head: Head, sealed: &Sealed<'_>, (json, words): (Vec<u8>, &mut Words)) -> Option<Stored> {
    if crc32fast::hash(&json) != sealed.body_sum {
        return None;
    }
    let mut reader = Reader { rest: sealed.facts };
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

    fn head() -> Head {
        Head::of(&event(), (5, 9))
    }

    fn blob() -> Vec<u8> {
        let event = event();
        head().seal(Roll(3), (&facts(&event), &event.object.body.json))
    }

    fn read(blob: &[u8], json: &[u8]) -> Option<Stored> {
        let sealed = head().open(blob)?;
        decode(head(), &sealed, (json.to_vec(), &mut Words::default()))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let event = event();
        let object = &event.object;
        let read = read(&blob(), &object.body.json).unwrap();
        assert_eq!((&read.facts, &read.body, &read.key), (&object.facts, &object.body, &object.key));
        assert_eq!(head().open(&blob()).unwrap().roll, Roll(3));
    }

    #[test]
    fn one_wrong_bit_anywhere_is_noticed() {
        let blob = blob();
        for bit in 0..blob.len() * 8 {
            let mut wrong = blob.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&wrong, b"{7}").is_none(), "bit {bit}");
        }
        assert!(read(&blob, b"{8}").is_none());
    }

    #[test]
    fn one_wrong_column_is_noticed() {
        let wrong: [fn(&mut Head); 8] = [
            |head| head.key.collection = "podss".into(),
            |head| head.key.namespace = "defaul".into(),
            |head| head.key.name = "ta".into(),
            |head| head.revision = Revision(6),
            |head| head.kind = EventKind::Updated,
            |head| head.previous = Some(Revision(1)),
            |head| head.at += 1,
            |head| head.written -= 1,
        ];
        for (number, change) in wrong.into_iter().enumerate() {
            let mut head = head();
            change(&mut head);
            assert!(head.open(&blob()).is_none(), "column {number}");
        }
    }

    #[test]
    fn a_roll_tells_what_is_present_however_it_came_about() {
        let mut roll = Roll::default();
        for (kind, revision, previous) in
            [(EventKind::Created, 1, None), (EventKind::Created, 2, None), (EventKind::Updated, 3, Some(1))]
        {
            roll.follow(kind, Revision(revision), previous.map(Revision));
        }
        let mut same = Roll::default();
        [3, 2].into_iter().for_each(|revision| same.add(Revision(revision)));
        assert_eq!(roll, same);
        roll.follow(EventKind::Deleted, Revision(4), Some(Revision(2)));
        same.remove(Revision(2));
        assert_eq!(roll, same);
        assert_ne!(roll, Roll::default());
    }

    proptest::proptest! {
        #[test]
        fn any_facts_are_read_or_told_to_be_damaged(
            wrong in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            place in 0_usize..60,
        ) {
            let mut facts = facts(&event());
            let at = place % facts.len();
            facts[at..].iter_mut().zip(&wrong).for_each(|(byte, other)| *byte = *other);
            // With checksums that are right, so that what follows is read.
            let _ = read(&head().seal(Roll(3), (&facts, b"{7}")), b"{7}");
        }
    }
}
