//! Replays what upstream answered: `conformance/cel/*.cel` holds expressions with their settings, `recorded/*.txt` one
//! JSON object a line with type, value, error, compiler's messages, estimated and actual cost, as
//! `conformance/upstream/celrecord` wrote them. `open.txt` lists what does not agree yet; it only shrinks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;

use super::time::go_duration;
use super::*;
use crate::api::field::{Path, go_quote};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/cel")
}

/// The environment of the expressions that follow.
#[derive(Clone, Default)]
struct Setting {
    new: bool,
    root: bool,
    variables: Vec<(String, String, String)>,
    schema: Option<Json>,
    own: Option<Json>,
    old: Option<Json>,
}

struct Fixed;

impl Authorizer for Fixed {
    fn authorize(&self, request: &Request) -> Decision {
        let user = match &request.service_account {
            Some((namespace, name)) => format!("system:serviceaccount:{namespace}:{name}"),
            None => "mary".to_owned(),
        };
        let reason = format!(
            "{user} {}/{}/{} {}/{}{}",
            request.group,
            request.resource,
            request.subresource,
            request.namespace,
            request.name,
            request.path.clone().unwrap_or_default()
        );
        match request.verb.as_str() {
            "get" => Decision { allowed: true, reason, error: None },
            "fail" => Decision { error: Some("the authorizer fails".to_owned()), ..Decision::default() },
            _ => Decision { reason, ..Decision::default() },
        }
    }
}

/// A value so that every kind looks different.
fn show(value: &Value<'_>) -> String {
    let quoted = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => go_quote(text),
        Err(_) => {
            let shown: Vec<String> = bytes
                .iter()
                .map(|b| if (0x20..0x7f).contains(b) { char::from(*b).to_string() } else { format!("\\x{b:02x}") })
                .collect();
            format!("\"{}\"", shown.concat())
        }
    };
    match value {
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) => format!("d{value}", value = number::shortest(*value)),
        Value::String(text) => quoted(text.as_bytes()),
        Value::Bytes(bytes) => format!("b{}", quoted(bytes)),
        Value::Null => "null".to_owned(),
        Value::Timestamp(time) => {
            format!("timestamp({})", time::Timestamp { offset_seconds: 0, ..*time }.rfc3339())
        }
        Value::Duration(nanos) => format!("duration({})", go_duration(*nanos)),
        Value::Type(name) => format!("type({name})"),
        Value::Optional(None) => "optional.none()".to_owned(),
        Value::Optional(Some(value)) => format!("optional.of({})", show(value)),
        Value::Quantity(quantity) => format!("quantity({quantity})"),
        Value::List(list) => {
            let parts: Vec<String> =
                (0..list.len()).map(|at| list.get(at).map_or("error".into(), |v| show(&v))).collect();
            format!("[{}]", parts.join(", "))
        }
        Value::Map(map) => {
            let mut parts: Vec<String> = map
                .keys()
                .iter()
                .map(|key| {
                    let value = map.find(key).ok().flatten();
                    format!("{}: {}", show(key), value.map_or("error".into(), |value| show(&value)))
                })
                .collect();
            parts.sort();
            format!("{{{}}}", parts.join(", "))
        }
        Value::Int(_) | Value::Bool(_) => value.to_string(),
        Value::Url(_) | Value::Ip(_) | Value::Cidr(_) | Value::Semver(_) => {
            format!("{}({value})", value.type_name())
        }
        _ => value.type_name().to_owned(),
    }
}

impl Setting {
    /// What we make of an expression, as a recording has it.
    fn answer(&self, source: &str) -> Json {
        let expressions = if self.new { Expressions::New } else { Expressions::Stored };
        let base = Env::new(expressions);
        let mut env = base.clone();
        let mut schema = self.schema.as_ref().map(Schema::new);
        if let Some(of) = &schema {
            let root = if self.root { Root::Yes } else { Root::No };
            let declared = Arc::new(Declared::new(of, root, "selfType").expect("a schema with a type"));
            let of = declared.type_of().clone();
            env = env.declared(&declared).variable("self", of.clone()).variable("oldSelf", of);
        }
        if self.root {
            schema = schema.map(|of| of.with_type_and_metadata());
        }
        for (name, kind, _) in &self.variables {
            env = env.variable(name, Type::parse(kind).expect("a type"));
        }
        let program = match Program::compile(source, &env) {
            Ok(program) => program,
            Err(issues) => return serde_json::json!({ "expr": source, "issues": issues.to_string() }),
        };
        let range = program.estimate();
        let mut out = serde_json::json!({
            "expr": source, "type": program.result_type().to_string(), "estimate": [range.min, range.max]
        });
        if let Some(error) = program.instantiation_error() {
            out["error"] = format!("program: {error}").into();
            return out;
        }
        let programs: Vec<Option<Program>> = self
            .variables
            .iter()
            .map(|(_, _, text)| Program::compile(text, &base).ok().filter(|_| !text.starts_with('@')))
            .collect();
        let mut activation = Activation::new();
        for ((name, _, text), program) in self.variables.iter().zip(&programs) {
            if text.starts_with("@authorizer") {
                activation = activation.with(name, Check::authorizer(&Fixed));
            } else if let Some(program) = program {
                activation = activation.with_result(name, program.evaluate(&Activation::new(), u64::MAX).value);
            }
        }
        for (name, json) in [("self", &self.own), ("oldSelf", &self.old)] {
            if let (Some(json), Some(schema)) = (json, &schema) {
                activation = activation.with_result(name, Value::from_schema(json, schema));
            }
        }
        let outcome = program.evaluate(&activation, PER_CALL_LIMIT);
        out["cost"] = outcome.cost.into();
        match outcome.value {
            Ok(value) => out["value"] = show(&value).into(),
            Err(error) => out["error"] = error.to_string().into(),
        }
        out
    }
}

