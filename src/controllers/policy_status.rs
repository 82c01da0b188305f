//! `validatingadmissionpolicy-status-controller`: checks the expressions of policies against the schemas of what they
//! match, and tells what it finds in `status.typeChecking` (apiserver
//! `pkg/admission/plugin/policy/validating/typechecking.go`). Findings are warnings; policies run regardless.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Controller;
use super::context::{Context, Shared};
use crate::api::GroupVersionKind;
use crate::api::cel::admission::{Compiler, Declarations, Returns};
use crate::api::cel::{Declared, Expressions, Root, Schema};
use crate::client::{Cache, Cached, Client, Error, Meta, ObjectName, Outcome, Resource, encode, work};

const NAME: &str = "validatingadmissionpolicy-status-controller";

pub(super) const POLICY_STATUS: Controller =
    Controller { name: NAME, alias: "", account: NAME, source: NAME, run: |ctx| run(ctx).boxed() };

const WORKERS: usize = 5;

/// How many kinds one policy is checked against.
const KINDS_MAX: usize = 10;

/// How deep schemas may refer to others; those that refer to themselves end here.
const REFERENCES_MAX: usize = 24;

const JSON: &str = "application/json";

#[derive(Deserialize, Debug)]
struct Policy {
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    observed_generation: i64,
}

impl Cached for Policy {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Policy {
    const RESOURCE: &'static Resource = Resource::VALIDATING_ADMISSION_POLICIES;
}

async fn run(ctx: Context) {
    let policies = ctx.cache::<Policy>().await;
    let queue = ctx.queue_of(&policies);
    for policy in policies.all() {
        queue.add(policy.metadata.object_name());
    }
    work(queue, WORKERS, NAME, |name| reconcile(&ctx, &policies, name)).await;
}

async fn reconcile(ctx: &Context, policies: &Cache<Policy>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(policy) = policies.get("", &name.name) else { return Ok(Outcome::Done) };
    let generation = policy.metadata.generation;
    if generation <= policy.status.observed_generation {
        return Ok(Outcome::Done);
    }
    let known = Known::ask(&ctx.client, &policy.spec).await;
    let mut checking = json!({});
    let warnings = warnings(&policy.spec, &known);
    if !warnings.is_empty() {
        checking["expressionWarnings"] = warnings.into();
    }
    let applied = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": &*name.name },
        "status": { "observedGeneration": generation, "typeChecking": checking } });
    let target = Resource::VALIDATING_ADMISSION_POLICIES.at("", &name.name).sub("status");
    ctx.client.apply(target, NAME, encode(&applied)).await?;
    Ok(Outcome::Done)
}

/// What is known of the kinds that a policy is about.
#[derive(Default)]
struct Known {
    /// In order, each with its schema; `None`: the schema says nothing that expressions could see.
    objects: Vec<(GroupVersionKind, Option<Arc<Declared>>)>,
    params: Option<Arc<Declared>>,
}

impl Known {
    /// Asks the server; what it does not know is left out.
    async fn ask(client: &Client, spec: &Value) -> Self {
        let mut known = Self::default();
        for kind in kinds(client, spec).await {
            if let Some(schema) = schema(client, &kind).await {
                known.objects.push((kind.clone(), declared(&schema, &kind, "1")));
            }
        }
        if let Some(kind) = param_kind(spec)
            && let Some(schema) = schema(client, &kind).await
        {
            known.params = declared(&schema, &kind, "2");
        }
        known
    }
}

fn param_kind(spec: &Value) -> Option<GroupVersionKind> {
    let kind = spec.get("paramKind").filter(|kind| kind.is_object())?;
    Some(GroupVersionKind::parse(text(kind, "apiVersion"), text(kind, "kind")))
}

fn declared(schema: &Value, kind: &GroupVersionKind, suffix: &str) -> Option<Arc<Declared>> {
    Declared::new(&Schema::new(schema), Root::Yes, &format!("{}{suffix}", kind.kind)).map(Arc::new)
}

/// The kinds of the resources that the rules name without wildcards, in order.
async fn kinds(client: &Client, spec: &Value) -> Vec<GroupVersionKind> {
    let mut found = BTreeSet::new();
    for rule in list(spec.get("matchConstraints").unwrap_or(&Value::Null), "resourceRules") {
        let mut of_rule = 0;
        for (group, version, resource) in named(rule) {
            let Some(kind) = kind_of(client, (&group, &version), &resource).await else { continue };
            found.insert(GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() });
            of_rule += 1;
            if of_rule == KINDS_MAX {
                return found.into_iter().collect();
            }
        }
    }
    found.into_iter().collect()
}

/// Every group, version and resource of a rule, sorted; none when a wildcard stands for groups or versions.
fn named(rule: &Value) -> Vec<(String, String, String)> {
    let sorted = |key: &str| {
        let mut texts: Vec<String> = list(rule, key).filter_map(Value::as_str).map(str::to_owned).collect();
        texts.sort();
        texts
    };
    let (groups, versions) = (sorted("apiGroups"), sorted("apiVersions"));
    if groups.iter().chain(&versions).any(|text| text.contains('*')) {
        return Vec::new();
    }
    let resources: Vec<String> = sorted("resources").into_iter().filter(|name| !name.contains(['*', '/'])).collect();
    let mut out = Vec::new();
    for group in &groups {
        for version in &versions {
            out.extend(resources.iter().map(|resource| (group.clone(), version.clone(), resource.clone())));
        }
    }
    out
}

