//! The results: a JSON file that keeps the latest figures of each measure and side, and the page made of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::chart;
use crate::cluster::Side;
use crate::figures::{Figure, Figures, Row, median};
use crate::measures::{FAMILIES, Family, Form};

const METHOD: &str = "\
Written by `cargo bench --bench side_by_side` on Linux; it needs Go and the binaries of `conformance/upstream/build`.

Stock is etcd, kube-apiserver, kube-controller-manager and kube-scheduler (`--kube-api-qps=5000 --kube-api-burst=10000`)
and KWOK with 20 nodes; Coracle is its one release binary with `--nodes=20`. All other settings are the defaults, so both
are durable: etcd syncs its log, Coracle its SQLite file. One side runs after the other, the first one changes from round
to round, each family of measures on fresh data on the same disk, on the loopback interface, with its controllers,
scheduler and nodes running all the time, and shares the processors with the load generator. The same generator asks
both: HTTP/2 over TLS unless it says HTTP/1.1, a bearer token, JSON, one connection a client, one request at a time on
each, all in one thread; a load ends after 3 s (1 client) or 5 s (more; the quick form: half of it). Latencies run from
sending to the last byte. Each figure is the median of the rounds; `results.json` has them all, with the processor time
of a request and the memory of each process. Memory is resident memory, summed over all processes of a side, KWOK
included unless it says so; the peak is that of the load, or of the whole family where a figure is not that of a load.
A ratio above 1 is in Coracle's favour. Figures of different forms are not compared.
";

/// When and of what figures are.
pub(crate) struct Origin {
    pub(crate) machine: String,
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) form: Form,
}

/// What one side was measured at: the figures of each round, and why it ended if it ended early.
pub(crate) type Rounds = Vec<(Figures, Option<String>)>;

/// Takes what a family was measured at into the files of a folder.
pub(crate) fn write(folder: &Path, origin: &Origin, (family, sides): (&Family, &[Rounds; 2])) {
    let file = folder.join("results.json");
    let read = std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut results = read.filter(|results| results["measures"].is_object()).unwrap_or(json!({"measures": {}}));
    results["machine"] = origin.machine.as_str().into();
    for row in (family.rows)() {
        for side in Side::ALL {
            if let Some(seen) = side_of(&row, &sides[side as usize], origin) {
                results["measures"][&row.name][side.name()] = seen;
            }
        }
    }
    let known = rows();
    let measures = results["measures"].as_object_mut().expect("it is an object");
    measures.retain(|name, _| known.iter().any(|row| row.name == *name));
    for row in &known {
        if let Some(measure) = measures.get_mut(&row.name) {
            let (ratio, met) = judge(row, measure);
            measure["unit"] = row.unit.into();
            measure["goal"] = row.goal().into();
            measure["ratio"] = json!(ratio);
            measure["met"] = json!(met);
        }
    }
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, serde_json::to_string_pretty(&results).unwrap() + "\n").unwrap();
    std::fs::write(folder.join("results.md"), page(&results)).unwrap();
    std::fs::write(folder.join("growth.svg"), chart::draw(&results["measures"])).unwrap();
}

fn rows() -> Vec<Row> {
    FAMILIES.iter().flat_map(|family| (family.rows)()).collect()
}

/// What is kept of a row on one side; nothing if it was not measured and did not fail.
fn side_of(row: &Row, rounds: &Rounds, origin: &Origin) -> Option<Value> {
    let with = |form: &str| json!({"form": form, "commit": origin.commit, "date": origin.date});
    let seen: Vec<&Figure> = rounds.iter().filter_map(|(figures, _)| figures.values.get(&row.name)).collect();
    let failures: Vec<&String> = rounds
        .iter()
        .filter(|(figures, _)| !figures.values.contains_key(&row.name))
        .filter_map(|(figures, failure)| figures.failures.get(&row.name).or(failure.as_ref()))
        .collect();
    let mut kept = with(origin.form.name());
    if let Some(failure) = failures.first() {
        kept["failed"] = format!("in {} of {} rounds: {failure}", failures.len(), rounds.len()).into();
    }
    if seen.is_empty() {
        return kept.get("failed").is_some().then_some(kept);
    }
    let middle = |value: fn(&Figure) -> Option<f64>| {
        let values: Vec<f64> = seen.iter().filter_map(|figure| value(figure)).collect();
        Some(median(values)).filter(|value| value.is_finite())
    };
    let peaks = || median(rounds.iter().filter_map(|(figures, _)| figures.peak()).collect());
    kept["value"] = json!(middle(|figure| Some(figure.value)));
    kept["rounds"] = seen.iter().map(|figure| json!(figure.value)).collect();
    kept["peak_mib"] = json!(middle(|figure| figure.peak).unwrap_or_else(peaks));
    let optional = [
        ("p50_ms", middle(|figure| figure.p50)),
        ("p99_ms", middle(|figure| figure.p99)),
        ("servers_us", middle(|figure| figure.work.map(|[servers, _]| servers))),
        ("generator_us", middle(|figure| figure.work.map(|[_, generator]| generator))),
    ];
    for (name, value) in optional.into_iter().filter(|(_, value)| value.is_some()) {
        kept[name] = json!(value);
    }
    if let Some(note) = seen.iter().find_map(|figure| figure.note.as_ref()) {
        kept["note"] = note.as_str().into();
    }
    if let Some(each) = rounds.iter().rev().find_map(|(figures, _)| figures.processes.get(&row.name)) {
        kept["processes_mib"] = each.clone();
    }
    Some(kept)
}

