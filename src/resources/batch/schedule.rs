//! The schedules and time zones of CronJobs: what upstream's parser (`robfig/cron` v3) takes, and what it says of the
//! rest.

use crate::api::field::go_quote;
use crate::api::time::GoDuration;

/// What a field may hold.
struct Bounds {
    min: i64,
    max: i64,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: &MONTHS },
    Bounds { min: 0, max: 6, names: &DAYS },
];
const DESCRIPTORS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const ZONE_STEP_BYTES_MAX: usize = 14;

/// Checks a schedule.
///
/// # Errors
/// In the parser's words.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let mut rest = schedule;
    if let Some(zone) = schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        let Some((zone, fields)) = zone.split_once(' ') else {
            return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned());
        };
        if !is_zone(zone) {
            return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = fields.trim();
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let found = fields.len();
        return Err(format!("expected exactly {} fields, found {found}: [{}]", FIELDS.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.into_iter().zip(&FIELDS) {
        field.split(',').filter(|range| !range.is_empty()).try_for_each(|text| range(text, bounds))?;
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&text) {
        return Ok(());
    }
    let Some(every) = text.strip_prefix("@every ") else { return Err(format!("unrecognized descriptor: {text}")) };
    GoDuration::parse(every).map(drop).map_err(|why| format!("failed to parse duration {text}: {why}"))
}

fn range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let limits: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = match limits.as_slice() {
        ["*" | "?", ..] => (bounds.min, bounds.max),
        [one] => number_or_name(one, bounds).map(|one| (one, one))?,
        [start, end] => (number_or_name(start, bounds)?, number_or_name(end, bounds)?),
        [start, ..] => {
            number_or_name(start, bounds)?;
            return Err(format!("too many hyphens: {text}"));
        }
        [] => return Ok(()),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => number(step)?,
        _ => return Err(format!("too many slashes: {text}")),
    };
    if parts.len() == 2 && limits.len() == 1 {
        end = bounds.max;
    }
    let (min, max) = (bounds.min, bounds.max);
    let faults = [
        (start < min, format!("beginning of range ({start}) below minimum ({min}): {text}")),
        (end > max, format!("end of range ({end}) above maximum ({max}): {text}")),
        (start > end, format!("beginning of range ({start}) beyond end of range ({end}): {text}")),
        (step == 0, format!("step of range should be a positive number: {text}")),
    ];
    match faults.into_iter().find(|(holds, _)| *holds) {
        Some((_, fault)) => Err(fault),
        None => Ok(()),
    }
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<i64, String> {
    let lower = text.to_lowercase();
    match (bounds.min..).zip(bounds.names).find(|(_, name)| **name == lower) {
        Some((number, _)) => Ok(number),
        None => number(text),
    }
}

fn number(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if whole { text.parse::<i64>().map_err(|_| "value out of range") } else { Err("invalid syntax") };
    match parsed {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(number),
        Err(why) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {}: {why}", go_quote(text))),
    }
}

/// What is wrong with the name of a time zone.
pub(super) fn zone_fault(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["timeZone must be nil or non-empty string".to_owned()];
    }
    let unknown = format!("unknown time zone {name}");
    let named = |step: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        (1..=ZONE_STEP_BYTES_MAX).contains(&step.len()) && step.bytes().all(letter)
    };
    if name.split('/').any(|step| step == "." || step == ".." || step.starts_with('-') || !named(step)) {
        return vec![unknown];
    }
    let mut faults = Vec::new();
    if name.eq_ignore_ascii_case("Local") {
        faults.push("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned());
    }
    if name != "Local" && !is_zone(name) {
        faults.push(unknown);
    }
    faults
}

/// Whether there is a time zone of the name. Where the system knows none every name is taken.
fn is_zone(name: &str) -> bool {
    let database = jiff::tz::db();
    name.is_empty()
        || name == "UTC"
        || database.is_definitively_empty()
        || database.get(name).is_ok_and(|zone| zone.iana_name() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_fault(schedule: &str, expected: &str) {
        assert_eq!(check(schedule), Err(expected.to_owned()));
    }

    #[test]
    fn schedules_have_five_fields_within_their_bounds() {
        for schedule in ["* * * * *", "*/5 0-6,12 1 jan-MAR sun", "0 0 ? * 6/1", "@hourly", "@every 1h30m"] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
        check_fault("Bad Value!", "expected exactly 5 fields, found 2: [Bad Value!]");
        check_fault("*/5 * * * *x", "failed to parse int from *x: strconv.Atoi: parsing \"*x\": invalid syntax");
        check_fault("60 * * * *", "end of range (60) above maximum (59): 60");
        check_fault("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check_fault("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        check_fault("*/0 * * * *", "step of range should be a positive number: */0");
        check_fault("1-2-3 * * * *", "too many hyphens: 1-2-3");
        check_fault("1/2/3 * * * *", "too many slashes: 1/2/3");
        check_fault("@often", "unrecognized descriptor: @often");
    }

    #[test]
    fn time_zones_are_those_of_iana() {
        assert_eq!(zone_fault("Europe/Berlin"), Vec::<String>::new());
        assert_eq!(zone_fault("UTC"), Vec::<String>::new());
        assert_eq!(zone_fault("Europe/../Berlin"), ["unknown time zone Europe/../Berlin"]);
        assert_eq!(zone_fault("Local").len(), 1);
        assert_eq!(zone_fault(""), ["timeZone must be nil or non-empty string"]);
    }

    proptest::proptest! {
        #[test]
        fn any_schedule_is_understood_or_refused(text in "([0-9*/,?@-]|jan|sun|every| |h|m|s|TZ=){0,20}|.{0,20}") {
            let _ = (check(&text), zone_fault(&text));
        }
    }
}
