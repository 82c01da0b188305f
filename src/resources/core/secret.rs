//! Secret.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::tree::{fill_zero, keep};
use crate::resources::{Behaviour, Kind, Moment, SelectableField};

pub(in crate::resources) struct Secret;

const FIELDS: &[SelectableField] =
    &[SelectableField { name: "type", read: |s| s.text_at(&["type"]).to_owned(), indexed: false }];

impl Behaviour for Secret {
    fn default(&self, _: &Kind, object: &mut Object) {
        fill_zero(object.root_mut(), "type", "Opaque");
        merge_string_data(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        if new.text_at(&["type"]).is_empty() {
            keep(new, old, &["type"]);
        }
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let keys = object.get(&["data"]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
        Some(vec![json!(object.name()), json!(object.text_at(&["type"])), json!(keys), json!(age(object, moment))])
    }
}

/// `stringData` is written into `data` and is never stored.
fn merge_string_data(object: &mut Object) {
    use base64::Engine as _;
    let Some(Value::Object(texts)) = object.remove(&["stringData"]) else { return };
    for (key, text) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or(""));
        object.object_at(&["data"]).insert(key, Value::String(encoded));
    }
}
