//! Scenarios of ownership and apply on a small type: what upstream's own tests say, in our words.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::object::Object;
use crate::api::schema::{Extra, Field, List, ListKind, Map, Shape, Struct, Table, TypeId};
use crate::api::status::Status;

fn required(name: &'static str, shape: Shape) -> Field {
    Field { omit_empty: false, ..Field::plain(name, shape) }
}

fn list(item: Shape, kind: ListKind) -> Shape {
    Shape::List(Box::new(List { item, kind, wrapped: false }))
}

fn texts() -> Shape {
    Shape::Map(Box::new(Map { value: Shape::String, atomic: false }))
}

fn structure(table: &mut Table, name: &'static str, fields: Vec<Field>) -> TypeId {
    table.add(Struct { name: name.into(), fields, ..Struct::default() })
}

/// A kind `Boat` of `sea/v1` with one field of each sort.
fn boats() -> (Table, TypeId) {
    let mut table = Table::default();
    let meta = structure(
        &mut table,
        "ObjectMeta",
        vec![
            Field::plain("name", Shape::String),
            Field::plain("namespace", Shape::String),
            Field::plain("uid", Shape::String),
            Field::plain("resourceVersion", Shape::String),
            Field::plain("labels", texts()),
            Field::plain("annotations", texts()),
            Field::plain("finalizers", list(Shape::String, ListKind::Set)),
            Field::plain("managedFields", list(Shape::Json, ListKind::Atomic)),
        ],
    );
    let protocol = Field {
        extra: Some(Box::new(Extra { default: Some(json!("TCP")), ..Extra::default() })),
        ..Field::plain("protocol", Shape::String)
    };
    let port = structure(
        &mut table,
        "Port",
        vec![Field::plain("port", Shape::Int32), protocol, Field::plain("name", Shape::String)],
    );
    let oar = structure(
        &mut table,
        "Oar",
        vec![
            Field::plain("name", Shape::String),
            Field::plain("wood", Shape::String),
            Field::plain("args", list(Shape::String, ListKind::Atomic)),
            Field::plain("ports", list(Shape::Struct(port), ListKind::Map(vec!["port".into(), "protocol".into()]))),
        ],
    );
    let selector = table.add(Struct {
        name: "Selector".into(),
        fields: vec![Field::plain("matchLabels", texts())],
        atomic: true,
        ..Struct::default()
    });
    let spec = structure(
        &mut table,
        "BoatSpec",
        vec![
            Field::plain("replicas", Shape::Int32),
            Field::plain("paint", Shape::String),
            required("selector", Shape::Struct(selector)),
            required("oars", list(Shape::Struct(oar), ListKind::Map(vec!["name".into()]))),
            Field::plain("raw", Shape::Json),
        ],
    );
    let status = structure(&mut table, "BoatStatus", vec![Field::plain("afloat", Shape::Int32)]);
    let id = structure(
        &mut table,
        "Boat",
        vec![
            Field::plain("apiVersion", Shape::String),
            Field::plain("kind", Shape::String),
            required("metadata", Shape::Struct(meta)),
            required("spec", Shape::Struct(spec)),
            required("status", Shape::Struct(status)),
        ],
    );
    (table, id)
}

/// A stored boat and the table it is made by.
struct Harbour {
    table: Table,
    id: TypeId,
    custom: bool,
    live: Option<Object>,
    second: i64,
    reset: FieldSet<'static>,
    subresource: &'static str,
}

fn harbour() -> Harbour {
    let (table, id) = boats();
    Harbour { table, id, custom: false, live: None, second: 0, reset: FieldSet::new(), subresource: "" }
}

fn boat(rest: Value) -> Object {
    let mut object = Object::from_value(json!({
        "apiVersion": "sea/v1", "kind": "Boat", "metadata": {"name": "b", "namespace": "n"}
    }))
    .unwrap();
    overlay(object.root_mut(), rest);
    object
}

