//! The named formats of texts.

use base64::Engine as _;

use super::super::error::Error;
use super::super::time::Timestamp;
use super::super::value::Value;
use super::urls::Url;
use crate::api::validation::names;

pub(super) const NAMES: &[&str] = &[
    "format.named",
    "validate",
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.dns1035Label",
    "format.qualifiedName",
    "format.dns1123LabelPrefix",
    "format.dns1123SubdomainPrefix",
    "format.dns1035LabelPrefix",
    "format.labelValue",
    "format.uri",
    "format.uuid",
    "format.byte",
    "format.date",
    "format.datetime",
];

/// A format: what is wrong with a text.
#[derive(Debug)]
pub struct NamedFormat {
    /// The name in expressions.
    key: &'static str,
    pub name: &'static str,
    messages: fn(&str) -> Vec<String>,
    /// How long the pattern is that checking it is reckoned as.
    pub(in super::super) regex_chars_max: u64,
}

static FORMATS: [NamedFormat; 13] = [
    NamedFormat {
        key: "dns1123Label",
        name: "DNS1123Label",
        messages: |text| names::label_name(text, false),
        regex_chars_max: 30,
    },
    NamedFormat {
        key: "dns1123Subdomain",
        name: "DNS1123Subdomain",
        messages: |text| names::subdomain_name(text, false),
        regex_chars_max: 60,
    },
    NamedFormat {
        key: "dns1035Label",
        name: "DNS1035Label",
        messages: |text| names::dns1035_label_name(text, false),
        regex_chars_max: 30,
    },
    NamedFormat { key: "qualifiedName", name: "QualifiedName", messages: names::qualified_name, regex_chars_max: 60 },
    NamedFormat {
        key: "dns1123LabelPrefix",
        name: "DNS1123LabelPrefix",
        messages: |text| names::label_name(text, true),
        regex_chars_max: 30,
    },
    NamedFormat {
        key: "dns1123SubdomainPrefix",
        name: "DNS1123SubdomainPrefix",
        messages: |text| names::subdomain_name(text, true),
        regex_chars_max: 60,
    },
    NamedFormat {
        key: "dns1035LabelPrefix",
        name: "DNS1035LabelPrefix",
        messages: |text| names::dns1035_label_name(text, true),
        regex_chars_max: 30,
    },
    NamedFormat { key: "labelValue", name: "LabelValue", messages: names::label_value, regex_chars_max: 40 },
    NamedFormat {
        key: "uri",
        name: "URI",
        messages: |text| Url::parse(text).err().into_iter().collect(),
        regex_chars_max: 1103,
    },
    NamedFormat {
        key: "uuid",
        name: "uuid",
        messages: |text| unless(is_uuid(text), "does not match the UUID format"),
        regex_chars_max: 72,
    },
    NamedFormat {
        key: "byte",
        name: "byte",
        messages: |text| unless(is_base64(text), "invalid base64"),
        regex_chars_max: 84,
    },
    NamedFormat {
        key: "date",
        name: "date",
        messages: |text| unless(Timestamp::parse_date(text).is_some(), "invalid date"),
        regex_chars_max: 71,
    },
    NamedFormat {
        key: "datetime",
        name: "datetime",
        messages: |text| unless(is_date_time(text), "invalid datetime"),
        regex_chars_max: 71,
    },
];

fn unless(valid: bool, message: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![message.to_owned()] }
}

fn is_uuid(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let well_placed = match groups[..] {
        [8, 4, 4, 4, 12] => true,
        _ => groups.iter().all(|length| *length > 0) && digits.len() == text.len(),
    };
    well_placed && digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// A date and a time in any case of letters.
fn is_date_time(text: &str) -> bool {
    Timestamp::parse(&text.to_ascii_uppercase()).is_some()
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let known = |key: &str| FORMATS.iter().find(|format| format.key == key).map(Value::Format);
    match (name, args) {
        ("format.named", [Value::String(key)]) => Ok(known(key).map_or(Value::Optional(None), Value::some)),
        ("validate", [Value::Format(format), Value::String(text)]) => {
            let messages = (format.messages)(text);
            if messages.is_empty() {
                return Ok(Value::Optional(None));
            }
            Ok(Value::some(Value::list(messages.into_iter().map(Value::text).collect())))
        }
        (_, []) => name.strip_prefix("format.").and_then(known).ok_or_else(Error::refused),
        _ => Err(Error::refused()),
    }
}
