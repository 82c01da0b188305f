//! The `coracle` command: what it prints, how it ends.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use super::cluster::DATABASE;
use super::flags::{Cli, Command, LoggingFormat, Up};
use super::{CONTEXT, Cluster, Data, files, foreign};
use crate::auth::kubeconfig::{self, Before, Entry};
use crate::base::SystemClock;
use crate::resources::facts::VERSION;

/// The command that runs a cluster.
const UP: &str = "up";

const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Runs the command line.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let parsed = foreign::known(Cli::command(), UP).try_get_matches_from(args);
    let (cli, matches) = match parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches))) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let foreign = foreign::judge(matches.subcommand_matches(UP).unwrap_or(&matches));
    let done = match cli.command {
        None => foreign.and_then(|said| up(&cli.up, &said)),
        Some(Command::Up(flags)) => foreign.and_then(|said| up(&flags, &said)),
        Some(Command::Backup { file, data }) => data.path().and_then(|data| report(files::back_up(&data, &file))),
        Some(Command::Check { file, data }) => {
            let file = file.map_or_else(|| Ok(data.path()?.join(DATABASE)), Ok);
            file.and_then(|file| report(files::check(file)))
        }
        Some(Command::Version) => say(&format!("coracle v{}, Kubernetes {VERSION}\n", env!("CARGO_PKG_VERSION"))),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "coracle", &mut script);
            say(&String::from_utf8_lossy(&script))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(io::stderr(), "coracle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs a command that ends by itself, and prints what it says.
fn report(command: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(&runtime.block_on(command)?)
}

/// Runs a cluster; `said` is what there is to say of its flags.
fn up(flags: &Up, said: &[String]) -> anyhow::Result<()> {
    log(flags);
    said.iter().for_each(|line| tracing::info!("{line}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: &Up) -> anyhow::Result<()> {
    survive_file_limits()?;
    allow_many_connections();
    let clock = SystemClock::shared();
    let began = clock.monotonic();
    let config = flags.config()?;
    let data = config.data.clone();
    let advertised = config.advertised();
    let cluster = Cluster::start(config).await?;
    let url = format!("https://{}", std::net::SocketAddr::new(advertised, cluster.address().port()));
    let kubeconfig = write_kubeconfig(flags, &data, &cluster.kubeconfig_entry(&url, &cluster.pki().admin()))?;
    say(&greeting(&url, (&data, &kubeconfig), clock.monotonic() - began))?;
    tokio::select! {
        ended = asked_to_end() => ended?,
        () = keep_kubeconfig(flags, &data, (&cluster, &url)) => {}
    }
    let admin = cluster.pki().admin();
    let entry = cluster.kubeconfig_entry(&url, &admin);
    let forgotten = match (&data, &kubeconfig.before) {
        // Nothing is left that the context could lead to.
        (Data::Ephemeral, Some(before)) => kubeconfig::restore(&kubeconfig.path, &entry, before),
        (Data::Ephemeral | Data::Folder(_), _) => Ok(()),
    };
    cluster.stop().await;
    Ok(forgotten?)
}

/// Writes the kubeconfig anew whenever the administrator's certificate is; runs until dropped. What stood in the files
/// before the first writing stays known.
async fn keep_kubeconfig(flags: &Up, data: &Data, (cluster, url): (&Cluster, &str)) {
    let mut renewals = cluster.pki().admin_renewals();
    while renewals.changed().await.is_ok() {
        let admin = renewals.borrow_and_update().clone();
        if let Err(error) = write_kubeconfig(flags, data, &cluster.kubeconfig_entry(url, &admin)) {
            tracing::error!("the kubeconfig could not be renewed: {error:#}");
        }
    }
}

/// Where the kubeconfig is, and what stood in it before where it is the user's own.
struct Kubeconfig {
    path: PathBuf,
    before: Option<Before>,
}

fn write_kubeconfig(flags: &Up, data: &Data, entry: &Entry<'_>) -> anyhow::Result<Kubeconfig> {
    if let Some(path) = &flags.kubeconfig {
        kubeconfig::write(path, entry)?;
        return Ok(Kubeconfig { path: path.clone(), before: None });
    }
    if let Data::Folder(folder) = data {
        kubeconfig::write(&folder.join("kubeconfig"), entry)?;
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let variable = set("KUBECONFIG").map(|value| value.to_string_lossy().into_owned());
    let home = set("HOME").map(PathBuf::from);
    let path = kubeconfig::users_own(variable.as_deref(), home.as_deref());
    let path = path.context("no home folder is known: name a file with --kubeconfig")?;
    let before = kubeconfig::merge(&path, entry)?;
    Ok(Kubeconfig { path, before: Some(before) })
}

fn greeting(url: &str, (data, kubeconfig): (&Data, &Kubeconfig), took: Duration) -> String {
    let path = kubeconfig.path.display();
    let (config, next) = if kubeconfig.before.is_some() {
        (format!("{path}, context {CONTEXT}"), "kubectl get nodes".to_owned())
    } else {
        (path.to_string(), format!("kubectl --kubeconfig {path} get nodes"))
    };
    let place = match data {
        Data::Ephemeral => "in memory".to_owned(),
        Data::Folder(folder) => folder.display().to_string(),
    };
    format!(
        "Kubernetes {VERSION} is ready after {} ms\n  server      {url}\n  data        {place}\n  kubeconfig  \
         {config}\n  next        {next}\n",
        took.as_millis()
    )
}

/// Lets a write fail that would make a file larger than it may be, as on a full disk; by default it ends the process.
fn survive_file_limits() -> io::Result<()> {
    /// SIGXFSZ.
    const FILE_TOO_LARGE: i32 = 25;
    // What was registered once stays.
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(FILE_TOO_LARGE)).map(drop)
}

/// Takes as many open files as the system gives without being asked: each connection is one, and the usual limit is
/// 1,024.
fn allow_many_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Resolves on Ctrl-C and SIGTERM.
async fn asked_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn log(flags: &Up) {
    let level = match flags.verbosity {
        0..=1 => "warn,coracle=info,actix_http=error",
        2..=3 => "info,actix_http=error,actix_server=warn",
        4..=5 => "info,coracle=debug",
        6..=8 => "debug,coracle=trace",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second subscriber in one process is the embedder's; theirs stays.
    let _ = match flags.logging_format {
        LoggingFormat::Json => builder.json().try_init(),
        LoggingFormat::Text => builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;

    use super::*;
    use crate::app::{Config, Controllers};
    use crate::base::ManualClock;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_kubeconfig_has_the_new_certificate_before_the_old_one_expires() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let flags = Cli::parse_from(["coracle".into(), "--kubeconfig".into(), path.clone().into_os_string()]).up;
        let controllers = Controllers { selection: String::new(), scheduler: false, nodes: 0 };
        let clock = Arc::new(ManualClock::new(SystemClock::shared().now()));
        let config = Config { controllers, ..Config::default() };
        let cluster = Cluster::start_at(config, clock.clone()).await.unwrap();
        let write = || {
            let admin = cluster.pki().admin();
            write_kubeconfig(&flags, &Data::Ephemeral, &cluster.kubeconfig_entry("https://x", &admin)).unwrap();
        };
        write();
        let before = std::fs::read_to_string(&path).unwrap();
        let mut renewals = cluster.pki().admin_renewals();
        let mut keeping = std::pin::pin!(keep_kubeconfig(&flags, &Data::Ephemeral, (&cluster, "https://x")));
        assert!(futures::poll!(keeping.as_mut()).is_pending());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        clock.advance(Duration::from_secs(306 * 24 * 3600));
        renewals.changed().await.unwrap();
        // Receivers are told one after the other.
        while std::fs::read_to_string(&path).unwrap() == before {
            assert!(futures::poll!(keeping.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        let after = std::fs::read_to_string(&path).unwrap();
        write();
        assert_eq!(after, std::fs::read_to_string(&path).unwrap());
        assert_ne!(after, before);
    }
}
