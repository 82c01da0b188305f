//! Ownership through the `scale` subresource: the owners of an object's replicas seen as owners of a `Scale`, and back
//! (apimachinery `pkg/util/managedfields/scalehandler.go`). Used by the registry around an update of a scale.

use serde_json::Value;

use super::element::Element;
use super::managed::{self, Entry};
use super::set::{Below, FieldSet};

const SCALE_VERSION: &str = "autoscaling/v1";
const REPLICAS_IN_SCALE: [&str; 2] = ["spec", "replicas"];

/// Where a kind keeps its replicas: for each version of it, the names of the fields that lead there. Empty names: the
/// version has no scale.
#[derive(Clone, Copy, Debug)]
pub struct ReplicasPaths<'p>(pub &'p [(&'p str, &'p [&'p str])]);

impl<'p> ReplicasPaths<'p> {
    fn of(&self, api_version: &str) -> Option<&'p [&'p str]> {
        self.0.iter().find(|(version, _)| *version == api_version).map(|(_, path)| *path)
    }
}

fn steps<'p>(path: &[&'p str]) -> Vec<Element<'p>> {
    path.iter().copied().map(Element::field).collect()
}

fn set_of<'p>(path: &[&'p str]) -> FieldSet<'p> {
    let mut set = FieldSet::new();
    set.insert(steps(path));
    set
}

fn owns(entry: &Entry<'_>, path: &[&str]) -> bool {
    entry.set.has(&steps(path))
}

/// `managedFields` of the scale of an object that has `parent`; `None` when nobody owns the replicas.
///
/// # Errors
/// Upstream's words for what is wrong with an entry.
pub fn to_scale(parent: Option<&Value>, paths: ReplicasPaths<'_>) -> Result<Option<Value>, String> {
    let mut entries = managed::decode(parent)?;
    entries.retain_mut(|entry| {
        let owner = paths.of(entry.api_version).is_some_and(|path| !path.is_empty() && owns(entry, path));
        if owner {
            entry.set(set_of(&REPLICAS_IN_SCALE));
            entry.api_version = SCALE_VERSION;
        }
        owner
    });
    Ok(managed::assemble(managed::encode(entries, managed::Form::Tree), |_| Value::Null))
}

/// `managedFields` of the object, in `api_version`, after its scale was written: who owns the replicas of the scale
/// owns those of the object, and nobody else does.
///
/// # Errors
/// Upstream's words for what is wrong with an entry.
pub fn from_scale(
    parent: Option<&Value>,
    scale: Option<&Value>,
    (api_version, paths): (&str, ReplicasPaths<'_>),
) -> Result<Option<Value>, String> {
    let mut owners = managed::decode(scale)?;
    let before = managed::decode(parent)?;
    let mut entries: Vec<Entry<'_>> = Vec::with_capacity(before.len() + owners.len());
    for mut entry in before.iter().cloned() {
        let Some(path) = paths.of(entry.api_version) else { continue };
        if !path.is_empty() && owns(&entry, path) {
            match owners.iter().position(|owner| owner.manager == entry.manager) {
                Some(at) => drop(owners.remove(at)),
                None => {
                    entry.set.subtract(&set_of(path), Below::Stays);
                    entry.source = None;
                }
            }
        }
        if !entry.set.is_empty() {
            entries.push(entry);
        }
    }
    let path = paths.of(api_version).unwrap_or_default();
    for mut owner in owners.into_iter().filter(|owner| owns(owner, &REPLICAS_IN_SCALE)) {
        owner.set(set_of(path));
        owner.api_version = api_version;
        owner.time = before.iter().find(|entry| entry.manager == owner.manager).and_then(|entry| entry.time);
        entries.push(owner);
    }
    Ok(managed::assemble(managed::encode(entries, managed::Form::Tree), |at| {
        parent.and_then(|list| list.get(at)).cloned().unwrap_or_default()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATHS: ReplicasPaths<'static> = ReplicasPaths(&[("apps/v1", &["spec", "replicas"]), ("apps/v2", &[])]);

    fn entry(manager: &str, operation: &str, version: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1",
            "fieldsV1": fields, "time": "2024-01-01T00:00:00Z"})
    }

    fn replicas() -> Value {
        json!({"f:spec": {"f:replicas": {}}})
    }

    #[test]
    fn owners_of_the_replicas_are_owners_of_the_scale() {
        let parent = json!([
            entry("one", "Apply", "apps/v1", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
            entry("two", "Update", "apps/v1", json!({"f:spec": {"f:paused": {}}})),
            entry("three", "Update", "apps/v9", replicas()),
        ]);
        let scale = to_scale(Some(&parent), PATHS).unwrap().unwrap();
        assert_eq!(scale, json!([entry("one", "Apply", "autoscaling/v1", replicas())]));
        assert_eq!(to_scale(None, PATHS).unwrap(), None);
        assert!(to_scale(Some(&json!([{"operation": "x"}])), PATHS).is_err());
    }

    #[test]
    fn an_owner_of_the_scale_takes_the_replicas_from_the_object() {
        let parent = json!([
            entry("one", "Apply", "apps/v1", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
            entry("two", "Update", "apps/v1", replicas()),
        ]);
        let mut scaled = entry("scaler", "Update", "autoscaling/v1", replicas());
        scaled["subresource"] = json!("scale");
        let after = from_scale(Some(&parent), Some(&json!([scaled])), ("apps/v1", PATHS)).unwrap().unwrap();
        let mut taken = entry("scaler", "Update", "apps/v1", replicas());
        taken["subresource"] = json!("scale");
        taken.as_object_mut().unwrap().remove("time");
        assert_eq!(after, json!([entry("one", "Apply", "apps/v1", json!({"f:spec": {"f:paused": {}}})), taken]));
    }

    #[test]
    fn owners_that_stay_keep_their_entries() {
        let parent = json!([entry("one", "Apply", "apps/v1", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}))]);
        let scale = to_scale(Some(&parent), PATHS).unwrap();
        let after = from_scale(Some(&parent), scale.as_ref(), ("apps/v1", PATHS)).unwrap();
        assert_eq!(after, Some(parent));
    }
}
