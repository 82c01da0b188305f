//! kube-rs as its users use it: over TLS from the kubeconfig, and over the client of this process without a socket.
//! Both are shown the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coracle::api::request::User;
use coracle::app::{CONTEXT, Cluster, Config, Controllers};
use coracle::client::kube_client;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, ServiceAccount};
use kube::api::entry::CommitError;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, reflector, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

/// How long anything here may take to come.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A server without controllers, and a client on each of the ways to it.
async fn cluster() -> (Cluster, [Client; 2]) {
    let controllers = Controllers { selection: String::new(), scheduler: false, nodes: 0 };
    cluster_of(Config { controllers, ..Config::default() }).await
}

pub(crate) async fn cluster_of(config: Config) -> (Cluster, [Client; 2]) {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::start(config).await.unwrap();
    let user = User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()], ..User::default() };
    let inside = kube_client(cluster.transport(), user, "default");
    let over_tls = over_tls(&cluster).await;
    (cluster, [over_tls, inside])
}

/// A client made of the kubeconfig that the server would write.
async fn over_tls(cluster: &Cluster) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let url = format!("https://{}", cluster.address());
    coracle::auth::kubeconfig::write(&file, &cluster.kubeconfig_entry(&url, &cluster.pki().admin())).unwrap();
    let options = KubeConfigOptions { context: Some(CONTEXT.to_owned()), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(&file).unwrap(), &options).await.unwrap();
    Client::try_from(config).unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let body = json!({"metadata": {"name": name}, "data": {"k": value}});
    serde_json::from_value(body).unwrap()
}

fn value(map: &ConfigMap) -> &str {
    &map.data.as_ref().unwrap()["k"]
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_created_read_changed_and_deleted() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let mut map = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
        let again = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err();
        let kube::Error::Api(status) = again else { panic!("{again}") };
        assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists"));
        let old = map.clone();
        map.data.as_mut().unwrap().insert("k".to_owned(), "2".to_owned());
        let map = maps.replace("a", &PostParams::default(), &map).await.unwrap();
        assert_ne!(map.resource_version(), old.resource_version());
        let conflict = maps.replace("a", &PostParams::default(), &old).await.unwrap_err();
        assert!(matches!(conflict, kube::Error::Api(ref status) if status.code == 409), "{conflict}");
        let patch = Patch::Merge(json!({"data": {"k": "3"}}));
        assert_eq!(value(&maps.patch("a", &PatchParams::default(), &patch).await.unwrap()), "3");
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "4"}});
        let applied = maps.patch("a", &PatchParams::apply("tests").force(), &Patch::Apply(body)).await.unwrap();
        assert_eq!(value(&applied), "4");
        let list = maps.list(&ListParams::default().fields("metadata.name=a")).await.unwrap();
        assert_eq!(list.items.iter().map(value).collect::<Vec<_>>(), ["4"]);
        assert_eq!(maps.get_metadata("a").await.unwrap().name_any(), "a");
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        assert!(maps.get_opt("a").await.unwrap().is_none());
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflector_reaches_the_state_and_follows_changes() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &config_map("before", "1")).await.unwrap();
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let (store, writer) = reflector::store();
            let mut events = reflector(writer, watcher(maps.clone(), config)).boxed();
            let names = || {
                let mut names: Vec<_> = store.state().iter().map(|map| map.name_any()).collect();
                names.sort();
                names
            };
            let mut reach = async |expected: &[&str]| {
                while names() != expected {
                    in_time("an event", events.try_next()).await.unwrap().unwrap();
                }
            };
            reach(&["before"]).await;
            maps.create(&PostParams::default(), &config_map("later", "1")).await.unwrap();
            reach(&["before", "later"]).await;
            maps.delete("later", &DeleteParams::default()).await.unwrap();
            reach(&["before"]).await;
        }
        maps.delete("before", &DeleteParams::default()).await.unwrap();
    }
    cluster.stop().await;
}

/// What the controller of the test below works with.
struct Work {
    maps: Api<ConfigMap>,
    reconciled: AtomicUsize,
}

