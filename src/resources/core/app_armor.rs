//! AppArmor profiles that a pod names in annotations, as it was done before there was a field, become fields.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::tree::{Tree, child, ensure, items, items_mut, text};

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What a field may say.
const PROFILE_BYTES_MAX: usize = 4095;

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// What is to be done about the annotation of one container.
enum Found {
    /// It says what the field says, or there is none.
    Nothing,
    /// It is not understood.
    Unknown,
    /// It becomes the field.
    Profile(Value),
}

/// A warning for each annotation that stands for a field.
pub(super) fn warnings(pod: &Object) -> Vec<String> {
    let Some(spec) = spec_of(pod) else { return Vec::new() };
    let containers = LISTS.iter().flat_map(|list| items(spec, list));
    let told = containers.filter(|container| !matches!(found(pod, spec, container), Found::Nothing));
    let warning = |container: &Tree| {
        let name = text(container, "name");
        format!(
            "metadata.annotations[{ANNOTATION}{name}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
        )
    };
    told.map(warning).collect()
}

/// Fills the fields.
pub(super) fn fill(pod: &mut Object) {
    if pod.annotations().all(|(key, _)| !key.starts_with(ANNOTATION)) {
        return;
    }
    let before = pod.clone();
    let Some(spec) = spec_of(&before) else { return };
    let into = pod.object_at(&["spec"]);
    for list in LISTS {
        for container in items_mut(into, list) {
            if let Found::Profile(profile) = found(&before, spec, container) {
                ensure(container, "securityContext").insert("appArmorProfile".to_owned(), profile);
            }
        }
    }
}

/// The spec of a pod that may have profiles.
fn spec_of(pod: &Object) -> Option<&Tree> {
    let spec = child(pod.root(), "spec")?;
    let windows = child(spec, "os").is_some_and(|os| text(os, "name") == "windows");
    (!windows).then_some(spec)
}

fn found(pod: &Object, spec: &Tree, container: &Tree) -> Found {
    let profile = |of: &Tree| child(of, "securityContext").and_then(|c| c.get("appArmorProfile")).cloned();
    let annotation = pod.annotation(&format!("{ANNOTATION}{}", text(container, "name")));
    let Some(annotation) = annotation.filter(|_| profile(container).is_none()) else { return Found::Nothing };
    let told = match (annotation, annotation.strip_prefix("localhost/")) {
        ("unconfined", _) => json!({"type": "Unconfined"}),
        ("runtime/default", _) => json!({"type": "RuntimeDefault"}),
        (_, Some(file)) if fits(file) => json!({"type": "Localhost", "localhostProfile": file}),
        _ => return Found::Unknown,
    };
    if profile(spec).as_ref() == Some(&told) { Found::Nothing } else { Found::Profile(told) }
}

/// Whether a field may name the profile.
fn fits(file: &str) -> bool {
    !file.is_empty() && file.trim() == file && file.len() <= PROFILE_BYTES_MAX
}
