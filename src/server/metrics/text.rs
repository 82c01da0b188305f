//! The text form of metrics (version 0.0.4), with numbers as upstream's library writes them: alerts name the bounds of
//! histograms by their text.

use std::fmt::Write as _;

use crate::base::Histogram;

/// Metrics, one after the other.
#[derive(Default)]
pub(super) struct Text {
    pub(super) all: String,
    /// The head of a metric that has no sample yet; as upstream's library, none is written without one.
    head: String,
}

impl Text {
    /// Begins a metric; its samples follow. `kind` is `counter`, `gauge` or `histogram`.
    pub(super) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample; `labels` without braces.
    #[expect(clippy::cast_precision_loss, reason = "the text form knows no other numbers")]
    pub(super) fn count(&mut self, name: &str, labels: &str, value: u64) {
        self.value(name, labels, value as f64);
    }

    /// As `count`, for what is no count.
    pub(super) fn value(&mut self, name: &str, labels: &str, value: f64) {
        self.all.push_str(&std::mem::take(&mut self.head));
        let _ = match labels {
            "" => writeln!(self.all, "{name} {}", number(value)),
            labels => writeln!(self.all, "{name}{{{labels}}} {}", number(value)),
        };
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, value: f64, help: &str) {
        self.metric(name, "gauge", help);
        self.value(name, "", value);
    }

    /// As `count`, for what is counted in memory.
    #[expect(clippy::cast_precision_loss, reason = "the text form knows no other numbers")]
    pub(super) fn count_in(&mut self, name: &str, labels: &str, count: usize) {
        self.value(name, labels, count as f64);
    }

    /// As `gauge`, for what is counted.
    pub(super) fn count_of(&mut self, name: &str, count: usize, help: &str) {
        self.metric(name, "gauge", help);
        self.count_in(name, "", count);
    }

    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        for (bound, count) in histogram.buckets() {
            let comma = if labels.is_empty() { "" } else { "," };
            self.count(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"{}\"", number(bound)), count);
        }
        self.value(&format!("{name}_sum"), labels, histogram.sum());
        self.count(&format!("{name}_count"), labels, histogram.count());
    }
}

/// A value between quotes.
pub(super) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// As Go's `strconv.FormatFloat(value, 'g', -1, 64)`.
fn number(value: f64) -> String {
    const EXPONENT_MIN: i32 = 6;
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..EXPONENT_MIN).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let values = [0.0, 1.0, 0.005, 1.25, 100_000.0, 1e6, 1.05e6, 1e9, 0.000_01, f64::INFINITY];
        let expected = ["0", "1", "0.005", "1.25", "100000", "1e+06", "1.05e+06", "1e+09", "1e-05", "+Inf"];
        assert_eq!(values.map(number), expected);
    }

    #[test]
    fn labels_are_quoted() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\n""#);
    }

    #[test]
    fn a_histogram_has_its_buckets_its_sum_and_its_count() {
        let mut histogram = Histogram::new(&[1.0, 1e6]);
        histogram.observe(3.0);
        let mut text = Text::default();
        text.histogram("x", "a=\"b\"", &histogram);
        let expected = "x_bucket{a=\"b\",le=\"1\"} 0\nx_bucket{a=\"b\",le=\"1e+06\"} 1\nx_bucket{a=\"b\",le=\"+Inf\"} 1\n\
                        x_sum{a=\"b\"} 3\nx_count{a=\"b\"} 1\n";
        assert_eq!(text.all, expected);
    }
}
