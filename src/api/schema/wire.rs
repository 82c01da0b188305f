//! How a struct goes from its JSON to the protobuf wire: worked out once for each struct that is asked for, so that
//! nothing is looked up while objects are written.

use std::sync::OnceLock;

use super::{Field, Shape, Table, TypeId};

/// The plan of each struct of a table, made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Plans {
    plans: Vec<OnceLock<Box<Plan>>>,
}

impl Plans {
    pub(super) fn of(structs: usize) -> Self {
        Self { plans: (0..structs).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, table: &Table, id: TypeId) -> &Plan {
        self.plans[id.0 as usize].get_or_init(|| Box::new(Plan::new(table, id)))
    }
}

/// What is written for a struct.
#[derive(Debug)]
pub struct Plan {
    /// The fields, as many and in the same order as those of the struct: the order of the JSON.
    pub steps: Box<[Step]>,
    /// What is written one after another. Of a straight plan all fields are there, in the order of the JSON; of others
    /// those that are on the wire.
    pub moves: Box<[Move]>,
    /// The order of the JSON is that of the wire.
    pub straight: bool,
    /// The message of an empty object.
    pub empty: Box<[u8]>,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The field at a place.
    Field(u16),
    /// A message of its own begins, that of a Go struct that is embedded.
    Open(WireKey),
    /// It ends.
    Close,
}

/// A field.
#[derive(Debug)]
pub struct Step {
    /// `"name":`.
    pub key: Box<[u8]>,
    /// The first eight bytes of it, and which of them count.
    head: u64,
    mask: u64,
    /// None: it is not on the wire.
    pub wire: Option<WireKey>,
    /// What is written where the field is absent or null.
    pub absent: Box<[u8]>,
}

impl Step {
    fn new(table: &Table, field: &Field) -> Self {
        let key = format!("\"{}\":", field.name).into_bytes().into_boxed_slice();
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for (place, byte) in key.iter().take(8).enumerate() {
            head[place] = *byte;
            mask[place] = 0xff;
        }
        let [head, mask] = [head, mask].map(u64::from_le_bytes);
        let tag = field.proto.path().into_iter().rfind(|tag| *tag != 0);
        let mut absent = Vec::new();
        let nothing = field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes);
        if let Some(tag) = tag.filter(|_| !nothing) {
            put_zero(&mut absent, table, (&field.shape, WireKey::of(tag, &field.shape)));
        }
        Self { key, head, mask, wire: tag.map(|tag| WireKey::of(tag, &field.shape)), absent: absent.into() }
    }

    /// Whether a JSON text goes on with the key of the field; `word` is its first eight bytes.
    #[inline]
    pub fn stands_at(&self, word: u64, text: &[u8]) -> bool {
        (word ^ self.head) & self.mask == 0 && (self.key.len() <= 8 || text.starts_with(&self.key))
    }
}

/// What stands before a value on the wire: its tag and how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireKey {
    bytes: [u8; 5],
    length: u8,
}

/// How a value is laid out.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

impl WireKey {
    /// The key of a value of a shape; of a list or map that of each item.
    pub fn of(tag: u32, shape: &Shape) -> Self {
        match shape {
            Shape::Bool | Shape::Int32 | Shape::Int64 => Self::varint(tag),
            Shape::Float64 => Self::new(tag, FIXED64),
            Shape::List(list) if !list.wrapped => Self::of(tag, &list.item),
            _ => Self::message(tag),
        }
    }

    /// The key of a text or message.
    #[inline]
    pub const fn message(tag: u32) -> Self {
        Self::new(tag, BYTES)
    }

    /// The key of an integer.
    #[inline]
    pub const fn varint(tag: u32) -> Self {
        Self::new(tag, VARINT)
    }

    #[inline]
    const fn new(tag: u32, kind: u32) -> Self {
        let mut rest = (tag << 3) | kind;
        let (mut bytes, mut length) = ([0; 5], 0);
        while rest >= 0x80 {
            bytes[length as usize] = rest.to_le_bytes()[0] | 0x80;
            rest >>= 7;
            length += 1;
        }
        bytes[length as usize] = rest.to_le_bytes()[0];
        Self { bytes, length: length + 1 }
    }

