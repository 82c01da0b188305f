//! StatefulSet.

use serde_json::{Value, json};

use super::stateful_set_validation as validation;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::validation::names::label_name;
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::core::volume_claim::{claim_warnings, default_claim};
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int};
use crate::resources::tree::{Tree, child, child_mut, ensure, fill, fill_zero, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale};

pub(in crate::resources) struct StatefulSet;

impl Behaviour for StatefulSet {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        label_name(name, prefix)
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill_zero(spec, "podManagementPolicy", "OrderedReady");
        default_strategy(ensure(spec, "updateStrategy"));
        let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
        fill_zero(retention, "whenDeleted", "Retain");
        fill_zero(retention, "whenScaled", "Retain");
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", 10);
        default_template(ensure(spec, "template"));
        for claim in items_mut(spec, "volumeClaimTemplates") {
            // The claims carry their type, whatever the client wrote.
            claim.insert("apiVersion".to_owned(), json!("v1"));
            claim.insert("kind".to_owned(), json!("PersistentVolumeClaim"));
            default_claim(claim);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validation::validate_update(new, old)
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = template_warnings(object, old, "spec.template.");
        for (i, claim) in list(object, &["spec", "volumeClaimTemplates"]).enumerate() {
            // Updates name the spec of the claim, in Go's spelling.
            let step = if old.is_some() { ".Spec" } else { "" };
            let path = format!("spec.volumeClaimTemplates[{i}]{step}");
            warnings.extend(child(claim, "spec").into_iter().flat_map(|spec| claim_warnings(spec, &Path::new(&path))));
        }
        if object.int_at(&["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0) {
            warnings.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                    .to_owned(),
            );
        }
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validation::validate_status, ..STATUS })
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        Some(super::replica_scale())
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        let (ready, desired) = (int(object, &["status", "readyReplicas"]), int(object, &["spec", "replicas"]));
        Some(vec![
            json!(object.name()),
            json!(format!("{ready}/{desired}")),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
        ])
    }
}

/// A rolling update that is named without its settings keeps none; one that is the default gets them all.
fn default_strategy(strategy: &mut Tree) {
    if text(strategy, "type").is_empty() {
        strategy.insert("type".to_owned(), json!("RollingUpdate"));
        ensure(strategy, "rollingUpdate");
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child_mut(strategy, "rollingUpdate")
    {
        fill(rolling, "partition", 0);
        fill(rolling, "maxUnavailable", 1);
    }
}
