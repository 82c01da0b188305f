//! EndpointSlice: changed labels count as a change of generation.

use serde_json::{Value, json};

use super::endpoint_slice_validation::validate_slice;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::validation::ip::ip_warnings;
use crate::resources::print::{age, first_of};
use crate::resources::tree::{Tree, fill, int, items_mut, list, text, texts};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct EndpointSlice;

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLERS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
const SHOWN_MAX: usize = 3;

impl Behaviour for EndpointSlice {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        for port in items_mut(object.root_mut(), "ports") {
            fill(port, "name", "");
            fill(port, "protocol", "TCP");
        }
    }

    /// `deprecatedTopology` is of v1beta1; what v1 clients send there is dropped.
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        drop_topology(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        if new.get(&["endpoints"]) != old.get(&["endpoints"]) {
            drop_topology(new);
            // What is dropped counts as a change.
            new.set(&["metadata", "generation"], old.generation() + 1);
        }
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_slice(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_slice(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn counts_as_change(&self, new: &Object, old: &Object) -> bool {
        !new.labels().eq(old.labels())
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() && object.text_at(&["addressType"]) == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        if object.labels().any(|(key, value)| key == MANAGED_BY && CONTROLLERS.contains(&value)) {
            return warnings;
        }
        let endpoints = Path::new("endpoints");
        for (i, endpoint) in list(object, &["endpoints"]).enumerate() {
            let at = endpoints.index(i);
            let at = at.child("addresses");
            for (j, address) in texts(endpoint, "addresses").enumerate() {
                warnings.extend(ip_warnings(address, &at.index(j)));
            }
        }
        warnings
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let ports: Vec<String> = list(object, &["ports"]).map(port).collect();
        let endpoints = list(object, &["endpoints"]);
        let addresses: Vec<String> = endpoints.flat_map(|e| texts(e, "addresses")).map(str::to_owned).collect();
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["addressType"])),
            json!(first_of(&ports, SHOWN_MAX)),
            json!(first_of(&addresses, SHOWN_MAX)),
            json!(age(object, moment)),
        ])
    }
}

fn drop_topology(object: &mut Object) {
    for endpoint in items_mut(object.root_mut(), "endpoints") {
        endpoint.remove("deprecatedTopology");
    }
}

fn port(port: &Tree) -> String {
    match (int(port, "port"), port.get("name")) {
        (Some(number), _) => number.to_string(),
        (None, Some(_)) => text(port, "name").to_owned(),
        (None, None) => "*".to_owned(),
    }
}
