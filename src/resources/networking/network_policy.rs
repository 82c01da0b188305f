//! NetworkPolicy.

use serde_json::{Value, json};

use super::network_policy_validation::validate;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::validation::ip::cidr_warnings;
use crate::resources::print::{age, label_selector};
use crate::resources::tree::{Tree, child, count, fill, fill_zero, items, items_mut, list, text, texts};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct NetworkPolicy;

impl Behaviour for NetworkPolicy {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        let types = if count(spec, "egress") == 0 { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        fill_zero(spec, "policyTypes", types);
        for direction in ["ingress", "egress"] {
            for rule in items_mut(spec, direction) {
                for port in items_mut(rule, "ports") {
                    fill(port, "protocol", "TCP");
                }
            }
        }
    }

    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        let spec = Path::new("spec");
        let mut warnings = Vec::new();
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let rules = spec.child(direction);
            for (i, rule) in list(object, &["spec", direction]).enumerate() {
                let at = rules.index(i);
                warn_peers(rule, (peers, &at.child(peers)), &mut warnings);
            }
        }
        warnings
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let selector = label_selector(object.get(&["spec", "podSelector"]));
        Some(vec![json!(object.name()), json!(selector), json!(age(object, moment))])
    }
}

fn warn_peers(rule: &Tree, (key, path): (&str, &Path<'_>), warnings: &mut Vec<String>) {
    for (i, peer) in items(rule, key).enumerate() {
        let Some(block) = child(peer, "ipBlock") else { continue };
        let at = path.index(i);
        let at = at.child("ipBlock");
        warnings.extend(cidr_warnings(text(block, "cidr"), &at.child("cidr")));
        let except = at.child("except");
        for (j, range) in texts(block, "except").enumerate() {
            warnings.extend(cidr_warnings(range, &except.index(j)));
        }
    }
}
