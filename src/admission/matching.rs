//! Which requests a policy or webhook is meant for: rules, scope, match policy, namespace and object selectors
//! (apiserver `pkg/admission/plugin/policy/matching`, `pkg/admission/plugin/webhook/predicates`). Looks at the
//! attributes of a request, the served types and the namespaces, and waits for nothing.

use serde_json::Value;

use super::{Attributes, Context, Invocation, Operation};
use crate::api::labels::Selector;
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::Kind;

/// A rule with the operations for which it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: Scope,
    /// Empty: all names.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scope {
    #[default]
    All,
    Namespaced,
    Cluster,
    /// A value that upstream does not know matches nothing.
    Unknown,
}

/// Whether a rule for one version means the other versions too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchPolicy {
    #[default]
    Exact,
    Equivalent,
}

/// What a policy, a binding or a webhook says about the requests that it is meant for.
#[derive(Clone, Debug)]
pub struct Criteria {
    /// `None`: every resource.
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    policy: MatchPolicy,
    namespaces: std::result::Result<Selector, String>,
    objects: std::result::Result<Selector, String>,
}

impl Rule {
    /// Reads a `RuleWithOperations` or `NamedRuleWithOperations`.
    pub fn new(rule: &Value) -> Self {
        Self {
            operations: texts(rule, "operations"),
            groups: texts(rule, "apiGroups"),
            versions: texts(rule, "apiVersions"),
            resources: texts(rule, "resources"),
            scope: match rule.get("scope").and_then(Value::as_str) {
                None | Some("*") => Scope::All,
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                Some(_) => Scope::Unknown,
            },
            names: texts(rule, "resourceNames"),
        }
    }

    fn all(value: &Value, key: &str) -> Vec<Self> {
        value.get(key).and_then(Value::as_array).into_iter().flatten().map(Self::new).collect()
    }

    /// Whether the rule holds for a request, were it one to `kind`. Says nothing of names.
    fn holds(&self, kind: &Kind, attributes: &Attributes<'_>) -> bool {
        self.scope_holds(kind, attributes)
            && contains(&self.operations, attributes.operation.as_str())
            && contains(&self.groups, &kind.gvk.group)
            && contains(&self.versions, &kind.gvk.version)
            && self.resources.iter().any(|rule| {
                let (name, subresource) = rule.split_once('/').unwrap_or((rule, ""));
                (name == "*" || *name == *kind.resource)
                    && (subresource == "*" || *subresource == *attributes.target.subresource)
            })
    }

    fn scope_holds(&self, kind: &Kind, attributes: &Attributes<'_>) -> bool {
        let is_namespace = (&*kind.gvk.group, &*kind.resource) == ("", "namespaces");
        let namespaced = !is_namespace && !attributes.namespace().is_empty();
        match self.scope {
            Scope::All => true,
            Scope::Namespaced => namespaced,
            Scope::Cluster => !namespaced,
            Scope::Unknown => false,
        }
    }

    fn names(&self, attributes: &Attributes<'_>) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == attributes.object_name())
    }
}

impl MatchPolicy {
    fn new(value: &Value) -> Self {
        if value.get("matchPolicy").and_then(Value::as_str) == Some("Equivalent") {
            Self::Equivalent
        } else {
            Self::Exact
        }
    }
}

/// The version of the resource, as a rule names it, for which the first rule holds: as it was asked for, else another.
pub fn first_match(
    rules: &[Rule],
    policy: MatchPolicy,
    ctx: &Context,
    attributes: &Attributes<'_>,
) -> Option<Invocation> {
    let meant = |rule: &Rule, kind: &Kind| rule.holds(kind, attributes) && rule.names(attributes);
    if rules.iter().any(|rule| meant(rule, attributes.kind)) {
        return ctx.as_it_came(attributes);
    }
    if policy == MatchPolicy::Exact || rules.is_empty() {
        return None;
    }
    let others = ctx.equivalents(attributes);
    // Earlier rules come first.
    rules.iter().find_map(|rule| others.iter().find(|other| meant(rule, &other.kind)).cloned())
}

impl Criteria {
    /// From `matchConstraints` of a policy or `matchResources` of a binding. Without rules every resource is meant.
    pub fn of_policy(resources: &Value) -> Self {
        let rules = Rule::all(resources, "resourceRules");
        Self {
            rules: (!rules.is_empty()).then_some(rules),
            excluded: Rule::all(resources, "excludeResourceRules"),
            ..Self::selectors(resources)
        }
    }

    /// From one webhook of a configuration. Without rules none is meant.
    pub fn of_webhook(webhook: &Value) -> Self {
        Self { rules: Some(Rule::all(webhook, "rules")), ..Self::selectors(webhook) }
    }

    fn selectors(holder: &Value) -> Self {
        Self {
            rules: None,
            excluded: Vec::new(),
            policy: MatchPolicy::new(holder),
            namespaces: Selector::from_label_selector(holder.get("namespaceSelector")),
            objects: Selector::from_label_selector(holder.get("objectSelector")),
        }
    }

