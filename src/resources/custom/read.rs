//! Names of versions in the order of preference (apimachinery `pkg/version`): `v2` before `v1` before `v1beta1` before
//! `v1alpha1`, then what is no such name by the alphabet.

use std::cmp::{Ordering, Reverse};

/// The most preferred first.
pub fn versions_by_preference(versions: &mut [String]) {
    versions.sort_by(|a, b| compare_versions(b, a));
}

/// Which of two versions is preferred: `Greater` if it is the first.
pub(super) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => Reverse(a).cmp(&Reverse(b)),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Alpha,
    Beta,
    Stable,
}

fn parse(version: &str) -> Option<(Stage, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = rest.split_at(digits);
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0 && !text.starts_with('0'));
    let major = number(major)?;
    if rest.is_empty() {
        return Some((Stage::Stable, major, 0));
    }
    let (stage, minor) = match (rest.strip_prefix("alpha"), rest.strip_prefix("beta")) {
        (Some(minor), _) => (Stage::Alpha, minor),
        (_, Some(minor)) => (Stage::Beta, minor),
        (None, None) => return None,
    };
    Some((stage, major, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_before_others_and_later_before_earlier() {
        let mut versions: Vec<String> =
            ["foo1", "v1alpha1", "v10beta3", "v1", "v2", "v11alpha2", "v1beta1", "foo10"].map(String::from).to_vec();
        versions_by_preference(&mut versions);
        assert_eq!(versions, ["v2", "v1", "v10beta3", "v1beta1", "v11alpha2", "v1alpha1", "foo1", "foo10"]);
    }
}