fn parse_setting(now: &mut Setting, word: &str, rest: &str) -> bool {
    let json = || Some(serde_json::from_str(rest).expect("a setting is JSON"));
    match word {
        "@reset" => *now = Setting::default(),
        "@new" => now.new = true,
        "@root" => now.root = true,
        "@schema" => *now = Setting { schema: json(), ..Setting::default() },
        "@self" => now.own = json(),
        "@old" => now.old = json(),
        "@var" => {
            let (name, rest) = rest.split_once(' ').expect("a variable has a type");
            let (kind, value) = rest.split_once(" = ").unwrap_or((rest, ""));
            now.variables.push((name.to_owned(), kind.to_owned(), value.to_owned()));
        }
        _ => return false,
    }
    true
}

/// The expressions of a file with their settings.
fn cases(text: &str) -> Vec<(Setting, String)> {
    let mut now = Setting::default();
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !parse_setting(&mut now, word, rest) {
            out.push((now.clone(), line.replace('␤', "\n")));
        }
    }
    out
}

/// The parts in which two answers differ.
fn differences(own: &Json, recorded: &Json) -> Vec<String> {
    ["issues", "type", "value", "error", "estimate", "cost"]
        .iter()
        .filter(|part| own.get(part) != recorded.get(part))
        .map(|part| {
            let shown = |of: &Json| of.get(part).map_or("-".to_owned(), Json::to_string);
            format!("  {part}: {} instead of {}", shown(own), shown(recorded))
        })
        .collect()
}

#[test]
fn every_recorded_answer_of_upstream_is_ours() {
    let open_file = folder().join("open.txt");
    let open: BTreeSet<String> =
        std::fs::read_to_string(&open_file).unwrap_or_default().lines().map(str::to_owned).collect();
    let (mut equal, mut still_open, mut breaches) = (0, BTreeSet::new(), Vec::new());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|of| of == "cel"))
        .collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let recorded = std::fs::read_to_string(folder().join("recorded").join(format!("{name}.txt"))).unwrap();
        let cases = cases(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(cases.len(), recorded.lines().count(), "{name}: record again");
        for ((setting, source), line) in cases.iter().zip(recorded.lines()) {
            let recorded: Json = serde_json::from_str(line).unwrap();
            assert_eq!(recorded["expr"], **source, "{name}: record again");
            let differences = differences(&setting.answer(source), &recorded);
            let key = format!("{name} {}", source.replace('\n', "␤"));
            if differences.is_empty() {
                equal += 1;
            } else if open.contains(&key) {
                still_open.insert(key);
            } else {
                breaches.push(format!("{key}\n{}", differences.join("\n")));
                still_open.insert(key);
            }
        }
    }
    let closed: Vec<&String> = open.difference(&still_open).collect();
    println!("{equal} equal, {} open", still_open.len());
    assert!(breaches.is_empty(), "{} breaches, {equal} equal:\n{}", breaches.len(), breaches.join("\n"));
    assert!(closed.is_empty(), "no longer open, take them out of open.txt: {closed:#?}");
}

/// What we make of a schema with rules and the objects that are held against it.
fn rules_answer(definition: &Json) -> Json {
    let schema = &definition["schema"];
    let root = Path::new("spec");
    let root = root.child("validation");
    let root = root.child("openAPIV3Schema");
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let errors = rules::check_definition(schema, &root, &rules::Preexisting::default());
    let validator = rules::Validator::new(schema, Root::Yes);
    let changes = definition["changes"].as_array().unwrap();
    let changes: Vec<Json> = changes
        .iter()
        .map(|change| {
            let budget = change["budget"].as_i64().unwrap_or(i64::try_from(RUNTIME_COST_BUDGET).unwrap());
            let change = rules::Change {
                object: &change["object"],
                old: change.get("old"),
                ratcheting: change["ratchet"] == true,
            };
            let verdict = match &validator {
                Some(validator) => validator.validate(&Path::new("root"), change, budget),
                None => rules::Verdict { budget, ..rules::Verdict::default() },
            };
            serde_json::json!({
                "errors": sorted(verdict.errors.iter().map(ToString::to_string).collect()),
                "warnings": sorted(verdict.warnings),
                "budget": verdict.budget,
            })
        })
        .collect();
    let errors = sorted(errors.iter().map(ToString::to_string).collect());
    serde_json::json!({ "definition": errors, "changes": changes })
}

