//! What the standard library lacks: time that can be turned, named tasks tied to a shutdown, room on the stack,
//! counts of what is measured. Used by every layer.

mod clock;
mod histogram;
mod queues;
pub mod room;
mod tally;
mod task;

pub use clock::{Clock, ManualClock, SystemClock};
pub use histogram::Histogram;
pub use queues::{Counted, QueueCounts, QueueState, Queues};
pub use tally::Tally;
pub use task::{Shutdown, Tasks};
