//! A picture of how cost grows with the number of objects: a field for each measure, both axes logarithmic, so that
//! what is flat looks flat and what doubles rises alike everywhere.

use std::fmt::Write;

use serde_json::Value;

use crate::cluster::Side;
use crate::measures::growth::{DRAWN, SIZES, name};

const FIELD_WIDTH: f64 = 300.0;
const FIELD_HEIGHT: f64 = 260.0;
const COLUMNS: usize = 3;
/// Room around the lines of a field for its title, scale and what the axes are.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;
const HEAD: f64 = 44.0;

struct Line {
    side: Side,
    points: Vec<(f64, f64)>,
}

fn colour(side: Side) -> &'static str {
    match side {
        Side::Stock => "#c2571a",
        Side::Coracle => "#0b6e99",
    }
}

/// What is known is drawn; a field without figures stays empty.
pub(crate) fn draw(measures: &Value) -> String {
    let rows = DRAWN.len().div_ceil(COLUMNS);
    let (width, height) = (FIELD_WIDTH * COLUMNS as f64, FIELD_HEIGHT * rows as f64 + HEAD);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, side) in Side::ALL.into_iter().enumerate() {
        let x = LEFT + 110.0 * index as f64;
        let (colour, label) = (colour(side), if side == Side::Stock { "stock" } else { "Coracle" });
        writeln!(
            out,
            "<line x1=\"{x}\" y1=\"24\" x2=\"{}\" y2=\"24\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"28\">{label}</text>",
            x + 28.0,
            x + 34.0
        )
        .expect("a string takes all");
    }
    let sizes = sizes(measures);
    for (index, (measure, unit)) in DRAWN.into_iter().enumerate() {
        let x = FIELD_WIDTH * (index % COLUMNS) as f64;
        let y = HEAD + FIELD_HEIGHT * (index / COLUMNS) as f64;
        writeln!(out, "<g transform=\"translate({x} {y})\">").expect("a string takes all");
        field(&mut out, &format!("{measure}, {unit}"), (&lines(measures, measure, &sizes), &sizes));
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn value(measures: &Value, (measure, size): (&str, usize), side: Side) -> Option<f64> {
    measures[name(measure, size)][side.name()]["value"].as_f64().filter(|value| *value > 0.0)
}

/// The sizes up to the largest one of which something is known; two at least make an axis.
fn sizes(measures: &Value) -> Vec<usize> {
    let known = |size: usize| {
        let drawn = |(measure, _)| Side::ALL.into_iter().any(|side| value(measures, (measure, size), side).is_some());
        DRAWN.into_iter().any(drawn)
    };
    let last = SIZES.iter().rposition(|size| known(*size)).unwrap_or_default();
    SIZES[..=last.max(1)].to_vec()
}

fn lines(measures: &Value, measure: &str, sizes: &[usize]) -> Vec<Line> {
    let point = |side: Side, size: usize| Some((size as f64, value(measures, (measure, size), side)?));
    let line = |side| Line { side, points: sizes.iter().filter_map(|size| point(side, *size)).collect() };
    Side::ALL.into_iter().map(line).collect()
}

/// Whole powers of ten around all values.
fn decades(lines: &[Line]) -> (i32, i32) {
    let logs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1.log10()));
    let low = logs().fold(f64::INFINITY, f64::min).floor();
    let high = logs().fold(f64::NEG_INFINITY, f64::max).ceil();
    if low.is_finite() { (low as i32, (high as i32).max(low as i32 + 1)) } else { (0, 1) }
}

fn field(out: &mut String, title: &str, (lines, sizes): (&[Line], &[usize])) {
    let (right, bottom) = (FIELD_WIDTH - RIGHT, FIELD_HEIGHT - BOTTOM);
    let (low, high) = decades(lines);
    let [first, last] = [sizes[0], sizes[sizes.len() - 1]].map(|size| (size as f64).log10());
    let across = |size: f64| LEFT + (size.log10() - first) / (last - first) * (right - LEFT);
    let up = |value: f64| bottom - (value.log10() - f64::from(low)) / f64::from(high - low) * (bottom - TOP);
    let mut say = |text: String| writeln!(out, "{text}").expect("a string takes all");
    say(format!("<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{title}</text>"));
    for decade in low..=high {
        let y = up(10_f64.powi(decade));
        say(format!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"));
        let label = 10_f64.powi(decade);
        say(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, y + 4.0));
    }
    for size in sizes {
        let x = across(*size as f64);
        let label = if *size < 1_000_000 { format!("{}k", size / 1_000) } else { "1M".to_owned() };
        say(format!("<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#eee\"/>"));
        say(format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", bottom + 16.0));
    }
    let middle = f64::midpoint(LEFT, right);
    say(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">pods stored</text>", bottom + 34.0));
    for line in lines {
        let colour = colour(line.side);
        let points: Vec<_> = line.points.iter().map(|(size, value)| (across(*size), up(*value))).collect();
        let path = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        say(format!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        for (x, y) in points {
            say(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"));
        }
    }
}
