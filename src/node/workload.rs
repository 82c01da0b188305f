//! How long a container that is only simulated runs, and with which code it ends: what a user expects when reading its
//! command.

use std::time::Duration;

use super::pod::{Container, Pod};

/// How long a short command takes.
const SHORT: Duration = Duration::from_secs(1);

/// What becomes of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Course {
    RunsOn,
    Ends { after: Duration, code: i32 },
}

/// What becomes of a pod's container. With restartPolicy Always nothing ends, because a server is meant. A pod of a
/// Job, or one with a command, ends after a moment, unless the command says otherwise.
pub(super) fn course(pod: &Pod, container: &Container) -> Course {
    if !matches!(pod.spec.restart_policy.as_str(), "Never" | "OnFailure") {
        return Course::RunsOn;
    }
    let words: Vec<&str> =
        container.command.iter().chain(&container.args).flat_map(|word| word.split_whitespace()).collect();
    if words.is_empty() {
        return if pod.of_job() { Course::Ends { after: SHORT, code: 0 } } else { Course::RunsOn };
    }
    read(&words)
}

fn read(words: &[&str]) -> Course {
    let bare = |word: &str| word.trim_end_matches([';', '"', '\'']).trim_start_matches(['"', '\'']).to_owned();
    let after = |name: &str| {
        let at = words.iter().position(|word| bare(word).rsplit('/').next() == Some(name))?;
        Some(words.get(at + 1).map(|word| bare(word)).unwrap_or_default())
    };
    if words.iter().any(|word| matches!(bare(word).rsplit('/').next(), Some("pause" | "netexec" | "tail"))) {
        return Course::RunsOn;
    }
    let slept = match after("sleep").map(|text| parse_sleep(&text)) {
        Some(None) => return Course::RunsOn,
        Some(Some(time)) => time,
        None => SHORT,
    };
    let fails = words.iter().any(|word| bare(word).rsplit('/').next() == Some("false"));
    let code = after("exit").and_then(|code| code.parse().ok()).unwrap_or(i32::from(fails));
    Course::Ends { after: slept, code }
}

/// The time of a `sleep`; `None` for ever.
fn parse_sleep(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().next_back()),
        None => (text, None),
    };
    let seconds = match unit {
        Some('m') => 60.0,
        Some('h') => 3600.0,
        Some('d') => 86_400.0,
        Some(_) | None => 1.0,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(policy: &str, command: &[&str], expected: Course) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "command": command}]},
        }))
        .unwrap();
        assert_eq!(course(&pod, &pod.spec.containers[0]), expected, "{command:?}");
    }

    #[test]
    fn a_container_ends_as_its_command_says() {
        let ends = |seconds, code| Course::Ends { after: Duration::from_secs(seconds), code };
        check("Always", &["false"], Course::RunsOn);
        check("Never", &[], Course::RunsOn);
        check("Never", &["echo", "hello"], ends(1, 0));
        check("Never", &["/bin/false"], ends(1, 1));
        check("Never", &["sh", "-c", "sleep 5; exit 7"], ends(5, 7));
        check("OnFailure", &["sleep", "2m"], ends(120, 0));
        check("Never", &["sleep", "infinity"], Course::RunsOn);
        check("Never", &["/agnhost", "pause"], Course::RunsOn);
    }
}
