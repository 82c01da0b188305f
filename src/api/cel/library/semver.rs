//! Semantic versions.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::super::error::Error;
use super::super::value::Value;
use crate::api::field::go_quote;

pub(super) const NAMES: &[&str] = &["semver", "isSemver", "major", "minor", "patch"];

/// A version as semver 2.0 defines it.
#[derive(Clone, Debug)]
pub struct Semver {
    core: [u64; 3],
    pre: Vec<String>,
    build: Vec<String>,
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.core;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre.join("."))?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build.join("."))?;
        }
        Ok(())
    }
}

impl Semver {
    /// The order of versions; builds do not count.
    pub fn cmp(&self, other: &Self) -> Ordering {
        let core = self.core.cmp(&other.core);
        if core.is_ne() {
            return core;
        }
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self
                .pre
                .iter()
                .zip(&other.pre)
                .map(|(one, other)| part_cmp(one, other))
                .find(|order| order.is_ne())
                .unwrap_or_else(|| self.pre.len().cmp(&other.pre.len())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let number = |text: &str, name: &str| {
            if !text.bytes().all(|b| b.is_ascii_digit()) || text.is_empty() && name != "Patch" {
                return Err(format!("Invalid character(s) found in {} number {}", name.to_lowercase(), go_quote(text)));
            }
            if text.len() > 1 && text.starts_with('0') {
                return Err(format!("{name} number must not contain leading zeroes {}", go_quote(text)));
            }
            text.parse::<u64>().map_err(|_| {
                let why = if text.is_empty() { "invalid syntax" } else { "value out of range" };
                format!("strconv.ParseUint: parsing {}: {why}", go_quote(text))
            })
        };
        let (major, minor) = (number(major, "Major")?, number(minor, "Minor")?);
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let patch = number(patch, "Patch")?;
        let pre: Vec<String> = pre.into_iter().flat_map(|pre| pre.split('.')).map(str::to_owned).collect();
        let build: Vec<String> = build.into_iter().flat_map(|build| build.split('.')).map(str::to_owned).collect();
        pre.iter().try_for_each(|part| check_part(part))?;
        for part in &build {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !valid_part(part) {
                return Err(format!("Invalid character(s) found in build meta data {}", go_quote(part)));
            }
        }
        Ok(Self { core: [major, minor, patch], pre, build })
    }
}

fn valid_part(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit())
}

fn check_part(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if is_number(part) && part.len() > 1 && part.starts_with('0') {
        return Err(format!("Numeric PreRelease version must not contain leading zeroes {}", go_quote(part)));
    }
    if !valid_part(part) {
        return Err(format!("Invalid character(s) found in prerelease {}", go_quote(part)));
    }
    Ok(())
}

fn part_cmp(one: &str, other: &str) -> Ordering {
    match (is_number(one), is_number(other)) {
        (true, true) => (one.len(), one).cmp(&(other.len(), other)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(other),
    }
}

/// The text with a `v` before it taken off, missing numbers put in and leading zeros taken off.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|part| {
            let trimmed = if part.len() > 1 { part.trim_start_matches('0') } else { part };
            let digits = trimmed.is_empty() || !trimmed.starts_with(|c: char| c.is_ascii_digit());
            if part.len() > 1 && digits { format!("0{trimmed}") } else { trimmed.to_owned() }
        })
        .collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
    }
    Ok(parts.join("."))
}

fn parse(text: &str, normalize: bool) -> Result<Semver, String> {
    if normalize { Semver::parse(&normalized(text)?) } else { Semver::parse(text) }
}

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let int = |value: u64| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
    match (name, args) {
        ("semver" | "isSemver", [Value::String(text), rest @ ..]) => {
            let normalize = match rest {
                [] => false,
                [Value::Bool(normalize)] => *normalize,
                _ => return Err(Error::refused()),
            };
            let version = parse(text, normalize);
            if name == "isSemver" {
                return Ok(Value::Bool(version.is_ok()));
            }
            version.map(|version| Value::Semver(Arc::new(version))).map_err(Error::new)
        }
        ("major", [Value::Semver(version)]) => Ok(int(version.core[0])),
        ("minor", [Value::Semver(version)]) => Ok(int(version.core[1])),
        ("patch", [Value::Semver(version)]) => Ok(int(version.core[2])),
        ("isGreaterThan", [Value::Semver(one), Value::Semver(other)]) => Ok(Value::Bool(one.cmp(other).is_gt())),
        ("isLessThan", [Value::Semver(one), Value::Semver(other)]) => Ok(Value::Bool(one.cmp(other).is_lt())),
        ("compareTo", [Value::Semver(one), Value::Semver(other)]) => Ok(Value::Int(one.cmp(other) as i64)),
        _ => Err(Error::refused()),
    }
}
