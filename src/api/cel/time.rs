//! Timestamps and durations: reading, writing, arithmetic and their parts in a time zone.

use super::error::Error;

const NANOS: i64 = 1_000_000_000;
/// The first and the last second that a timestamp can be.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A point in time and the zone in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Since 1970.
    pub seconds: i64,
    pub nanos: u32,
    /// East of Greenwich.
    pub offset_seconds: i32,
}

impl Timestamp {
    /// The first instant of the year 1.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, offset_seconds: 0 };

    /// A timestamp in UTC.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub(super) fn new(seconds: i64, nanos: u32) -> Result<Self, Error> {
        let time = Self { seconds, nanos, offset_seconds: 0 };
        if SECONDS.contains(&seconds) { Ok(time) } else { Err(Error::timestamp_overflow()) }
    }

    /// Reads RFC 3339; `None` when the text is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if separators.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0;
        if let Some(b'.' | b',') = bytes.get(at) {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            let kept = text.get(at + 1..at + 1 + digits.min(9)).filter(|kept| !kept.is_empty())?;
            nanos = kept.parse::<u32>().ok()? * 10u32.pow(9 - u32::try_from(kept.len()).ok()?);
            at += 1 + digits;
        }
        let offset = zone(&text[at..])?;
        let date = date(year, month, day)?;
        let day_seconds = days(date) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Self { seconds: day_seconds - i64::from(offset), nanos, offset_seconds: offset })
    }

    /// Reads a date alone.
    pub(super) fn parse_date(text: &str) -> Option<Self> {
        if text.len() != 10 {
            return None;
        }
        Self::parse(&format!("{text}T00:00:00Z"))
    }

    /// Whether it lies in the years that a timestamp can have.
    pub(super) fn in_range(self) -> bool {
        SECONDS.contains(&self.seconds)
    }

    /// What is compared: the instant without its zone.
    pub(super) fn instant(self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    pub(super) fn plus(self, nanos: i64) -> Result<Self, Error> {
        let total = i64::from(self.nanos) + nanos.rem_euclid(NANOS);
        let seconds = self.seconds.checked_add(nanos.div_euclid(NANOS)).ok_or_else(Error::overflow)?;
        let seconds = seconds.checked_add(total.div_euclid(NANOS)).ok_or_else(Error::overflow)?;
        if !SECONDS.contains(&seconds) {
            return Err(Error::timestamp_overflow());
        }
        let nanos = u32::try_from(total.rem_euclid(NANOS)).unwrap_or(0);
        Ok(Self { seconds, nanos, offset_seconds: self.offset_seconds })
    }

    /// The nanoseconds from another instant to this one.
    pub(super) fn since(self, other: Self) -> Result<i64, Error> {
        let seconds = self.seconds.checked_sub(other.seconds).ok_or_else(Error::overflow)?;
        let nanos = i64::from(self.nanos) - i64::from(other.nanos);
        seconds.checked_mul(NANOS).and_then(|whole| whole.checked_add(nanos)).ok_or_else(Error::overflow)
    }

    fn date_time(self, offset: i32) -> jiff::civil::DateTime {
        let seconds = self.seconds + i64::from(offset);
        let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        let span = jiff::SignedDuration::new(seconds, i32::try_from(self.nanos).unwrap_or(0));
        epoch.saturating_add(span)
    }

    /// RFC 3339 with as many digits of the second as it takes, in the zone of the timestamp.
    pub(super) fn rfc3339(self) -> String {
        let time = self.date_time(self.offset_seconds);
        let mut text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        if self.nanos > 0 {
            text.push('.');
            text.push_str(format!("{:09}", self.nanos).trim_end_matches('0'));
        }
        let minutes = self.offset_seconds / 60;
        if minutes == 0 {
            text.push('Z');
        } else {
            let sign = if minutes < 0 { '-' } else { '+' };
            text.push_str(&format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60));
        }
        text
    }

    /// As Go's `Time.String` writes it.
    pub(super) fn go_string(self) -> String {
        let text = self.rfc3339().replacen('T', " ", 1);
        match text.strip_suffix('Z') {
            Some(text) => format!("{text} +0000 UTC"),
            None => text,
        }
    }

    /// A part of the timestamp by the name of the function that gets it, in UTC or in a zone.
    ///
    /// # Errors
    /// When the zone is unknown.
    pub(super) fn part(self, function: &str, zone: Option<&str>) -> Result<Option<i64>, Error> {
        let offset = match zone {
            None => 0,
            Some(zone) => self.offset_in(zone)?,
        };
        let time = self.date_time(offset);
        Ok(Some(match function {
            "getFullYear" => i64::from(time.year()),
            "getMonth" => i64::from(time.month()) - 1,
            "getDayOfYear" => i64::from(time.date().day_of_year()) - 1,
            "getDayOfMonth" => i64::from(time.day()) - 1,
            "getDate" => i64::from(time.day()),
            "getDayOfWeek" => i64::from(time.weekday().to_sunday_zero_offset()),
            "getHours" => i64::from(time.hour()),
            "getMinutes" => i64::from(time.minute()),
            "getSeconds" => i64::from(time.second()),
            "getMilliseconds" => i64::from(self.nanos / 1_000_000),
            _ => return Ok(None),
        }))
    }

    fn offset_in(self, zone: &str) -> Result<i32, Error> {
        let Some((hours, minutes)) = zone.split_once(':') else {
            return self.named_offset(zone);
        };
        let hours_value = atoi(hours)?;
        let minutes_value = atoi(minutes)?;
        let minutes = if zone.starts_with('-') {
            hours_value.saturating_mul(60).saturating_sub(minutes_value)
        } else {
            hours_value.saturating_mul(60).saturating_add(minutes_value)
        };
        Ok(i32::try_from(minutes.saturating_mul(60)).unwrap_or(0))
    }

    fn named_offset(self, zone: &str) -> Result<i32, Error> {
        if zone.is_empty() || zone == "UTC" {
            return Ok(0);
        }
        let known = jiff::tz::TimeZone::get(zone).ok().filter(|_| !zone.contains('\\') && !zone.starts_with('/'));
        let (Some(zone), Ok(at)) = (known, jiff::Timestamp::from_second(self.seconds)) else {
            return Err(Error::new(format!("unknown time zone {zone}")));
        };
        Ok(zone.to_offset(at).seconds())
    }
}