    /// The resource as which the request is meant; `None` when it is not.
    ///
    /// # Errors
    /// 404 when the namespace is not there whose labels decide, 500 for selectors that cannot be read; only when all
    /// else matches.
    pub fn matches(&self, ctx: &Context, attributes: &Attributes<'_>) -> Result<Option<Invocation>> {
        let in_namespaces = self.selects_namespace(ctx, attributes);
        if matches!(in_namespaces, Ok(false)) {
            return Ok(None);
        }
        let of_objects = self.selects_object(attributes);
        if matches!(of_objects, Ok(false)) {
            return Ok(None);
        }
        if first_match(&self.excluded, self.policy, ctx, attributes).is_some() {
            return Ok(None);
        }
        let found = match &self.rules {
            None => ctx.as_it_came(attributes),
            Some(rules) => first_match(rules, self.policy, ctx, attributes),
        };
        let Some(found) = found else { return Ok(None) };
        in_namespaces?;
        of_objects?;
        Ok(Some(found))
    }

    fn selects_namespace(&self, ctx: &Context, attributes: &Attributes<'_>) -> Result<bool> {
        let namespace = attributes.namespace();
        let of_namespaces = attributes.target.resource == "namespaces";
        if namespace.is_empty() && !of_namespaces {
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        if selector.is_empty() {
            return Ok(true);
        }
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        if of_namespaces && attributes.target.subresource.is_empty() && written {
            return Ok(attributes.object.as_deref().is_some_and(|object| selects(selector, object)));
        }
        let resource = || GroupResource { group: "".into(), resource: "namespaces".into() };
        let snapshot = ctx.store.snapshot();
        let stored = snapshot.find("namespaces", "", namespace);
        let stored = stored.ok_or_else(|| Status::not_found(&resource(), namespace))?;
        Ok(selector.matches(&*stored.facts.labels))
    }

    fn selects_object(&self, attributes: &Attributes<'_>) -> Result<bool> {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        if selector.is_empty() {
            return Ok(true);
        }
        // A `Scale` has no labels, and the options of a connection no metadata.
        match (attributes.operation, attributes.target.subresource.as_str()) {
            (Operation::Connect, _) => return Ok(false),
            (_, "scale") => return Ok(selector.matches::<[(&str, &str)]>(&[])),
            _ => {}
        }
        let states = [attributes.object.as_deref(), attributes.old];
        Ok(states.into_iter().flatten().any(|object| selects(selector, object)))
    }
}

fn selects(selector: &Selector, object: &Object) -> bool {
    match object.get(&["metadata", "labels"]).and_then(Value::as_object) {
        Some(labels) => selector.matches(labels),
        None => selector.matches::<[(&str, &str)]>(&[]),
    }
}

