//! Strategic merge patch on a small type: the cases of upstream's own tests in our words, and patches at random.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::schema::{Field, List, ListKind, Map, Patch, Shape, Struct};

fn field(name: &'static str, shape: Shape, patch: Patch) -> Field {
    Field { patch, ..Field::plain(name, shape) }
}

fn list(item: Shape) -> Shape {
    Shape::List(Box::new(List { item, kind: ListKind::Atomic, wrapped: false }))
}

fn merge_by(key: &'static str) -> Patch {
    Patch { merge: true, merge_key: Some(key.into()), ..Patch::default() }
}

fn types() -> (Table, TypeId) {
    let mut table = Table::default();
    let plain = Patch::default;
    let sail = table.add(Struct {
        name: "sea.Sail".into(),
        fields: vec![
            field("name", Shape::String, plain()),
            field("area", Shape::Int32, plain()),
            field("ropes", list(Shape::String), Patch { merge: true, ..plain() }),
        ],
        ..Struct::default()
    });
    let engine = table.add(Struct {
        name: "sea.Engine".into(),
        fields: vec![field("power", Shape::Int32, plain()), field("fuel", Shape::String, plain())],
        ..Struct::default()
    });
    let texts = Shape::Map(Box::new(Map { value: Shape::String, atomic: false }));
    let boat = table.add(Struct {
        name: "sea.Boat".into(),
        fields: vec![
            field("name", Shape::String, plain()),
            field("labels", texts, plain()),
            field("sails", list(Shape::Struct(sail)), merge_by("name")),
            field("spare", list(Shape::Struct(sail)), Patch { merge: true, ..plain() }),
            field("crew", list(Shape::String), Patch { merge: true, ..plain() }),
            field("ports", list(Shape::String), plain()),
            field("engine", Shape::Struct(engine), Patch { retain_keys: true, ..plain() }),
            field("paint", Shape::Struct(engine), Patch { replace: true, ..plain() }),
            field("raw", Shape::Json, plain()),
        ],
        ..Struct::default()
    });
    (table, boat)
}

fn patched(live: Value, patch: &Value) -> Result<Object> {
    let (table, id) = types();
    let live = Object::from_value(live).unwrap();
    apply(PatchKind::StrategicMerge, &live, patch.to_string().as_bytes(), (&table, id))
}

#[track_caller]
fn check(live: Value, patch: Value, want: Value) {
    assert_eq!(patched(live, &patch).unwrap().into_value(), want);
}

#[track_caller]
fn check_refused(live: Value, patch: Value, code: u16, want: &str) {
    let status = patched(live, &patch).unwrap_err();
    assert_eq!((status.code(), status.message()), (code, want));
}

#[test]
fn fields_and_maps_are_merged_and_nulls_remove() {
    check(
        json!({"name": "a", "labels": {"x": "1"}}),
        json!({"labels": {"y": "2"}}),
        json!({"name": "a", "labels": {"x": "1", "y": "2"}}),
    );
    check(
        json!({"name": "a", "labels": {"x": "1"}}),
        json!({"name": null, "labels": {"x": null, "z": null}}),
        json!({"labels": {}}),
    );
    check(json!({"name": "a"}), json!({"labels": {"x": null, "y": "1"}}), json!({"name": "a", "labels": {"y": "1"}}));
    check(json!({"paint": {"power": 1}}), json!({"paint": {"fuel": "x"}}), json!({"paint": {"fuel": "x"}}));
    check(json!({"name": "a"}), json!(null), json!({"name": "a"}));
}

