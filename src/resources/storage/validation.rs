//! What the validations of this group's kinds have in common, in upstream's order and words.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::{dns1123_subdomain, qualified_name};
use crate::resources::check::messages;
use crate::resources::tree::Tree;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 << 10;
const DRIVER_BYTES_MAX: usize = 63;

/// The name of a provisioner or driver of a class.
pub(super) fn provisioner(errors: &mut Errors, object: &Object, key: &str) {
    let (name, path) = (object.text_at(&[key]), Path::new(key));
    if name.is_empty() {
        return errors.push(FieldError::required(&path, ""));
    }
    let name = name.to_lowercase();
    messages(errors, &path, name.as_str(), qualified_name(&name));
}

/// The parameters of a class.
pub(super) fn parameters(errors: &mut Errors, object: &Object, path: &Path<'_>) {
    let empty = Tree::new();
    let given = object.get(&["parameters"]).and_then(Value::as_object).unwrap_or(&empty);
    if given.len() > PARAMETERS_MAX {
        return errors.push(FieldError::too_long(path, PARAMETERS_MAX));
    }
    if given.contains_key("") {
        errors.push(FieldError::invalid(path, "", "field can not be empty."));
    }
    if bytes(given) > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    }
}

/// The bytes of the keys and values of a map of texts.
pub(super) fn bytes(map: &Tree) -> usize {
    map.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}

/// The name of a CSI driver.
pub(super) fn driver_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > DRIVER_BYTES_MAX {
        errors.push(FieldError::too_long(path, DRIVER_BYTES_MAX));
    }
    messages(errors, path, name, dns1123_subdomain(&name.to_lowercase()));
}
