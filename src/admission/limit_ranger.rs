//! `LimitRanger`: the limit ranges of a namespace give defaults to containers and bounds to containers, pods and
//! claims (Kubernetes `plugin/pkg/admission/limitranger`).

use serde_json::{Map, Value, json};

use super::pod_resources::{Amounts, Side, amounts, of_pod};
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::quantity::Quantity;
use crate::api::{Object, Result};
use crate::resources::Kind;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The largest amount that can be compared in thousandths.
const MILLI_MAX: i64 = i64::MAX / 1000;

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        if !kind.gvk.group.is_empty() {
            return false;
        }
        match (operation, &*kind.resource, subresource) {
            (Operation::Create, "pods" | "persistentvolumeclaims", "") => true,
            (Operation::Update, "persistentvolumeclaims", "") | (Operation::Update, "pods", "resize") => true,
            (Operation::Create | Operation::Update | Operation::Delete | Operation::Connect, _, _) => false,
        }
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if attributes.about("", "pods") {
            for range in ranges(ctx, attributes) {
                if let Some(pod) = attributes.object.as_deref_mut() {
                    set_defaults(&range, pod);
                }
            }
        }
        Answer::Ready(Ok(()))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(ctx, attributes))
    }
}

/// The limit ranges that count for a write: none when the object is on its way out.
fn ranges(ctx: &Context, attributes: &Attributes<'_>) -> Vec<Object> {
    if attributes.old.is_some_and(Object::deleting) {
        return Vec::new();
    }
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.list("limitranges", Some(&attributes.target.namespace), None);
    stored.filter_map(|stored| Object::from_json(&stored.body.json).ok()).collect()
}

fn items<'a>(range: &'a Object, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let items = range.get(&["spec", "limits"]).and_then(Value::as_array).into_iter().flatten();
    items.filter(move |item| item.get("type").and_then(Value::as_str) == Some(kind))
}

fn set_defaults(range: &Object, pod: &mut Object) {
    let mut requests = Map::new();
    let mut limits = Map::new();
    for item in items(range, "Container") {
        let list = |field: &str| item.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        requests.extend(list("defaultRequest"));
        limits.extend(list("default"));
    }
    let mut told = Vec::new();
    for (field, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.object_at(&["spec"]).get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
            for (defaults, side, word) in [(&requests, "requests", "request"), (&limits, "limits", "limit")] {
                let set = fill(container, side, defaults);
                if !set.is_empty() {
                    told.push((word, format!("{} {word} for {what} {name}", set.join(", "))));
                }
            }
        }
    }
    if !told.is_empty() {
        let told: Vec<_> = told.into_iter().map(|(_, text)| text).collect();
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        pod.set(&["metadata", "annotations", ANNOTATION], text);
    }
}

/// Fills what a container leaves open; gives the names that were set, in order.
fn fill(container: &mut Map<String, Value>, side: &str, defaults: &Map<String, Value>) -> Vec<String> {
    if defaults.is_empty() {
        return Vec::new();
    }
    let resources = object_in(container, "resources");
    let list = object_in(resources, side);
    let mut set = Vec::new();
    for (name, amount) in defaults {
        if !list.contains_key(name) {
            list.insert(name.clone(), amount.clone());
            set.push(name.clone());
        }
    }
    set.sort_unstable();
    set
}

fn object_in<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = parent.entry(key).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("it was made an object above")
}

fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(object) = attributes.object.as_deref() else { return Ok(()) };
    for range in ranges(ctx, attributes) {
        let mut errors =
            if attributes.about("", "pods") { pod_errors(&range, object) } else { claim_errors(&range, object) };
        let mut seen = std::collections::HashSet::new();
        errors.retain(|error| seen.insert(error.clone()));
        match errors.as_slice() {
            [] => {}
            [one] => return Err(attributes.forbidden(one)),
            many => return Err(attributes.forbidden(format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}

/// What is measured: a container, a pod, a claim.
struct Measured<'a> {
    kind: &'a str,
    requests: Amounts,
    limits: Amounts,
}

fn pod_errors(range: &Object, pod: &Object) -> Vec<String> {
    let mut errors = Vec::new();
    let items = range.get(&["spec", "limits"]).and_then(Value::as_array).into_iter().flatten();
    for item in items {
        let measured: Vec<Measured<'_>> = match item.get("type").and_then(Value::as_str) {
            Some("Container") => containers(pod).collect(),
            Some("Pod") => {
                let (requests, limits) = (of_pod(pod, Side::Requests), of_pod(pod, Side::Limits));
                vec![Measured { kind: "Pod", requests, limits }]
            }
            Some(_) | None => Vec::new(),
        };
        for one in &measured {
            errors.extend(amounts(item.get("min")).iter().filter_map(|(name, min)| one.below(name, min)));
            errors.extend(amounts(item.get("max")).iter().filter_map(|(name, max)| one.above(name, max)));
            let ratios = amounts(item.get("maxLimitRequestRatio"));
            errors.extend(ratios.iter().filter_map(|(name, ratio)| one.apart(name, ratio)));
        }
    }
    errors
}

fn containers(pod: &Object) -> impl Iterator<Item = Measured<'static>> {
    let lists = ["containers", "initContainers"].into_iter();
    let all = lists.filter_map(|list| pod.get(&["spec", list])).filter_map(Value::as_array).flatten();
    all.map(|container| {
        let list = |side: Side| amounts(container.get("resources").and_then(|r| r.get(side.field())));
        Measured { kind: "Container", requests: list(Side::Requests), limits: list(Side::Limits) }
    })
}

