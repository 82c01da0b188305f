//! The judge of defaulting and validation: valid objects of every kind (`bases/*.yaml`) are changed field by field as
//! the table of types says they can be (`mutate`) and by hand (`change`), and each change is sent to stock kube-apiserver, whose answers
//! (`recordings/*.txt`) ours must give as well. All of it is a dry run apart from the objects that updates start from.
//!
//! After a change of the bases, the mutations, the table or the pinned version:
//! `cargo test --test conformance -- --ignored differential::record`, for some kinds alone with `DIFFERENTIAL=name,name`.

mod answer;
mod base;
mod change;
mod mutate;
mod recording;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coracle::resources::facts::Facts;
use serde_json::Value;

use crate::server::{BINARIES, stock};

pub(crate) use answer::render;
use base::Family;
use recording::Recording;
use run::{Answers, Asked};

const OPEN_HEAD: &str = "# Cases that are not yet answered as stock does, one a line as \"family: case\".\n\
    # This list only shrinks: cargo test --test conformance -- --ignored differential::shrink\n";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/differential").join(name)
}

/// The families that are asked for, all when nothing is said.
fn families() -> Vec<Family> {
    #[expect(clippy::disallowed_methods, reason = "a switch of a tool of the workshop")]
    let wanted = std::env::var("DIFFERENTIAL").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|name| !name.is_empty()).collect();
    let all = base::read(&folder("bases"), &folder("cases"));
    all.into_iter().filter(|family| wanted.is_empty() || wanted.contains(&family.name.as_str())).collect()
}

/// The valid objects that mutations start from, by the path at which they are made, whose namespace is `{namespace}`.
pub(crate) fn valid_objects() -> BTreeMap<String, Vec<Value>> {
    let facts = Facts::load();
    let mut objects: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for family in base::read(&folder("bases"), &folder("cases")) {
        let kind = family.kind(&facts);
        let typed = |base: &base::Base| {
            let mut object = base.object.clone();
            object["apiVersion"] = family.api_version.clone().into();
            object["kind"] = kind.gvk.kind.to_string().into();
            object
        };
        objects.entry(base::path(kind, "{namespace}")).or_default().extend(family.bases.iter().map(typed));
    }
    objects
}

fn recorded(name: &str) -> Recording {
    let path = folder("recordings").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Recording::parse(&text)
}

fn open() -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder("open.txt")).unwrap();
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// How often stock is asked: what it says in the order of a map of Go's is seldom the same so often.
const RUNS: usize = 4;

/// Not a test of ours: it asks stock several times and writes what it says; what it says differently another time is
/// marked and not compared.
#[tokio::test]
#[ignore = "needs the binaries of conformance/upstream/build"]
async fn record() {
    assert!(Path::new(BINARIES).join("kube-apiserver").exists(), "run conformance/upstream/build first");
    let facts = Facts::load();
    let server = stock().await;
    let asked = Asked::Stock(&server);
    for family in families() {
        let full = run::complete(&asked, &facts, &family).await;
        let first = run::run(&asked, &facts, (&family, &full)).await;
        let mut recording = Recording::new(full, first);
        for _ in 1..RUNS {
            let again = run::run(&asked, &facts, (&family, &recording.full)).await;
            recording.keep_stable(&again);
        }
        println!("{}: {} cases", family.name, recording.answers.len());
        std::fs::write(folder("recordings").join(format!("{}.txt", family.name)), recording.print()).unwrap();
    }
}

#[tokio::test]
async fn every_mutation_is_answered_alike() {
    let open = open();
    let found = compare().await;
    println!("{}", found.summary());
    let failed: Vec<_> = found.different.iter().filter(|(case, _)| !open.contains(*case)).collect();
    let shown: String = failed.iter().take(SHOWN_MAX).map(|(case, pair)| report(case, pair)).collect();
    assert!(failed.is_empty(), "{} cases differ from stock:\n{shown}", failed.len());
}

/// How many differences are printed in full.
const SHOWN_MAX: usize = 40;

/// Not a test: takes what is answered as stock does by now out of `open.txt`, and shows what is left of it. With
/// `CONFORMANCE_OPEN=all` it puts all that differs there, as when the recordings grow.
#[tokio::test]
#[ignore = "writes conformance/differential/open.txt"]
async fn shrink() {
    #[expect(clippy::disallowed_methods, reason = "a switch of a tool of the workshop")]
    let all = std::env::var("CONFORMANCE_OPEN").is_ok_and(|value| value == "all");
    let found = compare().await;
    let before = open();
    let asked = |case: &str| found.families.iter().any(|name| case.starts_with(&format!("{name}: ")));
    let mut left: BTreeSet<&str> = before.iter().map(String::as_str).filter(|case| !asked(case)).collect();
    for (case, pair) in &found.different {
        if all || before.contains(case) {
            left.insert(case);
        }
        println!("{}", report(case, pair));
    }
    let lines: String = left.iter().map(|case| format!("{case}\n")).collect();
    std::fs::write(folder("open.txt"), format!("{OPEN_HEAD}{lines}")).unwrap();
    println!("{}{} cases are open", found.summary(), left.len());
}

fn report(case: &str, (stock, ours): &(String, String)) -> String {
    let indented = |text: &str| text.replace('\n', "\n        ");
    format!("{case}\n    stock:  {}\n    ours:   {}\n", indented(stock), indented(ours))
}

fn pairs(answers: &Answers) -> impl Iterator<Item = (&str, &str)> {
    answers.iter().map(|(case, answer)| (case.as_str(), answer.as_str()))
}

/// What a comparison found.
#[derive(Default)]
struct Found {
    families: Vec<String>,
    /// Cases and differences of each family.
    counts: BTreeMap<String, (usize, usize)>,
    /// Stock's answer and ours, by family and case.
    different: BTreeMap<String, (String, String)>,
}

impl Found {
    fn add(&mut self, family: &Family, stock: &Recording, ours: &Answers) {
        self.families.push(family.name.clone());
        let recorded: BTreeMap<&str, &str> = pairs(&stock.answers).collect();
        let given: BTreeMap<&str, &str> = pairs(ours).collect();
        let count = self.counts.entry(family.name.clone()).or_default();
        // What updates start from, and so the cases, are what the servers made of it.
        let cases: BTreeSet<&str> = recorded.keys().chain(given.keys()).copied().collect();
        for case in cases {
            let expected = recorded.get(case).copied().unwrap_or("not recorded");
            let answer = given.get(case).copied().unwrap_or("not asked");
            if expected == recording::UNSTABLE {
                continue;
            }
            count.0 += 1;
            if answer != expected {
                count.1 += 1;
                self.different.insert(format!("{}: {case}", family.name), (expected.to_owned(), answer.to_owned()));
            }
        }
    }

    fn summary(&self) -> String {
        let line =
            |(name, (all, different)): (&String, &(usize, usize))| format!("{name}: {different} of {all} differ\n");
        let lines: String = self.counts.iter().map(line).collect();
        let total: usize = self.counts.values().map(|(all, _)| all).sum();
        format!("{lines}{} of {total} cases are answered as stock does\n", total - self.different.len())
    }
}

async fn compare() -> Found {
    let facts = Facts::load();
    let cluster = run::cluster().await;
    let mut found = Found::default();
    for family in families() {
        let stock = recorded(&family.name);
        let asked = Asked::Ours(cluster.transport());
        let ours = run::run(&asked, &facts, (&family, &stock.full)).await;
        found.add(&family, &stock, &ours);
    }
    cluster.stop().await;
    found
}
