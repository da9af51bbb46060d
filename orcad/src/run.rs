//! One run of the daemon: log, socket, state, service, stop; and what each failure means for the exit code.
//!
//! ```text
//!   log ─► sockets (handed over, else bound) ─► state opened ─► served ─► READY=1
//!   HUP:  configuration read anew and checked; what can be taken at once is taken, the rest is named
//!   TERM: STOPPING=1 ─► the daemon stops ─► 0
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use orca_api::error::{Code, Problem};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::config::{self, Changed, Config, Takes};
use crate::daemon::{Daemon, Manners, OpenError};
use crate::log::{self, Level};
use crate::net::limits::DESCRIPTORS_MAX;
use crate::systemd::{self, Handed, LastWords, Signal, Signals, SocketError, Watchdog};

/// Threads of the runtime. The cores are one thread's work each at most; the rest is waiting.
const THREADS: usize = 2;
/// How much longer a start may take while the state is opened, each time.
const OPEN_STEP: Duration = Duration::from_secs(30);

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log.
    #[error("the log cannot be written")]
    Log(#[source] io::Error),
    /// The runtime.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The state.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A part failed while it ran.
    #[error("a part of the daemon ended")]
    Part(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RunError {
    /// The code to exit with: 78 where starting again cannot help before somebody changes something.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) if error.needs_a_person() => config::ConfigErrors::EXIT_CODE,
            _ => 1,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Socket(_) => Some("systemctl status orcad.socket orcad.service; ls -l /run/orca"),
            _ => None,
        }
    }

    /// For who waits on the sockets of a daemon that cannot start.
    fn problem(&self) -> Problem {
        let mut problem = Problem::new(Code::CannotStart, format!("orcad cannot start: {self}"));
        let mut cause = std::error::Error::source(self);
        while let Some(why) = cause {
            problem = problem.because(why.to_string());
            cause = why.source();
        }
        if let Some(hint) = self.hint() {
            problem = problem.hint(hint);
        }
        if self.exit_code() == config::ConfigErrors::EXIT_CODE {
            problem = problem.hint("then: sudo systemctl start orcad");
        }
        problem
    }

    /// With its causes and its hint, as lines for people.
    pub fn render(&self) -> String {
        let mut text = format!("error: {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(why) = cause {
            text.push_str("\nbecause: ");
            text.push_str(&why.to_string());
            cause = why.source();
        }
        if let Some(hint) = self.hint() {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

/// Tells who waits on sockets of systemd's that the configuration is wrong. To be called before there are threads.
pub fn refused(errors: &config::ConfigErrors) {
    let Ok(handed) = systemd::handed_over() else { return };
    let mut problem = Problem::new(Code::CannotStart, "orcad cannot start: its configuration is wrong");
    for line in errors.render(false).lines().filter(|line| !line.trim().is_empty()) {
        problem = problem.because(line);
    }
    LastWords::on(&handed).say(&problem.hint("mend it, then: sudo systemctl start orcad"));
}

/// Runs the daemon until it is told to stop. To be called before there are threads.
///
/// # Errors
/// The first thing that failed; [`RunError::exit_code`] is for it.
pub fn run(config: Config, args: Args) -> Result<(), RunError> {
    let journal = systemd::stderr_is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let level = log::begin(config.log_level, config.log_format, journal).map_err(RunError::Log)?;
    allow_descriptors();
    let handed = systemd::handed_over()?;
    let words = LastWords::on(&handed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("orcad")
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let result = runtime.block_on(serve(config, args, handed, level, words));
    if let Err(error) = &result {
        tracing::error!("{}", error.render());
    }
    // What still blocks (a read of a slow disk) must not hold the process up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A process of systemd's may open 1,024 files, and raise that by itself as far as the hard limit: the small number is
/// there for programs that use `select`. Five hundred nodes with two connections each are more.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(DESCRIPTORS_MAX, |most| most.min(DESCRIPTORS_MAX));
    if limit.current.is_none_or(|current| current >= most) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
        tracing::warn!(%error, most, "the limit of open files stays low: not all nodes of a large cluster can connect");
    }
}

async fn serve(
    config: Config,
    args: Args,
    handed: Handed,
    level: Level,
    words: LastWords,
) -> Result<(), RunError> {
    let mut signals = Signals::catch().map_err(RunError::Runtime)?;
    let (listener, bound) = systemd::control_socket(handed.control, &config.socket)?;
    let (view, view_bound) = systemd::view_socket(handed.view, bound.as_ref())?.unzip();
    let daemon = match opened(Daemon::open(config.clone())).await {
        Ok(daemon) => daemon.with_view(view),
        Err(error) => {
            let error = RunError::Open(error);
            let problem = error.problem();
            // It is the last thing that this process does.
            let _ = tokio::task::spawn_blocking(move || words.say(&problem)).await;
            return Err(error);
        }
    };
    drop(words);
    let stop = CancellationToken::new();
    let obeyed = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut config = config;
            loop {
                match signals.next().await {
                    Signal::Reload => config = reload(config, &args, &level).await,
                    Signal::Stop(signal) => {
                        tracing::info!(signal, "orcad stops; containers keep running");
                        systemd::stopping();
                        stop.cancel();
                        return;
                    }
                }
            }
        }
    });
    let served = daemon.serve(listener, manners(), stop).await;
    obeyed.abort();
    drop((bound, view_bound));
    served.map_err(RunError::Part)
}

/// Opening a large state takes its time: systemd is told so as long as it goes on.
async fn opened(open: impl Future<Output = Result<Daemon, OpenError>>) -> Result<Daemon, OpenError> {
    tokio::pin!(open);
    loop {
        match tokio::time::timeout(OPEN_STEP / 2, open.as_mut()).await {
            Ok(opened) => return opened,
            Err(_) => systemd::extend(OPEN_STEP),
        }
    }
}

fn manners() -> Manners {
    let watchdog = Watchdog::from_env().map(Arc::new);
    Manners {
        ready: Box::new(systemd::ready),
        status: Arc::new(systemd::status),
        beat: watchdog.as_ref().map(|w| w.every()),
        alive: Arc::new(move || {
            if let Some(watchdog) = &watchdog {
                watchdog.fed();
            }
        }),
        machine_stops: Box::new(|| systemd::machine_stops().boxed()),
    }
}

/// Reads the configuration anew. A wrong one changes nothing; of a right one, what needs a restart is named and left.
async fn reload(old: Config, args: &Args, level: &Level) -> Config {
    systemd::reloading();
    let args = args.clone();
    let read =
        tokio::task::spawn_blocking(move || config::load(&args, |name| std::env::var(name).ok())).await;
    let mut now = old;
    match read {
        Ok(Ok(new)) => {
            let changed = config::diff(&now, &new);
            let keys = |takes| {
                changed
                    .iter()
                    .filter(|c: &&Changed| c.takes == takes)
                    .map(|c| c.key)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            level.set(new.log_level);
            now.log_level = new.log_level;
            tracing::info!(
                taken = keys(Takes::Reload),
                with_the_next_start = keys(Takes::Restart),
                "configuration read anew"
            );
        }
        Ok(Err(errors)) => {
            tracing::error!("the configuration is wrong, and the one in force stays:\n{errors}");
        }
        Err(error) => tracing::error!(%error, "the configuration could not be read"),
    }
    systemd::ready();
    now
}
