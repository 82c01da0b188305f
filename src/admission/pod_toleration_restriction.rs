//! `PodTolerationRestriction`: the pods of a namespace get the tolerations that its annotation names, or the
//! configuration of the cluster, and may have those only that are allowed there (K
//! `plugin/pkg/admission/podtolerationrestriction`).

use serde_json::{Map, Value, json};

use super::configuration::{document, items, number, text};
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::codec::json as json_codec;
use crate::api::status::Reason;
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::{Kind, quality_of_service, toleration_errors};

const VERSION: &str = "podtolerationrestriction.admission.k8s.io/v1alpha1";
const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// The configuration of the cluster, for namespaces that have none.
#[derive(Default)]
pub(super) struct PodTolerationRestriction {
    defaults: Vec<Toleration>,
    allowed: Vec<Toleration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: String,
    seconds: Option<i64>,
}

impl PodTolerationRestriction {
    /// # Errors
    /// In upstream's words.
    pub(super) fn new(configuration: Option<&[u8]>) -> std::result::Result<Self, String> {
        let Some(bytes) = configuration else { return Ok(Self::default()) };
        let read = document(bytes, (&[VERSION], "Configuration"))?.value;
        let mut lists = [Vec::new(), Vec::new()];
        let mut errors = Vec::new();
        for (name, list) in ["default", "whitelist"].into_iter().zip(&mut lists) {
            let at = format!("Configuration.{name}");
            let given = items(&read, name, (&at, "[]v1.Toleration"))?;
            let within = format!("Toleration.{name}");
            *list = given.iter().map(|one| Toleration::read(one, &within)).collect::<std::result::Result<_, _>>()?;
            errors.extend(toleration_errors(given, &format!("podtolerationrestriction.{name}")));
        }
        if !errors.is_empty() {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(format!("invalid config: [{}]", errors.join(" ")));
        }
        let [defaults, allowed] = lists;
        Ok(Self { defaults, allowed })
    }

    fn add(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let mut more = Vec::new();
        if attributes.operation == Operation::Create {
            more = told(ctx, attributes.namespace(), DEFAULTS)?.unwrap_or_else(|| self.defaults.clone());
        }
        let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
        if quality(pod) != "BestEffort" {
            more.push(Toleration {
                key: "node.kubernetes.io/memory-pressure".to_owned(),
                operator: "Exists".to_owned(),
                value: String::new(),
                effect: "NoSchedule".to_owned(),
                seconds: None,
            });
        }
        if !more.is_empty() {
            let merged = merge([of_pod(pod), more].concat());
            let merged: Vec<Value> = merged.iter().map(Toleration::to_value).collect();
            pod.set(&["spec", "tolerations"], merged);
        }
        self.check(ctx, attributes)
    }

    fn check(&self, ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
        let own = attributes.object.as_deref().map(of_pod).unwrap_or_default();
        if own.is_empty() {
            return Ok(());
        }
        let of_namespace = told(ctx, attributes.namespace(), ALLOWED)?;
        let (allowed, scope) = match &of_namespace {
            Some(allowed) => (allowed, "namespace"),
            None => (&self.allowed, "cluster"),
        };
        let covered = |own: &Toleration| allowed.iter().any(|allowed| allowed.covers(own));
        if allowed.is_empty() || own.iter().all(covered) {
            return Ok(());
        }
        let why = format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        );
        Err(Status::new(500, Reason::Unknown, why))
    }
}

impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(self.add(ctx, attributes))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(self.check(ctx, attributes))
    }
}

