//! From the JSON of an object to the wire without a tree between them, in the order and with the zero values of gogo's
//! generated code: every field that is no Go pointer, slice or map is written, whatever `omitempty` says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::Error;
use super::super::json::{Cursor, odd};
use super::wire::{close, open, put_bytes, put_integer};
use crate::api::schema::wire::{Move, Plan, WireKey, put_varint, put_zero};
use crate::api::schema::{Shape, Table, TypeId};
use crate::api::time::{GoDuration, Precision, Time};
use crate::base::room;

/// Writes objects; what it needs for that is kept from one to the next.
#[derive(Default)]
pub struct Encoder {
    /// Of each struct that is being written and whose wire has another order: where its fields lie.
    segments: Vec<Segment>,
    /// The fields of such a struct, brought into that order.
    ordered: Vec<u8>,
    depth: usize,
    /// The keys of this object are not in the order of its type; no other struct of it is expected to have them so.
    out_of_order: bool,
}

/// Where a field lies in what was written; none has `start` at `ABSENT`.
#[derive(Clone, Copy)]
struct Segment {
    start: usize,
    end: usize,
}

const ABSENT: Segment = Segment { start: usize::MAX, end: 0 };

impl Encoder {
    /// Appends the message of a type from JSON of our own making, which is faster with its keys in the order of the
    /// type; keys that the type does not have are passed over.
    ///
    /// # Errors
    /// When a value does not have the shape of its field, or nests deeper than there is room for; `out` then ends with
    /// anything.
    pub fn append(&mut self, out: &mut Vec<u8>, json: &[u8], (table, id): (&Table, TypeId)) -> Result<(), Error> {
        self.depth = 0;
        self.out_of_order = false;
        self.segments.clear();
        Walk { own: self, table, out, text: Cursor::new(json) }.message(id)
    }

    /// Appends such a message as a field with a tag.
    ///
    /// # Errors
    /// As `append`.
    pub fn append_field(
        &mut self,
        out: &mut Vec<u8>,
        (tag, json): (u32, &[u8]),
        of: (&Table, TypeId),
    ) -> Result<(), Error> {
        let start = open(out, WireKey::message(tag));
        self.append(out, json, of)?;
        close(out, start);
        Ok(())
    }
}

struct Walk<'w, 't, 'a> {
    own: &'w mut Encoder,
    table: &'t Table,
    out: &'w mut Vec<u8>,
    text: Cursor<'a>,
}

impl<'t> Walk<'_, 't, '_> {
    /// The fields of a struct whose JSON stands here. Null is an empty one.
    fn message(&mut self, id: TypeId) -> Result<(), Error> {
        let plan: &'t Plan = self.table.plan(id);
        if self.text.take_word(b"{}") || self.text.take_word(b"null") {
            self.out.extend_from_slice(&plan.empty);
            return Ok(());
        }
        self.own.depth += 1;
        let depth = self.own.depth;
        if depth > room::SHALLOW_MAX && !room::may_nest_deeply() {
            return Err(Error::new("exceeded max depth"));
        }
        self.text.expect(b'{')?;
        let (text, written, segments) = (self.text, self.out.len(), self.own.segments.len());
        let as_it_comes = plan.straight && !self.own.out_of_order;
        if !as_it_comes || !self.straight(id, plan)? {
            self.own.out_of_order |= as_it_comes;
            self.text = text;
            self.out.truncate(written);
            self.own.segments.truncate(segments);
            self.own.depth = depth;
            self.crooked(id, plan)?;
        }
        self.own.depth = depth - 1;
        Ok(())
    }

    /// Writes the fields as they come; not so when their order is not that of the type.
    fn straight(&mut self, id: TypeId, plan: &Plan) -> Result<bool, Error> {
        let mut open_at = [0; 2];
        let mut open_count = 0;
        let mut word = self.text.word();
        let mut all_stood = true;
        for step in &plan.moves {
            match *step {
                Move::Field(place) => {
                    let step = &plan.steps[usize::from(place)];
                    if step.stands_at(word, self.text.rest()) {
                        self.text.advance(step.key.len());
                        self.field(id, usize::from(place))?;
                        self.text.take(b',');
                        word = self.text.word();
                    } else {
                        all_stood = false;
                        self.out.extend_from_slice(&step.absent);
                    }
                }
                Move::Open(key) => {
                    open_at[open_count] = open(self.out, key);
                    open_count += 1;
                }
                Move::Close => {
                    open_count -= 1;
                    close(self.out, open_at[open_count]);
                }
            }
        }
        // Nobody looks at what else the object itself has.
        let done = self.own.depth == 1 && all_stood;
        while !done && self.text.peek() == b'"' {
            if plan.steps.iter().any(|step| step.stands_at(self.text.word(), self.text.rest())) {
                return Ok(false);
            }
            self.pass_over()?;
        }
        if !done {
            self.text.expect(b'}')?;
        }
        Ok(true)
    }

