//! The indexes of pods of an indexed Job as text: `0,2-4`.

use crate::api::field::go_quote;

/// How many indexes a text names.
///
/// # Errors
/// With upstream's words when it is no ascending list of indexes below the number of completions.
pub(super) fn total_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut total = 0;
    let mut last: Option<i64> = None;
    for interval in text.split(',') {
        let (first, end) = interval_of(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that both texts name; intervals that are malformed count for nothing.
pub(super) fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|interval| interval_of(interval, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut left, mut right) = (completed.iter().peekable(), failed.iter().peekable());
    while let (Some((first, last)), Some((low, high))) = (left.peek(), right.peek()) {
        if first <= high && low <= last {
            return Some(*first.max(low));
        }
        if first <= low {
            left.next();
        } else {
            right.next();
        }
    }
    None
}

fn interval_of(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    let number = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", go_quote(text)))?;
        if number >= completions { Err(format!("too large index: {}", go_quote(text))) } else { Ok(number) }
    };
    match limits.as_slice() {
        [one] => number(one).map(|one| (one, one)),
        [first, end] => {
            let (first, end) = (number(first)?, number(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go_quote(interval)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_index_of_both_is_found() {
        assert_eq!(overlap("0-2,5", "3,5-6", 9), Some(5));
        assert_eq!(overlap("0-2", "x,3", 9), None);
    }

    #[test]
    fn indexes_are_counted_in_ascending_order() {
        assert_eq!(total_indexes("0,2-4", 5), Ok(4));
        assert_eq!(total_indexes("3,1", 5), Err("non-increasing order, previous: 3, current: 1".to_owned()));
        assert_eq!(total_indexes("5", 5), Err("too large index: \"5\"".to_owned()));
        assert_eq!(total_indexes("a", 5), Err("cannot convert string to integer for index: \"a\"".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_counted_or_refused(text in "[0-9,-]{0,30}|.{0,20}", completions in proptest::num::i64::ANY) {
            if let Ok(total) = total_indexes(&text, completions) {
                assert!(total >= 0, "{text}");
            }
            let _ = overlap(&text, &text, completions);
        }
    }
}