async fn mark(map: Arc<ConfigMap>, work: Arc<Work>) -> Result<Action, kube::Error> {
    work.reconciled.fetch_add(1, Ordering::Relaxed);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"seen": value(&map)}}}));
    work.maps.patch(&map.name_any(), &PatchParams::default(), &patch).await?;
    Ok(Action::await_change())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_brings_what_it_watches_to_the_desired_state() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let work = Arc::new(Work { maps: maps.clone(), reconciled: AtomicUsize::new(0) });
        let config = watcher::Config::default().labels("watched=yes");
        let mut controller =
            Controller::new(maps.clone(), config).run(mark, |_, error, _| panic!("{error}"), Arc::clone(&work)).boxed();
        let mut map = config_map("a", "1");
        map.labels_mut().insert("watched".to_owned(), "yes".to_owned());
        maps.create(&PostParams::default(), &map).await.unwrap();
        for wanted in ["1", "2"] {
            let patch = Patch::Merge(json!({"data": {"k": wanted}}));
            maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
            loop {
                in_time("a reconciliation", controller.try_next()).await.unwrap().unwrap();
                let seen = maps.get("a").await.unwrap().annotations().get("seen").cloned();
                if seen.as_deref() == Some(wanted) {
                    break;
                }
            }
        }
        assert!(work.reconciled.load(Ordering::Relaxed) >= 2);
        maps.delete("a", &DeleteParams::default()).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_cut_resumes_where_it_was() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let first = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
        let version = first.resource_version().unwrap();
        let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        let patch = |value: &str| Patch::Merge(json!({"data": {"k": value}}));
        maps.patch("a", &PatchParams::default(), &patch("2")).await.unwrap();
        let event = in_time("the first change", watch.try_next()).await.unwrap().unwrap();
        let WatchEvent::Modified(seen) = event else { panic!("{event:?}") };
        drop(watch);
        // Both happen while nobody watches.
        maps.patch("a", &PatchParams::default(), &patch("3")).await.unwrap();
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        let version = seen.resource_version().unwrap();
        let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        let event = in_time("what was missed", watch.try_next()).await.unwrap().unwrap();
        assert!(matches!(event, WatchEvent::Modified(ref map) if value(map) == "3"), "{event:?}");
        let event = in_time("the end", watch.try_next()).await.unwrap().unwrap();
        assert!(matches!(event, WatchEvent::Deleted(_)), "{event:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_committed_once_and_told_that_another_was_first() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let [first, second] = [maps.entry("a").await.unwrap(), maps.entry("a").await.unwrap()];
        let mut first = first.or_insert(|| config_map("a", "1"));
        first.commit(&PostParams::default()).await.unwrap();
        first.get_mut().data.as_mut().unwrap().insert("k".to_owned(), "2".to_owned());
        first.commit(&PostParams::default()).await.unwrap();
        assert_eq!(value(&maps.get("a").await.unwrap()), "2");
        let refused = second.or_insert(|| config_map("a", "3")).commit(&PostParams::default()).await.unwrap_err();
        assert!(matches!(refused, CommitError::Save(kube::Error::Api(ref status)) if status.code == 409), "{refused}");
        maps.delete("a", &DeleteParams::default()).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_cordoned_and_tokens_are_asked_for_and_reviewed() {
    let (cluster, clients) = cluster().await;
    for client in clients {
        let nodes: Api<Node> = Api::all(client.clone());
        let node = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let open = ListParams::default().fields("spec.unschedulable==false");
        assert_eq!(nodes.list(&open).await.unwrap().items.len(), 1);
        nodes.cordon("n").await.unwrap();
        assert_eq!(nodes.list(&open).await.unwrap().items.len(), 0);
        nodes.uncordon("n").await.unwrap();
        assert_eq!(nodes.list(&open).await.unwrap().items.len(), 1);
        nodes.delete("n", &DeleteParams::default()).await.unwrap();

        let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
        let account = serde_json::from_value(json!({"metadata": {"name": "s"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let asked = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": ["api"]}})).unwrap();
        let given = accounts.create_token_request("s", &PostParams::default(), &asked).await.unwrap();
        let token = given.status.unwrap().token.unwrap();
        let reviews: Api<TokenReview> = Api::all(client);
        let review = json!({"metadata": {}, "spec": {"audiences": ["api"], "token": token}});
        let review = reviews.create(&PostParams::default(), &serde_json::from_value(review).unwrap()).await.unwrap();
        let status = review.status.unwrap();
        assert_eq!((status.authenticated, status.audiences), (Some(true), Some(vec!["api".to_owned()])));
        assert_eq!(status.user.unwrap().username.unwrap(), "system:serviceaccount:default:s");
        accounts.delete("s", &DeleteParams::default()).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_is_changed_in_part_and_is_evicted() {
    let (cluster, clients) = cluster_of(Config::default()).await;
    for (number, client) in clients.into_iter().enumerate() {
        let pods: Api<Pod> = Api::default_namespaced(client);
        let name = format!("pod-{number}");
        let container = json!({"name": "main", "image": "busybox:stable", "command": ["sleep", "30"]});
        let pod = json!({"metadata": {"name": name, "labels": {"app": "tests"}},
            "spec": {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [container]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        in_time("the default account", await_account(&cluster)).await;
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let running = Box::pin(await_condition(pods.clone(), &name, conditions::is_pod_running()));
        in_time("the pod runs", running).await.unwrap();

        let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 500}}));
        let changed = pods.patch(&name, &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(changed.spec.unwrap().active_deadline_seconds, Some(500));

        let patch = Patch::Merge(json!({"metadata": {"annotations": {"test": "123"}}}));
        let part = pods.patch_metadata(&name, &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(part.annotations()["test"], "123");
        assert_eq!(part.types.unwrap().kind, "PartialObjectMetadata");
        let all = pods.list_metadata(&ListParams::default().labels("app=tests")).await.unwrap();
        assert_eq!(all.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), std::slice::from_ref(&name));

        assert_eq!(pods.get_ephemeral_containers(&name).await.unwrap().spec.unwrap().ephemeral_containers, None);
        let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "x"}]}}));
        let debugged = pods.patch_ephemeral_containers(&name, &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(debugged.spec.unwrap().ephemeral_containers.unwrap()[0].name, "e");

        let evicted = pods.evict(&name, &EvictParams::default()).await.unwrap();
        assert!(evicted.is_success() && evicted.code == 201, "{evicted:?}");
        let uid = changed.metadata.uid.unwrap();
        let gone = Box::pin(await_condition(pods.clone(), &name, conditions::is_deleted(&uid)));
        in_time("the pod goes", gone).await.unwrap();
    }
    cluster.stop().await;
}

/// Waits until pods may be made in the namespace `default`.
async fn await_account(cluster: &Cluster) {
    let user = User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()], ..User::default() };
    let accounts: Api<ServiceAccount> = Api::default_namespaced(kube_client(cluster.transport(), user, "default"));
    let there = |account: Option<&ServiceAccount>| account.is_some();
    await_condition(accounts, "default", there).await.unwrap();
}
