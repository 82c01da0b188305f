//! The flags of kube-apiserver.

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    /// As Go's flags name their types: `bool`, `duration`, `stringSlice` …
    pub kind: &'static str,
    /// As the help shows it.
    pub default: &'static str,
}

/// All flags, by name.
pub fn flags() -> impl Iterator<Item = Flag> {
    include_str!("flags.txt").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.splitn(3, ' ');
        let (name, kind, default) = (columns.next()?, columns.next()?, columns.next()?);
        Some(Flag { name, kind, default: default.trim_matches('"') })
    })
}

impl Flag {
    /// Whether it may stand without a value.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, "bool" | "version")
    }

    /// Whether a value is the one that counts without the flag.
    pub fn is_default(&self, value: &str) -> bool {
        use crate::api::time::GoDuration;
        if self.kind == "duration" {
            let (given, default) = (GoDuration::parse(value), GoDuration::parse(self.default));
            return given.is_ok_and(|given| default.is_ok_and(|default| given == default));
        }
        let bare = self.default.trim_start_matches('[').trim_end_matches(']');
        value == self.default || value == bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_may_be_written_in_more_than_one_way() {
        let flag = |name: &str| flags().find(|flag| flag.name == name).unwrap();
        assert!(flag("request-timeout").is_default("60s") && flag("request-timeout").is_default("1m0s"));
        assert!(!flag("request-timeout").is_default("61s"));
        assert!(flag("cors-allowed-origins").is_default("") && !flag("cors-allowed-origins").is_default("a"));
        assert!(flag("watch-cache").is_switch() && !flag("vmodule").is_switch());
    }
}
