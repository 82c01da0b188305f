//! The kinds of `policy`.

pub(super) mod disruption_budget;
