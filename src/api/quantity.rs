//! `resource.Quantity`: fixed-point numbers with suffixes, in Go's canonical forms. Used wherever amounts are compared,
//! summed or printed. A quantity keeps the kind of suffix it was written with, and its text where Go keeps it
//! (`+5` stays `+5`), because stored objects must equal upstream's byte for byte.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{AddAssign, SubAssign};

/// The family of suffixes a quantity prints with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `100m`, `5`, `2k`.
    #[default]
    Decimal,
    /// `1Ki`, `5Gi`.
    Binary,
    /// `12e6`.
    Exponent,
}

/// An amount: `value` times ten to the `scale`.
///
/// Up to 38 significant digits are kept (upstream has no limit); beyond, the amount is rounded away from zero.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    value: i128,
    scale: i32,
    format: Format,
    /// The text as given, where upstream prints it unchanged.
    text: Option<Box<str>>,
}

/// Why a text is no quantity; the messages are upstream's.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i32 = -9;
/// Upstream caps binary quantities here.
const BINARY_MAX: i128 = i64::MAX as i128;
/// Powers of ten up to this one fit an `i128`.
const POWER_MAX: u32 = 38;

impl Quantity {
    /// Zero without a suffix.
    pub const ZERO: Self = Self { value: 0, scale: 0, format: Format::Decimal, text: None };

    /// A whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Self { value: value.into(), scale: 0, format, text: None }
    }

    /// Thousandths.
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self { value: value.into(), scale: -3, format, text: None }
    }

    /// Reads a quantity.
    ///
    /// # Errors
    /// With upstream's message when the text is none.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Format);
        }
        if text == "0" {
            return Ok(Self { text: Some("0".into()), ..Self::ZERO });
        }
        let parts = split(text)?;
        let suffix = Suffix::parse(parts.suffix).ok_or(ParseError::Suffix)?;
        match fast(&parts, suffix, text) {
            Some(quantity) => Ok(quantity),
            None => slow(&parts, suffix),
        }
    }

    /// The kind of suffix.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.value < 0
    }

    /// The amount as a whole number, rounded away from zero, within the range of an `i64`.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded away from zero, within the range of an `i64`.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// The amount as a whole number, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        let (value, exact) = rescale(self.value, self.scale, 0);
        if exact { i64::try_from(value).ok() } else { None }
    }

    /// The amount as a floating-point number, perhaps not exactly.
    #[expect(clippy::cast_precision_loss, reason = "the result is an approximation by contract")]
    pub fn as_f64(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.scale)
    }

    /// The amount without what is finer than ten to the `scale`, rounded away from zero.
    #[must_use]
    pub fn rounded_up(&self, scale: i32) -> Self {
        if self.scale >= scale {
            return self.clone();
        }
        let (value, _) = rescale(self.value, self.scale, scale);
        Self { value, scale, format: self.format, text: None }
    }

    /// The amount with the other sign.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self { value: self.value.saturating_neg(), text: None, ..*self }
    }

    /// The amount times a whole number.
    #[must_use]
    pub fn times(&self, factor: i64) -> Self {
        Self { value: self.value.saturating_mul(factor.into()), text: None, ..*self }
    }

    fn scaled(&self, scale: i32) -> i64 {
        let (value, _) = rescale(self.value, self.scale, scale);
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    fn add(&mut self, value: i128, scale: i32, format: Format) {
        self.text = None;
        if self.value == 0 {
            self.format = format;
        }
        let mut low = self.scale.min(scale);
        let (a, b) = loop {
            let a = rescale(self.value, self.scale, low).0;
            let b = rescale(value, scale, low).0;
            let fits = a.unsigned_abs() < (i128::MAX / 2) as u128 && b.unsigned_abs() < (i128::MAX / 2) as u128;
            if fits || low >= self.scale.max(scale) {
                break (a, b);
            }
            low += 1;
        };
        self.value = a.saturating_add(b);
        self.scale = low;
    }
}

