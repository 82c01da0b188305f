//! `resourcequota-controller`: counts what a namespace uses of its quotas when a quota is new or changed, and anew when
//! objects go (Kubernetes `pkg/controller/resourcequota`). What is added between is counted by the admission plugin of
//! the same name, with the same pure rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::discovery::{Served, each_change, served_at_last};
use super::following::Following;
use super::pod::Pod;
use crate::admission::{pod_resources::Amounts, pod_resources::add, quota};
use crate::api::quantity::{Format, Quantity};
use crate::api::{GroupResource, Object};
use crate::client::{Cache, Cached, Delta, Error, Meta, ObjectName, Outcome, Query, Queue, Resource, work};

pub(super) const RESOURCE_QUOTA: Controller = Controller {
    name: "resourcequota-controller",
    alias: "resourcequota",
    account: "resourcequota-controller",
    source: "resourcequota-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 5;
/// Objects in one page of a count.
const PAGE_OBJECTS: &str = "500";
/// What goes within this time is counted once.
const GATHER: Duration = Duration::from_millis(50);
/// Every quota is counted anew this often, for pods whose time of grace has run out (`--resource-quota-sync-period`).
const SYNC_PERIOD: Duration = Duration::from_secs(300);

/// A quota.
#[derive(Deserialize, Debug)]
struct Quota {
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Cached for Quota {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Quota {
    const RESOURCE: &'static Resource = Resource::RESOURCE_QUOTAS;
}

impl Quota {
    /// Whether objects of the resource count towards the quota.
    fn counts(&self, resource: &Resource) -> bool {
        !quota::matching_names(&resource.group_resource(), names(&self.spec["hard"])).is_empty()
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

/// An object of which only the metadata is known.
#[derive(Deserialize, Debug)]
struct Counted {
    metadata: Meta,
}

impl Cached for Counted {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Quota(ObjectName),
    /// The resources that quotas name may be others now.
    Resources,
}

struct Counter {
    ctx: Context,
    quotas: Arc<Cache<Quota>>,
    following: Following<Cache<Counted>>,
    /// The resources that a quota can count; held for single steps.
    countable: Mutex<Arc<Vec<Resource>>>,
}

impl Counter {
    fn learn(&self, served: Vec<Served>) {
        let verbs = ["create", "list", "watch", "delete"];
        let countable = served.into_iter().filter(|one| one.resource.namespaced && one.allows(&verbs));
        *self.countable.lock() = Arc::new(countable.map(|one| one.resource).collect());
    }
}

async fn run(ctx: Context) {
    let quotas = ctx.cache::<Quota>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue();
    let (known, changed) = (Arc::clone(&quotas), Arc::clone(&queue));
    let following = Following::new(ctx.clone(), move |resource| {
        let cache = Cache::<Counted>::new(resource);
        let (quotas, queue, resource) = (Arc::clone(&known), Arc::clone(&changed), cache.resource.clone());
        // Of these the price can change while they live.
        let changes = resource.group.is_empty() && ["services", "persistentvolumeclaims"].contains(&&*resource.plural);
        cache.subscribe(move |delta| match delta {
            Delta::Deleted(object) => count_again(&queue, &quotas, &resource, &object.metadata),
            Delta::Updated { new, .. } if changes => count_again(&queue, &quotas, &resource, &new.metadata),
            Delta::Added(_) | Delta::Updated { .. } => {}
        });
        cache
    });
    let (known, changed) = (Arc::clone(&quotas), Arc::clone(&queue));
    pods.subscribe(move |delta| match delta {
        Delta::Deleted(pod) => count_again(&changed, &known, Resource::PODS, &pod.metadata),
        Delta::Updated { old, new } if new.finished() && !old.finished() => {
            count_again(&changed, &known, Resource::PODS, &new.metadata);
        }
        Delta::Added(_) | Delta::Updated { .. } => {}
    });
    let changed = Arc::clone(&queue);
    quotas.subscribe(move |delta| {
        changed.add(Key::Resources);
        changed.add(Key::Quota(delta.object().metadata.object_name()));
    });
    let this = Counter { quotas, following, countable: Mutex::default(), ctx };
    this.learn(served_at_last(&this.ctx).await);
    let learns = each_change(&this.ctx, |served| {
        this.learn(served);
        queue.add(Key::Resources);
        for quota in this.quotas.all() {
            queue.add(Key::Quota(quota.metadata.object_name()));
        }
        std::future::ready(())
    });
    let counts = work(Arc::clone(&queue), WORKERS, RESOURCE_QUOTA.name, |key| reconcile(&this, key));
    futures::future::join(learns, counts).await;
}

/// Counts anew the quotas of a namespace that an object of the resource counts towards.
fn count_again(queue: &Queue<Key>, quotas: &Cache<Quota>, resource: &Resource, object: &Meta) {
    for quota in quotas.in_namespace(&object.namespace) {
        if quota.counts(resource) {
            queue.add_after(Key::Quota(quota.metadata.object_name()), GATHER);
        }
    }
}

async fn reconcile(this: &Counter, key: Key) -> Result<Outcome, Error> {
    let countable = Arc::clone(&this.countable.lock());
    let name = match key {
        Key::Quota(name) => name,
        Key::Resources => {
            let quotas = this.quotas.all();
            let named =
                |resource: &&Resource| *resource != Resource::PODS && quotas.iter().any(|quota| quota.counts(resource));
            this.following.set(countable.iter().filter(named).cloned().collect()).await;
            return Ok(Outcome::Done);
        }
    };
    let Some(quota) = this.quotas.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let mut sums = Vec::new();
    for resource in countable.iter().filter(|resource| quota.counts(resource)) {
        sums.push(count(&this.ctx, &quota, resource).await?);
    }
    let status = status(&quota, sums);
    if status != quota.status {
        let written = this.ctx.client.update_status(Resource::RESOURCE_QUOTAS, &quota.metadata, &status).await?;
        this.quotas.reached(written.revision, &*this.ctx.clock).await;
    }
    Ok(Outcome::Again(SYNC_PERIOD))
}

/// What the objects of a resource in the quota's namespace cost, of what the quota limits.
async fn count(ctx: &Context, quota: &Quota, resource: &Resource) -> Result<Amounts, Error> {
    let counted = resource.group_resource();
    let limited = quota::matching_names(&counted, names(&quota.spec["hard"]));
    let zero = |name: &&str| ((*name).to_owned(), Quantity::new(0, Format::Decimal));
    let mut sum: Amounts = limited.iter().map(zero).collect();
    let mut token = String::new();
    loop {
        let query = Query::default().with("limit", PAGE_OBJECTS).with("continue", token);
        let page = ctx.client.list::<Value>(resource.at(&quota.metadata.namespace, ""), &query).await?;
        for object in page.items {
            add(&mut sum, &cost(quota, &counted, (&limited, object), ctx.clock.now()));
        }
        token = page.metadata.continue_token;
        if token.is_empty() {
            return Ok(sum);
        }
    }
}

fn cost(
    quota: &Quota,
    counted: &GroupResource,
    (limited, object): (&BTreeSet<&str>, Value),
    now: Timestamp,
) -> Amounts {
    let whole = json!({"spec": quota.spec});
    let (Ok(whole), Ok(object)) = (Object::from_value(whole), Object::from_value(object)) else {
        return Amounts::new();
    };
    if !quota::in_scopes(counted, &whole, &object) {
        return Amounts::new();
    }
    let mut cost = quota::usage(counted, &object, now);
    cost.retain(|name, _| limited.contains(name.as_str()));
    cost
}

/// The status with the new sums; of what no served resource counts towards, the old sum stays.
fn status(quota: &Quota, sums: Vec<Amounts>) -> Value {
    let mut used = Map::new();
    let new: Amounts = sums.into_iter().flatten().collect();
    for name in names(&quota.spec["hard"]) {
        let old = || quota.status["used"].get(name).cloned();
        if let Some(amount) = new.get(name).map(|amount| json!(amount.to_string())).or_else(old) {
            used.insert(name.to_owned(), amount);
        }
    }
    let hard = quota.spec.get("hard").cloned().unwrap_or_else(|| json!({}));
    if used.is_empty() && hard.as_object().is_none_or(Map::is_empty) {
        return json!({});
    }
    json!({"hard": hard, "used": used})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(hard: &Value, status: &Value) -> Quota {
        let value = json!({"metadata": {"name": "q", "namespace": "web"}, "spec": {"hard": hard}, "status": status});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_status_has_the_new_sums_and_keeps_those_that_nothing_counts_towards() {
        let quota = quota(
            &json!({"pods": "2", "count/gone.example.com": "3"}),
            &json!({
                "hard": {"pods": "1"}, "used": {"pods": "7", "count/gone.example.com": "1", "secrets": "9"},
            }),
        );
        let sums = vec![Amounts::from([("pods".to_owned(), Quantity::new(1, Format::Decimal))])];
        assert_eq!(
            status(&quota, sums),
            json!({
                "hard": {"pods": "2", "count/gone.example.com": "3"}, "used": {"pods": "1", "count/gone.example.com": "1"},
            })
        );
    }

    #[test]
    fn an_object_outside_the_scopes_costs_nothing() {
        let mut quota = quota(&json!({"pods": "2"}), &Value::Null);
        let pods = GroupResource { group: "".into(), resource: "pods".into() };
        let limited = BTreeSet::from(["pods"]);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        let price = |quota: &Quota| cost(quota, &pods, (&limited, pod.clone()), Timestamp::UNIX_EPOCH);
        assert_eq!(price(&quota).len(), 1);
        quota.spec["scopes"] = json!(["Terminating"]);
        assert_eq!(price(&quota).len(), 0);
    }

    #[test]
    fn a_quota_counts_the_resources_that_it_names() {
        let quota = quota(&json!({"requests.cpu": "2", "count/jobs.batch": "3"}), &Value::Null);
        assert!(quota.counts(Resource::PODS));
        assert!(quota.counts(Resource::JOBS));
        assert!(!quota.counts(Resource::SERVICES));
    }
}
