//! What is measured: a row for each family of measures, in the order in which they run. A family is a file: the rows
//! of the result, their goals, and a function that takes them on clusters of its own.

mod create;
mod database;
mod definitions;
mod delete;
mod deployment;
mod get;
pub(crate) mod growth;
mod held;
mod large_definition;
mod list;
mod nodes;
mod restart;
mod rules;
mod schedule;
mod start;
mod watch;
mod write;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::cluster::{Cluster, NODES, Side};
use crate::figures::{Figures, Row};
use crate::load::{Load, run};
use crate::objects;

/// What `--only` knows.
pub(crate) const FAMILIES: [&Family; 17] = [
    &start::FAMILY,
    &create::FAMILY,
    &write::FAMILY,
    &get::FAMILY,
    &list::FAMILY,
    &watch::FAMILY,
    &growth::FAMILY,
    &held::FAMILY,
    &restart::FAMILY,
    &deployment::FAMILY,
    &nodes::FAMILY,
    &schedule::FAMILY,
    &delete::FAMILY,
    &database::FAMILY,
    &rules::FAMILY,
    &definitions::FAMILY,
    &large_definition::FAMILY,
];

/// Measures that are taken together.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) rows: fn() -> Vec<Row>,
    /// How one side is measured, for the page.
    pub(crate) method: &'static str,
    /// How long one side may take in one round of the full form; the quick one has a third.
    pub(crate) time_max: Duration,
    pub(crate) run: for<'a> fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>,
}

/// How thoroughly it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Quick,
    Full,
    /// With what takes hours on stock.
    Long,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Long => "long",
        }
    }

    /// A size in the full form and the quick one.
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full | Self::Long => full,
        }
    }
}

/// One side in one round.
pub(crate) struct Bench {
    pub(crate) side: Side,
    pub(crate) form: Form,
    pub(crate) figures: Figures,
}

/// Runs a family on one side, once; what was measured, and why no more if it ended early.
pub(crate) async fn measure(family: &Family, side: Side, form: Form) -> (Figures, Option<String>) {
    /// What may take this long is not the measure but the programs' start.
    const START: Duration = Duration::from_secs(60);
    let time_max = match form {
        Form::Quick => family.time_max / 3 + START,
        Form::Full => family.time_max + START,
        Form::Long => family.time_max * 12,
    };
    let mut bench = Bench { side, form, figures: Figures::default() };
    let run = AssertUnwindSafe((family.run)(&mut bench)).catch_unwind();
    let failure = match tokio::time::timeout(time_max, run).await {
        Ok(Ok(())) => None,
        Ok(Err(panic)) => Some(told(&*panic)),
        Err(_) => Some(format!("it did not end within {time_max:?}")),
    };
    if let Some(failure) = &failure {
        println!("  failed: {failure}");
    }
    (bench.figures, failure)
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").lines().collect::<Vec<_>>().join(" ")
}

impl Bench {
    /// A fresh cluster as most measures need it, and how long its start took.
    pub(crate) async fn cluster(&self) -> (Cluster, Duration) {
        self.cluster_of(NODES).await
    }

    pub(crate) async fn cluster_of(&self, nodes: usize) -> (Cluster, Duration) {
        Cluster::start(self.side, nodes, Rc::clone(&self.figures.peaks)).await
    }

    /// A cluster that has already stored 1,000 ConfigMaps, called `warm-N`.
    pub(crate) async fn warm_cluster(&self) -> Cluster {
        let (cluster, _) = self.cluster().await;
        run(&cluster, Load { clients: 8, ..Load::of(WARM) }, objects::create_map("warm")).await.all(WARM);
        cluster
    }

    /// A load by time, of three seconds for one client and five for many.
    pub(crate) fn load(&self, clients: usize) -> Load {
        let seconds = if clients == 1 { self.form.of(3.0, 1.5) } else { self.form.of(5.0, 2.5) };
        Load::during(clients, seconds)
    }

    /// Tells that a figure stands for less than its row says, as the quick form takes it.
    pub(crate) fn fewer(&mut self, name: &str, count: usize) {
        let note = format!("with {count}");
        if let Some(figure) = self.figures.values.get_mut(name).filter(|_| self.form == Form::Quick) {
            figure.note = Some(figure.note.take().map_or_else(|| note.clone(), |told| format!("{note}; {told}")));
        }
    }
}

/// How many ConfigMaps a warm cluster has.
pub(crate) const WARM: usize = 1_000;
