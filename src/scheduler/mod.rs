//! The scheduler: queue, cycle, plugins.