#[test]
fn rules_of_schemas_say_what_upstreams_say() {
    let mut breaches = Vec::new();
    let definitions = std::fs::read_to_string(folder().join("rules.rules")).unwrap();
    let recorded = std::fs::read_to_string(folder().join("recorded/rules.rules.txt")).unwrap();
    let definitions = definitions.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(definitions.clone().count(), recorded.lines().count(), "record again");
    for (line, recorded) in definitions.zip(recorded.lines()) {
        let own = rules_answer(&serde_json::from_str(line).unwrap());
        let recorded: Json = serde_json::from_str(recorded).unwrap();
        let show = |of: &Json| serde_json::to_string_pretty(of).unwrap();
        if own != recorded {
            let (own, recorded) = (show(&own), show(&recorded));
            let differing = |one: &str, other: &str| -> String {
                one.lines().filter(|line| !other.contains(line)).map(|line| format!("{line}\n")).collect()
            };
            breaches.push(format!(
                "{line}\nours:\n{}theirs:\n{}",
                differing(&own, &recorded),
                differing(&recorded, &own)
            ));
        }
    }
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_compiles_or_is_refused(source in "[ -~\\n\\u{e9}\\u{1f600}]{0,60}") {
        check_ends(&source);
    }

    #[test]
    fn any_tokens_compile_or_are_refused_and_run_within_the_budget(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS), 0..40)
    ) {
        check_ends(&tokens.join(" "));
    }
}

/// Words from which expressions are made at random.
const TOKENS: &[&str] = &[
    "1",
    "2u",
    "1.5",
    "'a'",
    "b'x'",
    "true",
    "null",
    "x",
    "d",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    "?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "<",
    "==",
    "!",
    "&&",
    "||",
    "in",
    ".map(x,",
    ".all(x,",
    ".filter(x,",
    ".exists_one(x,",
    "has(",
    ".size()",
    ".?a",
    "[?0]",
    "size(",
    "string(",
    "lists.range(9)",
    ".a",
    "int(",
    ".orValue(1)",
    "optional.of(",
    "type(",
    "'%s'.format([",
    ".matches('a')",
    ".split('')",
    ".join()",
    ".transformMap(k,v,v)",
    ".sort()",
    ".flatten()",
    "'",
];

/// Compiles and, when it can, runs a text; both must end, the run within its budget and one call more.
#[track_caller]
fn check_ends(source: &str) {
    const BUDGET: u64 = 10_000;
    let env = Env::new(Expressions::Stored).variable("x", Type::Int).variable("d", Type::Dyn);
    if let Ok(program) = Program::compile(source, &env) {
        let data = serde_json::json!({ "a": [1, { "b": "text" }, null], "c": 1.5 });
        let activation = Activation::new().with("x", Value::Int(3)).with("d", Value::from_json(&data));
        let outcome = program.evaluate(&activation, BUDGET);
        let stopped = matches!(outcome.value, Err(Error::BudgetExceeded));
        assert!(stopped || outcome.cost <= BUDGET, "{source} cost {}", outcome.cost);
    }
}

#[test]
fn a_program_is_shared_between_threads() {
    fn check_shared<T: Send + Sync>(_: &T) {}
    let program = Program::compile("self.all(x, x > 0)", &Env::new(Expressions::Stored).variable("self", Type::Dyn));
    check_shared(&program.unwrap());
}

#[test]
fn an_evaluation_stops_when_its_budget_does() {
    let env = Env::new(Expressions::Stored).variable("l", Type::list(Type::Int));
    let source = "l.all(a, l.all(b, l.all(c, l.all(d, l.all(e, a + b + c + d + e >= 0)))))";
    let program = Program::compile(source, &env).unwrap();
    let list = Value::list((0..100).map(Value::Int).collect());
    let outcome = program.evaluate(&Activation::new().with("l", list), PER_CALL_LIMIT);
    assert_eq!(outcome.value.unwrap_err(), Error::BudgetExceeded);
    assert_eq!(outcome.cost, PER_CALL_LIMIT + 1);
}

#[test]
fn mutations_construct_objects_and_patches() {
    let env = Env::new(Expressions::New).mutations();
    let check = |source: &str, shown: &str| {
        let program = Program::compile(source, &env).unwrap_or_else(|issues| panic!("{issues}"));
        let value = program.evaluate(&Activation::new(), PER_CALL_LIMIT).value.unwrap();
        let Value::Struct(of) = value else { panic!("{source} gave {value:?}") };
        let fields: Vec<String> = of.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(format!("{} {}", of.type_name, fields.join(",")), shown);
    };
    check("Object{spec: Object.spec{replicas: 3}}", "Object spec=Object.spec");
    check(
        "JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c~d'), value: 1}",
        "JSONPatch op=add,path=/a/b~1c~0d,value=1",
    );
    check("Object{?spec: optional.none()}", "Object ");
    let wrong = Program::compile("JSONPatch{op: 1, nope: 2}", &env).unwrap_err().to_string();
    assert!(wrong.contains("expected type of field 'op' is 'string' but provided type is 'int'"), "{wrong}");
    assert!(wrong.contains("undefined field 'nope'"), "{wrong}");
}
