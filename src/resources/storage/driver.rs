//! CSIDriver.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::{age, flag, or_none};
use crate::resources::tree::{child, fill, fill_zero, items, text, texts};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct CsiDriver;

const TOKENS_WARNING: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true \
    to prevent possible logging of tokens in volume attributes";

impl Behaviour for CsiDriver {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "attachRequired", true);
        fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        fill_zero(spec, "volumeLifecycleModes", json!(["Persistent"]));
        let off =
            ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount", "preventPodSchedulingIfMissing"];
        for key in off {
            fill(spec, key, false);
        }
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        // A new driver has no generation; the first change counts from there.
        if new.get(&["spec"]) != old.get(&["spec"]) {
            new.set(&["metadata", "generation"], old.generation() + 1);
        }
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let requests = |o: &Object| o.get(&["spec", "tokenRequests"]).cloned();
        let given = child(object.root(), "spec").is_some_and(|s| items(s, "tokenRequests").next().is_some());
        let unsaid = object.get(&["spec", "serviceAccountTokenInSecrets"]).is_none();
        let changed = old.is_none_or(|old| requests(old) != requests(object));
        if given && unsaid && changed { vec![TOKENS_WARNING.to_owned()] } else { Vec::new() }
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let spec = child(object.root(), "spec").cloned().unwrap_or_default();
        let audiences: Vec<&str> = items(&spec, "tokenRequests").map(|t| text(t, "audience")).collect();
        let tokens = if spec.contains_key("tokenRequests") { audiences.join(",") } else { "<unset>".to_owned() };
        let modes: Vec<&str> = texts(&spec, "volumeLifecycleModes").collect();
        let of = |key: &str, otherwise: bool| json!(flag(object, &["spec", key], otherwise));
        Some(vec![
            json!(object.name()),
            of("attachRequired", true),
            of("podInfoOnMount", false),
            of("storageCapacity", false),
            json!(tokens),
            of("requiresRepublish", false),
            json!(or_none(&modes.join(","))),
            json!(age(object, moment)),
        ])
    }
}
