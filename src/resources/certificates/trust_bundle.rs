//! ClusterTrustBundle.

use serde_json::{Value, json};

use super::{authorities, signer_name};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::subdomain_name;
use crate::resources::check::messages;
use crate::resources::print::or_none;
use crate::resources::{Behaviour, Kind, Moment, SelectableField};

pub(in crate::resources) struct ClusterTrustBundle;

const FIELDS: &[SelectableField] = &[SelectableField {
    name: "spec.signerName",
    read: |bundle| bundle.text_at(&["spec", "signerName"]).to_owned(),
    indexed: false,
}];

impl Behaviour for ClusterTrustBundle {
    /// Which names are allowed depends on the spec.
    fn name_errors(&self, _: &str, _: bool) -> Vec<String> {
        Vec::new()
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate(object);
        let bundle = object.text_at(&["spec", "trustBundle"]);
        authorities::validate(&mut errors, bundle, &Path::new("spec").child("trustBundle"));
        errors
    }

    /// Certificates that do not change are not looked at again.
    fn validate_update(&self, kind: &Kind, new: &Object, old: &Object) -> Errors {
        let of = |object: &Object, key: &str| object.text_at(&["spec", key]).to_owned();
        let same = |key: &str| of(new, key) == of(old, key);
        let mut errors = if same("trustBundle") { validate(new) } else { self.validate(kind, new) };
        if !same("signerName") {
            let path = Path::new("spec");
            errors.push(FieldError::invalid(&path.child("signerName"), of(new, "signerName"), "field is immutable"));
        }
        errors
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(or_none(object.text_at(&["spec", "signerName"])))])
    }
}

/// The name, which says the signer if there is one, and the name of the signer.
fn validate(bundle: &Object) -> Errors {
    let mut errors = Errors::new();
    let signer = bundle.text_at(&["spec", "signerName"]);
    let path = Path::new("metadata");
    for (key, prefix) in [("generateName", true), ("name", false)] {
        let name = bundle.text_at(&["metadata", key]);
        if !name.is_empty() {
            messages(&mut errors, &path.child(key), name, name_faults(name, prefix, signer));
        }
    }
    if !signer.is_empty() {
        let path = Path::new("spec");
        signer_name::validate(&mut errors, signer, &path.child("signerName"));
    }
    errors
}

fn name_faults(name: &str, prefix: bool, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return subdomain_name(name, prefix);
    }
    let required = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&required) {
        Some(own) => subdomain_name(own, prefix),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {required}")],
    }
}