/// A number as Go's `Atoi` reads it.
fn atoi(text: &str) -> Result<i64, Error> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| valid).ok_or_else(|| {
        Error::new(format!("strconv.Atoi: parsing {}: invalid syntax", crate::api::field::go_quote(text)))
    })
}

fn zone(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return None;
    }
    let number = |from: usize| text.get(from..from + 2).filter(|two| two.bytes().all(|b| b.is_ascii_digit()));
    let (hours, minutes): (i32, i32) = (number(1)?.parse().ok()?, number(4)?.parse().ok()?);
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn date(year: i64, month: i64, day: i64) -> Option<jiff::civil::Date> {
    let year = i16::try_from(year).ok()?;
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// Days since 1970.
fn days(date: jiff::civil::Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    date.duration_since(epoch).as_hours() / 24
}

/// A duration in seconds, as the conversion to text writes it.
pub(super) fn duration_seconds(nanos: i64) -> String {
    let seconds = super::number::double_of_int(nanos / NANOS) + super::number::double_of_int(nanos % NANOS) / 1e9;
    format!("{seconds}s")
}

/// A duration as Go's `Duration.String` writes it.
pub(super) fn go_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = |value: u64, digits: usize| {
        let unit = 10u64.pow(u32::try_from(digits).unwrap_or(0));
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{}{dot}{rest}", value / unit)
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(magnitude, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(magnitude, 6)),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = fraction(magnitude % 60_000_000_000, 9);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{rest}s"),
                (0, _) => format!("{sign}{minutes}m{rest}s"),
                _ => format!("{sign}{hours}h{minutes}m{rest}s"),
            }
        }
    }
}
