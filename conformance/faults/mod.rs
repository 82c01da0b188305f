//! Nothing acknowledged is lost and nobody is told what is not so, whatever happens to the server: many clients write,
//! read and watch while it is killed and stopped, its disk is full or sick and its clock is set; then the whole history
//! is checked. `soak` does the same for long with nothing wrong, on a whole cluster.
//!
//! `CORACLE_FAULT_KILLS=1000` makes it long; the seed that it prints and `CORACLE_SEED` repeat what clients and faults do.
//! `checker` is a pure function; `tests` shows of each rule that it is found broken.

mod checker;
mod churn;
mod history;
mod injection;
mod load;
mod reads;
mod run;
mod soak;
mod tests;
mod watcher;
mod writes;

use std::time::Duration;

use history::History;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::server::{DataFolder, Order, setting};

/// How often the server ends in the short run.
const KILLS: u64 = 3;
/// How often it ends between two checks; what was seen is kept until then.
const ROUND_KILLS: u64 = 10;
/// From so many ends on a run is a long one, in which the server may also be stopped for long.
const LONG_KILLS: u64 = 100;
const STOP_MAX: Duration = Duration::from_millis(500);
const LONG_STOP_MAX: Duration = Duration::from_secs(60);
/// How many violations are told.
const TOLD_MAX: usize = 12;

#[tokio::test]
async fn the_history_of_a_server_under_faults_is_that_of_a_correct_one() {
    let kills = setting("CORACLE_FAULT_KILLS").unwrap_or(KILLS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{kills} ends of the server, CORACLE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut data, sabotage) = DataFolder::sabotaged();
    let stop_max = if kills < LONG_KILLS { STOP_MAX } else { LONG_STOP_MAX };
    let (mut done, mut number, mut calls, mut events) = (0, 0, 0, 0);
    while done < kills {
        let plan = run::Plan { number, kills: ROUND_KILLS.min(kills - done), stop_max };
        let history = run::round((&mut data, &sabotage), &mut random, &plan).await;
        let told: usize = history.watches.iter().map(|watch| watch.told.len()).sum();
        (done, number) = (done + plan.kills, number + 1);
        (calls, events) = (calls + history.calls.len(), events + told);
        println!("{done} ends: {calls} calls, {events} events; {} lists in this round", history.lists.len());
        assert_right(&history, seed);
    }
    assert!(data.run(&["check"]).status.success(), "the file is not whole; CORACLE_SEED={seed}");
    let sick = [Order::ShortWrites, Order::FailedWrites, Order::FailedSyncs, Order::ShortReads, Order::FailedReads];
    println!("calls that went wrong: {:?}", sick.map(|order| (order, sabotage.done(order))));
}

/// Stops the test if a history is not that of a correct server.
fn assert_right(history: &History, seed: u64) {
    let violations = checker::check(history);
    for violation in violations.iter().take(TOLD_MAX) {
        crate::tell(&format!("{:?}: {}", violation.rule, violation.what));
    }
    assert!(violations.is_empty(), "{} violations; CORACLE_SEED={seed}", violations.len());
}
