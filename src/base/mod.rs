//! What the standard library lacks: time that can be turned, named tasks tied to a shutdown, room on the stack,
//! counts of what is measured. Used by every layer.

mod clock;
mod histogram;
pub mod room;
mod task;

pub use clock::{Clock, ManualClock, SystemClock};
pub use histogram::Histogram;
pub use task::{Shutdown, Tasks};