fn overlay(into: &mut serde_json::Map<String, Value>, rest: Value) {
    for (key, value) in rest.as_object().cloned().unwrap_or_default() {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(below)), more @ Value::Object(_)) => overlay(below, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

impl Harbour {
    fn scope(&self) -> Scope<'_> {
        Scope {
            root: if self.custom { Root::custom(&self.table, self.id) } else { Root::built_in(&self.table, self.id) },
            api_version: "sea/v1",
            kind: "Boat",
            subresource: self.subresource,
            owns: Owns::Except(&self.reset),
            versions: &OneVersion,
        }
    }

    fn write(&mut self, manager: &str, mut new: Object) -> &Object {
        self.second += 1;
        let writer = Writer { manager, now: Timestamp::from_second(self.second).unwrap() };
        update(&self.scope(), self.live.as_ref(), &mut new, &writer);
        new.set(&["metadata", "uid"], "u");
        self.live.insert(new)
    }

    fn apply(&mut self, manager: &str, config: Value) -> Result<(), Status> {
        self.try_apply(manager, boat(config), Conflicts::Refuse)
    }

    fn try_apply(&mut self, manager: &str, config: Object, conflicts: Conflicts) -> Result<(), Status> {
        self.second += 1;
        let writer = Writer { manager, now: Timestamp::from_second(self.second).unwrap() };
        let mut next = apply(&self.scope(), self.live.as_ref(), &config, (&writer, conflicts))?;
        next.set(&["metadata", "uid"], "u");
        self.live = Some(next);
        Ok(())
    }

    fn live(&self) -> &Object {
        self.live.as_ref().unwrap()
    }

    /// The entries as `manager operation second fields`.
    fn owners(&self) -> Vec<String> {
        let entries = self.live().get(&["metadata", "managedFields"]).and_then(Value::as_array);
        let line = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
            let mut fields = String::new();
            write_fields_v1(&entry["fieldsV1"], &mut fields);
            let time = text("time").parse::<Timestamp>().map_or("-".to_owned(), |time| time.as_second().to_string());
            format!("{} {} {time} {fields}", text("manager"), text("operation"))
        };
        entries.into_iter().flatten().map(line).collect()
    }
}

#[track_caller]
fn check_owners(harbour: &Harbour, want: &[&str]) {
    assert_eq!(harbour.owners(), want);
}

#[test]
fn a_create_owns_what_it_sets_and_nothing_of_what_go_writes_for_empty_structs() {
    let mut harbour = harbour();
    harbour.write(
        "test",
        boat(json!({"metadata": {"labels": {"a": "1"}}, "status": {},
            "spec": {"replicas": 1, "selector": {}, "oars": [{"name": "left", "ports": [{"port": 80, "protocol": "TCP"}]}]}})),
    );
    check_owners(
        &harbour,
        &[concat!(
            r#"test Update 1 {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:oars":{"k:{\"name\":\"left\"}":"#,
            r#"{".":{},"f:name":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{}}}}},"#,
            r#""f:replicas":{}}}"#
        )],
    );
}