#[test]
fn lists_with_a_merge_key_are_merged_by_it() {
    let live = json!({"sails": [{"name": "jib", "area": 1}, {"name": "main", "area": 2}]});
    check(
        live.clone(),
        json!({"sails": [{"name": "main", "area": 3}, {"name": "spinnaker"}]}),
        json!({"sails": [{"name": "jib", "area": 1}, {"name": "main", "area": 3}, {"name": "spinnaker"}]}),
    );
    check(
        live.clone(),
        json!({"sails": [{"$patch": "delete", "name": "jib"}]}),
        json!({"sails": [{"name": "main", "area": 2}]}),
    );
    check(
        live.clone(),
        json!({"sails": [{"$patch": "replace"}, {"name": "lug"}]}),
        json!({"sails": [{"name": "lug"}]}),
    );
    check_refused(
        live.clone(),
        json!({"sails": [{"area": 3}]}),
        500,
        "map: map[area:3] does not contain declared merge key: name",
    );
    check_refused(
        live.clone(),
        json!({"sails": [{"$patch": "merge"}]}),
        500,
        "merging lists cannot yet be specified in the patch",
    );
    check_refused(
        live.clone(),
        json!({"sails": [1]}),
        500,
        "list element types are not identical: [[map[area:1 name:jib] map[area:2 name:main]] [1]]",
    );
    check_refused(
        live,
        json!({"sails": [[1]], "$setElementOrder/sails": "x"}),
        500,
        "expected a []interface {}, but received a string",
    );
    check_refused(
        json!({"spare": [{"name": "a"}]}),
        json!({"spare": [{"name": "b"}]}),
        500,
        "cannot merge lists without merge key for struct",
    );
}

#[test]
fn lists_of_scalars_are_sets_or_replaced() {
    check(json!({"crew": ["a", "b"]}), json!({"crew": ["c", "a"]}), json!({"crew": ["c", "a", "b"]}));
    check(
        json!({"crew": ["a", "b", "c"]}),
        json!({"$deleteFromPrimitiveList/crew": ["b", "x"]}),
        json!({"crew": ["a", "c"]}),
    );
    check(json!({"ports": ["a", "b"]}), json!({"ports": ["c"]}), json!({"ports": ["c"]}));
    check(json!({}), json!({"$deleteFromPrimitiveList/crew": ["b"]}), json!({}));
    check_refused(
        json!({"crew": ["a"]}),
        json!({"$deleteFromPrimitiveList": ["a"]}),
        400,
        "invalid patch format of primitive list",
    );
    check_refused(
        json!({"crew": ["a"]}),
        json!({"crew": [["a"]]}),
        500,
        "list element types are not identical: [[a] [[a]]]",
    );
    check_refused(
        json!({"crew": []}),
        json!({"crew": [["a"]]}),
        422,
        "the server rejected our request due to an error in our request",
    );
}

#[test]
fn the_patch_can_give_the_order_of_a_list() {
    let live = json!({"sails": [{"name": "a"}, {"name": "server"}, {"name": "b"}]});
    check(
        live.clone(),
        json!({"$setElementOrder/sails": [{"name": "b"}, {"name": "a"}]}),
        json!({"sails": [{"name": "server"}, {"name": "b"}, {"name": "a"}]}),
    );
    check(
        live.clone(),
        json!({"$setElementOrder/sails": [{"name": "a"}, {"name": "new"}, {"name": "b"}], "sails": [{"name": "new"}, {"name": "b", "area": 1}]}),
        json!({"sails": [{"name": "a"}, {"name": "new"}, {"name": "server"}, {"name": "b", "area": 1}]}),
    );
    check(
        json!({"crew": ["x", "y", "z"]}),
        json!({"$setElementOrder/crew": ["z", "x"], "$deleteFromPrimitiveList/crew": ["y"]}),
        json!({"crew": ["z", "x"]}),
    );
    check_refused(
        live,
        json!({"$setElementOrder/sails": [{"name": "a"}, {"name": "b"}], "sails": [{"name": "b"}, {"name": "a"}]}),
        500,
        "The order in patch list:\n[map[name:b] map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:a] map[name:b]]\n",
    );
}

