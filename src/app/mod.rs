//! Configuration and wiring; the only folder that knows all others.