#[test]
fn a_custom_resource_owns_its_containers_too() {
    let mut harbour = Harbour { custom: true, ..harbour() };
    harbour.write("test", boat(json!({"spec": {"replicas": 1, "raw": {"x": {"y": [1]}}}})));
    check_owners(
        &harbour,
        &[r#"test Update 1 {"f:spec":{".":{},"f:raw":{".":{},"f:x":{".":{},"f:y":{}}},"f:replicas":{}}}"#],
    );
}

#[test]
fn an_update_takes_fields_over_and_a_write_that_changes_nothing_moves_no_time() {
    let mut harbour = harbour();
    harbour.write("one", boat(json!({"spec": {"replicas": 1, "paint": "red"}, "status": {}})));
    harbour.write("two", boat(json!({"spec": {"replicas": 2, "paint": "red"}, "status": {}})));
    let want = [r#"one Update 1 {"f:spec":{"f:paint":{}}}"#, r#"two Update 2 {"f:spec":{"f:replicas":{}}}"#];
    check_owners(&harbour, &want);
    harbour.write("one", boat(json!({"spec": {"replicas": 2, "paint": "red"}, "status": {}})));
    check_owners(&harbour, &want);
    harbour.write("two", boat(json!({"spec": {"replicas": 2}, "status": {}})));
    check_owners(&harbour, &[r#"two Update 2 {"f:spec":{"f:replicas":{}}}"#]);
}

#[test]
fn a_client_can_forget_all_owners_and_they_come_back_with_the_first_apply() {
    let mut harbour = harbour();
    harbour.write("one", boat(json!({"spec": {"replicas": 1}})));
    harbour.write("one", boat(json!({"metadata": {"managedFields": [{}]}, "spec": {"replicas": 1}})));
    check_owners(&harbour, &[]);
    harbour.write("one", boat(json!({"spec": {"replicas": 2}})));
    check_owners(&harbour, &[]);
    harbour.apply("two", json!({"spec": {"paint": "red"}})).unwrap();
    check_owners(
        &harbour,
        &[r#"two Apply 4 {"f:spec":{"f:paint":{}}}"#, r#"before-first-apply Update 4 {"f:spec":{"f:replicas":{}}}"#],
    );
}

#[test]
fn broken_entries_from_a_client_do_not_replace_the_stored_ones() {
    let mut harbour = harbour();
    harbour.write("one", boat(json!({"spec": {"replicas": 1}})));
    for broken in
        [json!([{"operation": "Sink"}]), json!([{"operation": "Update", "apiVersion": "v1", "fieldsType": "X"}])]
    {
        harbour.write("one", boat(json!({"metadata": {"managedFields": broken}, "spec": {"replicas": 1}})));
        check_owners(&harbour, &[r#"one Update 1 {"f:spec":{"f:replicas":{}}}"#]);
    }
}

#[test]
fn more_than_ten_updaters_are_merged_into_ancient_changes() {
    let mut harbour = harbour();
    let mut labels = serde_json::Map::new();
    for n in 0..13 {
        labels.insert(format!("l{n:02}"), json!("x"));
        harbour.write(&format!("m{n:02}"), boat(json!({"metadata": {"labels": labels}})));
    }
    let owners = harbour.owners();
    assert_eq!(owners.len(), 10);
    assert_eq!(
        owners[0],
        r#"ancient-changes Update 4 {"f:metadata":{"f:labels":{".":{},"f:l00":{},"f:l01":{},"f:l02":{},"f:l03":{}}}}"#
    );
    assert!(owners[9].starts_with("m12 Update 13"));
}

#[test]
fn fields_that_a_strategy_resets_are_not_owned() {
    let mut harbour = Harbour { reset: FieldSet::of_fields(&["status"]), ..harbour() };
    harbour.write("one", boat(json!({"spec": {"replicas": 1}, "status": {"afloat": 1}})));
    check_owners(&harbour, &[r#"one Update 1 {"f:spec":{"f:replicas":{}}}"#]);
    let mut harbour = Harbour { reset: FieldSet::of_fields(&["spec", "metadata"]), subresource: "status", ..harbour };
    harbour.write("two", boat(json!({"spec": {"replicas": 3}, "status": {"afloat": 2}})));
    check_owners(
        &harbour,
        &[r#"one Update 1 {"f:spec":{"f:replicas":{}}}"#, r#"two Update 2 {"f:status":{"f:afloat":{}}}"#],
    );
}

#[test]
fn applying_again_what_is_there_changes_nothing() {
    let mut harbour = harbour();
    let config = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"oars": [{"name": "left", "args": ["x"]}], "selector": {"matchLabels": {"a": "1"}}}});
    harbour.apply("one", config.clone()).unwrap();
    let before = harbour.live().clone();
    harbour.apply("one", config).unwrap();
    assert_eq!(harbour.live(), &before);
    check_owners(
        &harbour,
        &[
            r#"one Apply 1 {"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:oars":{"k:{\"name\":\"left\"}":{".":{},"f:args":{},"f:name":{}}},"f:selector":{}}}"#,
        ],
    );
}

#[test]
fn what_a_manager_applies_no_more_goes_unless_another_owns_it() {
    let mut harbour = harbour();
    harbour
        .apply(
            "one",
            json!({"spec": {"replicas": 1, "paint": "red", "oars": [{"name": "l"}, {"name": "r", "wood": "ash"}]}}),
        )
        .unwrap();
    harbour.apply("two", json!({"spec": {"paint": "red", "oars": [{"name": "r"}]}})).unwrap();
    harbour.apply("one", json!({"spec": {"oars": []}})).unwrap();
    assert_eq!(
        harbour.live().get(&["spec"]).unwrap(),
        &json!({"paint": "red", "oars": [{"name": "r"}], "selector": {}})
    );
    check_owners(
        &harbour,
        &[r#"two Apply - {"f:spec":{"f:oars":{"k:{\"name\":\"r\"}":{".":{},"f:name":{}}},"f:paint":{}}}"#],
    );
}

#[test]
fn conflicts_name_managers_and_fields() {
    let mut harbour = harbour();
    harbour.write("kubectl-create", boat(json!({"spec": {"replicas": 1, "paint": "red"}})));
    let status = harbour.apply("two", json!({"spec": {"replicas": 2}})).unwrap_err();
    assert_eq!(status.code(), 409);
    assert_eq!(
        status.message(),
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using sea/v1: .spec.replicas"
    );
    let causes = &status.details().unwrap().causes;
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].message, "conflict with \"kubectl-create\" using sea/v1");
    assert_eq!(causes[0].field, ".spec.replicas");

    harbour.apply("three", json!({"spec": {"oars": [{"name": "l", "wood": "oak"}]}})).unwrap();
    let status =
        harbour.apply("two", json!({"spec": {"replicas": 2, "paint": "blue", "oars": [{"name": "l", "wood": "ash"}]}}));
    assert_eq!(
        status.unwrap_err().message(),
        concat!(
            "Apply failed with 3 conflicts: conflicts with \"kubectl-create\" using sea/v1:\n- .spec.paint\n",
            "- .spec.replicas\nconflicts with \"three\":\n- .spec.oars[name=\"l\"].wood"
        )
    );
    harbour.try_apply("two", boat(json!({"spec": {"replicas": 2}})), Conflicts::Force).unwrap();
    assert_eq!(harbour.live().int_at(&["spec", "replicas"]), Some(2));
    check_owners(
        &harbour,
        &[
            r#"three Apply 3 {"f:spec":{"f:oars":{"k:{\"name\":\"l\"}":{".":{},"f:name":{},"f:wood":{}}}}}"#,
            r#"two Apply 5 {"f:spec":{"f:replicas":{}}}"#,
            r#"kubectl-create Update 1 {"f:spec":{"f:paint":{}}}"#,
        ],
    );
}

#[test]
fn equal_values_are_shared_without_conflict() {
    let mut harbour = harbour();
    harbour.apply("one", json!({"spec": {"replicas": 1}})).unwrap();
    harbour.apply("two", json!({"spec": {"replicas": 1, "paint": "red"}})).unwrap();
    harbour.apply("one", json!({"spec": {}})).unwrap();
    assert_eq!(harbour.live().int_at(&["spec", "replicas"]), Some(1));
}

#[test]
fn keys_with_defaults_may_be_left_out() {
    let mut harbour = harbour();
    harbour.write("one", boat(json!({"spec": {"oars": [{"name": "l", "ports": [{"port": 80, "protocol": "TCP"}]}]}})));
    harbour.apply("two", json!({"spec": {"oars": [{"name": "l", "ports": [{"port": 80, "name": "http"}]}]}})).unwrap();
    assert_eq!(
        harbour.live().get(&["spec", "oars"]).unwrap()[0]["ports"],
        json!([{"port": 80, "protocol": "TCP", "name": "http"}])
    );
}

#[test]
fn merged_lists_keep_the_order_of_both_sides() {
    #[track_caller]
    fn check(live: &[&str], applied: &[&str], want: &[&str]) {
        let oars = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
        let mut harbour = harbour();
        harbour.write("one", boat(json!({"spec": {"oars": oars(live)}})));
        harbour.apply("two", json!({"spec": {"oars": oars(applied)}})).unwrap();
        assert_eq!(harbour.live().get(&["spec", "oars"]).unwrap(), &oars(want));
    }
    check(&["a", "b", "c"], &["b"], &["a", "b", "c"]);
    check(&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]);
    check(&["a", "b"], &["x", "a", "y", "b"], &["x", "a", "y", "b"]);
    check(&["a", "b", "c", "d"], &["d", "x", "b"], &["a", "c", "d", "x", "b"]);
    check(&[], &["x", "a"], &["x", "a"]);
}

#[test]
fn a_configuration_that_does_not_fit_the_type_is_refused_in_upstreams_words() {
    #[track_caller]
    fn check(config: Value, want: &str) {
        let status = harbour().apply("one", config).unwrap_err();
        assert_eq!(status.code(), 500);
        assert_eq!(status.message(), format!("failed to create typed patch object (n/b; sea/v1, Kind=Boat): {want}"));
    }
    check(json!({"spec": {"sails": 1}}), ".spec.sails: field not declared in schema");
    check(json!({"spec": {"replicas": "1"}}), ".spec.replicas: expected numeric (int or float), got string");
    check(json!({"spec": {"paint": 1}}), ".spec.paint: expected string, got &value.valueUnstructured{Value:1}");
    check(json!({"spec": {"oars": {"a": 1}}}), ".spec.oars: expected list, got &{map[a:1]}");
    check(json!({"spec": "x"}), ".spec: expected map, got &{x}");
    check(
        json!({"spec": {"oars": [{"name": "l"}, {"name": "l"}]}}),
        ".spec.oars: duplicate entries for key [name=\"l\"]",
    );
    check(
        json!({"spec": {"oars": [{"wood": "ash"}]}}),
        ".spec.oars: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)",
    );
    check(
        json!({"spec": {"replicas": "1", "paint": 1}}),
        "errors:\n  .spec.paint: expected string, got &value.valueUnstructured{Value:1}\n  .spec.replicas: expected numeric (int or float), got string",
    );
}

#[test]
fn another_kind_or_managed_fields_in_the_configuration_are_bad_requests() {
    let mut other = boat(json!({}));
    other.set(&["kind"], "Raft");
    let status = harbour().try_apply("one", other, Conflicts::Refuse).unwrap_err();
    assert_eq!((status.code(), status.message()), (400, "invalid object type: sea/v1, Kind=Raft"));
    let status = harbour().apply("one", json!({"metadata": {"managedFields": []}})).unwrap_err();
    assert_eq!((status.code(), status.message()), (400, "metadata.managedFields must be nil"));
}

#[test]
fn kubectl_takes_over_what_client_side_apply_set_last() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let last = json!({"apiVersion": "sea/v1", "kind": "Boat", "metadata": {"name": "b", "namespace": "n"}, "spec": {"replicas": 1}});
    let mut harbour = harbour();
    harbour.write(
        "kubectl-client-side-apply",
        boat(json!({"metadata": {"annotations": {annotation: last.to_string()}}, "spec": {"replicas": 1, "paint": "red"}})),
    );
    harbour.apply("kubectl", json!({"spec": {"replicas": 2}})).unwrap();
    assert_eq!(harbour.live().int_at(&["spec", "replicas"]), Some(2));
    let kept = harbour.live().annotation(annotation).unwrap();
    assert_eq!(
        kept,
        "{\"apiVersion\":\"sea/v1\",\"kind\":\"Boat\",\"metadata\":{\"name\":\"b\",\"namespace\":\"n\"},\"spec\":{\"replicas\":2}}\n"
    );
    let status = harbour.apply("kubectl", json!({"spec": {"replicas": 2, "paint": "blue"}})).unwrap_err();
    assert!(status.message().contains(".spec.paint"), "{status}");
}

#[test]
fn duplicates_in_a_stored_list_are_owned_as_one_value() {
    let mut harbour = harbour();
    harbour.write("one", boat(json!({"spec": {"oars": [{"name": "l", "wood": "a"}, {"name": "l", "wood": "b"}]}})));
    check_owners(&harbour, &[r#"one Update 1 {"f:spec":{"f:oars":{"k:{\"name\":\"l\"}":{}}}}"#]);
    harbour.write("two", boat(json!({"spec": {"oars": [{"name": "l", "wood": "a"}]}})));
    check_owners(
        &harbour,
        &[r#"two Update 2 {"f:spec":{"f:oars":{"k:{\"name\":\"l\"}":{".":{},"f:name":{},"f:wood":{}}}}}"#],
    );
}

#[test]
fn writes_that_differ_in_times_only_are_the_same() {
    let mut harbour = harbour();
    let before = harbour.write("one", boat(json!({"spec": {"replicas": 1}}))).clone();
    let mut after = before.clone();
    let entries = after.root_mut()["metadata"]["managedFields"].as_array_mut().unwrap();
    entries[0]["time"] = json!("2030-01-01T00:00:00Z");
    assert!(same_but_times(&before, &after));
    after.set(&["spec", "replicas"], 2);
    assert!(!same_but_times(&before, &after));
}

proptest! {
    #[test]
    fn an_apply_of_what_was_applied_changes_nothing(first in arbitrary_boat(), second in arbitrary_boat()) {
        let mut harbour = harbour();
        harbour.write("base", boat(first));
        harbour.try_apply("one", boat(second.clone()), Conflicts::Force).unwrap();
        let before = harbour.live().clone();
        harbour.try_apply("one", boat(second), Conflicts::Force).unwrap();
        prop_assert_eq!(harbour.live(), &before);
    }

    #[test]
    fn after_a_forced_apply_the_object_has_all_that_was_applied(first in arbitrary_boat(), second in arbitrary_boat()) {
        let mut harbour = harbour();
        harbour.write("base", boat(first));
        harbour.try_apply("one", boat(second.clone()), Conflicts::Force).unwrap();
        // Who applies nothing conflicts with nobody, so a second manager finds all values equal.
        prop_assert!(harbour.try_apply("two", boat(second), Conflicts::Refuse).is_ok());
    }

    #[test]
    fn every_owned_field_has_one_updater(writes in prop::collection::vec((0..3usize, arbitrary_boat()), 1..5)) {
        let mut harbour = harbour();
        for (manager, object) in writes {
            harbour.write(["a", "b", "c"][manager], boat(object));
        }
        let mut all = FieldSet::new();
        let mut live = harbour.live().clone();
        spell_out(&mut live);
        let entries = live.get(&["metadata", "managedFields"]).cloned().unwrap_or_default();
        for entry in entries.as_array().into_iter().flatten() {
            let set = FieldSet::from_value(&entry["fieldsV1"]).unwrap().into_owned();
            prop_assert!(!all.meets(&set));
            all = all.union(set);
        }
    }
}

fn arbitrary_boat() -> impl Strategy<Value = Value> {
    let oar = ("[lr]", 0..2i64, prop::collection::vec("[xy]", 0..2)).prop_map(|(name, wood, args)| {
        json!({"name": name, "wood": wood.to_string(), "args": args, "ports": [{"port": 80 + wood}]})
    });
    let oars = prop::collection::vec(oar, 0..3).prop_map(|mut oars| {
        oars.sort_by_key(|oar| oar["name"].to_string());
        oars.dedup_by_key(|oar| oar["name"].to_string());
        oars
    });
    let labels = prop::collection::btree_map("[ab]", "[12]", 0..3);
    (prop::option::of(0..3i64), labels, oars, any::<bool>()).prop_map(|(replicas, labels, oars, raw)| {
        let mut boat = json!({"metadata": {"labels": labels}, "spec": {"oars": oars}});
        if let Some(replicas) = replicas {
            boat["spec"]["replicas"] = json!(replicas);
        }
        if raw {
            boat["spec"]["raw"] = json!({"free": [1]});
        }
        boat
    })
}