impl Toleration {
    /// `at` is how Go's errors call the place.
    fn read(value: &Value, at: &str) -> std::result::Result<Self, String> {
        if !value.is_object() {
            let place = at
                .strip_prefix("Toleration.")
                .map_or_else(|| "Go value".to_owned(), |list| format!("Go struct field Configuration.{list}"));
            let kind = json_codec::kind_of(value);
            return Err(format!("json: cannot unmarshal {kind} into {place} of type v1.Toleration"));
        }
        let field = |key: &str| text(value, key, at).map(str::to_owned);
        Ok(Self {
            key: field("key")?,
            operator: field("operator")?,
            value: field("value")?,
            effect: field("effect")?,
            seconds: number(value, "tolerationSeconds", (at, "int64"))?,
        })
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let texts =
            [("key", &self.key), ("operator", &self.operator), ("value", &self.value), ("effect", &self.effect)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.insert(name.to_owned(), text.as_str().into());
        }
        if let Some(seconds) = self.seconds {
            out.insert("tolerationSeconds".to_owned(), json!(seconds));
        }
        Value::Object(out)
    }

    /// Whether whatever the other one tolerates is tolerated by this one.
    fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let every_key = self.key.is_empty() && self.operator == "Exists";
        let key = every_key || self.key == other.key;
        let effect = self.effect.is_empty() || self.effect == other.effect;
        let long = match (self.seconds, other.seconds) {
            (Some(own), Some(other)) if self.effect == "NoExecute" => other <= own,
            (Some(_), None) if self.effect == "NoExecute" => false,
            _ => true,
        };
        let value = match self.operator.as_str() {
            "" | "Equal" => other.operator == "Equal" && other.value == self.value,
            operator => operator == "Exists",
        };
        key && effect && long && value
    }
}

/// All of them without those that others cover; of equal ones the first stays.
fn merge(all: Vec<Toleration>) -> Vec<Toleration> {
    let mut merged: Vec<Toleration> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let before = merged.iter().any(|other| other.covers(one));
        let after = all[index + 1..].iter().any(|other| other != one && other.covers(one));
        if !before && !after {
            merged.push(one.clone());
        }
    }
    merged
}

fn of_pod(pod: &Object) -> Vec<Toleration> {
    let list = pod.get(&["spec", "tolerations"]).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|one| Toleration::read(one, "Toleration").ok()).collect()
}

/// What the pod says of itself, or what its resources say.
fn quality(pod: &Object) -> &str {
    match (pod.text_at(&["status", "qosClass"]), pod.get(&["spec"])) {
        ("", Some(Value::Object(spec))) => quality_of_service(spec),
        ("", _) => "BestEffort",
        (said, _) => said,
    }
}

/// What an annotation of the namespace says; `None` without it.
fn told(ctx: &Context, namespace: &str, annotation: &str) -> Result<Option<Vec<Toleration>>> {
    let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.find("namespaces", "", namespace).ok_or_else(|| Status::not_found(&resource, namespace))?;
    let namespace = Object::from_json(&stored.body.json).map_err(Status::internal)?;
    match namespace.annotation(annotation) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => parse(text).map_err(|why| Status::new(500, Reason::Unknown, why)),
    }
}

