//! The paths of a group and version: which operation a method is, on which kind, with which parameters.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::custom;
use super::schemas::reference;
use crate::api::GroupVersionKind;
use crate::resources::facts::Facts;
use crate::resources::{Kind, Subresource};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Name, type and meaning of a query parameter.
type Parameter = (&'static str, &'static str, &'static str);

const LIST: [Parameter; 11] = [
    ("allowWatchBookmarks", "boolean", "Ask a watch for events of type BOOKMARK."),
    ("continue", "string", "Where the next page of a list begins, as the page before told it."),
    ("fieldSelector", "string", "A selector over fields of the objects; everything by default."),
    ("labelSelector", "string", "A selector over labels of the objects; everything by default."),
    ("limit", "integer", "How many objects a page of a list has at most."),
    ("resourceVersion", "string", "How fresh the answer must be; where a watch begins."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Begin a watch with the present state and a bookmark behind it."),
    ("shardSelector", "string", "Which part of the objects is wanted."),
    ("timeoutSeconds", "integer", "How long a list or watch may last."),
    (
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove \
         notifications. Specify resourceVersion.",
    ),
];
const PRETTY: Parameter = ("pretty", "string", "If 'true', the answer is indented.");
const DRY_RUN: Parameter = ("dryRun", "string", "All: go through every step and keep nothing.");
const FIELD_MANAGER: Parameter = ("fieldManager", "string", "Who makes the change, for field ownership.");
const FIELD_VALIDATION: Parameter =
    ("fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict.");
const FORCE: Parameter = ("force", "boolean", "Take over fields of other managers; for apply only.");
const DELETE: [Parameter; 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];

/// All paths below `base`.
pub(super) fn all(base: &str, kinds: &[&Arc<Kind>], facts: &Facts) -> Map<String, Value> {
    let mut out = Map::new();
    for kind in kinds {
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{base}{scope}/{}", kind.resource);
        let place = Place { base, kind, facts };
        if kind.namespaced && has(&kind.verbs, "list") {
            place.put(&mut out, &format!("{base}/{}", kind.resource), &["list"], None);
        }
        place.put(&mut out, &collection, &["list", "create", "deletecollection"], None);
        let item = format!("{collection}/{{name}}");
        place.put(&mut out, &item, &["get", "update", "patch", "delete"], None);
        for sub in &kind.subresources {
            let path = format!("{item}/{}", sub.name);
            place.put(&mut out, &path, &["get", "create", "update", "patch", "delete"], Some(sub));
        }
    }
    out
}

fn has(verbs: &[crate::api::schema::Str], verb: &str) -> bool {
    verbs.iter().any(|v| v == verb)
}

struct Place<'a> {
    base: &'a str,
    kind: &'a Arc<Kind>,
    facts: &'a Facts,
}

impl Place<'_> {
    /// Adds a path with those of the verbs that can be done there.
    fn put(&self, out: &mut Map<String, Value>, path: &str, verbs: &[&str], sub: Option<&Subresource>) {
        let known = sub.map_or(&self.kind.verbs, |sub| &sub.verbs);
        let mut item = Map::new();
        for verb in verbs.iter().filter(|verb| has(known, verb)) {
            item.insert(method(verb).to_owned(), self.operation(verb, path, sub));
        }
        if item.is_empty() {
            return;
        }
        let mut shared: Vec<Value> = Vec::new();
        for name in ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}"))) {
            let of = if name == "name" { format!("name of the {}", self.kind.gvk.kind) } else { NAMESPACE.to_owned() };
            shared.push(json!({
                "name": name, "in": "path", "required": true, "description": of,
                "schema": {"type": "string", "uniqueItems": true},
            }));
        }
        shared.push(query(PRETTY));
        item.insert("parameters".to_owned(), Value::Array(shared));
        out.insert(path.to_owned(), Value::Object(item));
    }

    fn operation(&self, verb: &str, path: &str, sub: Option<&Subresource>) -> Value {
        let gvk = sub.map_or(&self.kind.gvk, |sub| &sub.payload);
        let schema = self.schema(gvk);
        let answered = match verb {
            "list" => self.list_schema(),
            "delete" | "deletecollection" => reference(&format!("{META}.Status")),
            _ => schema.clone(),
        };
        let mut out = json!({
            "tags": [self.tag()],
            "operationId": self.operation_id(verb, path, sub),
            "responses": {
                "200": {"description": "OK", "content": content(self.media_types(), &answered)},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action(verb),
            "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
        });
        let parameters: Vec<Value> = parameters(verb).into_iter().map(query).collect();
        if !parameters.is_empty() {
            out["parameters"] = Value::from(parameters);
        }
        let body = match verb {
            "create" | "update" => Some((content(&["*/*"], &schema), true)),
            "patch" => Some((content(self.patch_types(), &reference(&format!("{META}.Patch"))), true)),
            "delete" | "deletecollection" => {
                Some((content(&["*/*"], &reference(&format!("{META}.DeleteOptions"))), false))
            }
            _ => None,
        };
        if let Some((content, required)) = body {
            out["requestBody"] = json!({ "content": content });
            if required {
                out["requestBody"]["required"] = json!(true);
            }
        }
        out
    }

    /// Custom resources have no protobuf.
    fn media_types(&self) -> &'static [&'static str] {
        if self.kind.is_custom() { &MEDIA_TYPES[..2] } else { &MEDIA_TYPES }
    }

    /// Nor strategies to merge by.
    fn patch_types(&self) -> &'static [&'static str] {
        if self.kind.is_custom() { &PATCH_TYPES[..3] } else { &PATCH_TYPES }
    }

    fn schema(&self, gvk: &GroupVersionKind) -> Value {
        if *gvk == self.kind.gvk && self.kind.is_custom() {
            return reference(&custom::model_name(gvk));
        }
        let id = if *gvk == self.kind.gvk { Some(self.kind.type_id) } else { self.facts.type_of(gvk) };
        id.map_or_else(|| json!({"type": "string"}), |id| reference(&self.facts.types.get(id).name))
    }

    fn list_schema(&self) -> Value {
        if self.kind.is_custom() {
            return reference(&custom::list_name(self.kind));
        }
        let id = self.kind.list_type_id;
        id.map_or_else(|| json!({"type": "object"}), |id| reference(&self.facts.types.get(id).name))
    }

    /// `apps_v1`, `core_v1`.
    fn tag(&self) -> String {
        let group = &self.kind.gvk.group;
        if self.kind.is_custom() {
            let mut words = group.strip_suffix(".k8s.io").unwrap_or(group).split(['.', '-']);
            let first = words.next().unwrap_or_default().to_owned();
            return format!("{}_{}", words.fold(first, |name, word| name + &capital(word)), self.kind.gvk.version);
        }
        let group = group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
        format!("{group}_{}", self.kind.gvk.version)
    }

    fn operation_id(&self, verb: &str, path: &str, sub: Option<&Subresource>) -> String {
        let verb = match verb {
            "get" => "read",
            "update" => "replace",
            "deletecollection" => "deleteCollection",
            other => other,
        };
        let tag: String = self.tag().split('_').map(capital).collect();
        let namespaced = if path.contains("{namespace}") { "Namespaced" } else { "" };
        let sub = sub.map_or_else(String::new, |sub| capital(&sub.name));
        let everywhere = self.kind.namespaced && namespaced.is_empty() && path.starts_with(self.base);
        let suffix = if everywhere { "ForAllNamespaces" } else { "" };
        format!("{verb}{tag}{namespaced}{}{sub}{suffix}", self.kind.gvk.kind)
    }
}

const NAMESPACE: &str = "object name and auth scope, such as for teams and projects";

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn method(verb: &str) -> &'static str {
    match verb {
        "create" => "post",
        "update" => "put",
        "patch" => "patch",
        "delete" | "deletecollection" => "delete",
        _ => "get",
    }
}

fn action(verb: &str) -> &str {
    match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    }
}

fn parameters(verb: &str) -> Vec<Parameter> {
    match verb {
        "list" => LIST.to_vec(),
        "create" | "update" => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
        "patch" => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE],
        "delete" => DELETE.to_vec(),
        "deletecollection" => {
            let list = LIST.iter().filter(|(name, ..)| !matches!(*name, "watch" | "allowWatchBookmarks"));
            DELETE.iter().chain(list).copied().collect()
        }
        _ => Vec::new(),
    }
}

fn query((name, kind, description): Parameter) -> Value {
    json!({
        "name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true},
    })
}

fn content(types: &[&str], schema: &Value) -> Value {
    let content: Map<String, Value> =
        types.iter().map(|media_type| ((*media_type).to_owned(), json!({ "schema": schema }))).collect();
    Value::Object(content)
}
