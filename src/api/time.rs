//! Points in time and durations as Go reads and prints them: `metav1.Time` (seconds), `metav1.MicroTime`
//! (microseconds) and `metav1.Duration` (`1h2m3s`).

use std::fmt;
use std::time::Duration;

use super::field::go_quote;

/// A point in time with Go's range: whole seconds since 1970 in UTC and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct GoDuration(pub i64);

/// With how many digits after the second a time is read and printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// `metav1.Time`.
    Seconds,
    /// `metav1.MicroTime`.
    Micros,
}

impl Time {
    /// Go's zero time, the first of January of the year 1; JSON writes it as null.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };

    /// Reads RFC 3339 text; `Micros` wants six digits after the second.
    ///
    /// # Errors
    /// With Go's message.
    pub fn parse(text: &str, precision: Precision) -> Result<Self, String> {
        Parser { text, rest: text, precision }.parse()
    }

    /// RFC 3339 in UTC; what is finer than the precision is cut off.
    pub fn format(self, precision: Precision) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let head = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        match precision {
            Precision::Seconds => head + "Z",
            Precision::Micros => format!("{head}.{:06}Z", self.nanos / 1000),
        }
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(at: jiff::Timestamp) -> Self {
        let nanos = at.as_nanosecond();
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        Self { seconds, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0) }
    }
}

impl TryFrom<Time> for jiff::Timestamp {
    type Error = jiff::Error;

    fn try_from(at: Time) -> Result<Self, jiff::Error> {
        Self::new(at.seconds, i32::try_from(at.nanos).unwrap_or(0))
    }
}

/// A timestamp of the clock as `metav1.Time` prints it.
pub fn format_seconds(at: jiff::Timestamp) -> String {
    Time::from(at).format(Precision::Seconds)
}

/// A timestamp of the clock as `metav1.MicroTime` prints it.
pub fn format_micros(at: jiff::Timestamp) -> String {
    Time::from(at).format(Precision::Micros)
}

/// Reads a `metav1.Time` or `metav1.MicroTime` of a stored object; `None` when it is neither.
pub fn parse_timestamp(text: &str) -> Option<jiff::Timestamp> {
    Time::parse(text, Precision::Seconds).ok().and_then(|t| t.try_into().ok())
}

/// Year, month and day of a number of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years that begin on the first of March (H. Hinnant, “chrono-compatible date algorithms”).
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970 of a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Goes through the layout as Go's `time.Parse` does, so that faults are told alike.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    precision: Precision,
}

/// Which numbers of digits a part may have.
#[derive(Clone, Copy)]
enum Digits {
    Two,
    OneOrTwo,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Time, String> {
        let year = self.year()?;
        self.literal("-")?;
        let month = self.number("01", Digits::Two)?;
        if !(1..=12).contains(&month) {
            return Err(self.out_of_range("month"));
        }
        self.literal("-")?;
        let day = self.number("02", Digits::Two)?;
        self.literal("T")?;
        let hour = self.number("15", Digits::OneOrTwo)?;
        if hour > 23 {
            return Err(self.out_of_range("hour"));
        }
        self.literal(":")?;
        let minute = self.number("04", Digits::Two)?;
        if minute > 59 {
            return Err(self.out_of_range("minute"));
        }
        self.literal(":")?;
        let second = self.number("05", Digits::Two)?;
        if second > 59 {
            return Err(self.out_of_range("second"));
        }
        let nanos = self.fraction()?;
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(self.with_message(&format!(": extra text: {}", go_quote(self.rest))));
        }
        if day < 1 || day > days_in(year, month) {
            return Err(self.out_of_range("day"));
        }
        let seconds = days_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Time { seconds, nanos })
    }

    fn year(&mut self) -> Result<i64, String> {
        match self.rest.get(..4).filter(|y| y.bytes().all(|b| b.is_ascii_digit())) {
            Some(year) => {
                self.rest = &self.rest[4..];
                year.parse().map_err(|_| self.cannot_parse("2006"))
            }
            None => Err(self.cannot_parse("2006")),
        }
    }

    fn number(&mut self, element: &str, digits: Digits) -> Result<i64, String> {
        let count = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let enough = match digits {
            Digits::Two => count == 2,
            Digits::OneOrTwo => count > 0,
        };
        if !enough {
            return Err(self.cannot_parse(element));
        }
        let (number, rest) = self.rest.split_at(count);
        let number = number.parse().map_err(|_| self.cannot_parse(element))?;
        self.rest = rest;
        Ok(number)
    }

    fn fraction(&mut self) -> Result<u32, String> {
        let digits = match self.rest.strip_prefix(['.', ',']) {
            Some(rest) => rest.bytes().take_while(u8::is_ascii_digit).count(),
            None => 0,
        };
        let taken = match self.precision {
            Precision::Micros if digits < 6 => return Err(self.cannot_parse(".000000")),
            Precision::Micros => 6,
            Precision::Seconds => digits,
        };
        if taken == 0 {
            return Ok(0);
        }
        let (fraction, rest) = self.rest.split_at(1 + taken);
        self.rest = rest;
        let digits = fraction[1..].bytes().chain(std::iter::repeat(b'0')).take(9);
        Ok(digits.fold(0, |n, d| n * 10 + u32::from(d - b'0')))
    }

    /// The offset in seconds.
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let Some((zone, rest)) = self.rest.split_at_checked(6) else { return Err(self.cannot_parse("Z07:00")) };
        let bytes = zone.as_bytes();
        let number = |at: usize| {
            zone.get(at..at + 2).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse::<i64>().ok())
        };
        let (Some(hours), Some(minutes), b'+' | b'-', b':') = (number(1), number(4), bytes[0], bytes[3]) else {
            return Err(self.cannot_parse("Z07:00"));
        };
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        self.rest = rest;
        let offset = (hours * 60 + minutes) * 60;
        Ok(if bytes[0] == b'-' { -offset } else { offset })
    }

    fn literal(&mut self, element: &str) -> Result<(), String> {
        match self.rest.strip_prefix(element) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.cannot_parse(element)),
        }
    }

    fn cannot_parse(&self, element: &str) -> String {
        let layout = match self.precision {
            Precision::Seconds => "2006-01-02T15:04:05Z07:00",
            Precision::Micros => "2006-01-02T15:04:05.000000Z07:00",
        };
        format!(
            "parsing time {} as \"{layout}\": cannot parse {} as \"{element}\"",
            go_quote(self.text),
            go_quote(self.rest)
        )
    }

    fn out_of_range(&self, what: &str) -> String {
        self.with_message(&format!(": {what} out of range"))
    }

    fn with_message(&self, message: &str) -> String {
        format!("parsing time {}{message}", go_quote(self.text))
    }
}

