//! The command line. Flags of kube-apiserver keep its names and meaning.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::admission::AdmissionFlags;
use super::authentication::AuthenticationFlags;
use super::authorization::AuthorizationFlags;
use super::config::{Config, Controllers, Data, NODE_PORTS};
use super::kubelets::Kubelets;
use crate::admission::PLUGINS;
use crate::api::field::go_quote;
use crate::api::time::GoDuration;
use crate::resources::STAGES;

/// A whole Kubernetes control plane in one binary over one SQLite file.
#[derive(Parser, Debug)]
#[command(name = "coracle", disable_version_flag = true, args_conflicts_with_subcommands = true)]
// Of a flag that is given twice the last one counts, as in Go.
#[command(args_override_self = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub up: Up,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Run a cluster in the foreground (what happens without a command, too)
    Up(Box<Up>),
    /// Copy the database to a new file, while the cluster runs or not
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        #[command(flatten)]
        data: DataFolder,
    },
    /// Verify a database file without changing it
    Check {
        /// The file to read [default: the database in the data folder]
        file: Option<PathBuf>,
        #[command(flatten)]
        data: DataFolder,
    },
    /// Print the version
    Version,
    /// Print a script that completes commands and flags
    Completion { shell: clap_complete::Shell },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum LoggingFormat {
    Text,
    Json,
}

/// The data folder of a command about files.
#[derive(Args, Debug)]
pub(super) struct DataFolder {
    /// Folder of the database [default: coracle in the user's data folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// # Errors
    /// When there is no place for data.
    pub(super) fn path(self) -> anyhow::Result<PathBuf> {
        self.data_dir.map_or_else(default_data_dir, Ok)
    }
}

#[derive(Args, Debug)]
pub(super) struct Up {
    /// Folder for the database, certificates and keys [default: coracle in the user's data folder]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Keep everything in memory
    #[arg(long, help_heading = "Data", conflicts_with = "data_dir")]
    pub ephemeral: bool,
    /// Lists and watches go on from states this old (5m, 24h); older ones are forgotten, with 0 only what is too much
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_interval, help_heading = "Data")]
    pub etcd_compaction_interval: Duration,
    /// Write the kubeconfig to this file and leave the user's own alone
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub kubeconfig: Option<PathBuf>,

    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), help_heading = "Serving")]
    pub bind_address: IpAddr,
    /// Address that clients are told to reach the server at [default: the one to listen on, or of every address
    /// 127.0.0.1; in the endpoints of the service kubernetes always one of the machine's]
    #[arg(long, value_name = "IP", help_heading = "Serving")]
    pub advertise_address: Option<IpAddr>,
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 6443, help_heading = "Serving")]
    pub secure_port: u16,
    /// Folder for certificates [default: pki in the data folder]
    #[arg(long, value_name = "DIR", help_heading = "Serving")]
    pub cert_dir: Option<PathBuf>,
    /// Requests that only read and are answered at once, at most
    #[arg(long, value_name = "N", default_value_t = 400, help_heading = "Serving")]
    pub max_requests_inflight: usize,
    /// Requests that change something and are answered at once, at most
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Serving")]
    pub max_mutating_requests_inflight: usize,
    /// Watches without a time-out of their own live this many seconds at least
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, help_heading = "Serving")]
    pub min_request_timeout: u64,

    /// Authorities whose client certificates are accepted beside our own
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub client_ca_file: Option<PathBuf>,
    /// CSV of static tokens: token,user,uid,"groups"
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub token_auth_file: Option<PathBuf>,
    /// Requests without credentials are those of system:anonymous [default: true]
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", value_parser = parse_bool, help_heading = "Authentication")]
    pub anonymous_auth: Option<bool>,
    /// Issuer of ServiceAccount tokens; the first one issues, all are accepted
    #[arg(long, value_name = "URL", help_heading = "Authentication")]
    pub service_account_issuer: Vec<String>,
    /// Keys that verify ServiceAccount tokens
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub service_account_key_file: Vec<PathBuf>,
    /// The key that signs ServiceAccount tokens
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Audiences of this server [default: the issuers]
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Authentication")]
    pub api_audiences: Vec<String>,

    #[command(flatten)]
    pub authentication: AuthenticationFlags,

    #[command(flatten)]
    pub authorization: AuthorizationFlags,
    /// Admission plugins to run beside the default ones
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Authorization and admission",
        long_help = plugins_help("Admission plugins to run beside the default ones")
    )]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins of the default ones not to run
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Authorization and admission",
        long_help = plugins_help("Admission plugins of the default ones not to run")
    )]
    pub disable_admission_plugins: Vec<String>,
    /// Configuration of admission plugins
    #[arg(long, value_name = "FILE", help_heading = "Authorization and admission")]
    pub admission_control_config_file: Option<PathBuf>,
    #[command(flatten)]
    pub admission: AdmissionFlags,

    /// APIs to serve or not: group/version[/resource]=true, api/all, api/ga, api/beta, api/alpha
    #[arg(long, value_name = "API=BOOL", value_delimiter = ',', help_heading = "API")]
    pub runtime_config: Vec<String>,
    /// Feature gates: Name=true
    #[arg(long, value_name = "GATE=BOOL", value_delimiter = ',', help_heading = "API")]
    pub feature_gates: Vec<String>,
    /// Addresses of Services; the default is kind's, since kube-apiserver's own (10.0.0.0/24) is deprecated and small
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.96.0.0/16", help_heading = "API")]
    pub service_cluster_ip_range: Vec<String>,
    /// Ports of nodes for Services: 30000-32767, 30000+2767, 30000
    #[arg(long, value_name = "PORTS", default_value = "30000-32767", value_parser = parse_ports, help_heading = "API")]
    pub service_node_port_range: RangeInclusive<u16>,
    /// How long events are kept; 0 keeps them for ever
    #[arg(long, value_name = "DURATION", default_value = "1h0m0s", value_parser = parse_duration, help_heading = "API")]
    pub event_ttl: Duration,

    #[command(flatten)]
    pub kubelets: Kubelets,

    /// Controllers to run: '*' for all, 'name' to run one, '-name' not to
    #[arg(long, value_name = "NAMES", default_value = "*", allow_hyphen_values = true, help_heading = "Cluster")]
    pub controllers: String,
    /// Run the scheduler
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", value_parser = parse_bool, help_heading = "Cluster")]
    pub scheduler: bool,
    /// How many nodes to simulate
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Cluster")]
    pub nodes: u32,

    /// How much to log: 0 to 10
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0, help_heading = "Logging")]
    pub verbosity: u8,
    /// How to log
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Logging")]
    pub logging_format: LoggingFormat,
}