impl fmt::Display for Quantity {
    /// The canonical form, or the text as given where upstream keeps it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.value == 0 {
            return f.write_str("0");
        }
        let mut format = self.format;
        if format == Format::Binary {
            let (whole, exact) = rescale(self.value, self.scale, 0);
            if exact && whole.unsigned_abs() >= 1024 {
                let (amount, times) = strip_factors(whole, 1024);
                let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(times as usize).copied().unwrap_or_default();
                return write!(f, "{amount}{suffix}");
            }
            format = Format::Decimal;
        }
        let (mut amount, times) = strip_factors(self.value, 10);
        let mut exponent = i64::from(self.scale) + i64::from(times);
        while exponent % 3 != 0 {
            amount = amount.saturating_mul(10);
            exponent -= 1;
        }
        write!(f, "{amount}")?;
        match format {
            Format::Exponent if exponent == 0 => Ok(()),
            Format::Exponent => write!(f, "e{exponent}"),
            // Upstream v1.37 leaves the suffix out where it has none (1000E prints as 1).
            Format::Decimal | Format::Binary => f.write_str(decimal_suffix(exponent)),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.value.signum().cmp(&other.value.signum());
        if signs != Ordering::Equal || self.value == 0 {
            return signs;
        }
        let magnitude = |q: &Self| i64::from(q.value.unsigned_abs().ilog10()) + i64::from(q.scale);
        let by_size = magnitude(self).cmp(&magnitude(other)).then_with(|| {
            // Of equal magnitude, so the difference of scales is below 39.
            let low = self.scale.min(other.scale);
            let a = rescale(self.value, self.scale, low).0.unsigned_abs();
            let b = rescale(other.value, other.scale, low).0.unsigned_abs();
            a.cmp(&b)
        });
        if self.value < 0 { by_size.reverse() } else { by_size }
    }
}

impl AddAssign<&Quantity> for Quantity {
    /// As upstream: zero takes over the format of what is added.
    fn add_assign(&mut self, other: &Quantity) {
        self.add(other.value, other.scale, other.format);
    }
}

impl SubAssign<&Quantity> for Quantity {
    fn sub_assign(&mut self, other: &Quantity) {
        self.add(other.value.saturating_neg(), other.scale, other.format);
    }
}

impl std::str::FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

struct Parts<'a> {
    negative: bool,
    /// Digits before the point without leading zeros; `0` when there are none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

/// Cuts a text into its parts; accepts a little more than the regular expression, as upstream's scanner does.
fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    let rest = unsigned.trim_start_matches('0');
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits(rest));
    let whole = if whole.is_empty() { "0" } else { whole };
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let exponent = &suffix[letters..];
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix })
}

#[derive(Clone, Copy)]
struct Suffix {
    format: Format,
    /// Of two for binary suffixes, of ten for others.
    exponent: i32,
}

impl Suffix {
    fn parse(text: &str) -> Option<Self> {
        let decimal = |exponent| Some(Self { format: Format::Decimal, exponent });
        let binary = |exponent| Some(Self { format: Format::Binary, exponent });
        match text {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let digits = text.strip_prefix(['e', 'E']).filter(|d| !d.is_empty())?;
                let exponent: i64 = digits.parse().ok()?;
                // Upstream cuts the exponent to 32 bits; nothing sensible is beyond, so the ends stand for it.
                let exponent = i32::try_from(exponent.clamp(-1 << 30, 1 << 30)).ok()?;
                Some(Self { format: Format::Exponent, exponent })
            }
        }
    }
}