#[test]
fn objects_can_be_replaced_emptied_or_kept_to_some_fields() {
    let live = json!({"engine": {"power": 1, "fuel": "x"}});
    check(live.clone(), json!({"engine": {"$patch": "replace", "power": 2}}), json!({"engine": {"power": 2}}));
    check(live.clone(), json!({"engine": {"$patch": "delete"}}), json!({"engine": {}}));
    check(live.clone(), json!({"engine": {"$retainKeys": ["power"], "power": 3}}), json!({"engine": {"power": 3}}));
    check(live.clone(), json!({"engine": {"$retainKeys": ["fuel"]}}), json!({"engine": {"fuel": "x"}}));
    check_refused(
        live.clone(),
        json!({"engine": {"$retainKeys": ["fuel"], "power": 1}}),
        400,
        "invalid patch format of retainKeys",
    );
    check_refused(live.clone(), json!({"engine": {"$retainKeys": "fuel"}}), 400, "invalid patch format of retainKeys");
    check_refused(
        live,
        json!({"engine": {"$patch": "sink"}}),
        500,
        "unknown patch type: sink in map: map[$patch:sink]",
    );
    check(json!({}), json!({"engine": {"$patch": "delete"}}), json!({}));
}

#[test]
fn what_the_type_does_not_have_cannot_be_merged() {
    check_refused(
        json!({"x": {"a": 1}}),
        json!({"x": {"b": 1}}),
        500,
        "unable to find api field in struct Boat for the json field \"x\"",
    );
    check_refused(
        json!({"raw": {"a": {"b": 1}}}),
        json!({"raw": {"a": {"c": 1}}}),
        500,
        "unable to find api field in struct RawExtension for the json field \"a\"",
    );
    check(json!({"name": "a"}), json!({"x": 1}), json!({"name": "a", "x": 1}));
}

#[test]
fn what_is_no_json_object_is_a_bad_request() {
    let (table, id) = types();
    for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::StrategicMerge] {
        let status = apply(kind, &Object::default(), b"{", (&table, id)).unwrap_err();
        assert_eq!((status.code(), status.message()), (400, "invalid JSON patch"));
    }
    check_refused(
        json!({}),
        json!([]),
        400,
        "json: cannot unmarshal array into Go value of type map[string]interface {}",
    );
}

proptest! {
    #[test]
    fn no_document_makes_a_patch_panic(live in boat(), patch in document(), text in ".*") {
        let (table, id) = types();
        let live = Object::from_value(live).unwrap();
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::StrategicMerge] {
            let _ = apply(kind, &live, patch.to_string().as_bytes(), (&table, id));
            let _ = apply(kind, &live, text.as_bytes(), (&table, id));
        }
    }

    #[test]
    fn a_strategic_patch_of_the_object_itself_changes_nothing(live in boat()) {
        prop_assert_eq!(patched(live.clone(), &live).unwrap().into_value(), live);
    }
}

/// A boat whose lists have no item twice.
fn boat() -> impl Strategy<Value = Value> {
    let crew = prop::sample::subsequence(vec!["a", "b", "c"], 1..=3);
    let sails = prop::sample::subsequence(vec!["jib", "main", "lug"], 1..=3);
    (crew, sails, 0..3i64).prop_map(|(crew, sails, area)| {
        let sails: Vec<Value> = sails.iter().map(|name| json!({"name": name, "area": area})).collect();
        json!({"name": "x", "crew": crew, "sails": sails, "engine": {"power": area}})
    })
}

/// Any JSON, with names and directives that mean something more often than not.
fn document() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("name"),
        Just("crew"),
        Just("sails"),
        Just("engine"),
        Just("power"),
        Just("$patch"),
        Just("$retainKeys"),
        Just("$setElementOrder/crew"),
        Just("$setElementOrder/sails"),
        Just("$deleteFromPrimitiveList/crew"),
        Just("op"),
        Just("path"),
        Just("from"),
        Just("value"),
        Just("raw"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3i64).prop_map(Value::from),
        prop_oneof![
            Just("add"),
            Just("remove"),
            Just("move"),
            Just("copy"),
            Just("test"),
            Just("replace"),
            Just("delete"),
            Just("/crew/0"),
            Just("/crew/-"),
            Just("/sails/0/name"),
            Just(""),
            Just("a"),
            Just("jib")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