/// The ratio and whether the goal is met; figures of different forms say nothing, and errors are no success.
fn judge(row: &Row, measure: &Value) -> (Option<f64>, Option<bool>) {
    let value = |side: Side| measure[side.name()]["value"].as_f64();
    let same = measure["stock"]["form"] == measure["coracle"]["form"];
    let stock = value(Side::Stock).filter(|_| same);
    let coracle = value(Side::Coracle);
    let broken = |side: Side| {
        let note = measure[side.name()]["note"].as_str().unwrap_or_default();
        measure[side.name()]["failed"].is_string() || note.contains("errors")
    };
    let met = row.met(stock, coracle).map(|met| met && !broken(Side::Coracle));
    (row.ratio(stock, coracle), if broken(Side::Coracle) { Some(false) } else { met })
}

fn page(results: &Value) -> String {
    let mut page = format!("# Side by side with stock\n\n{METHOD}\n");
    let machine = results["machine"].as_str().unwrap_or_default();
    let measures = results["measures"].as_object().expect("it is an object");
    let judged = rows().into_iter().filter_map(|row| measures.get(&row.name)?["met"].as_bool()).collect::<Vec<_>>();
    let met = judged.iter().filter(|met| **met).count();
    let say = |page: &mut String, text: &str| writeln!(page, "{text}").expect("a string takes all");
    let met = format!(
        "{met} of {} goals that could be judged are met; [gaps.md](gaps.md) explains the others.",
        judged.len()
    );
    say(&mut page, &format!("{machine}\n\n{met}\n"));
    say(&mut page, "![How the cost grows with the number of objects](growth.svg)\n");
    say(
        &mut page,
        "| measure | goal | stock | Coracle | ratio | met | p50 / p99, ms: stock | Coracle | peak, MiB: stock | Coracle | of |",
    );
    say(&mut page, "|---|---|---:|---:|---:|---|---:|---:|---:|---:|---|");
    let mut remarks = Vec::new();
    for row in rows() {
        if let Some(measure) = measures.get(&row.name) {
            say(&mut page, &line(&row, measure, &mut remarks));
        }
    }
    say(&mut page, "\n## Remarks\n");
    remarks.iter().for_each(|remark| say(&mut page, remark));
    say(&mut page, "\n## What each family measures\n");
    for family in FAMILIES {
        let method = family.method.split_whitespace().collect::<Vec<_>>().join(" ");
        say(&mut page, &format!("- `--only {}`: {method}", family.name));
    }
    page
}

fn line(row: &Row, measure: &Value, remarks: &mut Vec<String>) -> String {
    let sides = Side::ALL.map(|side| &measure[side.name()]);
    for (side, told) in Side::ALL.iter().zip(sides) {
        for key in ["failed", "note"] {
            if let Some(text) = told[key].as_str() {
                let text = text.replace('|', "\\|").replace('<', "&lt;");
                remarks.push(format!(
                    "- {}, {}: {}{text}",
                    row.name,
                    side.name(),
                    if key == "failed" { "failed " } else { "" }
                ));
            }
        }
    }
    let [stock, coracle] = sides.map(|told| match told["value"].as_f64() {
        Some(value) => format!("{} {}", digits(Some(value)), row.unit).trim().to_owned(),
        None if told["failed"].is_string() => "failed".to_owned(),
        None => "–".to_owned(),
    });
    let [left, right] = sides.map(|told| match (told["p50_ms"].as_f64(), told["p99_ms"].as_f64()) {
        (None, None) => String::new(),
        (p50, p99) => format!("{} / {}", digits(p50), digits(p99)),
    });
    let peaks = sides.map(|told| told["peak_mib"].as_f64().map_or_else(String::new, |peak| digits(Some(peak))));
    let met = match measure["met"].as_bool() {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    let ratio = measure["ratio"].as_f64().map_or_else(String::new, |ratio| digits(Some(ratio)));
    let goal = measure["goal"].as_str().unwrap_or_default();
    let [first, second] = peaks;
    let of = origins(sides);
    format!(
        "| {} | {goal} | {stock} | {coracle} | {ratio} | {met} | {left} | {right} | {first} | {second} | {of} |",
        row.name
    )
}

/// When and of what commit the figures are, once if both sides agree.
fn origins(sides: [&Value; 2]) -> String {
    let mut told: BTreeMap<String, ()> = BTreeMap::new();
    for side in sides.into_iter().filter_map(Value::as_object) {
        let text = |side: &Map<String, Value>, name: &str| side[name].as_str().unwrap_or_default().to_owned();
        let (commit, date, form) = (text(side, "commit"), text(side, "date"), text(side, "form"));
        told.insert(format!("{commit}, {date}, {form}"), ());
    }
    told.into_keys().collect::<Vec<_>>().join("; ")
}

/// Three digits that count, or a dash.
fn digits(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
