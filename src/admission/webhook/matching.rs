//! Whether a webhook is called for a request, and in which version (apiserver `predicates/{rules,namespace,object}`,
//! `generic/webhook.go` ShouldCallHook).

use serde_json::{Map, Value};

use super::super::{Attributes, Context, Invocation, Operation};
use super::configuration::Hook;
use crate::api::labels::Selector;
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::Kind;

/// One rule of a webhook.
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
}

impl Rule {
    pub(super) fn of(rule: &Value) -> Self {
        let texts = |key: &str| {
            let list = rule.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            scope: rule.get("scope").and_then(Value::as_str).unwrap_or("*").to_owned(),
        }
    }

    fn matches(&self, attributes: &Attributes<'_>, kind: &Kind) -> bool {
        let any = |items: &[String], wanted: &str| items.iter().any(|item| item == "*" || item == wanted);
        let subresource = attributes.target.subresource.as_str();
        let resource = |item: &String| {
            let (resource, sub) = item.split_once('/').unwrap_or((item, ""));
            (resource == "*" || resource == kind.resource) && (sub == "*" || sub == subresource)
        };
        self.in_scope(attributes, kind)
            && any(&self.operations, attributes.operation.as_str())
            && any(&self.groups, &kind.gvk.group)
            && any(&self.versions, &kind.gvk.version)
            && self.resources.iter().any(resource)
    }

    fn in_scope(&self, attributes: &Attributes<'_>, kind: &Kind) -> bool {
        let cluster = (&*kind.gvk.group, &*kind.resource) == ("", "namespaces") || attributes.namespace().is_empty();
        match self.scope.as_str() {
            "*" => true,
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => false,
        }
    }
}

/// As what a webhook is shown a request; `None` when it is not called.
///
/// # Errors
/// 404 for a namespace that is not there, 403 for conditions that fail.
pub(super) fn invocation(ctx: &Context, attributes: &Attributes<'_>, hook: &Hook) -> Result<Option<Invocation>> {
    let in_namespace = in_namespace(ctx, attributes, &hook.namespaces);
    if matches!(in_namespace, Ok(false)) {
        return Ok(None);
    }
    let selected = selected(attributes, &hook.objects);
    if matches!(selected, Ok(false)) {
        return Ok(None);
    }
    let Some(invocation) = by_rules(ctx, attributes, hook) else { return Ok(None) };
    in_namespace?;
    selected?;
    if !hook.conditions.is_empty() {
        return Err(Status::internal("match conditions of webhooks are not evaluated"));
    }
    Ok(Some(invocation))
}

fn by_rules(ctx: &Context, attributes: &Attributes<'_>, hook: &Hook) -> Option<Invocation> {
    if hook.rules.iter().any(|rule| rule.matches(attributes, attributes.kind)) {
        return ctx.as_it_came(attributes);
    }
    if !hook.equivalent {
        return None;
    }
    let equivalents = ctx.equivalents(attributes);
    // Earlier rules come first.
    let of_rule = |rule: &Rule| equivalents.iter().find(|other| rule.matches(attributes, &other.kind));
    hook.rules.iter().find_map(of_rule).cloned()
}

fn in_namespace(
    ctx: &Context,
    attributes: &Attributes<'_>,
    selector: &std::result::Result<Selector, String>,
) -> Result<bool> {
    let namespace = attributes.namespace();
    let about_namespace = attributes.kind.resource == "namespaces";
    if namespace.is_empty() && !about_namespace {
        return Ok(true);
    }
    let selector = selector.as_ref().map_err(Status::internal)?;
    if selector.is_empty() {
        return Ok(true);
    }
    let written = matches!(attributes.operation, Operation::Create | Operation::Update);
    if about_namespace && attributes.target.subresource.is_empty() && written {
        return Ok(labelled(attributes.object.as_deref(), selector));
    }
    let snapshot = ctx.store.snapshot();
    let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
    let found = snapshot.find("namespaces", "", namespace);
    let stored = found.ok_or_else(|| Status::not_found(&resource, namespace))?;
    Ok(selector.matches(stored.facts.labels.as_ref()))
}

/// The object as it is to be or as it was.
fn selected(attributes: &Attributes<'_>, selector: &std::result::Result<Selector, String>) -> Result<bool> {
    let selector = selector.as_ref().map_err(Status::internal)?;
    let any = [attributes.object.as_deref(), attributes.old].into_iter().any(|object| labelled(object, selector));
    Ok(selector.is_empty() || any)
}

fn labelled(object: Option<&Object>, selector: &Selector) -> bool {
    let none = Map::new();
    let labels = |object: &Object| {
        let labels = object.get(&["metadata", "labels"]).and_then(Value::as_object).unwrap_or(&none);
        selector.matches(labels)
    };
    object.is_some_and(labels)
}