/// Numbers of up to 18 digits. Only here upstream keeps the text as it came.
fn fast(parts: &Parts<'_>, suffix: Suffix, text: &str) -> Option<Quantity> {
    let digits = parts.whole.len() + parts.fraction.len();
    let binary = suffix.format == Format::Binary;
    let room = if binary {
        if !parts.fraction.is_empty() {
            return None;
        }
        15 - i64::from(suffix.exponent) * 3 / 10 - 1
    } else {
        18
    };
    if i64::try_from(digits).ok()? > room {
        return None;
    }
    let scale = if binary { 0 } else { suffix.exponent - i32::try_from(parts.fraction.len()).ok()? };
    if scale < NANO {
        return None;
    }
    let joined: i128 = format!("{}{}", parts.whole, parts.fraction).parse().ok()?;
    let value = if binary { joined << suffix.exponent } else { joined };
    let first_zero = parts.whole.starts_with('0');
    let thousands = digits >= 3 && joined % 1000 == 0;
    let keep = if binary { joined & 7 != 0 } else { scale % 3 == 0 && !thousands && !first_zero };
    Some(Quantity {
        value: if parts.negative { -value } else { value },
        scale,
        format: suffix.format,
        text: keep.then(|| text.into()),
    })
}

fn slow(parts: &Parts<'_>, suffix: Suffix) -> Result<Quantity, ParseError> {
    let (value, scale, format) = match suffix.format {
        Format::Binary => slow_binary(parts, suffix.exponent)?,
        Format::Decimal | Format::Exponent => {
            let (value, scale) = slow_decimal(parts, suffix.exponent)?;
            (value, scale, suffix.format)
        }
    };
    Ok(Quantity { value: if parts.negative { -value } else { value }, scale, format, text: None })
}

fn slow_decimal(parts: &Parts<'_>, exponent: i32) -> Result<(i128, i32), ParseError> {
    let (value, dropped, inexact) = leading_digits(parts.whole.bytes().chain(parts.fraction.bytes()), POWER_MAX);
    let places = i64::try_from(parts.fraction.len()).map_err(|_| ParseError::Numeric)?;
    let scale = i64::from(exponent) - places + i64::try_from(dropped).map_err(|_| ParseError::Numeric)?;
    let scale = i32::try_from(scale).map_err(|_| ParseError::Numeric)?;
    let value = value + i128::from(inexact);
    if scale >= NANO { Ok((value, scale)) } else { Ok((rescale(value, scale, NANO).0, NANO)) }
}

fn slow_binary(parts: &Parts<'_>, exponent: i32) -> Result<(i128, i32, Format), ParseError> {
    const FRACTION_DIGITS_MAX: usize = 19;
    let factor = 1i128 << exponent;
    let whole =
        if parts.whole.len() > 20 { BINARY_MAX } else { parts.whole.parse().map_err(|_| ParseError::Numeric)? };
    let kept = parts.fraction.len().min(FRACTION_DIGITS_MAX);
    let fraction: i128 = if kept == 0 { 0 } else { parts.fraction[..kept].parse().map_err(|_| ParseError::Numeric)? };
    let rest = parts.fraction[kept..].bytes().any(|b| b != b'0');
    let unit = 10i128.pow(u32::try_from(kept).map_err(|_| ParseError::Numeric)?);
    let whole = whole.saturating_mul(factor).saturating_add(fraction * factor / unit);
    let remainder = fraction * factor % unit;
    let nano = rescale(remainder, -i32::try_from(kept).map_err(|_| ParseError::Numeric)?, NANO).0 + i128::from(rest);
    if whole >= BINARY_MAX {
        return Ok((BINARY_MAX, 0, Format::Binary));
    }
    if nano == 0 {
        return Ok((whole, 0, Format::Binary));
    }
    let format = if whole == 0 { Format::Decimal } else { Format::Binary };
    Ok((whole * 1_000_000_000 + nano, NANO, format))
}

/// The number that the first digits make, how many were left out, and whether one of those was not zero.
fn leading_digits(digits: impl Iterator<Item = u8>, max: u32) -> (i128, usize, bool) {
    let (mut value, mut taken, mut dropped, mut inexact) = (0i128, 0, 0, false);
    for digit in digits {
        if taken < max {
            value = value * 10 + i128::from(digit - b'0');
            taken += u32::from(value != 0);
        } else {
            dropped += 1;
            inexact |= digit != b'0';
        }
    }
    (value, dropped, inexact)
}

