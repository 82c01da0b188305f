//! Flags of kube-apiserver that are no flags of ours, so that a command line which was written for it starts or is told
//! what it asks for in vain. Each stands in `foreign.txt`, with the reason.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::resources::facts::{Flag, flags};

const ROWS: &str = include_str!("foreign.txt");

/// What becomes of a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It changes nothing.
    Ignored,
    /// Another value than upstream's default is an error.
    Refused,
    /// It is one of ours, and not quite the same.
    Differs,
}

/// A flag that is not ours, or not quite upstream's.
#[derive(Debug)]
pub(super) struct Foreign {
    pub name: &'static str,
    pub fate: Fate,
    pub why: &'static str,
}

/// Those that are not ours, by name.
pub(super) fn foreign() -> impl Iterator<Item = Foreign> {
    rows().filter(|row| row.fate != Fate::Differs)
}

fn rows() -> impl Iterator<Item = Foreign> {
    ROWS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.splitn(3, ' ');
        let (name, fate, why) = (columns.next()?, columns.next()?, columns.next()?);
        let fate = match fate {
            "ignored" => Fate::Ignored,
            "refused" => Fate::Refused,
            _ => Fate::Differs,
        };
        Some(Foreign { name, fate, why })
    })
}

/// The command, which knows them without telling of them, and so do its subcommands that run a cluster.
pub(super) fn known(command: Command, running: &str) -> Command {
    let with = |command: Command| command.args(foreign().filter_map(|row| Some(arg(flag(row.name)?))));
    with(command).mut_subcommand(running, with)
}

fn flag(name: &str) -> Option<Flag> {
    flags().find(|flag| flag.name == name)
}

fn arg(flag: Flag) -> Arg {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .hide(true)
        .action(ArgAction::Append)
        .value_parser(clap::value_parser!(OsString));
    match flag.is_switch() {
        // A switch takes its value behind a sign only, as in Go.
        true => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        false => arg.num_args(1).allow_hyphen_values(true),
    }
}

/// What is to be said of the foreign flags that are given.
///
/// # Errors
/// With all that are given in vain.
pub(super) fn judge(matches: &ArgMatches) -> anyhow::Result<Vec<String>> {
    let (mut ignored, mut refused) = (Vec::new(), Vec::new());
    for Foreign { name, fate, why } in foreign() {
        // Flags are on the command line that runs the cluster only.
        if !matches!(matches.try_contains_id(name), Ok(true))
            || matches.value_source(name) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let values = matches.get_many::<OsString>(name).into_iter().flatten();
        let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
        match fate {
            _ if flag(name).is_some_and(|flag| values.iter().all(|value| flag.is_default(value))) => {}
            Fate::Ignored => ignored.push(format!("--{name} changes nothing: {why}")),
            Fate::Refused | Fate::Differs => refused.push(format!("--{name} is not supported: {why}")),
        }
    }
    if refused.is_empty() { Ok(ignored) } else { Err(anyhow::anyhow!(refused.join("\n  "))) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::app::flags::Cli;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/flags.md");

    fn judged(args: &[&str]) -> Result<Vec<String>, String> {
        let command = known(Cli::command(), "up");
        let matches = command.try_get_matches_from([&["coracle"], args].concat()).map_err(|error| error.to_string())?;
        Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        let inner = matches.subcommand_matches("up").unwrap_or(&matches);
        judge(inner).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_of_stock_is_ours_or_has_a_reason() {
        let ours: BTreeSet<String> =
            Cli::command().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        let foreign: BTreeSet<String> = foreign().map(|row| row.name.to_owned()).collect();
        let stock: BTreeSet<String> = flags().map(|flag| flag.name.to_owned()).collect();
        let both: Vec<_> = ours.intersection(&foreign).collect();
        assert!(both.is_empty(), "flags of ours stand in foreign.txt: {both:?}");
        let differs: BTreeSet<String> =
            rows().filter(|row| row.fate == Fate::Differs).map(|row| row.name.to_owned()).collect();
        assert!(differs.is_subset(&ours), "what differs is ours: {differs:?}");
        let strange: Vec<_> = foreign.difference(&stock).collect();
        assert!(strange.is_empty(), "stock has no such flags: {strange:?}");
        let known: BTreeSet<String> = &ours | &foreign;
        let unknown: Vec<_> = stock.difference(&known).collect();
        assert!(unknown.is_empty(), "flags of stock without a word in foreign.txt: {unknown:?}");
    }

    #[test]
    fn a_flag_with_its_default_or_about_what_is_not_here_changes_nothing() {
        let quiet = ["--watch-cache", "--profiling=false", "--request-timeout", "60s", "--goaway-chance=0"];
        assert_eq!(judged(&quiet), Ok(vec!["--profiling changes nothing: there are no profiles to fetch".to_owned()]));
        let etcd = judged(&["up", "--etcd-servers=http://a", "--etcd-servers", "http://b", "--nodes=1"]).unwrap();
        assert_eq!(etcd, ["--etcd-servers changes nothing: the database is a file in --data-dir"]);
        assert_eq!(judged(&["--nodes=0"]), Ok(Vec::new()));
    }

    #[test]
    fn a_flag_that_would_be_in_vain_is_refused_with_the_reason() {
        let refused = judged(&["--watch-cache=false", "--audit-log-path=/x"]).unwrap_err();
        let lines: Vec<&str> = refused.lines().collect();
        assert_eq!(lines[0], "--audit-log-path is not supported: there is no audit log");
        assert!(lines[1].contains("--watch-cache is not supported"), "{refused}");
        assert!(judged(&["--no-such-flag=1"]).is_err());
    }

    fn page() -> String {
        let about = |flag: &Flag| match rows().find(|row| row.name == flag.name) {
            None => "as in kube-apiserver".to_owned(),
            Some(Foreign { fate: Fate::Differs, why, .. }) => format!("as in kube-apiserver, but {why}"),
            Some(Foreign { fate: Fate::Ignored, why, .. }) => format!("changes nothing: {why}"),
            Some(Foreign { fate: Fate::Refused, why, .. }) => format!("not supported but as it is by default: {why}"),
        };
        let rows: String = flags().map(|flag| format!("| `--{}` | {} |\n", flag.name, about(&flag))).collect();
        format!(
            "# Flags of kube-apiserver\n\nWhat each flag of kube-apiserver does here. Flags of Coracle's own stand in \
             `coracle --help`.\nThis page is made of `src/app/foreign.txt`: \
             `cargo test --lib foreign -- --ignored write_the_page`.\n\n| flag | here |\n|---|---|\n{rows}"
        )
    }

    #[test]
    fn the_page_about_flags_is_as_the_table_says() {
        let written = std::fs::read_to_string(PAGE).unwrap();
        assert_eq!(written, page(), "write it anew: cargo test --lib foreign -- --ignored write_the_page");
    }

    /// Not a test: writes the page.
    #[test]
    #[ignore = "writes docs/flags.md"]
    fn write_the_page() {
        std::fs::write(PAGE, page()).unwrap();
    }
}