    /// Writes the fields as they come, then brings them into the order of the wire.
    fn crooked(&mut self, id: TypeId, plan: &Plan) -> Result<(), Error> {
        let (base, start) = (self.own.segments.len(), self.out.len());
        self.own.segments.resize(base + plan.steps.len(), ABSENT);
        let mut next = 0;
        while self.text.peek() == b'"' {
            let (word, rest) = (self.text.word(), self.text.rest());
            let stands = |place: &usize| plan.steps[*place].stands_at(word, rest);
            let Some(place) = (next..plan.steps.len()).chain(0..next).find(stands) else {
                self.pass_over()?;
                continue;
            };
            next = place + 1;
            self.text.advance(plan.steps[place].key.len());
            let from = self.out.len();
            self.field(id, place)?;
            self.own.segments[base + place] = Segment { start: from, end: self.out.len() };
            self.text.take(b',');
        }
        self.text.expect(b'}')?;
        self.bring_into_order(plan, (base, start));
        Ok(())
    }

    fn bring_into_order(&mut self, plan: &Plan, (base, start): (usize, usize)) {
        let ordered = &mut self.own.ordered;
        ordered.clear();
        let mut open_at = Vec::new();
        for step in &plan.moves {
            match *step {
                Move::Field(place) => match self.own.segments[base + usize::from(place)] {
                    Segment { start: usize::MAX, .. } => {
                        ordered.extend_from_slice(&plan.steps[usize::from(place)].absent);
                    }
                    Segment { start, end } => ordered.extend_from_slice(&self.out[start..end]),
                },
                Move::Open(key) => open_at.push(open(ordered, key)),
                Move::Close => {
                    if let Some(start) = open_at.pop() {
                        close(ordered, start);
                    }
                }
            }
        }
        self.out.truncate(start);
        self.out.extend_from_slice(ordered);
        self.own.segments.truncate(base);
    }

    /// Passes over a key, its value and the comma behind them.
    fn pass_over(&mut self) -> Result<(), Error> {
        self.text.quoted()?;
        self.text.expect(b':')?;
        self.text.value()?;
        self.text.take(b',');
        Ok(())
    }

    /// The value of a field.
    fn field(&mut self, id: TypeId, place: usize) -> Result<(), Error> {
        let field = &self.table.get(id).fields[place];
        let step = &self.table.plan(id).steps[place];
        let Some(key) = step.wire else { return self.text.value().map(drop) };
        if self.text.take_word(b"null") {
            self.out.extend_from_slice(&step.absent);
            return Ok(());
        }
        match &field.shape {
            Shape::List(list) if !list.wrapped => self.items(key, &list.item),
            Shape::Map(of) => self.entries(key, &of.value),
            shape => self.value(key, shape),
        }
        .map_err(|error| Error::new(format!("{}: {error}", field.name)))
    }

    /// The items of a list, each for itself.
    fn items(&mut self, key: WireKey, item: &'t Shape) -> Result<(), Error> {
        self.text.expect(b'[')?;
        while !self.text.take(b']') {
            if self.text.take_word(b"null") {
                self.zero(key, item);
            } else {
                self.value(key, item)?;
            }
            self.text.take(b',');
        }
        Ok(())
    }

    fn entries(&mut self, key: WireKey, value: &'t Shape) -> Result<(), Error> {
        self.text.expect(b'{')?;
        while !self.text.take(b'}') {
            let start = open(self.out, key);
            self.string(WireKey::message(1))?;
            self.text.expect(b':')?;
            let of_value = WireKey::of(2, value);
            if self.text.take_word(b"null") {
                self.zero(of_value, value);
            } else {
                self.value(of_value, value)?;
            }
            close(self.out, start);
            self.text.take(b',');
        }
        Ok(())
    }

    fn zero(&mut self, key: WireKey, shape: &Shape) {
        put_zero(self.out, self.table, (shape, key));
    }

    fn string(&mut self, key: WireKey) -> Result<(), Error> {
        let text = self.text.quoted()?;
        key.put(self.out);
        if text.escaped {
            let text = text.bytes()?;
            put_varint(self.out, text.len() as u64);
            self.out.extend_from_slice(&text);
        } else {
            put_varint(self.out, text.raw.len() as u64);
            self.out.extend_from_slice(text.raw);
        }
        Ok(())
    }

