//! The formats that `+k8s:format` names (apimachinery `pkg/api/validate/strfmt.go`).

use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip;
use crate::api::validation::names::{self, Messages};

const POOL_NAME_BYTES_MAX: usize = 253;
const DEVICE_NAME_BYTES_MAX: usize = 32;
const DRIVER_NAME_BYTES_MAX: usize = 63;

/// Adds what is wrong with a text; a format that is not known finds nothing.
pub(super) fn check(format: &str, text: &str, path: &Path<'_>, errors: &mut Errors) {
    let rule: fn(&str) -> Messages = match format {
        "k8s-short-name" => names::short_name,
        "k8s-long-name" => names::long_name,
        "k8s-long-name-caseless" => names::long_name_caseless,
        "k8s-label-key" => names::qualified_name,
        "k8s-prefixed-label-key" => names::prefixed_label_key,
        "k8s-label-value" => names::label_value,
        "k8s-path-segment-name" => names::path_segment_name,
        "k8s-uuid" => names::uuid,
        "k8s-extended-resource-name" => extended_resource_name,
        "k8s-ip" => return errors.extend(ip::ip(text, path)),
        "k8s-resource-pool-name" => return pool_name(text, path, errors),
        "k8s-resource-fully-qualified-name" => return fully_qualified_name(text, path, errors),
        _ => return,
    };
    errors.extend(rule(text).into_iter().map(|m| FieldError::invalid(path, text, m)));
}

fn extended_resource_name(text: &str) -> Messages {
    let mut out = Messages::new();
    if !text.contains('/') {
        out.push("a name must be a domain-prefixed path, such as 'example.com/my-prop'".to_owned());
    } else if text.contains("kubernetes.io/") {
        out.push("must not have \"kubernetes.io/\" domain".to_owned());
    }
    if text.starts_with("requests.") {
        out.push("must not have \"requests.\" prefix".to_owned());
    }
    out.extend(names::qualified_name(&format!("requests.{text}")));
    out
}

fn pool_name(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if text.len() > POOL_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, POOL_NAME_BYTES_MAX));
    }
    for (index, part) in text.split('/').enumerate() {
        if part.is_empty() {
            errors.push(FieldError::invalid(path, text, format!("segment {index}: must not be empty")));
            continue;
        }
        let messages = names::long_name(part).into_iter();
        errors.extend(messages.map(|m| FieldError::invalid(path, part, format!("segment {index}: {m}"))));
    }
}

fn fully_qualified_name(text: &str, path: &Path<'_>, errors: &mut Errors) {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [name] => identifier(name, path, errors),
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(FieldError::invalid(path, "", "prefix must not be empty"));
            } else {
                if prefix.len() > DRIVER_NAME_BYTES_MAX {
                    errors.push(FieldError::too_long(path, DRIVER_NAME_BYTES_MAX));
                }
                let messages = names::long_name(prefix).into_iter();
                errors.extend(messages.map(|m| FieldError::invalid(path, prefix, format!("prefix: {m}"))));
            }
            if name.is_empty() {
                errors.push(FieldError::invalid(path, "", "name must not be empty"));
            } else {
                identifier(name, path, errors);
            }
        }
        _ => {}
    }
    if !text.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, text, detail));
    }
}

fn identifier(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if text.len() > DEVICE_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, DEVICE_NAME_BYTES_MAX));
    }
    errors.extend(names::c_identifier(text).into_iter().map(|m| FieldError::invalid(path, text, m)));
}
