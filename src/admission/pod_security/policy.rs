//! The pod security policy of a namespace, as its labels say it (pod-security-admission `api`).

use std::fmt;

use crate::api::field::{Errors, FieldError, Path};

/// The version whose checks are the newest; what asks for a newer one gets these.
const NEWEST_MINOR: u32 = 37;

/// How strict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// A level as some version of Kubernetes understands it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standard {
    pub level: Level,
    /// The minor version; `None`: the latest.
    pub minor: Option<u32>,
}

/// What is refused, what is warned of, and what is noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Policy {
    pub enforce: Standard,
    pub warn: Standard,
    pub audit: Standard,
}

const PRIVILEGED: Standard = Standard { level: Level::Privileged, minor: None };

/// What may be in the place of a level, and of a version.
pub(super) const LEVELS: &str = "must be one of privileged, baseline, restricted";
pub(super) const VERSIONS: &str = r#"must be "latest" or "v1.x""#;

impl Default for Policy {
    fn default() -> Self {
        Self { enforce: PRIVILEGED, warn: PRIVILEGED, audit: PRIVILEGED }
    }
}

impl Level {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl Standard {
    /// The minor version whose checks count.
    pub(super) fn checks(self) -> u32 {
        self.minor.unwrap_or(NEWEST_MINOR).min(NEWEST_MINOR)
    }

    /// Its version as metrics name it: there are no more names than there are versions.
    pub(super) fn version(self) -> String {
        match self.minor {
            Some(minor) if self.level != Level::Privileged && minor > NEWEST_MINOR => "future".to_owned(),
            Some(minor) if self.level != Level::Privileged => format!("v1.{minor}"),
            Some(_) | None => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Standard {
    /// `restricted:latest`, `baseline:v1.24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.as_str();
        match self.minor {
            Some(minor) => write!(f, "{level}:v1.{minor}"),
            None => write!(f, "{level}:latest"),
        }
    }
}

/// `latest` or `v1.N` without leading zeros.
pub(super) fn version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let digits = text.strip_prefix("v1.")?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    (plain && !digits.is_empty()).then(|| digits.parse().ok()).flatten().map(Some)
}

impl Policy {
    /// The policy that labels say over one for those that say nothing, and what is wrong with them. What cannot be
    /// understood is enforced as strictly as can be, and not warned of.
    pub(super) fn of_labels<'a>(self, label: impl Fn(&str) -> Option<&'a str>) -> (Self, Errors) {
        let mut policy = self;
        let mut errors = Errors::new();
        let mut known_enforce = false;
        let Self { enforce, warn, audit } = &mut policy;
        for (mode, standard) in [("enforce", enforce), ("audit", audit), ("warn", warn)] {
            let refuse = |key: &str, value: &str, why: &str| {
                let metadata = Path::new("metadata");
                let labels = metadata.child("labels");
                FieldError::invalid(&labels.key(key), value, why)
            };
            let key = format!("pod-security.kubernetes.io/{mode}");
            if let Some(value) = label(&key) {
                let fallback = if mode == "enforce" { Level::Restricted } else { Level::Privileged };
                let parsed = Level::parse(value);
                known_enforce |= mode == "enforce" && parsed.is_some();
                if parsed.is_none() {
                    errors.push(refuse(&key, value, LEVELS));
                }
                standard.level = parsed.unwrap_or(fallback);
            }
            let key = format!("{key}-version");
            if let Some(value) = label(&key) {
                let parsed = version(value);
                if parsed.is_none() {
                    errors.push(refuse(&key, value, VERSIONS));
                }
                standard.minor = parsed.flatten();
            }
        }
        let unsaid = |suffix| label(&format!("pod-security.kubernetes.io/warn{suffix}")).is_none();
        if unsaid("") && known_enforce && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if unsaid("-version") {
                policy.warn.minor = policy.enforce.minor;
            }
        }
        (policy, errors)
    }

    /// Nothing is refused and nothing warned of.
    pub(super) fn allows_everything(&self) -> bool {
        [self.enforce, self.warn, self.audit].iter().all(|standard| standard.level == Level::Privileged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(labels: &[(&str, &str)], enforce: &str, warn: &str, errors: &[&str]) {
        let labels: Vec<_> = labels.iter().map(|(k, v)| (format!("pod-security.kubernetes.io/{k}"), *v)).collect();
        let label = |key: &str| labels.iter().find(|(k, _)| k == key).map(|(_, v)| *v);
        let (policy, found) = Policy::default().of_labels(label);
        assert_eq!((policy.enforce.to_string().as_str(), policy.warn.to_string().as_str()), (enforce, warn));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), errors);
    }

    #[test]
    fn labels_say_levels_and_versions_and_warnings_follow_what_is_enforced() {
        check(&[], "privileged:latest", "privileged:latest", &[]);
        check(&[("enforce", "baseline"), ("enforce-version", "v1.24")], "baseline:v1.24", "baseline:v1.24", &[]);
        check(&[("enforce", "baseline"), ("warn", "restricted")], "baseline:latest", "restricted:latest", &[]);
        check(&[("enforce", "restricted"), ("warn", "privileged")], "restricted:latest", "privileged:latest", &[]);
    }

    #[test]
    fn wrong_labels_are_enforced_strictly_and_told_in_upstreams_words() {
        let level = "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, \
                     baseline, restricted";
        check(&[("enforce", "x")], "restricted:latest", "privileged:latest", &[level]);
        let version = "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v1.01\": must be \
                       \"latest\" or \"v1.x\"";
        check(&[("audit-version", "v1.01")], "privileged:latest", "privileged:latest", &[version]);
    }
}