impl Up {
    /// The cluster that the flags describe.
    ///
    /// # Errors
    /// When a switch is not `name=true` or `name=false`, or there is no place for data.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let data = match (&self.data_dir, self.ephemeral) {
            (_, true) => Data::Ephemeral,
            (Some(folder), false) => Data::Folder(folder.clone()),
            (None, false) => Data::Folder(default_data_dir()?),
        };
        let mut config = Config {
            data,
            bind_address: self.bind_address,
            secure_port: self.secure_port,
            cert_dir: self.cert_dir.clone(),
            client_ca_file: self.client_ca_file.clone(),
            token_auth_file: self.token_auth_file.clone(),
            anonymous_auth: self.anonymous_auth,
            service_account_key_files: self.service_account_key_file.clone(),
            service_account_signing_key_file: self.service_account_signing_key_file.clone(),
            api_audiences: listed(&self.api_audiences),
            service_cluster_ip_ranges: ranges(&self.service_cluster_ip_range)?,
            node_ports: self.service_node_port_range.clone(),
            advertise_address: self.advertise_address,
            authentication: self.authentication.settings(),
            authorization: self.authorization.settings(),
            enable_admission_plugins: listed(&self.enable_admission_plugins),
            disable_admission_plugins: listed(&self.disable_admission_plugins),
            admission_control_config_file: self.admission_control_config_file.clone(),
            runtime: api_switches(&self.runtime_config)?,
            feature_gates: gate_switches(&self.feature_gates)?,
            controllers: Controllers {
                selection: self.controllers.clone(),
                scheduler: self.scheduler,
                nodes: self.nodes,
            },
            kubelets: self.kubelets.clone(),
            history: self.etcd_compaction_interval,
            ..Config::default()
        };
        if !self.service_account_issuer.is_empty() {
            config.service_account_issuers.clone_from(&self.service_account_issuer);
        }
        config.event_ttl = self.event_ttl;
        config.limits.reading_in_flight_max = self.max_requests_inflight;
        config.limits.writing_in_flight_max = self.max_mutating_requests_inflight;
        config.limits.watch_seconds_min = self.min_request_timeout;
        self.admission.apply(&mut config)?;
        Ok(config)
    }
}

