//! Numbers that may be given as a percentage of another (apimachinery `GetScaledValueFromIntOrPercent`).

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What becomes of the fraction.
#[derive(Clone, Copy)]
pub(super) enum Round {
    Up,
    Down,
}

/// The number itself, or so many percent of another.
pub(super) fn scaled(value: &IntOrString, of: i32, round: Round) -> i32 {
    let percent = match value {
        IntOrString::Int(number) => return *number,
        IntOrString::String(text) => text.trim_end_matches('%').parse::<i64>().unwrap_or(0),
    };
    let exact = percent * i64::from(of);
    let rounded = match round {
        Round::Up => (exact + 99) / 100,
        Round::Down => exact / 100,
    };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}
