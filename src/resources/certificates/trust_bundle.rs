//! ClusterTrustBundle.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::or_none;
use crate::resources::{Behaviour, Moment, SelectableField};

pub(in crate::resources) struct ClusterTrustBundle;

const FIELDS: &[SelectableField] = &[SelectableField {
    name: "spec.signerName",
    read: |bundle| bundle.text_at(&["spec", "signerName"]).to_owned(),
    indexed: false,
}];

impl Behaviour for ClusterTrustBundle {
    /// A signer's bundles are named `<signer>:<name>`; the name depends on the spec.
    fn name_errors(&self, _: &str, _: bool) -> Vec<String> {
        Vec::new()
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