    /// Appends it.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>) {
        // Most tags are below 16.
        match self.length {
            1 => out.push(self.bytes[0]),
            length => out.extend_from_slice(&self.bytes[..usize::from(length)]),
        }
    }
}

/// Appends a number as the wire writes it.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a text or message.
pub fn put_bytes(out: &mut Vec<u8>, key: WireKey, bytes: &[u8]) {
    key.put(out);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends what a null of a shape is on the wire: Go's zero value.
pub fn put_zero(out: &mut Vec<u8>, table: &Table, (shape, key): (&Shape, WireKey)) {
    let mut message = Vec::new();
    match shape {
        Shape::Bytes | Shape::Map(_) => return,
        Shape::Bool | Shape::Int32 | Shape::Int64 => {
            key.put(out);
            return out.push(0);
        }
        Shape::Float64 => {
            key.put(out);
            return out.extend_from_slice(&0f64.to_le_bytes());
        }
        Shape::String | Shape::Time | Shape::MicroTime | Shape::List(_) | Shape::Json | Shape::FieldsV1 => {}
        Shape::Struct(id) => message.extend_from_slice(&table.plan(*id).empty),
        Shape::IntOrString => message.extend_from_slice(&[1 << 3, 0, 2 << 3, 0, (3 << 3) | 2, 0]),
        Shape::Quantity => put_bytes(&mut message, WireKey::message(1), b"0"),
        Shape::Duration => message.extend_from_slice(&[1 << 3, 0]),
        Shape::SchemaOrBool(id) => {
            message.extend_from_slice(&[1 << 3, 1]);
            put_bytes(&mut message, WireKey::message(2), &table.plan(*id).empty);
        }
        Shape::SchemaOrArray(id) | Shape::SchemaOrStrings(id) => {
            put_bytes(&mut message, WireKey::message(1), &table.plan(*id).empty);
        }
    }
    put_bytes(out, key, &message);
}

impl Plan {
    fn new(table: &Table, id: TypeId) -> Self {
        let fields = &table.get(id).fields;
        let steps: Box<[Step]> = fields.iter().map(|field| Step::new(table, field)).collect();
        let all: Vec<u16> = (0u16..).zip(fields).map(|(place, _)| place).collect();
        let path = |place: &u16| fields[usize::from(*place)].proto.path();
        let mut order: Vec<u16> = all.iter().copied().filter(|place| path(place)[0] != 0).collect();
        let straight = order.is_sorted_by_key(path);
        order.sort_by_key(path);
        let moves = moves(if straight { &all } else { &order }, path);
        let mut empty = Vec::new();
        let mut open = Vec::new();
        for step in &moves {
            match step {
                Move::Field(place) => empty.extend_from_slice(&steps[usize::from(*place)].absent),
                Move::Open(key) => open.push((*key, std::mem::take(&mut empty))),
                Move::Close => {
                    let Some((key, outer)) = open.pop() else { continue };
                    let inner = std::mem::replace(&mut empty, outer);
                    put_bytes(&mut empty, key, &inner);
                }
            }
        }
        Self { steps, moves: moves.into(), straight, empty: empty.into() }
    }
}

/// The fields in an order, with what they are embedded in around them.
fn moves(order: &[u16], path: impl Fn(&u16) -> [u32; 3]) -> Vec<Move> {
    let mut moves = Vec::with_capacity(order.len());
    let mut open: Vec<u32> = Vec::new();
    for place in order {
        let path = path(place);
        // A field that is not on the wire is of no message and stays where it is.
        if path[0] != 0 {
            let inside = path.windows(2).filter(|pair| pair[1] != 0);
            let outer: Vec<u32> = inside.map(|pair| pair[0]).collect();
            let same = open.iter().zip(&outer).take_while(|(a, b)| a == b).count();
            moves.extend(open.drain(same..).map(|_| Move::Close));
            moves.extend(outer[same..].iter().map(|tag| Move::Open(WireKey::message(*tag))));
            open = outer;
        }
        moves.push(Move::Field(*place));
    }
    moves.extend(open.iter().map(|_| Move::Close));
    moves
}
