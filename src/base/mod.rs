//! What the standard library lacks: time that can be turned, named tasks tied to a shutdown. Used by every layer.

mod clock;
mod task;

pub use clock::{Clock, ManualClock, SystemClock};
pub use task::{Shutdown, Tasks};
