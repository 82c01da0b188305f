//! What a measure is called and wants, and what one side was measured at in one round.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::cluster::Peaks;
use crate::load::Outcome;

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) goal: Goal,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Better {
    Less,
    More,
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    None,
    /// So many times better than stock.
    Times(f64),
    AtMost(f64),
    TimesAndAtMost(f64, f64),
}

/// A row whose figure is better when it is less.
pub(crate) fn less(name: &str, unit: &'static str, goal: Goal) -> Row {
    Row { name: name.to_owned(), unit, better: Better::Less, goal }
}

/// A row that is a rate.
pub(crate) fn rate(name: &str, goal: Goal) -> Row {
    Row { name: name.to_owned(), unit: "/s", better: Better::More, goal }
}

impl Row {
    /// How many times better than stock, where both are known.
    pub(crate) fn ratio(&self, stock: Option<f64>, coracle: Option<f64>) -> Option<f64> {
        let (theirs, ours) = stock.zip(coracle)?;
        let ratio = match self.better {
            Better::Less => theirs / ours,
            Better::More => ours / theirs,
        };
        Some(ratio).filter(|ratio| ratio.is_finite())
    }

    /// Whether the goal is met, as far as it can be told.
    pub(crate) fn met(&self, stock: Option<f64>, coracle: Option<f64>) -> Option<bool> {
        let ratio = self.ratio(stock, coracle);
        match self.goal {
            Goal::None => None,
            Goal::Times(times) => Some(ratio? >= times),
            Goal::AtMost(most) => Some(coracle? <= most),
            Goal::TimesAndAtMost(times, most) => Some(ratio? >= times && coracle? <= most),
        }
    }

    pub(crate) fn goal(&self) -> String {
        let less = self.better == Better::Less;
        let times = |times: f64| if less { format!("≤ 1/{times}") } else { format!("≥ {times}×") };
        match self.goal {
            Goal::None => String::new(),
            Goal::Times(value) => times(value),
            Goal::AtMost(most) => format!("≤ {most} {}", self.unit).trim().to_owned(),
            Goal::TimesAndAtMost(value, most) => format!("{}, ≤ {most} {}", times(value), self.unit),
        }
    }
}

/// One figure; of requests also how long they took, in ms, and what they cost.
#[derive(Clone, Default)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// MiB of all processes while just this was measured.
    pub(crate) peak: Option<f64>,
    /// Processor time of a request, or of an event, in µs: the cluster's and the generator's.
    pub(crate) work: Option<[f64; 2]>,
    /// What a reader must know of it, as errors.
    pub(crate) note: Option<String>,
}

/// What one side was measured at in one round, by the names of the rows.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) values: BTreeMap<String, Figure>,
    /// Why a row has no figure.
    pub(crate) failures: BTreeMap<String, String>,
    pub(crate) peaks: Rc<RefCell<Peaks>>,
    /// Memory by row and process, in MiB.
    pub(crate) processes: BTreeMap<String, Value>,
}

impl Figures {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.take(name, Figure { value, ..Figure::default() });
    }

    pub(crate) fn take(&mut self, name: &str, figure: Figure) {
        let spread =
            figure.p50.zip(figure.p99).map_or_else(String::new, |(p50, p99)| format!(" ({p50:.2}/{p99:.2} ms)"));
        println!("  {name}: {:.2}{spread} {}", figure.value, figure.note.as_deref().unwrap_or_default());
        self.values.insert(name.to_owned(), figure);
    }

    /// Takes in a figure, or why there is none.
    pub(crate) fn result(&mut self, name: &str, result: Result<Figure, String>) {
        match result {
            Ok(figure) => self.take(name, figure),
            Err(failure) => {
                println!("  {name}: failed: {failure}");
                self.failures.insert(name.to_owned(), failure);
            }
        }
    }

    /// Takes in how many requests a second a load had.
    pub(crate) fn load(&mut self, name: &str, outcome: &Outcome) {
        self.take(name, Figure { value: outcome.rate(), ..spread(outcome) });
    }

    /// Takes in how long the requests of a load took in the middle, in ms.
    pub(crate) fn time(&mut self, name: &str, outcome: &Outcome) {
        self.take(name, Figure { value: outcome.within(0.5), ..spread(outcome) });
    }

    /// Takes in what memory the processes of a cluster have at this moment, some of them left out.
    pub(crate) fn memory(&mut self, name: &str, cluster: &crate::cluster::Cluster, without: &str) {
        let counted = cluster.processes.iter().filter(|process| process.name != without);
        let each: BTreeMap<_, _> = counted.map(|one| (one.name, one.resident())).collect();
        self.set(name, each.values().sum());
        self.processes.insert(name.to_owned(), json!(each));
    }

    /// The most memory of all processes of the measure, in MiB, each at its own worst moment.
    pub(crate) fn peak(&self) -> Option<f64> {
        Some(self.peaks.borrow().values().sum()).filter(|sum| *sum > 0.0)
    }
}

fn spread(outcome: &Outcome) -> Figure {
    Figure {
        value: f64::NAN,
        p50: Some(outcome.within(0.5)),
        p99: Some(outcome.within(0.99)),
        peak: Some(outcome.peak()),
        work: Some(outcome.work()),
        note: outcome.errors(),
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
