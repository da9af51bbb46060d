//! The arguments of `orcad`.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// Wrong usage (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// The daemon that runs containers on one machine or a fleet.
#[derive(Debug, Parser)]
#[command(name = "orcad", version, max_term_width = 100)]
#[command(after_help = "The configuration is described in orcad.toml(5), the daemon in orcad(8).")]
pub struct Cli {
    /// Flags that are laid over the configuration.
    #[command(flatten)]
    pub args: Args,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that are laid over the configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Read FILE instead of /etc/orcad.toml and the files of /etc/orcad.toml.d
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep identity and state in FOLDER
    #[arg(long, global = true, value_name = "FOLDER")]
    pub state_dir: Option<String>,
    /// Listen on PATH, unless systemd hands over a control socket
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon (what happens without a command)
    Run,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Back up the cluster's state, look at backups, put one back
    #[command(subcommand)]
    Backup(BackupCommand),
}

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy the state to a file, also while the daemon runs
    Create {
        /// The new file, or a folder in which a name is made up [default: backups in the state folder]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Keep the newest N backups of the folder, and remove older ones whose name was made up
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
    },
    /// Read a backup whole, and say whether it can be relied upon
    Verify {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say what is in a backup
    Inspect {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = InspectFormat::Table)]
        output: InspectFormat,
    },
    /// Print the recovery key, which opens the certificate authority in backups on another machine
    RecoveryKey,
    /// Put a backup in the place of the state; the daemon must be stopped
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Open the certificate authority in the backup with the recovery key in FILE [default: that of the state folder]
        #[arg(long, value_name = "FILE", conflicts_with = "without_ca")]
        recovery_key: Option<PathBuf>,
        /// Leave the certificate authority of the backup out: every other node has to join again
        #[arg(long)]
        without_ca: bool,
    },
}

/// How a backup is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// For people.
    Table,
    /// As one object.
    Json,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration that would be in force, or the given files, and tell every mistake
    Check {
        /// Check these, each laid over the ones before
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the configuration that would be in force
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = ShowFormat::Toml)]
        output: ShowFormat,
    },
}

/// How the configuration is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// As a file that reads back to the same.
    Toml,
    /// As one object.
    Json,
}

impl Args {
    /// What the flags set: the flag, the key, the text.
    pub fn overrides(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> {
        [
            ("--state-dir", "state_dir", self.state_dir.clone()),
            ("--socket", "socket", self.socket.clone()),
            ("--log-level", "log_level", self.log_level.clone()),
        ]
        .into_iter()
        .filter_map(|(flag, key, text)| text.map(|text| (flag, key, text)))
    }
}

/// Reads the command line. What cannot be read, `--help` and `--version` are printed here; the code to exit with is then
/// the error: 0, or [`EXIT_USAGE`].
///
/// # Errors
/// The code to exit with.
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, u8> {
    Cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches)).map_err(
        |e| {
            // Nothing is left to be told to anybody whose terminal is gone.
            let _ = e.print();
            if e.use_stderr() { EXIT_USAGE } else { 0 }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, u8> {
        parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        assert!(matches!(read("orcad"), Ok(Cli { command: None, .. })));
        assert!(matches!(read("orcad run --state-dir /x"), Ok(Cli { command: Some(Command::Run), .. })));
        let show = read("orcad config show --origin -o json").map(|cli| cli.command);
        assert!(matches!(
            show,
            Ok(Some(Command::Config(ConfigCommand::Show { origin: true, output: ShowFormat::Json })))
        ));
        assert!(
            read("orcad backup create --keep 7").is_ok() && read("orcad backup create --keep 0").is_err()
        );
        for (line, code) in
            [("orcad --version", 0), ("orcad help", 0), ("orcad --nope", 64), ("orcad config", 64)]
        {
            assert_eq!(read(line).map(|_| ()), Err(code), "{line}");
        }
    }

    #[test]
    fn every_flag_has_its_key() {
        let args = Args {
            config: None,
            state_dir: Some("a".into()),
            socket: Some("b".into()),
            log_level: Some("c".into()),
        };
        for (flag, key, _) in args.overrides() {
            assert!(crate::config::Key::find(key).is_some(), "{flag}");
            assert_eq!(flag, format!("--{}", key.replace('_', "-")));
        }
    }
}
