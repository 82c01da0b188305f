//! Secret.

use serde_json::{Value, json};

use super::config_map::{DATA_BYTES_MAX, decoded_bytes, sealed};
use crate::api::Object;
use crate::api::codec::json;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::config_map_key;
use crate::resources::check::{immutable, messages};
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, fill_zero, keep, text};
use crate::resources::{Behaviour, Kind, Moment, SelectableField};

pub(in crate::resources) struct Secret;

const FIELDS: &[SelectableField] =
    &[SelectableField { name: "type", read: |s| s.text_at(&["type"]).to_owned(), indexed: false }];

impl Behaviour for Secret {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        fill_zero(object.root_mut(), "type", "Opaque");
        merge_string_data(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        if new.text_at(&["type"]).is_empty() {
            keep(new, old, &["type"]);
        }
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_secret(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        immutable(&mut errors, new.get(&["type"]), old.get(&["type"]), &Path::new("type"));
        sealed(&mut errors, (new, old), &["data"]);
        errors.extend(validate_secret(new));
        errors
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        if object.text_at(&["type"]) == "kubernetes.io/tls" {
            pair_warning(object).into_iter().collect()
        } else {
            Vec::new()
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

fn validate_secret(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let data = child(object.root(), "data").unwrap_or(&empty);
    let path = Path::new("data");
    for key in data.keys() {
        messages(&mut errors, &path.key(key), key.as_str(), config_map_key(key));
    }
    let total: usize = data.values().filter_map(Value::as_str).map(decoded_bytes).sum();
    if total > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(&path, DATA_BYTES_MAX));
    }
    required_keys(&mut errors, object, data);
    errors
}

/// A warning when one of the two files of a TLS secret holds no PEM at all. Whether they belong together is not asked.
fn pair_warning(object: &Object) -> Option<String> {
    use base64::Engine as _;
    let holds_pem = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(object.text_at(&["data", key]));
        bytes.is_ok_and(|bytes| bytes.windows(11).any(|window| window == b"-----BEGIN "))
    };
    let missing = [("tls.crt", "certificate"), ("tls.key", "key")].into_iter().find(|(key, _)| !holds_pem(key));
    missing.map(|(_, what)| format!("tls: failed to find any PEM data in {what} input"))
}

/// What the type of a secret promises.
fn required_keys(errors: &mut Errors, object: &Object, data: &Tree) {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let path = Path::new("data");
    let mut need = |keys: &[&str]| {
        errors.extend(keys.iter().map(|key| FieldError::required(&path.key(key), "")));
    };
    let missing = |keys: &[&'static str]| -> Vec<&'static str> {
        keys.iter().copied().filter(|key| !data.contains_key(*key)).collect()
    };
    match object.text_at(&["type"]) {
        "kubernetes.io/service-account-token" if object.annotation(ACCOUNT).unwrap_or("").is_empty() => {
            let metadata = Path::new("metadata");
            errors.push(FieldError::required(&metadata.child("annotations").key(ACCOUNT), ""));
        }
        "kubernetes.io/dockercfg" => json_object(errors, data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json_object(errors, data, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" => {
            let missing = missing(&["username", "password"]);
            if missing.len() == 2 {
                need(&missing);
            }
        }
        "kubernetes.io/ssh-auth" if text(data, "ssh-privatekey").is_empty() => need(&["ssh-privatekey"]),
        "kubernetes.io/tls" => need(&missing(&["tls.crt", "tls.key"])),
        _ => {}
    }
}

fn json_object(errors: &mut Errors, data: &Tree, key: &str) {
    use base64::Engine as _;
    let path = Path::new("data");
    let Some(text) = data.get(key).and_then(Value::as_str) else {
        errors.push(FieldError::required(&path.key(key), ""));
        return;
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let detail = match json::decode(&bytes).map(|decoded| decoded.value) {
        _ if bytes.is_empty() => "unexpected end of JSON input".to_owned(),
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => {
            format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", json::kind_of(&other))
        }
        Err(error) => error.to_string(),
    };
    errors.push(FieldError::invalid(&path.key(key), "<secret contents redacted>", detail));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check_secret(secret: Value, expected: &[&str]) {
        check_errors(&validate_secret(&Object::from_value(secret).unwrap()), expected);
    }

    #[test]
    fn a_type_asks_for_its_keys() {
        check_secret(json!({"type": "Opaque", "data": {"a": "AA=="}}), &[]);
        check_secret(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), &["data[tls.key]: Required value"]);
        check_secret(
            json!({"type": "kubernetes.io/basic-auth"}),
            &["data[username]: Required value", "data[password]: Required value"],
        );
        check_secret(json!({"type": "kubernetes.io/basic-auth", "data": {"username": ""}}), &[]);
        check_secret(json!({"type": "kubernetes.io/dockercfg"}), &["data[.dockercfg]: Required value"]);
        check_secret(
            json!({"type": "kubernetes.io/service-account-token"}),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn texts_become_data_and_are_not_stored() {
        let mut secret =
            Object::from_value(json!({"stringData": {"a": "b"}, "data": {"a": "AA==", "c": "AA=="}})).unwrap();
        merge_string_data(&mut secret);
        assert_eq!(secret.into_value(), json!({"data": {"a": "Yg==", "c": "AA=="}}));
    }
}