/// As kube-apiserver tells of them.
fn plugins_help(about: &str) -> String {
    let on: Vec<&str> = PLUGINS.iter().filter(|row| row.on_by_default).map(|row| row.name).collect();
    let mut all: Vec<&str> = PLUGINS.iter().map(|row| row.name).collect();
    all.sort_unstable();
    let (on, all) = (on.join(", "), all.join(", "));
    format!("{about} ({on}). Comma-delimited list of: {all}. The order of plugins in this flag does not matter")
}

/// A list that is given as nothing has no items.
pub(super) fn listed(texts: &[String]) -> Vec<String> {
    texts.iter().filter(|text| !text.is_empty()).cloned().collect()
}

/// No range at all is the one that stands in the help.
fn ranges(texts: &[String]) -> anyhow::Result<Vec<ipnet::IpNet>> {
    if let [only] = texts
        && only.trim().is_empty()
    {
        return Ok(Config::default().service_cluster_ip_ranges);
    }
    let range = |(index, text): (usize, &String)| {
        text.trim().parse().map_err(|_| anyhow::anyhow!("service-cluster-ip-range[{index}] is not a valid cidr"))
    };
    texts.iter().enumerate().map(range).collect()
}

/// `--runtime-config`: the name of a version or a resource without a value is switched on.
fn api_switches(texts: &[String]) -> anyhow::Result<Vec<(String, bool)>> {
    let switch = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (name, value) = (name.trim(), value.trim());
        // Names of old for all of the legacy group.
        let legacy = ["v1", "api/v1"].iter().any(|old| name == *old || name.starts_with(&format!("{old}/")));
        let name = if legacy { "/v1" } else { name };
        let on = match (STAGES.contains(&name), value) {
            (true, "true") | (false, "") => true,
            (true, "false") => false,
            (true, _) => anyhow::bail!("invalid value {name}={value}"),
            (false, _) => {
                parse_bool(value).map_err(|why| anyhow::anyhow!("invalid value of {name}: {value}, err: {why}"))?
            }
        };
        Ok((name.to_owned(), on))
    };
    // It has meant nothing for long.
    let means = |text: &&String| !text.is_empty() && text.split('=').next() != Some("api/legacy");
    texts.iter().filter(means).map(switch).collect()
}

/// `--feature-gates`; names may stand behind the component's.
fn gate_switches(texts: &[String]) -> anyhow::Result<Vec<(String, bool)>> {
    let switch = |text: &String| {
        let text = match text.split_once(':') {
            None => text.trim(),
            Some(("kube", text)) => text.trim(),
            Some((component, _)) => anyhow::bail!("component not registered: {component}"),
        };
        let (name, value) = text.split_once('=').ok_or_else(|| anyhow::anyhow!("missing bool value for {text}"))?;
        match parse_bool(value.trim()) {
            Ok(on) => Ok((name.trim().to_owned(), on)),
            Err(why) => anyhow::bail!("invalid value of {name}={value}, err: {why}"),
        }
    };
    texts.iter().filter(|text| !text.is_empty()).map(switch).collect()
}

/// As Go's `time.ParseDuration`; one that is negative is none.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = GoDuration::parse(text)?.0;
    Ok(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)))
}

/// Go's words for a duration; zero is no end, as upstream counts it.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = GoDuration::parse(text)?;
    if interval.0 < 0 {
        return Err("must not be negative".to_owned());
    }
    Ok(if interval.0 == 0 { Duration::MAX } else { interval.or_zero() })
}

/// As upstream's `PortRange`; nothing is the default.
fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(NODE_PORTS);
    }
    let number = |text: &str| -> Result<i64, String> {
        text.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", go_quote(text)))
    };
    let (low, high) = match (text.split_once('-'), text.split_once('+')) {
        (None, None) => (number(text)?, number(text)?),
        (Some((low, high)), None) => (number(low)?, number(high)?),
        (None, Some((low, more))) => {
            let low = number(low)?;
            (low, low.saturating_add(number(more)?))
        }
        (Some(_), Some(_)) => return Err(format!("unable to parse port range: {text}")),
    };
    let too_large = || format!("the port range cannot be greater than 65535: {text}");
    let high = u16::try_from(high.max(0)).map_err(|_| too_large())?;
    let low = u16::try_from(low.max(0)).map_err(|_| too_large())?;
    if high < low {
        return Err(format!("end port cannot be less than start port: {text}"));
    }
    Ok(low..=high)
}

