//! What the kinds of this group have in common: rules and selectors that say what is matched.

use serde_json::json;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::tree::{Tree, fill, items_mut};

/// Fills in `matchPolicy` and both selectors.
pub(super) fn default_selectors(holder: &mut Tree) {
    fill(holder, "matchPolicy", "Equivalent");
    fill(holder, "namespaceSelector", json!({}));
    fill(holder, "objectSelector", json!({}));
}

/// Fills in the scope of rules.
pub(super) fn default_rules(holder: &mut Tree, lists: &[&str]) {
    for list in lists {
        for rule in items_mut(holder, list) {
            fill(rule, "scope", "*");
        }
    }
}

/// Fills in a `matchResources` or `matchConstraints`.
pub(super) fn default_match(holder: &mut Tree) {
    default_selectors(holder);
    default_rules(holder, &["resourceRules", "excludeResourceRules"]);
}

/// A warning about names that only configuration from files may have; in what is new it is an error instead, while the
/// gate for it is on.
pub(super) fn name_warnings(name: &str) -> Vec<String> {
    reserved(name).map(|why| format!("metadata.name: {why}")).into_iter().collect()
}

/// Refuses such names in what is new.
pub(super) fn static_name(errors: &mut Errors, object: &Object) {
    if let Some(why) = reserved(object.name()) {
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), object.name(), why));
    }
}

fn reserved(name: &str) -> Option<String> {
    const RESERVED: &str = ".static.k8s.io";
    name.ends_with(RESERVED).then(|| {
        format!(
            "names ending with \"{RESERVED}\" are reserved for static manifest-based configurations and cannot be \
             managed via the API"
        )
    })
}
