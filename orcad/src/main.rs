//! `orcad`: arguments, configuration, log; then the daemon, until somebody stops it.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use orcad::args::{self, Cli, Command, ConfigCommand};
use orcad::backup;
use orcad::config::{self, Config, ConfigErrors};
use orcad::run;

fn main() -> ExitCode {
    let Cli { args, command } = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let env = |name: &str| std::env::var(name).ok();
    let mut out = std::io::stdout().lock();
    let told = match command {
        None | Some(Command::Run) => {
            return match config::load(&args, env) {
                Ok(config) => start(config, args),
                Err(errors) => {
                    let code = refused(&errors);
                    run::refused(&errors);
                    code
                }
            };
        }
        Some(Command::Backup(command)) => {
            let state_dir = || config::load(&args, env).map(|config| config.state_dir);
            return match backup::run(command, state_dir, &mut out) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{}", error.render());
                    ExitCode::from(error.exit_code())
                }
            };
        }
        Some(Command::Config(ConfigCommand::Check { files })) => {
            config::check_command(&args, &files, env, &mut out)
        }
        Some(Command::Config(ConfigCommand::Show { origin, output })) => {
            config::show_command(&args, output, origin, env, &mut out)
        }
    };
    match told {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(errors)) => refused(&errors),
        // Nobody reads what was to be printed.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orcad: cannot print: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config, args: args::Args) -> ExitCode {
    match run::run(config, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log has it; where that is the journal, a person at a terminal still wants to see it.
            if std::io::stderr().is_terminal() {
                eprintln!("{}", error.render());
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn refused(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{}", errors.render(std::io::stderr().is_terminal()));
    ExitCode::from(ConfigErrors::EXIT_CODE)
}