/// `value` × 10^`from` as a multiple of 10^`to`, rounded away from zero and bounded; whether that is exact.
fn rescale(value: i128, from: i32, to: i32) -> (i128, bool) {
    let shift = (i64::from(from) - i64::from(to)).unsigned_abs();
    let power = u32::try_from(shift).ok().filter(|s| *s <= POWER_MAX).map(|s| 10i128.pow(s));
    if value == 0 || shift == 0 {
        return (value, true);
    }
    if from > to {
        return match power.and_then(|p| value.checked_mul(p)) {
            Some(scaled) => (scaled, true),
            None => (if value < 0 { i128::MIN } else { i128::MAX }, false),
        };
    }
    match power {
        Some(power) if value % power == 0 => (value / power, true),
        Some(power) => (value / power + value.signum(), false),
        None => (value.signum(), false),
    }
}

fn strip_factors(mut value: i128, factor: i128) -> (i128, u32) {
    let mut times = 0;
    while value != 0 && value % factor == 0 {
        value /= factor;
        times += 1;
    }
    (value, times)
}

fn decimal_suffix(exponent: i64) -> &'static str {
    match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
    }

    #[test]
    fn canonical_forms_are_those_of_go() {
        for (text, canonical) in [
            ("1.5", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("0.1m", "100u"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("100000", "100k"),
            ("1024", "1024"),
            ("2048Ki", "2Mi"),
            ("1Ei", "1Ei"),
            ("-5", "-5"),
            ("+5", "+5"),
            (".5", "500m"),
            ("5.", "5."),
            ("0", "0"),
            ("0Mi", "0"),
            ("1n", "1n"),
            ("1u", "1u"),
            ("1.1Ki", "1126400m"),
            ("9223372036854775807", "9223372036854775807"),
            ("1000Ki", "1000Ki"),
            ("1024Ki", "1Mi"),
            ("0.5Mi", "512Ki"),
            ("1.0", "1"),
            ("1e-3", "1e-3"),
            ("1500e-3", "1500e-3"),
            ("0.1n", "1n"),
            ("16Ei", "9223372036854775807"),
            ("512Ki", "512Ki"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            check(text, canonical);
        }
    }

    #[test]
    fn what_is_no_quantity_gives_upstreams_error() {
        for (text, error) in [
            ("1ki", ParseError::Suffix),
            ("1KB", ParseError::Format),
            ("", ParseError::Format),
            ("1e", ParseError::Suffix),
            ("1 Gi", ParseError::Format),
            ("--1", ParseError::Suffix),
            ("1i", ParseError::Suffix),
            ("aoeu", ParseError::Format),
            ("1.1.1", ParseError::Format),
        ] {
            assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn sums_keep_the_format_and_compare_by_value() {
        let mut sum = Quantity::ZERO;
        for text in ["100m", "1", "0.25"] {
            sum += &Quantity::parse(text).unwrap();
        }
        assert_eq!(sum.to_string(), "1350m");
        assert_eq!((sum.value(), sum.milli_value(), sum.as_i64()), (2, 1350, None));
        let mut memory = Quantity::parse("1Gi").unwrap();
        memory -= &Quantity::parse("512Mi").unwrap();
        assert_eq!(memory.to_string(), "512Mi");
        assert!(memory > Quantity::parse("500M").unwrap());
        assert_eq!(Quantity::parse("1e3").unwrap(), Quantity::parse("1k").unwrap());
        assert!(Quantity::parse("-1e900").unwrap() < Quantity::parse("1n").unwrap());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails_and_canonical_text_is_stable(text in "[-+]?[0-9.]{0,45}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,4}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let mut sum = quantity.clone();
                sum += &Quantity::parse("1").unwrap();
                let _ = (sum.to_string(), quantity.value(), quantity.milli_value());
                if quantity.scale < 20 && quantity.value.unsigned_abs() < 1 << 80 {
                    let again = Quantity::parse(&quantity.to_string()).unwrap();
                    prop_assert_eq!(again.to_string(), quantity.to_string());
                }
            }
        }
    }
}