impl GoDuration {
    /// Reads `1h2m3.5s`.
    ///
    /// # Errors
    /// With Go's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {}", go_quote(text));
        let negative = text.starts_with('-');
        let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let count = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
            let (whole, after) = rest.split_at(count(rest));
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => after.split_at(count(after)),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let unit_length = after.bytes().take_while(|b| *b != b'.' && !b.is_ascii_digit()).count();
            let (unit, after) = after.split_at(unit_length);
            let scale = match unit {
                "" => return Err(format!("time: missing unit in duration {}", go_quote(text))),
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000u128,
                other => {
                    return Err(format!("time: unknown unit {} in duration {}", go_quote(other), go_quote(text)));
                }
            };
            let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())?.into() };
            total += whole * scale;
            let mut ones = 1;
            let mut part = 0;
            // More digits than the unit has are of no effect.
            for digit in fraction.bytes().take(18) {
                part = part * 10 + u128::from(digit - b'0');
                ones *= 10;
            }
            total += part * scale / ones;
            if total > 1 << 63 {
                return Err(invalid());
            }
            rest = after;
        }
        let nanos = i128::try_from(total).map_err(|_| invalid())?;
        i64::try_from(if negative { -nanos } else { nanos }).map(Self).map_err(|_| invalid())
    }
}

impl GoDuration {
    /// This much time; a negative duration is none.
    pub fn or_zero(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if nanos == 0 {
            return f.write_str("0s");
        }
        let (unit, name) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let (whole, rest) = (nanos / unit, nanos % unit);
        let (hours, minutes, seconds) =
            if name == "s" { (whole / 3600, whole / 60 % 60, whole % 60) } else { (0, 0, whole) };
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{seconds}")?;
        if rest > 0 {
            let width = unit.ilog10() as usize;
            write!(f, ".{}", format!("{rest:0width$}").trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_time(text: &str, precision: Precision, expected: &str) {
        let outcome = Time::parse(text, precision).map(|t| t.format(precision));
        assert_eq!(outcome.unwrap_or_else(|e| e), expected);
    }

    #[test]
    fn times_parse_and_print_as_in_go() {
        for (text, expected) in [
            ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
            ("2024-01-01T01:00:00+02:00", "2023-12-31T23:00:00Z"),
            ("2024-01-01T00:00:00.999Z", "2024-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("2024-01-01T1:00:00Z", "2024-01-01T01:00:00Z"),
            ("x", "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""),
            ("2024-13-01T00:00:00Z", "parsing time \"2024-13-01T00:00:00Z\": month out of range"),
            ("2023-02-29T00:00:00Z", "parsing time \"2023-02-29T00:00:00Z\": day out of range"),
            ("2024-01-01T00:00:00Zx", "parsing time \"2024-01-01T00:00:00Zx\": extra text: \"x\""),
            (
                "2024-01-01 00:00:00Z",
                "parsing time \"2024-01-01 00:00:00Z\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \" 00:00:00Z\" as \"T\"",
            ),
            ("2024-01-01", "parsing time \"2024-01-01\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\""),
        ] {
            check_time(text, Precision::Seconds, expected);
        }
        check_time("2024-01-01T00:00:00.123456Z", Precision::Micros, "2024-01-01T00:00:00.123456Z");
        check_time(
            "2024-01-01T00:00:00Z",
            Precision::Micros,
            "parsing time \"2024-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\"",
        );
    }

    #[test]
    fn durations_parse_and_print_as_in_go() {
        for (text, expected) in [
            ("0", "0s"),
            ("1h2m3s", "1h2m3s"),
            ("90m", "1h30m0s"),
            ("1.5h", "1h30m0s"),
            ("-1.5s", "-1.5s"),
            ("100ms", "100ms"),
            ("1us", "1µs"),
            (".5s", "500ms"),
            ("1m0.000000001s", "1m0.000000001s"),
            ("", "time: invalid duration \"\""),
            ("1", "time: missing unit in duration \"1\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("s", "time: invalid duration \"s\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
        ] {
            assert_eq!(GoDuration::parse(text).map_or_else(|e| e, |d| d.to_string()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_times_and_durations_read_back(seconds in -62_135_596_800i64..253_402_300_800, nanos in any::<i64>()) {
            let time = Time { seconds, nanos: 0 };
            prop_assert_eq!(Time::parse(&time.format(Precision::Seconds), Precision::Seconds), Ok(time));
            let duration = GoDuration(nanos);
            prop_assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn any_text_is_a_time_or_is_refused(text in "[0-9TZ:.+-]{0,30}|.{0,12}") {
            let _ = (Time::parse(&text, Precision::Seconds), Time::parse(&text, Precision::Micros), GoDuration::parse(&text));
        }
    }
}
