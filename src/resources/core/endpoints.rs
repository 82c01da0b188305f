//! Endpoints.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::Path;
use crate::api::validation::ip::ip_warnings;
use crate::resources::print::age;
use crate::resources::tree::{fill_zero, int, items, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct Endpoints;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpoint-controller";
const SHOWN_MAX: usize = 3;

impl Behaviour for Endpoints {
    fn default(&self, _: &Kind, object: &mut Object) {
        for subset in items_mut(object.root_mut(), "subsets") {
            for port in items_mut(subset, "ports") {
                fill_zero(port, "protocol", "TCP");
            }
        }
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        if object.labels().any(|label| label == (MANAGED_BY, CONTROLLER)) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        let subsets = Path::new("subsets");
        for (i, subset) in list(object, &["subsets"]).enumerate() {
            let subset_path = subsets.index(i);
            for field in ["addresses", "notReadyAddresses"] {
                let addresses = subset_path.child(field);
                for (j, address) in items(subset, field).enumerate() {
                    warnings.extend(ip_warnings(text(address, "ip"), &addresses.index(j).child("ip")));
                }
            }
        }
        warnings
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(shown(object)), json!(age(object, moment))])
    }
}

/// The first addresses with their ports, and how many more there are.
fn shown(object: &Object) -> String {
    let mut all = Vec::new();
    let mut none = true;
    for subset in list(object, &["subsets"]) {
        none = false;
        let addresses = || items(subset, "addresses").map(|a| text(a, "ip"));
        if items(subset, "ports").next().is_none() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in items(subset, "ports") {
            let port = int(port, "port").unwrap_or(0);
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    let first = all.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(",");
    match all.len().checked_sub(SHOWN_MAX) {
        _ if none => "<none>".to_owned(),
        Some(more) if more > 0 => format!("{first} + {more} more..."),
        Some(_) | None => first,
    }
}