fn contains(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

fn texts(holder: &Value, key: &str) -> Vec<String> {
    let list = holder.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Reinvocation;
    use super::*;
    use crate::admission::trial::Trial;
    use crate::api::request::{Options, Target, User};

    #[track_caller]
    fn check(
        trial: &Trial,
        criteria: &Value,
        (path, operation, object): (&str, Operation, Value),
        expected: Option<&str>,
    ) {
        let served = trial.context.catalog.served();
        let mut parts = path.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (group, version, resource, subresource) = (next(), next(), next(), next());
        let kind: &Kind = served.find(group, version, resource).unwrap();
        let mut object = Object::from_value(object).unwrap();
        let target = Target {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: object.namespace().to_owned(),
            name: if operation == Operation::Create { String::new() } else { object.name().to_owned() },
        };
        let user = User::default();
        let attributes = Attributes {
            operation,
            user: &user,
            target: &target,
            kind,
            object: Some(&mut object),
            old: None,
            dry_run: false,
            options: Options::None,
            reinvocation: Reinvocation::default(),
            annotations: Vec::new(),
            warnings: Vec::new(),
            missing_namespace: None,
            companions: Vec::new(),
        };
        let found = Criteria::of_policy(criteria).matches(&trial.context, &attributes);
        let shown = match found {
            Ok(found) => found.map(|Invocation { kind }| {
                let payload = &kind.payload(subresource).kind;
                format!("{}/{}/{} {payload}", kind.gvk.group, kind.gvk.version, kind.resource)
            }),
            Err(status) => Some(status.message().to_owned()),
        };
        assert_eq!(shown.as_deref(), expected, "{criteria} {path}");
    }

    fn constraints(rule: &Value) -> Value {
        json!({ "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule] })
    }

    fn rule(group: &str, version: &str, resources: &[&str]) -> Value {
        json!({ "apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"],
            "resources": resources, "scope": "*" })
    }

    fn named(name: &str) -> Value {
        json!({ "metadata": { "name": name, "namespace": "n", "labels": { "a": "b" } } })
    }

    const DEPLOYMENTS: &str = "apps/v1/deployments";

    #[tokio::test]
    async fn a_rule_holds_for_its_groups_versions_resources_and_operations() {
        let trial = Trial::new().await;
        let check = |criteria: &Value, request, expected| check(&trial, criteria, request, expected);
        let found = Some("apps/v1/deployments Deployment");
        let create = |path| (path, Operation::Create, named("d"));
        check(&constraints(&rule("apps", "v1", &["deployments"])), create(DEPLOYMENTS), found);
        check(&constraints(&rule("*", "*", &["*"])), create(DEPLOYMENTS), found);
        check(&constraints(&rule("apps", "v1", &["replicasets"])), create(DEPLOYMENTS), None);
        check(&constraints(&rule("batch", "v1", &["deployments"])), create(DEPLOYMENTS), None);
        let delete = (DEPLOYMENTS, Operation::Delete, named("d"));
        check(&constraints(&rule("apps", "v1", &["deployments"])), delete, None);
    }

    #[tokio::test]
    async fn a_subresource_must_be_named() {
        let trial = Trial::new().await;
        let check = |criteria: &Value, request, expected| check(&trial, criteria, request, expected);
        let update = |path| (path, Operation::Update, named("d"));
        let (status, scale) = ("apps/v1/deployments/status", "apps/v1/deployments/scale");
        check(&constraints(&rule("apps", "v1", &["deployments"])), update(status), None);
        check(&constraints(&rule("apps", "v1", &["*"])), update(status), None);
        let found = Some("apps/v1/deployments Deployment");
        check(&constraints(&rule("apps", "v1", &["deployments/*"])), update(status), found);
        check(&constraints(&rule("apps", "v1", &["*/status"])), update(status), found);
        let found = Some("apps/v1/deployments Scale");
        check(&constraints(&rule("apps", "v1", &["deployments/scale"])), update(scale), found);
    }

    #[tokio::test]
    async fn another_version_is_meant_only_where_the_policy_says_so() {
        let trial = Trial::new().await;
        let check = |criteria: &Value, request, expected| check(&trial, criteria, request, expected);
        let path = "resource.k8s.io/v1/resourceclaims";
        let object = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": { "name": "r", "namespace": "n" } });
        let mut constraints = constraints(&rule("resource.k8s.io", "v1", &["resourceclaims"]));
        let create = || (path, Operation::Create, object.clone());
        check(&constraints, create(), Some("resource.k8s.io/v1/resourceclaims ResourceClaim"));
        constraints["matchPolicy"] = json!("Exact");
        check(&constraints, ("events.k8s.io/v1/events", Operation::Create, named("e")), None);
        let mut core = self::constraints(&rule("", "v1", &["events"]));
        check(&core, ("events.k8s.io/v1/events", Operation::Create, named("e")), Some("/v1/events Event"));
        core["matchPolicy"] = json!("Exact");
        check(&core, ("events.k8s.io/v1/events", Operation::Create, named("e")), None);
    }

    #[tokio::test]
    async fn names_scope_and_exclusions_narrow_a_rule() {
        let trial = Trial::new().await;
        let check = |criteria: &Value, request, expected| check(&trial, criteria, request, expected);
        let mut by_name = rule("apps", "v1", &["deployments"]);
        by_name["resourceNames"] = json!(["d"]);
        let create = |name| (DEPLOYMENTS, Operation::Create, named(name));
        let found = Some("apps/v1/deployments Deployment");
        check(&constraints(&by_name), create("d"), found);
        check(&constraints(&by_name), create("e"), None);
        let mut cluster = rule("*", "*", &["*"]);
        cluster["scope"] = json!("Cluster");
        check(&constraints(&cluster), create("d"), None);
        let namespace = json!({ "metadata": { "name": "n" } });
        let update = ("/v1/namespaces", Operation::Update, namespace);
        check(&constraints(&cluster), update, Some("/v1/namespaces Namespace"));
        let mut excluded = constraints(&rule("*", "*", &["*"]));
        excluded["excludeResourceRules"] = json!([by_name]);
        check(&excluded, create("d"), None);
        check(&excluded, create("e"), found);
        excluded["resourceRules"] = json!([]);
        check(&excluded, create("e"), found);
    }

    #[tokio::test]
    async fn selectors_look_at_the_object_and_at_its_namespace() {
        let trial = Trial::new().await;
        let check = |criteria: &Value, request, expected| check(&trial, criteria, request, expected);
        let found = Some("apps/v1/deployments Deployment");
        let create = || (DEPLOYMENTS, Operation::Create, named("d"));
        let mut all = constraints(&rule("*", "*", &["*"]));
        all["objectSelector"] = json!({ "matchLabels": { "a": "b" } });
        check(&all, create(), found);
        all["objectSelector"] = json!({ "matchLabels": { "a": "c" } });
        check(&all, create(), None);
        all["objectSelector"] = json!({});
        all["namespaceSelector"] = json!({ "matchLabels": { "x": "y" } });
        check(&all, create(), Some("namespaces \"n\" not found"));
        all["resourceRules"] = json!([rule("batch", "v1", &["*"])]);
        check(&all, create(), None);
        let own = json!({ "metadata": { "name": "n", "labels": { "x": "y" } } });
        all["resourceRules"] = json!([rule("", "v1", &["*"])]);
        check(&all, ("/v1/namespaces", Operation::Create, own), Some("/v1/namespaces Namespace"));
    }
}
