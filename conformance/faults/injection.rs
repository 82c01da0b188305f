//! What is done to a server while it works.

use std::process::{Command, Stdio};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::run::Stage;
use crate::server::{Life, Signal};

/// How long a fault lasts, at most.
const FAULT_MAX: Duration = Duration::from_millis(500);

/// What happens to a server before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    None,
    /// It stands still, and goes on.
    Stop,
    /// Its files may not grow, then they may.
    FullDisk,
    /// Its calls to bring data to the disk fail, then they do not. Needs strace.
    SickSync,
    /// Its writes to files fail, some of them, then they do not. Needs strace.
    SickWrites,
}

impl Fault {
    pub(super) fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0..4 => Self::None,
            4..6 => Self::Stop,
            6..8 => Self::FullDisk,
            8 => Self::SickSync,
            _ => Self::SickWrites,
        }
    }

    pub(super) async fn happen(self, life: &Life, stage: &Stage, random: &mut StdRng) {
        let time = FAULT_MAX.mul_f64(random.random());
        match self {
            Self::None => {}
            Self::Stop => {
                life.signal(Signal::Stop);
                stage.wait(time).await;
                life.signal(Signal::Continue);
            }
            Self::FullDisk => {
                life.limit_files(Some(life.log_bytes() + 50_000));
                stage.wait(time).await;
                life.limit_files(None);
            }
            Self::SickSync => trace(life, stage, ("fsync,fdatasync:error=EIO", time)).await,
            Self::SickWrites => {
                let first = random.random_range(1..20);
                let inject = format!("pwrite64:error=ENOSPC:when={first}+7");
                trace(life, stage, (&inject, time)).await;
            }
        }
    }
}

/// Makes system calls of the server fail for a time; says so where there is no strace to do it.
#[expect(clippy::print_stdout, reason = "whoever runs the test is to know what was not run")]
async fn trace(life: &Life, stage: &Stage, (inject, time): (&str, Duration)) {
    let calls = inject.split(':').next().unwrap_or(inject);
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-p", &life.id().to_string(), "-o", "/dev/null"]);
    command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut tracer = match child {
        Ok(tracer) => tracer,
        Err(why) => {
            println!("NOT RUN, failing calls ({inject}): strace cannot be started: {why}");
            return;
        }
    };
    stage.wait(time + Duration::from_millis(100)).await;
    // On SIGINT it lets go of the server in order, but sometimes it hangs.
    Signal::Interrupt.send(tracer.id());
    for _ in 0..50 {
        if !matches!(tracer.try_wait(), Ok(None)) {
            return;
        }
        stage.wait(Duration::from_millis(20)).await;
    }
    let _ = tracer.kill();
    let _ = tracer.wait();
}

/// How a life ends: mostly by SIGKILL, sometimes as Ctrl-C does it.
pub(super) fn ending(random: &mut StdRng) -> Signal {
    if random.random_bool(0.85) { Signal::Kill } else { Signal::Terminate }
}