/// JSON; `null` is as if nothing were said.
fn parse(text: &str) -> std::result::Result<Option<Vec<Toleration>>, String> {
    let read = json_codec::decode(text.as_bytes()).map_err(|error| error.to_string())?.value;
    match read {
        Value::Array(items) => {
            items.iter().map(|one| Toleration::read(one, "Toleration")).collect::<std::result::Result<_, _>>().map(Some)
        }
        // Go reads it into an empty list, which is none of the two that mean nothing.
        Value::Null => Ok(Some(Vec::new())),
        other => {
            let kind = json_codec::kind_of(&other);
            Err(format!("json: cannot unmarshal {kind} into Go value of type []v1.Toleration"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial(annotations: Value) -> Trial {
        let trial = Trial::new().await;
        let namespace = json!({ "metadata": { "name": "n", "annotations": annotations } });
        put(&trial.context.store, "namespaces", namespace).await;
        trial
    }

    fn pod(tolerations: Value) -> Value {
        json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "tolerations": tolerations } })
    }

    fn plugin(lists: &str) -> std::result::Result<PodTolerationRestriction, String> {
        let text = format!("apiVersion: {VERSION}\nkind: Configuration\n{lists}");
        PodTolerationRestriction::new(Some(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_pod_gets_the_tolerations_of_its_namespace_or_cluster() {
        let plugin = plugin("default: [{key: c, operator: Exists}]\n").unwrap();
        let check = async |annotations: Value, expected: Value| {
            let own = json!([{ "key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule" }]);
            let admitted = trial(annotations).await.admit(&plugin, "pods", pod(own)).await.unwrap();
            assert_eq!(admitted.get(&["spec", "tolerations"]), Some(&expected));
        };
        let own = json!({ "key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule" });
        check(json!({}), json!([own, { "key": "c", "operator": "Exists" }])).await;
        check(json!({ DEFAULTS: "" }), json!([own])).await;
        let wider = json!({ "key": "a", "operator": "Exists" });
        check(json!({ DEFAULTS: json!([wider]).to_string() }), json!([wider])).await;
    }

    #[tokio::test]
    async fn tolerations_that_are_not_allowed_are_refused() {
        let plugin = plugin("whitelist: [{key: c, operator: Exists}]\n").unwrap();
        let check = async |annotations: Value, key: &str, why: Option<&str>| {
            let own = json!([{ "key": key, "operator": "Exists" }]);
            let refused = trial(annotations).await.validate(&plugin, "pods", pod(own)).await.err();
            assert_eq!(refused.as_ref().map(Status::message), why);
        };
        let conflict = |scope: &str| {
            format!(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
            )
        };
        check(json!({}), "c", None).await;
        check(json!({}), "d", Some(&conflict("cluster"))).await;
        check(json!({ ALLOWED: r#"[{"key":"d","operator":"Exists"}]"# }), "d", None).await;
        check(json!({ ALLOWED: r#"[{"key":"d","operator":"Exists"}]"# }), "c", Some(&conflict("namespace"))).await;
        check(json!({ ALLOWED: "" }), "x", None).await;
        let wrong = "json: cannot unmarshal object into Go value of type []v1.Toleration";
        check(json!({ ALLOWED: "{}" }), "x", Some(wrong)).await;
    }

    #[test]
    fn one_toleration_covers_another() {
        let read = |text: &str| Toleration::read(&serde_json::from_str(text).unwrap(), "Toleration").unwrap();
        let check = |one: &str, other: &str, covers: bool| assert_eq!(read(one).covers(&read(other)), covers, "{one}");
        check(r#"{"operator":"Exists"}"#, r#"{"key":"a","operator":"Equal","value":"b"}"#, true);
        check(r#"{"key":"a","operator":"Equal","value":"b"}"#, r#"{"key":"a","value":"b"}"#, false);
        check(r#"{"key":"a","operator":"Exists","effect":"NoExecute"}"#, r#"{"key":"a","operator":"Exists"}"#, false);
        let limited = r#"{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":9}"#;
        check(
            limited,
            r#"{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":9,"value":"x"}"#,
            true,
        );
        check(limited, r#"{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":10}"#, false);
        check(limited, r#"{"key":"a","operator":"Exists","effect":"NoExecute"}"#, false);
    }

    #[test]
    fn a_wrong_configuration_is_refused_in_upstreams_words() {
        let check = |lists: &str, message: &str| assert_eq!(plugin(lists).err().as_deref(), Some(message));
        let fault = "invalid config: [podtolerationrestriction.default[0].effect: Unsupported value: \"Bar\": supported \
                     values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\" \
                     podtolerationrestriction.whitelist[0].operator: Invalid value: \"x\": value must be empty when \
                     `operator` is 'Exists']";
        let lists = "default: [{key: a, effect: Bar}]\nwhitelist: [{operator: Exists, value: x}]\n";
        check(lists, fault);
        let of_type =
            "json: cannot unmarshal number into Go struct field Configuration.default of type []v1.Toleration";
        check("default: 3\n", of_type);
    }
}
