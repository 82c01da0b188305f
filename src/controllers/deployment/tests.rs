//! Decisions about Deployments, on data.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{Change, Plan, plan};
use super::*;

const NOW: i64 = 1000;

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

fn deployment(replicas: i32, image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "a", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template(image),
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
    }))
    .unwrap()
}

/// A ReplicaSet of `size` pods, `available` of which are available.
fn set(revision: i64, image: &str, size: i32, available: i32) -> ReplicaSet {
    let annotations = json!({
        "deployment.kubernetes.io/revision": revision.to_string(),
        "deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/max-replicas": "13",
    });
    serde_json::from_value(json!({
        "metadata": {"name": format!("web-{revision}"), "namespace": "a", "uid": format!("u{revision}"),
            "generation": 1, "resourceVersion": "7", "annotations": annotations,
            "creationTimestamp": format!("1970-01-01T00:00:0{revision}Z")},
        "spec": {"replicas": size, "selector": {}, "template": template(image)},
        "status": {"replicas": size, "readyReplicas": available, "availableReplicas": available,
            "observedGeneration": 1, "terminatingReplicas": 0},
    }))
    .unwrap()
}

fn planned(deployment: &Deployment, sets: Vec<ReplicaSet>) -> Plan {
    let sets: Vec<_> = sets.into_iter().map(Arc::new).collect();
    plan(deployment, &sets, &|_| false, Timestamp::from_second(NOW).unwrap())
}

/// The planned sizes as `name=size`.
fn sizes(plan: &Plan) -> Vec<String> {
    let size = |change: &Change| match change {
        Change::Create { set, .. } => Some(format!("new={}", set["spec"]["replicas"])),
        Change::Patch { set, patch, .. } => Some(format!("{set}={}", patch["spec"]["replicas"])),
        Change::Delete { set, .. } => Some(format!("{set} deleted")),
        Change::Status { .. } | Change::RollBack { .. } | Change::Event(_) => None,
    };
    plan.changes.iter().filter_map(size).collect()
}

fn status(plan: &Plan) -> &DeploymentStatus {
    let status = plan.changes.iter().find_map(|change| match change {
        Change::Status { status, .. } => Some(&**status),
        _ => None,
    });
    status.expect("a status is written")
}

fn reason<'a>(plan: &'a Plan, kind: &str) -> &'a str {
    let conditions = status(plan).conditions.as_ref().unwrap();
    conditions.iter().find(|c| c.type_.as_deref() == Some(kind)).and_then(|c| c.reason.as_deref()).unwrap_or("")
}

