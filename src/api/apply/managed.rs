//! `metadata.managedFields` as entries: who owns what since when, decoded from the tree and encoded back.

use serde_json::{Map, Value};

use super::set::{Below, FieldSet};
use super::text;
use crate::api::field::go_quote;

/// How the fields were set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    /// As it stands in an entry.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who: two entries of the same manager are one. An applier is the same in every version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Manager<'a> {
    pub name: &'a str,
    pub operation: Operation,
    pub subresource: &'a str,
    /// Empty for appliers.
    pub version: &'a str,
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub manager: Manager<'a>,
    pub api_version: &'a str,
    pub time: Option<&'a str>,
    pub set: FieldSet<'a>,
    /// The place in the list that the entry was read from, while it is as it was there.
    pub source: Option<usize>,
}

impl<'a> Manager<'a> {
    /// The manager of an operation.
    pub(super) fn new(name: &'a str, operation: Operation, subresource: &'a str, api_version: &'a str) -> Self {
        let version = match operation {
            Operation::Apply => "",
            Operation::Update => api_version,
        };
        Self { name, operation, subresource, version }
    }
}

impl<'a> Entry<'a> {
    /// Replaces the set; the document no longer agrees with it.
    pub(super) fn set(&mut self, set: FieldSet<'a>) {
        self.set = set;
        self.source = None;
    }

    /// Takes members from the set.
    pub(super) fn take_away(&mut self, gone: &FieldSet<'_>) {
        self.set.subtract(gone, Below::Stays);
        self.source = None;
    }

    /// Adds members to the set.
    pub(super) fn add(&mut self, more: FieldSet<'a>) {
        self.set = std::mem::take(&mut self.set).union(more);
        self.source = None;
    }

    /// The time in seconds, 0 when there is none.
    pub(super) fn seconds(&self) -> i64 {
        self.time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map_or(0, jiff::Timestamp::as_second)
    }

    fn read(at: usize, value: &'a Value) -> Result<Self, String> {
        let told = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
        let operation = match told("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = told("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match told("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => return Err(format!("invalid fieldsType {} in managed fields entry {at}", go_quote(other))),
        }
        let decoding = |error: super::fields_v1::Error| format!("error decoding set: {error}");
        let set = match value.get("fieldsV1") {
            None | Some(Value::Null) => FieldSet::new(),
            Some(Value::String(fields)) => match text::read(fields) {
                Some(set) => set,
                None => FieldSet::from_json(fields).map_err(decoding)?,
            },
            Some(fields) => FieldSet::from_value(fields).map_err(decoding)?,
        };
        Ok(Self {
            manager: Manager::new(told("manager"), operation, told("subresource"), api_version),
            api_version,
            time: value.get("time").and_then(Value::as_str),
            set,
            source: Some(at),
        })
    }

    fn to_value(&self, form: Form) -> Value {
        let texts = [
            ("manager", self.manager.name),
            ("operation", self.manager.operation.as_str()),
            ("apiVersion", self.api_version),
            ("time", self.time.unwrap_or("")),
            ("fieldsType", "FieldsV1"),
            ("subresource", self.manager.subresource),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let texts = texts.map(|(name, text)| (name.to_owned(), Value::String(text.to_owned())));
        let fields = match form {
            Form::Text => Value::String(text::write(&self.set)),
            Form::Tree => self.set.to_value(),
        };
        Value::Object(texts.chain([("fieldsV1".to_owned(), fields)]).collect::<Map<_, _>>())
    }
}

/// Reads `managedFields`; absent is empty. Of two entries of one manager the last counts.
///
/// # Errors
/// Upstream's words for what is wrong with an entry.
pub(super) fn decode(list: Option<&Value>) -> Result<Vec<Entry<'_>>, String> {
    let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut entries: Vec<Entry<'_>> = Vec::with_capacity(items.len() + 1);
    for (at, item) in items.iter().enumerate() {
        let entry = Entry::read(at, item)?;
        match entries.iter_mut().find(|known| known.manager == entry.manager) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// Checks `managedFields` as a client sent it.
///
/// # Errors
/// Upstream's words for what is wrong with an entry.
pub fn validate(list: &Value) -> Result<(), String> {
    decode(Some(list)).map(|_| ())
}

/// Whether a list can be read at all, broken as its entries may be; Go takes one that cannot be for none.
pub(super) fn is_readable(list: &Value) -> bool {
    const TEXTS: [&str; 6] = ["manager", "operation", "apiVersion", "time", "fieldsType", "subresource"];
    let text = |entry: &Value, name: &str| entry.get(name).is_none_or(|value| value.is_null() || value.is_string());
    let time = |entry: &Value| {
        let time = entry.get("time").and_then(Value::as_str);
        time.is_none_or(|time| time.parse::<jiff::Timestamp>().is_ok())
    };
    let readable = |entry: &Value| entry.is_object() && time(entry) && TEXTS.iter().all(|name| text(entry, name));
    list.as_array().is_some_and(|entries| entries.iter().all(readable))
}

/// An entry on its way back into the tree.
pub(super) enum Piece {
    /// As it stands at a place of the list that was read.
    Kept(usize),
    New(Value),
}

/// How a set stands in an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// See `text`.
    Text,
    Tree,
}

/// The entries in upstream's order: appliers first, then by time, name, version and subresource.
pub(super) fn encode(mut entries: Vec<Entry<'_>>, form: Form) -> Vec<Piece> {
    if entries.len() > 1 {
        entries.sort_by_cached_key(|entry| {
            let manager = entry.manager;
            (manager.operation, entry.seconds(), manager.name, entry.api_version, manager.subresource)
        });
    }
    entries.iter().map(|entry| entry.source.map_or_else(|| Piece::New(entry.to_value(form)), Piece::Kept)).collect()
}

/// The list that pieces make, `kept` giving those that are as they were. `None` when there are none.
pub(super) fn assemble(pieces: Vec<Piece>, mut kept: impl FnMut(usize) -> Value) -> Option<Value> {
    let list: Vec<Value> = pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Kept(at) => kept(at),
            Piece::New(value) => value,
        })
        .collect();
    (!list.is_empty()).then_some(Value::Array(list))
}

/// Whether a client asks to forget all ownership: an empty list, or one empty entry.
pub(super) fn is_reset(list: Option<&Value>) -> bool {
    match list.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.values().all(|value| value.is_null() || value.as_str() == Some("")),
        _ => false,
    }
}
