//! The file of a family's answers: the complete bases, then each answer once with the cases that it was given to.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::run::Answers;

/// Stands for an answer that is not the same each time.
pub(super) const UNSTABLE: &str = "unstable";

const HEAD: &str = "# What stock kube-apiserver answers; written by differential::record, not by hand.\n\
    # \"= BASE OBJECT\", then answers with the cases that they were given to, each after a tab.\n";

/// What stock said of one family.
pub(super) struct Recording {
    /// The bases as stock completes them, by name.
    pub(super) full: BTreeMap<String, Value>,
    /// In the order of the file.
    pub(super) answers: Answers,
}

impl Recording {
    pub(super) fn new(full: BTreeMap<String, Value>, answers: Answers) -> Self {
        Self { full, answers }
    }

    /// Marks what is answered otherwise another time.
    pub(super) fn keep_stable(&mut self, again: &Answers) {
        let again: HashMap<&str, &str> = again.iter().map(|(case, answer)| (case.as_str(), answer.as_str())).collect();
        for (case, answer) in &mut self.answers {
            if again.get(case.as_str()) != Some(&answer.as_str()) {
                UNSTABLE.clone_into(answer);
            }
        }
    }

    pub(super) fn print(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, object) in &self.full {
            text.push_str(&format!("= {name} {object}\n"));
        }
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (case, answer) in &self.answers {
            let place = *places.entry(answer).or_insert_with(|| {
                groups.push((answer, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(case);
        }
        for (answer, cases) in groups {
            text.push_str(&format!("{answer}\n"));
            cases.iter().for_each(|case| text.push_str(&format!("\t{case}\n")));
        }
        text
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut full = BTreeMap::new();
        let mut answers = Answers::new();
        let mut answer = String::new();
        let mut used = true;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(base) = line.strip_prefix("= ") {
                let (name, object) = base.split_once(' ').unwrap();
                full.insert(name.to_owned(), serde_json::from_str(object).unwrap());
            } else if let Some(case) = line.strip_prefix('\t') {
                used = true;
                answers.push((case.to_owned(), answer.clone()));
            } else if used {
                used = false;
                line.clone_into(&mut answer);
            } else {
                answer.push('\n');
                answer.push_str(line);
            }
        }
        Self { full, answers }
    }
}

#[test]
fn recordings_are_read_as_they_were_written() {
    let answers = [("a", "422 x\n y: z"), ("b", "201"), ("c", "422 x\n y: z")];
    let answers: Answers = answers.iter().map(|(case, answer)| ((*case).to_owned(), (*answer).to_owned())).collect();
    let full = BTreeMap::from([("plain".to_owned(), serde_json::json!({"a": 1}))]);
    let recording = Recording::new(full.clone(), answers.clone());
    let again = Recording::parse(&recording.print());
    let mut sorted = again.answers;
    sorted.sort();
    assert_eq!((sorted, again.full), (answers, full));
}