#[test]
fn a_new_deployment_gets_a_full_set_of_revision_1() {
    let plan = planned(&deployment(3, "i:1"), vec![]);
    assert_eq!(sizes(&plan), ["new=3"]);
    let Change::Create { set, event } = &plan.changes[0] else { panic!("{plan:?}") };
    let labels = &set["metadata"]["labels"];
    assert_eq!(labels["pod-template-hash"], set["spec"]["selector"]["matchLabels"]["pod-template-hash"]);
    assert_eq!(labels["pod-template-hash"], set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"]);
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert!(event.as_ref().unwrap().message.ends_with(" from 0 to 3"));
    assert_eq!(reason(&plan, "Progressing"), "NewReplicaSetCreated");
    assert_eq!(reason(&plan, "Available"), "MinimumReplicasUnavailable");
}

#[test]
fn a_rollout_begins_with_the_surge() {
    let plan = planned(&deployment(10, "i:2"), vec![set(1, "i:1", 10, 10)]);
    assert_eq!(sizes(&plan), ["new=3"]);
}

#[test]
fn old_pods_go_as_far_as_enough_stay_available() {
    let plan = planned(&deployment(10, "i:2"), vec![set(1, "i:1", 10, 10), set(2, "i:2", 3, 0)]);
    assert_eq!(sizes(&plan), ["web-1=8"]);
}

#[test]
fn the_new_set_grows_into_the_room_that_the_old_one_leaves() {
    let plan = planned(&deployment(10, "i:2"), vec![set(1, "i:1", 8, 8), set(2, "i:2", 3, 3)]);
    assert_eq!(sizes(&plan), ["web-2=5"]);
}

#[test]
fn unavailable_old_pods_go_first() {
    let plan = planned(&deployment(10, "i:2"), vec![set(1, "i:1", 10, 6), set(2, "i:2", 3, 3)]);
    assert_eq!(sizes(&plan), ["web-1=5"]);
}

#[test]
fn a_bad_template_does_not_take_the_good_pods_down() {
    let plan = planned(&deployment(10, "i:2"), vec![set(1, "i:1", 8, 8), set(2, "i:2", 5, 0)]);
    assert!(sizes(&plan).is_empty(), "{plan:?}");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let plan = planned(&deployment(20, "i:2"), vec![set(1, "i:1", 8, 8), set(2, "i:2", 5, 5)]);
    assert_eq!(sizes(&plan), ["web-1=15", "web-2=10"]);
}

#[test]
fn an_earlier_template_takes_its_set_up_again_with_a_new_number() {
    let plan = planned(&deployment(10, "i:1"), vec![set(1, "i:1", 0, 0), set(2, "i:2", 10, 10)]);
    let Change::Patch { set, patch, .. } = &plan.changes[0] else { panic!("{plan:?}") };
    assert_eq!(set, "web-1");
    let annotations = &patch["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn a_rolled_out_deployment_drops_sets_beyond_the_history_and_says_it_is_done() {
    let mut deployment = deployment(10, "i:5");
    let old = |revision| set(revision, &format!("i:{revision}"), 0, 0);
    let sets = || vec![old(1), old(2), old(3), old(4), set(5, "i:5", 10, 10)];
    let first = planned(&deployment, sets());
    assert_eq!(reason(&first, "Progressing"), "NewReplicaSetAvailable");
    assert_eq!(reason(&first, "Available"), "MinimumReplicasAvailable");
    deployment.status = status(&first).clone();
    deployment.metadata.annotations.insert("deployment.kubernetes.io/revision".to_owned(), "5".to_owned());
    assert_eq!(sizes(&planned(&deployment, sets())), ["web-1 deleted", "web-2 deleted"]);
}

#[test]
fn a_paused_deployment_is_scaled_and_not_rolled_out() {
    let mut deployment = deployment(4, "i:2");
    deployment.spec.paused = true;
    let plan = planned(&deployment, vec![set(1, "i:1", 10, 10)]);
    assert_eq!(sizes(&plan), ["web-1=4"]);
    assert_eq!(reason(&plan, "Progressing"), "DeploymentPaused");
}

#[test]
fn recreate_ends_all_old_pods_before_the_first_new_one() {
    let mut deployment = deployment(10, "i:2");
    deployment.spec.strategy = serde_json::from_value(json!({"type": "Recreate"})).unwrap();
    assert_eq!(sizes(&planned(&deployment, vec![set(1, "i:1", 10, 10)])), ["web-1=0"]);
    let ended = Arc::new(set(1, "i:1", 0, 0));
    let now = Timestamp::from_second(NOW).unwrap();
    assert!(sizes(&plan(&deployment, &[Arc::clone(&ended)], &|_| true, now)).is_empty());
    assert_eq!(sizes(&plan(&deployment, &[ended], &|_| false, now)), ["new=10"]);
}

#[test]
fn a_rollout_that_does_not_move_is_out_of_time_after_its_deadline() {
    let mut deployment = deployment(10, "i:1");
    let sets = || vec![set(1, "i:1", 10, 9)];
    deployment.status = status(&planned(&deployment, sets())).clone();
    deployment.metadata.annotations.insert("deployment.kubernetes.io/revision".to_owned(), "1".to_owned());
    let waiting = planned(&deployment, sets());
    assert!(waiting.changes.is_empty(), "{waiting:?}");
    assert_eq!(waiting.outcome, Outcome::Again(std::time::Duration::from_secs(601)));
    let sets: Vec<_> = sets().into_iter().map(Arc::new).collect();
    let late = plan(&deployment, &sets, &|_| false, Timestamp::from_second(NOW + 601).unwrap());
    assert_eq!(reason(&late, "Progressing"), "ProgressDeadlineExceeded");
}

#[test]
fn the_wish_to_roll_back_brings_template_and_annotations_of_that_revision() {
    let mut deployment = deployment(10, "i:2");
    deployment.metadata.annotations.insert("deprecated.deployment.rollback.to".to_owned(), "1".to_owned());
    let mut first = set(1, "i:1", 0, 0);
    first.metadata.annotations.insert("kubernetes.io/change-cause".to_owned(), "first".to_owned());
    let plan = planned(&deployment, vec![first, set(2, "i:2", 10, 10)]);
    let Change::RollBack { template: Some(found), annotations } = &plan.changes[0] else { panic!("{plan:?}") };
    assert_eq!(*found, template("i:1"));
    assert_eq!(annotations.get("kubernetes.io/change-cause").map(String::as_str), Some("first"));
    assert!(!annotations.contains_key("deprecated.deployment.rollback.to"));
}
