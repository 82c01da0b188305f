//! Nothing acknowledged is lost and nobody is told what is not so, whatever happens to the server: many clients write,
//! read and watch while it is killed, stopped, and its disk is full or sick; then the whole history is checked.
//!
//! `CORACLE_FAULT_KILLS=1000` makes it long; the seed that it prints and `CORACLE_SEED` repeat what clients and faults do.
//! `checker` is a pure function; `tests` shows of each rule that it is found broken.

mod checker;
mod history;
mod injection;
mod load;
mod reads;
mod run;
mod tests;
mod watcher;
mod writes;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::server::{DataFolder, setting};

/// How often the server ends in the short run.
const KILLS: u64 = 3;
/// How often it ends between two checks; what was seen is kept until then.
const ROUND_KILLS: u64 = 10;
/// How many violations are told.
const TOLD_MAX: usize = 12;

#[tokio::test]
async fn the_history_of_a_server_under_faults_is_that_of_a_correct_one() {
    let kills = setting("CORACLE_FAULT_KILLS").unwrap_or(KILLS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{kills} ends of the server, CORACLE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut data = DataFolder::new();
    let (mut done, mut round, mut calls) = (0, 0, 0);
    while done < kills {
        let part = ROUND_KILLS.min(kills - done);
        let history = run::round(&mut data, &mut random, (round, part)).await;
        (done, round, calls) = (done + part, round + 1, calls + history.calls.len());
        let told: usize = history.watches.iter().map(|watch| watch.told.len()).sum();
        println!("{done} ends: {calls} calls, {} lists and {told} events in this round", history.lists.len());
        let violations = checker::check(&history);
        for violation in violations.iter().take(TOLD_MAX) {
            println!("{:?}: {}", violation.rule, violation.what);
        }
        assert!(violations.is_empty(), "{} violations; CORACLE_SEED={seed}", violations.len());
    }
}
