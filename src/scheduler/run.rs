//! The loop: takes pods from the queue, runs cycles, binds. One task decides, many bindings are under way at once.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::NAME;
use super::cycle::{Verdict, message, schedule};
use super::node::Node;
use super::pod::Pod;
use super::preemption::{Candidate, preempt};
use super::queue::Queue;
use super::snapshot::Snapshot;
use crate::api::request::User;
use crate::base::{Clock, Tasks};
use crate::client::{
    Cache, Client, DeleteOptions, Delta, Error, EventApi, EventText, Patch, Recorder, Regarding, Resource, Selection,
    Transport, encode, follow,
};

/// Bindings that are under way at once.
const BINDINGS_MAX: usize = 64;

/// Starts the scheduler; it ends with the tasks' shutdown.
pub fn start(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, tasks: &Tasks) {
    let user = User {
        name: "system:kube-scheduler".to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..User::default()
    };
    let client = Client::new(transport, user, "kube-scheduler");
    let (recorder, writer) = Recorder::new(client.clone(), NAME, EventApi::Events, Arc::clone(&clock));
    tasks.spawn("scheduler event recorder", writer);
    let state = Mutex::new(State { snapshot: Snapshot::default(), queue: Queue::default(), start: 0 });
    let scheduler = Arc::new(Scheduler { client, recorder, clock, state, changed: Notify::new() });
    tasks.spawn("scheduler", run(scheduler, tasks.clone()));
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    /// Nodes and waiting pods; held for one change or one cycle.
    state: Mutex<State>,
    /// A pod may be ready.
    changed: Notify,
}

struct State {
    snapshot: Snapshot,
    queue: Queue,
    /// Where the next search over the nodes begins.
    start: usize,
}

async fn run(scheduler: Arc<Scheduler>, tasks: Tasks) {
    let nodes = Cache::<Node>::new(Resource::NODES.clone());
    let pods = Cache::<Pod>::new(Resource::PODS.clone());
    let this = Arc::clone(&scheduler);
    nodes.subscribe(move |delta| this.node_changed(delta));
    let this = Arc::clone(&scheduler);
    pods.subscribe(move |delta| this.pod_changed(delta));
    let selection = Selection::default();
    let (client, clock) = (&scheduler.client, &scheduler.clock);
    tasks.spawn("scheduler node cache", follow(Arc::clone(&nodes), client.clone(), selection, Arc::clone(clock)));
    nodes.synced().await;
    let live = "status.phase!=Succeeded,status.phase!=Failed";
    let selection = Selection { field_selector: live.to_owned(), ..Selection::default() };
    tasks.spawn("scheduler pod cache", follow(Arc::clone(&pods), client.clone(), selection, Arc::clone(clock)));
    pods.synced().await;
    scheduler.work().await;
}

/// What a cycle decided.
enum Decision {
    Bind { pod: Arc<Pod>, node: String },
    Fail { pod: Arc<Pod>, message: String, preempted: Option<(String, Vec<Arc<Pod>>)> },
}