fn claim_errors(range: &Object, claim: &Object) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = amounts(claim.get(&["spec", "resources", "requests"]));
    let measured = Measured { kind: KIND, requests, limits: Amounts::new() };
    let mut errors = Vec::new();
    for item in items(range, KIND) {
        errors.extend(amounts(item.get("min")).iter().filter_map(|(name, min)| measured.below(name, min)));
        errors.extend(amounts(item.get("max")).iter().filter_map(|(name, max)| measured.request_above(name, max)));
    }
    errors
}

impl Measured<'_> {
    fn below(&self, name: &str, min: &Quantity) -> Option<String> {
        let head = format!("minimum {name} usage per {} is {min}", self.kind);
        let Some(request) = self.requests.get(name) else { return Some(format!("{head}.  No request is specified")) };
        if request < min {
            return Some(format!("{head}, but request is {request}"));
        }
        let limit = self.limits.get(name).filter(|limit| *limit < min)?;
        Some(format!("{head}, but limit is {limit}"))
    }

    fn above(&self, name: &str, max: &Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {max}", self.kind);
        let Some(limit) = self.limits.get(name) else { return Some(format!("{head}.  No limit is specified")) };
        if limit > max {
            return Some(format!("{head}, but limit is {limit}"));
        }
        let request = self.requests.get(name).filter(|request| *request > max)?;
        Some(format!("{head}, but request is {request}"))
    }

    fn request_above(&self, name: &str, max: &Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {max}", self.kind);
        let Some(request) = self.requests.get(name) else { return Some(format!("{head}.  No request is specified")) };
        (request > max).then(|| format!("{head}, but request is {request}"))
    }

    fn apart(&self, name: &str, ratio: &Quantity) -> Option<String> {
        let head = format!("{name} max limit to request ratio per {} is {ratio}", self.kind);
        let Some(request) = self.requests.get(name).filter(|request| !request.is_zero()) else {
            return Some(format!("{head}, but no request is specified or request is 0"));
        };
        let Some(limit) = self.limits.get(name).filter(|limit| !limit.is_zero()) else {
            return Some(format!("{head}, but no limit is specified or limit is 0"));
        };
        let fine = [request, limit, ratio].iter().all(|amount| amount.value() <= MILLI_MAX);
        let number = |amount: &Quantity| if fine { amount.milli_value() } else { amount.value() };
        #[expect(clippy::cast_precision_loss, reason = "upstream compares ratios as floating point numbers")]
        let (observed, max) = {
            let observed = number(limit) as f64 / number(request) as f64;
            let fine = ratio.value() <= MILLI_MAX;
            (observed, if fine { ratio.milli_value() as f64 / 1000.0 } else { ratio.value() as f64 })
        };
        (observed > max).then(|| format!("{head}, but provided ratio is {observed:.6}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial(limits: Value) -> Trial {
        let trial = Trial::new().await;
        let range = json!({ "metadata": { "namespace": "web", "name": "r" }, "spec": { "limits": limits } });
        put(&trial.context.store, "limitranges", range).await;
        trial
    }

    fn pod(resources: Value) -> Value {
        let container = json!({ "name": "a", "resources": resources });
        json!({ "metadata": { "namespace": "web", "name": "p" }, "spec": { "containers": [container] } })
    }

    #[tokio::test]
    async fn containers_get_defaults_and_the_pod_says_so() {
        let defaults = json!([{
            "type": "Container", "default": { "cpu": "1", "memory": "1Gi" }, "defaultRequest": { "cpu": "100m" },
        }]);
        let trial = trial(defaults).await;
        let pod = trial.admit(&LimitRanger, "pods", pod(json!({ "limits": { "cpu": "2" } }))).await.unwrap();
        let expected = json!({ "limits": { "cpu": "2", "memory": "1Gi" }, "requests": { "cpu": "100m" } });
        assert_eq!(pod.get(&["spec", "containers"]).unwrap()[0]["resources"], expected);
        let told = "LimitRanger plugin set: cpu request for container a; memory limit for container a";
        assert_eq!(pod.annotation(ANNOTATION), Some(told));
    }

    #[tokio::test]
    async fn what_is_out_of_bounds_is_refused_in_upstreams_words() {
        let bounds = json!([{
            "type": "Container", "min": { "cpu": "100m" }, "max": { "memory": "1Gi" }, "maxLimitRequestRatio": { "cpu": "2" },
        }]);
        let trial = trial(bounds).await;
        let check = async |resources: Value, why: Option<&str>| {
            let refused = trial.validate(&LimitRanger, "pods", pod(resources)).await.err();
            let message = why.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        let good = json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "200m", "memory": "1Gi" } });
        check(good, None).await;
        let low = json!({ "requests": { "cpu": "50m" }, "limits": { "cpu": "100m", "memory": "512Mi" } });
        check(low, Some("minimum cpu usage per Container is 100m, but request is 50m")).await;
        let many = json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "300m" } });
        let why = "[maximum memory usage per Container is 1Gi.  No limit is specified, cpu max limit to request ratio per \
                   Container is 2, but provided ratio is 3.000000]";
        check(many, Some(why)).await;
    }

    #[tokio::test]
    async fn claims_are_measured_by_their_request_alone() {
        let trial = trial(json!([{ "type": "PersistentVolumeClaim", "max": { "storage": "2Gi" } }])).await;
        let claim = |size: &str| json!({ "metadata": { "namespace": "web", "name": "c" }, "spec": { "resources": { "requests": { "storage": size } } } });
        trial.validate(&LimitRanger, "persistentvolumeclaims", claim("2Gi")).await.unwrap();
        let refused = trial.validate(&LimitRanger, "persistentvolumeclaims", claim("3Gi")).await.unwrap_err();
        let why = "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but \
                   request is 3Gi";
        assert_eq!(refused.message(), why);
    }
}
