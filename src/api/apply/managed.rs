//! `metadata.managedFields` as entries: who owns what since when, decoded from the tree and encoded back.

use serde_json::{Map, Value};

use super::set::FieldSet;
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
    /// The document that `set` was read from, while the two agree.
    pub source: Option<&'a Value>,
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

    /// The time in seconds, 0 when there is none.
    pub(super) fn seconds(&self) -> i64 {
        self.time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map_or(0, jiff::Timestamp::as_second)
    }

    fn read(at: usize, value: &'a Value) -> Result<Self, String> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => return Err(format!("invalid fieldsType {} in managed fields entry {at}", go_quote(other))),
        }
        let source = value.get("fieldsV1").filter(|fields| !fields.is_null());
        let set = match source.map(FieldSet::from_value).transpose() {
            Ok(set) => set.unwrap_or_default(),
            Err(error) => return Err(format!("error decoding set: {error}")),
        };
        Ok(Self {
            manager: Manager::new(text("manager"), operation, text("subresource"), api_version),
            api_version,
            time: value.get("time").and_then(Value::as_str),
            set,
            source,
        })
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, text: &str| {
            if !text.is_empty() {
                out.insert(name.to_owned(), Value::String(text.to_owned()));
            }
        };
        put("manager", self.manager.name);
        put("operation", self.manager.operation.as_str());
        put("apiVersion", self.api_version);
        put("time", self.time.unwrap_or(""));
        put("fieldsType", "FieldsV1");
        put("subresource", self.manager.subresource);
        out.insert("fieldsV1".to_owned(), self.source.map_or_else(|| self.set.to_value(), Value::clone));
        Value::Object(out)
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

/// Writes the entries in upstream's order: appliers first, then by time, name, version and subresource.
pub(super) fn encode(mut entries: Vec<Entry<'_>>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    entries.sort_by_cached_key(|entry| {
        let manager = entry.manager;
        (manager.operation, entry.seconds(), manager.name, entry.api_version, manager.subresource)
    });
    Some(Value::Array(entries.iter().map(Entry::to_value).collect()))
}

/// Whether a client asks to forget all ownership: an empty list, or one empty entry.
pub(super) fn is_reset(list: Option<&Value>) -> bool {
    match list.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.values().all(|value| value.is_null() || value.as_str() == Some("")),
        _ => false,
    }
}