impl Scheduler {
    fn node_changed(&self, delta: &Delta<'_, Node>) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let wakes = match delta {
            Delta::Added(node) => {
                state.snapshot.put_node(node);
                true
            }
            Delta::Updated { old, new } => {
                state.snapshot.put_node(new);
                new.offers_more_than(old)
            }
            Delta::Deleted(node) => {
                state.snapshot.remove_node(&node.metadata.name);
                true
            }
        };
        if wakes {
            state.queue.wake_all(now);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn pod_changed(&self, delta: &Delta<'_, Pod>) {
        let now = self.clock.monotonic();
        let pod = delta.object();
        let uid = &pod.metadata.uid;
        let mut state = self.state.lock();
        let gone = matches!(delta, Delta::Deleted(_));
        if !gone && pod.occupies() {
            state.queue.remove(uid);
            state.snapshot.place(pod, &pod.node_name, false);
            // Pods that asked to be near one like this may fit now.
            if state.snapshot.affine == 0 {
                return;
            }
            state.queue.wake_all(now);
        } else if !gone && pod.waits() {
            if !state.snapshot.assumed(uid) {
                state.queue.put(Arc::clone(pod), now);
            }
        } else {
            state.queue.remove(uid);
            if !state.snapshot.take_away(uid) {
                return;
            }
            state.queue.wake_all(now);
        }
        drop(state);
        self.changed.notify_one();
    }

    async fn work(&self) {
        let mut bindings = FuturesUnordered::new();
        loop {
            while bindings.len() < BINDINGS_MAX
                && let Some(decision) = self.decide()
            {
                bindings.push(self.carry_out(decision));
                tokio::task::consume_budget().await;
            }
            let next_at = self.state.lock().queue.next_at();
            let wait = next_at.map(|at| self.clock.sleep(at.saturating_sub(self.clock.monotonic())));
            let timer = async {
                match wait {
                    Some(wait) => wait.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = bindings.next(), if !bindings.is_empty() => {}
                () = self.changed.notified(), if bindings.len() < BINDINGS_MAX => {}
                () = timer, if bindings.len() < BINDINGS_MAX => {}
            }
        }
    }

    /// Runs a cycle for the next pod that is ready.
    fn decide(&self) -> Option<Decision> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let State { snapshot, queue, start } = &mut *state;
        let pod = queue.take(now)?;
        let unfit = match schedule(&pod, snapshot, start, |ties| rand::random_range(0..ties)) {
            Verdict::Node(index) => {
                let node = snapshot.at(index).node.as_ref().map(|node| node.metadata.name.clone()).unwrap_or_default();
                snapshot.place(&pod, &node, true);
                return Some(Decision::Bind { pod, node });
            }
            Verdict::None(unfit) => unfit,
        };
        let mut text = message(snapshot.count(), &unfit);
        if snapshot.count() == 0 {
            "no nodes available to schedule pods".clone_into(&mut text);
            queue.failed(&pod.metadata.uid, now);
            return Some(Decision::Fail { pod, message: text, preempted: None });
        }
        let preempted = match preempt(&pod, snapshot, &unfit) {
            Ok(Candidate { node, victims }) => {
                let node = snapshot.at(node).node.as_ref().map(|node| node.metadata.name.clone()).unwrap_or_default();
                Some((node, victims))
            }
            Err(why) => {
                text = format!("{text} preemption: {why}");
                None
            }
        };
        queue.failed(&pod.metadata.uid, now);
        Some(Decision::Fail { pod, message: text, preempted })
    }

    async fn carry_out(&self, decision: Decision) {
        match decision {
            Decision::Bind { pod, node } => self.bind(&pod, &node).await,
            Decision::Fail { pod, message, preempted } => {
                let victims = preempted.as_ref().map(|(_, victims)| victims.as_slice()).unwrap_or_default();
                for victim in victims {
                    self.evict(&pod, victim).await;
                }
                let nominated = preempted.as_ref().map(|(node, _)| node.as_str());
                self.tell_failure(&pod, ("Unschedulable", &message), nominated).await;
            }
        }
    }

    async fn bind(&self, pod: &Pod, node: &str) {
        let meta = &pod.metadata;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "target": {"kind": "Node", "name": node},
        });
        let target = Resource::PODS.at(&meta.namespace, &meta.name).sub("binding");
        match Box::pin(self.client.create(target, encode(&binding))).await {
            Ok(_) => {
                let note = format!("Successfully assigned {}/{} to {node}", meta.namespace, meta.name);
                self.record(pod, EventText::normal("Scheduled", note).with_action("Binding"));
                self.state.lock().queue.remove(&meta.uid);
            }
            Err(error) => {
                let now = self.clock.monotonic();
                {
                    let mut state = self.state.lock();
                    if state.snapshot.assumed(&meta.uid) {
                        state.snapshot.take_away(&meta.uid);
                    }
                    state.queue.erred(&meta.uid, now);
                    state.queue.wake_all(now);
                }
                self.changed.notify_one();
                if !error.not_found() {
                    let message = format!("running Bind plugin \"DefaultBinder\": {error}");
                    self.tell_failure(pod, ("SchedulerError", &message), None).await;
                }
            }
        }
    }

    /// Tells in an event and in the PodScheduled condition why a pod has no node.
    async fn tell_failure(&self, pod: &Pod, (reason, message): (&str, &str), nominated: Option<&str>) {
        self.record(pod, EventText::warning("FailedScheduling", message).with_action("Scheduling"));
        if pod.unscheduled_message == message && nominated.is_none_or(|node| node == pod.nominated_node) {
            return;
        }
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": null,
            "lastTransitionTime": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "observedGeneration": pod.metadata.generation,
        });
        let mut status = json!({"conditions": [condition]});
        if let Some(node) = nominated {
            status["nominatedNodeName"] = json!(node);
        }
        self.patch_status(pod, status).await;
    }

    /// Deletes a pod that must make room.
    async fn evict(&self, pod: &Pod, victim: &Pod) {
        let meta = &victim.metadata;
        if meta.deleting() {
            return;
        }
        let message = format!("{NAME}: preempting to accommodate a higher priority pod");
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
            "lastTransitionTime": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "observedGeneration": meta.generation,
        });
        self.patch_status(victim, json!({"conditions": [condition]})).await;
        let target = Resource::PODS.at(&meta.namespace, &meta.name);
        match Box::pin(self.client.delete(target, &DeleteOptions::of_uid(&meta.uid))).await {
            Ok(_) => {
                let note = format!("Preempted by pod {} on node {}", pod.metadata.uid, victim.node_name);
                self.record(victim, EventText::normal("Preempted", note).with_action("Preempting"));
            }
            Err(error) => log(&error, "victim was not deleted"),
        }
    }

    async fn patch_status(&self, pod: &Pod, status: Value) {
        let meta = &pod.metadata;
        let target = Resource::PODS.at(&meta.namespace, &meta.name).sub("status");
        let patch = json!({"metadata": {"uid": meta.uid}, "status": status});
        if let Err(error) = Box::pin(self.client.patch(target, Patch::Strategic, encode(&patch))).await {
            log(&error, "status of a pod was not written");
        }
    }

    fn record(&self, pod: &Pod, text: EventText) {
        self.recorder.record(Regarding::of(Resource::PODS, &pod.metadata), text, self.clock.now());
    }
}

/// A pod that is gone needs nothing more.
fn log(error: &Error, what: &'static str) {
    if !error.not_found() && !error.conflict() {
        tracing::warn!(error = error as &dyn std::error::Error, "{what}");
    }
}