/// As Go's `strconv.ParseBool`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let folder = folder.ok_or_else(|| anyhow::anyhow!("no home folder is known: name one with --data-dir"))?;
    Ok(folder.join("coracle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> anyhow::Result<Config> {
        Cli::try_parse_from([&["coracle"], args].concat())?.up.config()
    }

    #[test]
    fn flags_read_as_kube_apiserver_reads_them() {
        let config = config(&[
            "--ephemeral",
            "--secure-port=0",
            "--authorization-mode=RBAC",
            "--runtime-config=api/beta=true,apps/v1/deployments=false",
            "--anonymous-auth=true",
            "--anonymous-auth=false",
            "--controllers=*,-deployment",
            "--scheduler=false",
            "--enable-admission-plugins=",
            "--service-cluster-ip-range=",
            "--etcd-compaction-interval=1h30m",
            "--event-ttl=10m30s",
            "-v=4",
        ]);
        let config = config.unwrap();
        assert_eq!(config.data, Data::Ephemeral);
        assert_eq!(config.authorization.mode_names(), ["RBAC"]);
        let switches = [("api/beta".to_owned(), true), ("apps/v1/deployments".to_owned(), false)];
        assert_eq!(config.runtime, switches);
        assert!(config.anonymous_auth == Some(false) && config.enable_admission_plugins.is_empty());
        assert_eq!(config.service_cluster_ip_ranges, Config::default().service_cluster_ip_ranges);
        assert_eq!(config.history, Duration::from_secs(5400));
        assert_eq!(config.event_ttl, Duration::from_secs(630));
        assert_eq!((config.controllers.selection.as_str(), config.controllers.scheduler), ("*,-deployment", false));
    }

    #[test]
    fn ports_of_nodes_are_read_as_upstream_reads_them() {
        assert_eq!(parse_ports("30000-32767"), Ok(NODE_PORTS));
        assert_eq!(parse_ports(""), Ok(NODE_PORTS));
        assert_eq!(parse_ports(" 80 "), Ok(80..=80));
        assert_eq!(parse_ports("30000+10"), Ok(30000..=30010));
        let refused = |text: &str| parse_ports(text).unwrap_err();
        assert_eq!(refused("1-2+3"), "unable to parse port range: 1-2+3");
        assert_eq!(refused("70000"), "the port range cannot be greater than 65535: 70000");
        assert_eq!(refused("9-8"), "end port cannot be less than start port: 9-8");
        assert_eq!(refused("a-8"), "strconv.Atoi: parsing \"a\": invalid syntax");
    }

    #[track_caller]
    fn check_refused(flag: &str, message: &str) {
        let config = config(&["--ephemeral", flag]).and_then(|config| {
            config.check()?;
            config.runtime(&crate::resources::facts::Facts::load())
        });
        assert_eq!(config.unwrap_err().to_string(), message, "{flag}");
    }

    #[test]
    fn wrong_values_are_refused_in_the_words_of_kube_apiserver() {
        check_refused("--feature-gates=Foo=true", "unrecognized feature gate: Foo");
        check_refused("--feature-gates=kube:Foo=true", "unrecognized feature gate: Foo");
        check_refused("--feature-gates=bar:Foo=true", "component not registered: bar");
        check_refused("--feature-gates=WatchList", "missing bool value for WatchList");
        let maybe = "invalid value of WatchList=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax";
        check_refused("--feature-gates=WatchList=maybe", maybe);
        check_refused("--runtime-config=foo/v1=true", "unknown api groups foo/v1");
        check_refused("--runtime-config=api/all", "invalid value api/all=");
        let maybe = "invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax";
        check_refused("--runtime-config=apps/v1=maybe", maybe);
        check_refused("--service-cluster-ip-range=foo", "service-cluster-ip-range[0] is not a valid cidr");
        let small = "error determining service IP ranges for primary service cidr: the service cluster IP range must be at \
                     least 8 IP addresses";
        check_refused("--service-cluster-ip-range=10.0.0.0/31", small);
        let family = "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family";
        check_refused("--service-cluster-ip-range=10.0.0.0/16,10.1.0.0/16", family);
        check_refused("--service-account-issuer=", "service-account-issuer should not be an empty string");
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
