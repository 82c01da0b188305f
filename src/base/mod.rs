//! What the standard library lacks: time that can be turned, named tasks tied to a shutdown, room on the stack. Used by every layer.

mod clock;
pub mod room;
mod task;

pub use clock::{Clock, ManualClock, SystemClock};
pub use task::{Shutdown, Tasks};
