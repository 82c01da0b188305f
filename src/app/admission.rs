//! The flags that say which admission plugins run, in the words of former times, and how one of them behaves.

use clap::Args;

use super::Config;
use crate::admission::{DefaultTolerationSeconds, PLUGINS};
use crate::api::cel::admission::aggregate;

#[derive(Args, Debug)]
#[command(next_help_heading = "Authorization and admission")]
pub(super) struct AdmissionFlags {
    /// Seconds for which pods bear a node that is not ready, where they do not say it
    #[arg(long, value_name = "SECONDS", default_value_t = DefaultTolerationSeconds::default().not_ready,
          allow_negative_numbers = true)]
    default_not_ready_toleration_seconds: i64,
    /// Seconds for which pods bear a node that is not reached, where they do not say it
    #[arg(long, value_name = "SECONDS", default_value_t = DefaultTolerationSeconds::default().unreachable,
          allow_negative_numbers = true)]
    default_unreachable_toleration_seconds: i64,
    /// Admission plugins to run and no others; deprecated for the two flags above
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    admission_control: Option<Vec<String>>,
}

impl AdmissionFlags {
    /// Adds what they say to the other flags' saying.
    ///
    /// # Errors
    /// In upstream's words, for plugins that there are not, and for flags that go together and are both given.
    pub(super) fn apply(&self, config: &mut Config) -> anyhow::Result<()> {
        config.tolerations = DefaultTolerationSeconds {
            not_ready: self.default_not_ready_toleration_seconds,
            unreachable: self.default_unreachable_toleration_seconds,
        };
        let Some(names) = &self.admission_control else { return Ok(()) };
        let mut errors = Vec::new();
        if !config.enable_admission_plugins.is_empty() || !config.disable_admission_plugins.is_empty() {
            let others = "enable-admission-plugins/disable-admission-plugins";
            errors.push(format!("admission-control and {others} flags are mutually exclusive"));
        }
        let unknown = names.iter().filter(|name| !name.is_empty() && PLUGINS.iter().all(|row| row.name != **name));
        errors.extend(unknown.map(|name| format!("admission-control plugin {name:?} is unknown")));
        anyhow::ensure!(errors.is_empty(), aggregate(&errors));
        config.enable_admission_plugins = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        let others = PLUGINS.iter().map(|row| row.name.to_owned()).filter(|name| !names.contains(name));
        config.disable_admission_plugins = others.collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::app::flags::Cli;

    fn config(args: &[&str]) -> Result<Config, String> {
        let cli = Cli::parse_from([&["coracle", "--ephemeral"], args].concat());
        cli.up.config().map_err(|error| error.to_string())
    }

    #[test]
    fn admission_control_names_all_plugins_that_run() {
        let config = config(&["--admission-control=Priority,LimitRanger"]).unwrap();
        assert_eq!(config.enable_admission_plugins, ["Priority", "LimitRanger"]);
        assert_eq!(config.disable_admission_plugins.len(), PLUGINS.len() - 2);
    }

    #[test]
    fn admission_control_that_makes_no_sense_is_refused_in_upstreams_words() {
        let unknown = config(&["--admission-control=Foo"]).unwrap_err();
        assert_eq!(unknown, r#"admission-control plugin "Foo" is unknown"#);
        let both = config(&["--admission-control=Priority", "--enable-admission-plugins=Priority"]).unwrap_err();
        let flags = "enable-admission-plugins/disable-admission-plugins";
        assert_eq!(both, format!("admission-control and {flags} flags are mutually exclusive"));
    }

    #[test]
    fn tolerations_are_as_long_as_flags_say() {
        let config = config(&["--default-not-ready-toleration-seconds=7"]).unwrap();
        assert_eq!(config.tolerations, DefaultTolerationSeconds { not_ready: 7, unreachable: 300 });
    }
}