    /// A value that is not null.
    fn value(&mut self, key: WireKey, shape: &'t Shape) -> Result<(), Error> {
        match shape {
            Shape::String => self.string(key),
            Shape::Bool => {
                let on = self.text.take_word(b"true");
                if !on && !self.text.take_word(b"false") {
                    return Err(odd("value"));
                }
                key.put(self.out);
                self.out.push(u8::from(on));
                Ok(())
            }
            Shape::Int32 | Shape::Int64 => {
                let number = self.text.integer()?;
                key.put(self.out);
                put_varint(self.out, number.cast_unsigned());
                Ok(())
            }
            Shape::Float64 => {
                let number = self.text.float()?;
                key.put(self.out);
                self.out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            Shape::Bytes => {
                let text = self.text.quoted()?.bytes()?;
                let bytes = BASE64.decode(&text).map_err(|_| Error::new("illegal base64 data"))?;
                key.put(self.out);
                put_varint(self.out, bytes.len() as u64);
                self.out.extend_from_slice(&bytes);
                Ok(())
            }
            shape => {
                let start = open(self.out, key);
                self.nested(shape)?;
                close(self.out, start);
                Ok(())
            }
        }
    }

    /// The fields of a value that is a message on the wire.
    fn nested(&mut self, shape: &'t Shape) -> Result<(), Error> {
        match shape {
            Shape::Struct(id) => self.message(*id),
            Shape::Quantity => self.string(WireKey::message(1)),
            Shape::IntOrString if self.text.peek() == b'"' => {
                put_integer(self.out, 1, 1);
                put_integer(self.out, 2, 0);
                self.string(WireKey::message(3))
            }
            Shape::IntOrString => {
                let number = self.text.integer()?;
                put_integer(self.out, 1, 0);
                put_integer(self.out, 2, number.cast_unsigned());
                put_bytes(self.out, 3, b"");
                Ok(())
            }
            Shape::Time => self.time(Precision::Seconds),
            Shape::MicroTime => self.time(Precision::Micros),
            Shape::Duration => {
                let text = self.text.quoted()?.text()?;
                let duration = GoDuration::parse(&text).map_err(Error::new)?;
                put_integer(self.out, 1, duration.0.cast_unsigned());
                Ok(())
            }
            Shape::Json | Shape::FieldsV1 => {
                let text = self.text.value()?;
                put_bytes(self.out, 1, text);
                Ok(())
            }
            Shape::List(list) => self.items(WireKey::of(1, &list.item), &list.item),
            Shape::SchemaOrBool(_) | Shape::SchemaOrArray(_) | Shape::SchemaOrStrings(_) => self.schema_or(shape),
            shape => Err(Error::new(format!("a value in place of {shape:?}"))),
        }
    }

    fn time(&mut self, precision: Precision) -> Result<(), Error> {
        let text = self.text.quoted()?.text()?;
        let time = Time::parse(&text, precision).map_err(Error::new)?;
        let nanos = match precision {
            Precision::Seconds => 0,
            Precision::Micros => time.nanos / 1000 * 1000,
        };
        put_integer(self.out, 1, time.seconds.cast_unsigned());
        put_integer(self.out, 2, nanos.into());
        Ok(())
    }

    fn schema_or(&mut self, shape: &'t Shape) -> Result<(), Error> {
        let list = self.text.peek() == b'[';
        match shape {
            Shape::SchemaOrBool(id) => {
                let allows = self.text.take_word(b"true");
                if allows || self.text.take_word(b"false") {
                    put_integer(self.out, 1, u64::from(allows));
                    return Ok(());
                }
                put_integer(self.out, 1, 1);
                self.schema(2, *id)
            }
            Shape::SchemaOrArray(id) if list => {
                self.text.expect(b'[')?;
                while !self.text.take(b']') {
                    self.schema(2, *id)?;
                    self.text.take(b',');
                }
                Ok(())
            }
            Shape::SchemaOrStrings(_) if list => self.items(WireKey::message(2), &Shape::String),
            Shape::SchemaOrArray(id) | Shape::SchemaOrStrings(id) => self.schema(1, *id),
            _ => Err(odd("schema")),
        }
    }

    fn schema(&mut self, tag: u32, id: TypeId) -> Result<(), Error> {
        let start = open(self.out, WireKey::message(tag));
        self.message(id)?;
        close(self.out, start);
        Ok(())
    }
}
