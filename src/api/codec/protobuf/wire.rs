//! The protobuf wire: tags, varints, length-delimited bytes. Reading is total; errors read as those of gogo's
//! generated code.

use super::super::Error;
use crate::api::schema::wire::{self, WireKey, put_varint};

/// How a field's value is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Varint,
    Fixed64,
    Bytes,
    StartGroup,
    EndGroup,
    Fixed32,
    /// Two numbers mean nothing.
    Illegal(u8),
}

impl Kind {
    fn of(number: u64) -> Self {
        match number & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Bytes,
            3 => Self::StartGroup,
            4 => Self::EndGroup,
            5 => Self::Fixed32,
            other => Self::Illegal(if other == 6 { 6 } else { 7 }),
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes => 2,
            Self::StartGroup => 3,
            Self::EndGroup => 4,
            Self::Fixed32 => 5,
            Self::Illegal(number) => number,
        }
    }
}

/// Reads one message.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag and layout of the next field of a message that Go calls so; `None` at the end.
    pub(super) fn key(&mut self, of: &str) -> Result<Option<(u32, Kind)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let kind = Kind::of(key);
        match u32::try_from(key >> 3) {
            Ok(tag) if tag > 0 && kind != Kind::EndGroup => Ok(Some((tag, kind))),
            Ok(_) if kind == Kind::EndGroup => {
                Err(Error::new(format!("proto: {of}: wiretype end group for non-group")))
            }
            Ok(_) | Err(_) => Err(Error::new(format!("proto: {of}: illegal tag {} (wire type {key})", key >> 3))),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(unexpected_end)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::new("proto: integer overflow"))
    }

    /// An integer; the value of a varint field.
    pub(super) fn integer(&mut self, kind: Kind) -> Result<u64, Error> {
        if kind == Kind::Varint { self.varint() } else { Err(wrong(kind)) }
    }

    pub(super) fn fixed64(&mut self, kind: Kind) -> Result<u64, Error> {
        if kind != Kind::Fixed64 {
            return Err(wrong(kind));
        }
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or_else(unexpected_end)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// The bytes of a field that Go calls so.
    pub(super) fn bytes_of(&mut self, kind: Kind, field: &str) -> Result<&'a [u8], Error> {
        if kind == Kind::Bytes {
            self.bytes(kind)
        } else {
            Err(Error::new(format!("{} for field {field}", wrong(kind))))
        }
    }

    pub(super) fn bytes(&mut self, kind: Kind) -> Result<&'a [u8], Error> {
        if kind != Kind::Bytes {
            return Err(wrong(kind));
        }
        let length = self.varint()?;
        if i64::try_from(length).is_err() {
            return Err(Error::new("proto: negative length found during unmarshaling"));
        }
        let length = usize::try_from(length).map_err(|_| unexpected_end())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(unexpected_end)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A text; what is not UTF-8 becomes U+FFFD, as when Go writes it as JSON.
    pub(super) fn text(&mut self, kind: Kind) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.bytes(kind)?).into_owned())
    }

    /// Passes over a field of no interest.
    pub(super) fn skip(&mut self, kind: Kind) -> Result<(), Error> {
        let mut depth = 0usize;
        let mut kind = kind;
        loop {
            match kind {
                Kind::Varint => drop(self.varint()?),
                Kind::Fixed64 => drop(self.fixed64(kind)?),
                Kind::Bytes => drop(self.bytes(kind)?),
                Kind::Fixed32 => self.rest = self.rest.get(4..).ok_or_else(unexpected_end)?,
                Kind::Illegal(number) => return Err(Error::new(format!("proto: illegal wireType {number}"))),
                Kind::StartGroup => depth += 1,
                Kind::EndGroup => {
                    depth = depth.checked_sub(1).ok_or_else(|| Error::new("proto: unexpected end of group"))?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
            kind = Kind::of(self.varint()?);
        }
    }
}

/// Appends a field of bytes.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    wire::put_bytes(out, WireKey::message(tag), bytes);
}

/// Appends a field with a number.
#[inline]
pub(super) fn put_integer(out: &mut Vec<u8>, tag: u32, value: u64) {
    WireKey::varint(tag).put(out);
    put_varint(out, value);
}

/// Begins a message of as yet unknown length; gives the place to hand to `close`.
#[inline]
pub(super) fn open(out: &mut Vec<u8>, key: WireKey) -> usize {
    key.put(out);
    // Most messages are shorter than 128 bytes.
    out.push(0);
    out.len()
}

/// Ends a message that `open` began: puts its length before it.
#[inline]
pub(super) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = u8::try_from(length).unwrap_or(0);
        return;
    }
    let end = out.len();
    put_varint(out, length as u64);
    let more = out.len() - end;
    // The length stands behind the message now, in `more` bytes; all but one need room before it.
    let mut written = [0; 10];
    written[..more].copy_from_slice(&out[end..]);
    out.copy_within(start..end, start + more - 1);
    out[start - 1..start - 1 + more].copy_from_slice(&written[..more]);
    out.truncate(end + more - 1);
}

fn unexpected_end() -> Error {
    Error::new("unexpected EOF")
}

fn wrong(kind: Kind) -> Error {
    Error::new(format!("proto: wrong wireType = {}", kind.number()))
}
