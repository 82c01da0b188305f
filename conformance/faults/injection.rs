//! What is done to a server while it works.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::run::Stage;
use crate::server::{Life, Order, Signal};

/// How long a fault lasts, at most.
const FAULT_MAX: Duration = Duration::from_millis(500);
/// One stop in so many may last longer.
const LONG_STOPS: u32 = 40;
/// How far a clock is set from the true time, at most: less than half as long as history is kept, so that none that is
/// asked for is forgotten.
const CLOCK_SECONDS_MAX: i64 = 60;

/// What happens to a server before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    None,
    /// It stands still, and goes on.
    Stop,
    /// Its files may not grow, then they may.
    FullDisk,
    /// Some of its calls do something else than they should, then they do not.
    Sick(Order),
    /// Its clock is set, some times, and stays so.
    Clock,
}

impl Fault {
    pub(super) fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..16) {
            0..4 => Self::None,
            4..6 => Self::Stop,
            6..8 => Self::FullDisk,
            8..10 => Self::Clock,
            10 => Self::Sick(Order::FailedSyncs),
            11 => Self::Sick(Order::FailedWrites),
            12 => Self::Sick(Order::ShortWrites),
            13 => Self::Sick(Order::ShortReads),
            _ => Self::Sick(Order::FailedReads),
        }
    }

    /// Lets it happen; a server may be stopped for as long as `stop_max`.
    pub(super) async fn happen(self, life: &Life, stage: &Stage, (random, stop_max): (&mut StdRng, Duration)) {
        let time = FAULT_MAX.mul_f64(random.random());
        match self {
            Self::None => {}
            Self::Stop => {
                let long = random.random_ratio(1, LONG_STOPS);
                let time = if long { stop_max.mul_f64(random.random()) } else { time };
                life.signal(Signal::Stop);
                stage.wait(time).await;
                life.signal(Signal::Continue);
            }
            Self::FullDisk => {
                life.limit_files(Some(life.log_bytes() + 50_000));
                stage.wait(time).await;
                life.limit_files(None);
            }
            Self::Sick(order) => {
                let every = if order == Order::FailedSyncs { 1 } else { random.random_range(1..20) };
                stage.sabotage.order(order, every);
                stage.wait(time).await;
                stage.sabotage.order(order, 0);
            }
            Self::Clock => {
                for _ in 0..random.random_range(1..4) {
                    stage.sabotage.order(Order::Clock, random.random_range(-CLOCK_SECONDS_MAX..CLOCK_SECONDS_MAX));
                    stage.wait(time).await;
                }
            }
        }
    }
}

/// How a life ends: mostly by SIGKILL, sometimes as Ctrl-C does it.
pub(super) fn ending(random: &mut StdRng) -> Signal {
    if random.random_bool(0.85) { Signal::Kill } else { Signal::Terminate }
}