fn path((group, version): (&str, &str)) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

async fn kind_of(client: &Client, place: (&str, &str), resource: &str) -> Option<String> {
    let listed: Value = client.get_path(format!("/{}", path(place)), JSON).await.ok()?;
    let found = list(&listed, "resources").find(|of| text(of, "name") == resource)?;
    Some(text(found, "kind").to_owned())
}

/// The schema of a kind with all that it refers to put in.
async fn schema(client: &Client, kind: &GroupVersionKind) -> Option<Value> {
    let path = format!("/openapi/v3/{}", path((&kind.group, &kind.version)));
    let document: Value = client.get_path(path, JSON).await.ok()?;
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let is_it = |schema: &Value| {
        list(schema, "x-kubernetes-group-version-kind").any(|of| {
            (text(of, "group"), text(of, "version"), text(of, "kind"))
                == (kind.group.as_ref(), kind.version.as_ref(), kind.kind.as_ref())
        })
    };
    let found = schemas.values().find(|schema| is_it(schema))?;
    Some(resolved(found, schemas, 0))
}

/// A schema in which references are replaced by what they refer to.
fn resolved(schema: &Value, schemas: &Map<String, Value>, depth: usize) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    if let Some(target) = reference(fields) {
        let found = schemas.get(target).filter(|_| depth < REFERENCES_MAX);
        return found.map_or_else(|| json!({}), |found| resolved(found, schemas, depth + 1));
    }
    let mut out = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let all = properties.iter().map(|(name, of)| (name.clone(), resolved(of, schemas, depth)));
                Value::Object(all.collect())
            }
            ("items" | "additionalProperties", _) => resolved(value, schemas, depth),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    if fields.get("format").and_then(Value::as_str) == Some("int-or-string") {
        out.insert("x-kubernetes-int-or-string".to_owned(), true.into());
    }
    Value::Object(out)
}

/// The name of the schema that a node refers to, alone or with a default beside it.
fn reference(fields: &Map<String, Value>) -> Option<&str> {
    let direct = fields.get("$ref").and_then(Value::as_str);
    let only = || match fields.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Object(only)]) => only.get("$ref").and_then(Value::as_str),
        _ => None,
    };
    direct.or_else(only)?.rsplit('/').next()
}

/// What is wrong with the expressions of a policy, in upstream's words.
fn warnings(spec: &Value, known: &Known) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, validation) in list(spec, "validations").enumerate() {
        for key in ["expression", "messageExpression"] {
            let source = text(validation, key);
            if source.is_empty() {
                continue;
            }
            let found: Vec<String> = known.objects.iter().filter_map(|of| check(spec, (of, known), source)).collect();
            if !found.is_empty() {
                let field = format!("spec.validations[{index}].{key}");
                out.push(json!({ "fieldRef": field, "warning": found.join("\n") }));
            }
        }
    }
    out
}

/// What is wrong with an expression if the object is of a kind.
fn check(
    spec: &Value,
    ((kind, object), known): (&(GroupVersionKind, Option<Arc<Declared>>), &Known),
    source: &str,
) -> Option<String> {
    let declarations = Declarations { params: param_kind(spec).is_some(), authorizer: true, patch_types: false };
    let how = (declarations, Expressions::Stored);
    let mut compiler = Compiler::typed(object.clone(), known.params.clone());
    for variable in list(spec, "variables") {
        compiler.variable(text(variable, "name"), text(variable, "expression"), how);
    }
    let error = compiler.compile(source, Returns::Anything, how).program.err()?;
    let detail = error.detail.strip_prefix("compilation failed: ").unwrap_or(&error.detail);
    Some(format!("{kind}: {detail}\n"))
}

fn text<'a>(holder: &'a Value, key: &str) -> &'a str {
    holder.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(holder: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    holder.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_kinds_only_without_wildcards() {
        let rule = json!({ "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["b", "a", "a/status", "*"] });
        let of = |resource: &str| ("apps".to_owned(), "v1".to_owned(), resource.to_owned());
        assert_eq!(named(&rule), [of("a"), of("b")]);
        assert!(named(&json!({ "apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["a"] })).is_empty());
    }

    #[test]
    fn what_an_expression_cannot_see_is_a_warning_with_the_place() {
        let schemas = json!({ "Spec": { "type": "object", "properties": { "replicas": { "type": "integer" } } } });
        let root = json!({ "type": "object", "properties": {
            "spec": { "allOf": [{ "$ref": "#/components/schemas/Spec" }], "default": {} } } });
        let schema = resolved(&root, schemas.as_object().unwrap(), 0);
        let kind = GroupVersionKind::of("apps", "v1", "Deployment");
        let object = declared(&schema, &kind, "1");
        let known = Known { objects: vec![(kind, object)], params: None };
        let spec = json!({ "validations": [
            { "expression": "object.spec.replicas > 1", "messageExpression": "'x' + object.metadata.name" },
            { "expression": "object.foo > 1", "messageExpression": "object.spec.replicas" }] });
        let warning = "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'foo'\n | object.foo > 1\n | \
                       ......^\n";
        let expected = json!({ "fieldRef": "spec.validations[1].expression", "warning": warning });
        assert_eq!(warnings(&spec, &known), [expected]);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schemas = json!({ "Loop": { "type": "object", "properties": {
            "next": { "$ref": "#/components/schemas/Loop" } } } });
        let schema = resolved(&schemas["Loop"], schemas.as_object().unwrap(), 0);
        assert!(schema.to_string().len() < 10_000);
    }
}
