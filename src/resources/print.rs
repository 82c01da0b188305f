//! What the cells of printed rows have in common: ages, label selectors, lists that are cut short, as upstream's
//! `pkg/printers/internalversion` writes them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Moment;
use super::tree::{Tree, items, text};
use crate::api::Object;
use crate::api::labels::Selector;

/// The time since the creation of an object.
pub fn age(object: &Object, moment: &Moment) -> String {
    since(object.text_at(&["metadata", "creationTimestamp"]), moment)
}

/// The time since a moment in RFC 3339, `<unknown>` when it is not set.
pub(super) fn since(time: &str, moment: &Moment) -> String {
    elapsed(time, moment).map_or_else(|| "<unknown>".to_owned(), human_duration)
}

/// The time since a moment in RFC 3339, `None` when it is not set.
pub(super) fn elapsed(time: &str, moment: &Moment) -> Option<SignedDuration> {
    let then: Timestamp = time.parse().ok()?;
    Some(moment.now.duration_since(then))
}

/// A duration in the short form of `kubectl get`.
pub(super) fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let pair = |large: i64, unit: &str, small: i64, rest: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{rest}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => pair(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => pair(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

/// The names and the images of containers, each separated by commas.
pub(super) fn containers_and_images(object: &Object, pod_spec: &[&str]) -> (String, String) {
    let containers = object.get(pod_spec).and_then(Value::as_object);
    let column = |key: &str| {
        containers
            .into_iter()
            .flat_map(|spec| items(spec, "containers"))
            .map(|c| text(c, key))
            .collect::<Vec<_>>()
            .join(",")
    };
    (column("name"), column("image"))
}

/// A map of labels; `<none>` when it is empty.
pub(super) fn labels(map: Option<&Value>) -> String {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    or_none(&pairs.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect::<Vec<_>>().join(","))
}

/// A label selector in its text form; `<none>` when it selects nothing or everything, `<error>` when it is not valid.
pub(super) fn label_selector(selector: Option<&Value>) -> String {
    selector_text(selector).map_or_else(|| "<error>".to_owned(), |text| or_none(&text))
}

/// A label selector in its text form, empty when it selects nothing or everything; `None` when it is not valid.
pub(super) fn selector_text(selector: Option<&Value>) -> Option<String> {
    Selector::from_label_selector(selector).ok().map(|selector| selector.to_string())
}

/// The text, or `<none>` when it is empty.
pub(super) fn or_none(text: &str) -> String {
    or(text, "<none>")
}

/// The text, or another one when it is empty.
pub(super) fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}

/// The first texts of a list and how many more there are; `<unset>` when there are none.
pub(super) fn first_of(list: &[String], max: usize) -> String {
    let shown = list.iter().take(max).map(String::as_str).collect::<Vec<_>>().join(",");
    match list.len().checked_sub(max) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        Some(_) | None => or(&shown, "<unset>"),
    }
}

/// A text or a number as text: `IntOrString`, quantities.
pub(super) fn plain(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A quantity by path; `0` when it is not set.
pub(super) fn quantity(object: &Object, path: &[&str]) -> String {
    plain(object.get(path)).unwrap_or_else(|| "0".to_owned())
}

/// An integer by path; 0 when it is not set.
pub(super) fn int(object: &Object, path: &[&str]) -> i64 {
    object.int_at(path).unwrap_or(0)
}

/// A boolean by path.
pub(super) fn flag(object: &Object, path: &[&str], otherwise: bool) -> bool {
    object.get(path).and_then(Value::as_bool).unwrap_or(otherwise)
}

/// A text by path, or another one when the field is not set.
pub(super) fn text_or(object: &Object, path: &[&str], otherwise: &str) -> String {
    object.get(path).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
}

/// The addresses and host names that a load balancer gave, sorted and each once.
pub(super) fn load_balancer(object: &Object) -> String {
    let ingress = super::tree::list(object, &["status", "loadBalancer", "ingress"]);
    let address = |entry: &Tree| match text(entry, "ip") {
        "" => text(entry, "hostname").to_owned(),
        ip => ip.to_owned(),
    };
    let set: std::collections::BTreeSet<String> = ingress.map(address).filter(|a| !a.is_empty()).collect();
    set.into_iter().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_duration(seconds: i64, expected: &str) {
        assert_eq!(human_duration(SignedDuration::from_secs(seconds)), expected);
    }

    #[test]
    fn durations_lose_precision_as_they_grow() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        check_duration(-2, "<invalid>");
        check_duration(-1, "0s");
        check_duration(119, "119s");
        check_duration(120, "2m");
        check_duration(121, "2m1s");
        check_duration(601, "10m");
        check_duration(3 * HOUR, "3h");
        check_duration(3 * HOUR + 60, "3h1m");
        check_duration(8 * HOUR + 60, "8h");
        check_duration(2 * DAY + HOUR, "2d1h");
        check_duration(8 * DAY + HOUR, "8d");
        check_duration(2 * 365 * DAY + DAY, "2y1d");
        check_duration(8 * 365 * DAY + DAY, "8y");
    }

    #[test]
    fn selectors_print_sorted_by_key() {
        let selector = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]});
        assert_eq!(label_selector(Some(&selector)), "a in (x,y),b=1,!c");
        assert_eq!(label_selector(Some(&json!({}))), "<none>");
        assert_eq!(label_selector(Some(&json!({"matchExpressions": [{"key": "a", "operator": "No"}]}))), "<error>");
    }

    #[test]
    fn long_lists_are_cut_short() {
        let list: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!(first_of(&list, 3), "a,b,c + 1 more...");
        assert_eq!(first_of(&list[..3], 3), "a,b,c");
        assert_eq!(first_of(&[], 3), "<unset>");
    }
}
