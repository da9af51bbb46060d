//! A task's spec from a file, env files and flags: the file first, flags on top.
//!
//! A flag that can be given once replaces what the file says. Of those that can be given several times, ports,
//! mounts and the other lists replace the file's list as a whole; variables, labels and log options are merged by name.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use orca_api::error::Problem;
use orca_api::name::Name;
use orca_api::spec::{HealthCheck, ImageRef, TaskFile, TaskSpec};
use orca_api::text;

use super::env::{self, Environment};
use crate::cli::spec::SpecArgs;
use crate::output::error::{self, Failure};

/// What the arguments of a command say of a task.
#[derive(Debug)]
pub struct Source<'a> {
    /// A TOML file, `-` for standard input.
    pub file: Option<&'a Path>,
    /// The image; replaces the file's.
    pub image: Option<&'a str>,
    /// What to run in it; replaces the file's where it is not empty.
    pub command: &'a [String],
    /// The flags.
    pub flags: &'a SpecArgs,
}

/// The spec, checked, and the name that a file gives it.
///
/// # Errors
/// Of a file that cannot be read, with its line; of a field that is wrong, with its path.
pub fn resolve(
    source: &Source<'_>,
    environment: Environment<'_>,
) -> Result<(Option<Name>, TaskSpec), Failure> {
    let image = source.image.map(parse_image).transpose()?;
    let (name, mut spec) = match (source.file, image) {
        (Some(file), image) => {
            let read = read_file(file)?;
            let mut spec = read.spec;
            if let Some(image) = image {
                spec.image = image;
            }
            (read.name, spec)
        }
        (None, Some(image)) => (None, TaskSpec::of_image(image)),
        (None, None) => {
            return Err(
                Failure::usage("an image is missing").hint("orcactl task start nginx, or -f FILE.toml")
            );
        }
    };
    if !source.command.is_empty() {
        spec.command = source.command.to_vec();
    }
    apply_flags(&mut spec, source.flags, environment)?;
    let wrong = spec.check();
    if wrong.is_empty() { Ok((name, spec)) } else { Err(Failure::from(Problem::of_spec(&wrong))) }
}

fn parse_image(text: &str) -> Result<ImageRef, Failure> {
    text.parse().map_err(|error: orca_api::spec::FieldError| {
        Failure::usage(error.to_string())
            .hint("everything after the image is the command; options go before it")
    })
}

/// Reads a task file, `-` for standard input.
fn read_file(path: &Path) -> Result<TaskFile, Failure> {
    let stdin = path == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = String::new();
    let most = text::TEXT_BYTES_MAX as u64 + 1;
    let read = if stdin {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    if let Err(problem) = read {
        return Err(Failure::usage(format!("{name} cannot be read"))
            .because(problem.to_string())
            .hint("a task file is TOML; the smallest is: image = \"nginx\""));
    }
    text::read_task_toml(&text).map_err(|problem| error::of_file(&name, &text, &problem))
}

fn apply_flags(spec: &mut TaskSpec, flags: &SpecArgs, environment: Environment<'_>) -> Result<(), Failure> {
    for file in &flags.env_file {
        env::add_file(&mut spec.env, file, environment)?;
    }
    env::add_flags(&mut spec.env, &flags.env, environment)?;
    add_pairs(&mut spec.labels, "--label", &flags.label, true)?;
    add_pairs(&mut spec.log_opt, "--log-opt", &flags.log_opt, false)?;

    replace_list(&mut spec.ports, &flags.publish);
    replace_list(&mut spec.mounts, &flags.volume);
    replace_list(&mut spec.tmpfs, &flags.tmpfs);
    replace_list(&mut spec.dns, &flags.dns);
    replace_list(&mut spec.hosts, &flags.add_host);
    replace_list(&mut spec.devices, &flags.device);
    replace_list(&mut spec.constraints, &flags.constraint);
    replace_list(&mut spec.preferences, &flags.preference);
    replace_list(&mut spec.data_centers, &flags.data_center);
    replace_list(&mut spec.cap_add, &capabilities(&flags.cap_add));
    replace_list(&mut spec.cap_drop, &capabilities(&flags.cap_drop));

    replace(&mut spec.network, flags.network.as_ref());
    replace(&mut spec.hostname, flags.hostname.as_ref());
    replace(&mut spec.user, flags.user.as_ref());
    replace(&mut spec.workdir, flags.workdir.as_ref());
    replace(&mut spec.log_driver, flags.log_driver.as_ref());
    replace(&mut spec.stop_signal, flags.stop_signal.as_ref());
    replace(&mut spec.stop_grace, flags.stop_timeout.as_ref());
    replace(&mut spec.cpus, flags.cpus.as_ref());
    replace(&mut spec.memory, flags.memory.as_ref());
    replace(&mut spec.reserve_cpus, flags.reserve_cpus.as_ref());
    replace(&mut spec.reserve_memory, flags.reserve_memory.as_ref());
    replace(&mut spec.disk, flags.disk.as_ref());
    replace(&mut spec.pids, flags.pids_limit.as_ref());
    if let Some(entrypoint) = &flags.entrypoint {
        spec.entrypoint = vec![entrypoint.clone()];
    }
    apply_health(&mut spec.health, flags)?;
    if let Some(restart) = flags.restart {
        spec.restart = restart;
    }
    if let Some(pull) = flags.pull {
        spec.pull = pull.into();
    }
    if let Some(algorithm) = flags.algorithm {
        spec.algorithm = Some(algorithm.into());
    }
    spec.singleton |= flags.singleton;
    replace(&mut spec.singleton_wait, flags.singleton_wait.as_ref());
    spec.init |= flags.init;
    spec.read_only |= flags.read_only;
    spec.allow_new_privileges |= flags.allow_new_privileges;
    spec.privileged |= flags.privileged;
    Ok(())
}

/// What is checked replaces what the file says of that; how often, and the like, stays unless it is given, too.
fn apply_health(health: &mut Option<HealthCheck>, flags: &SpecArgs) -> Result<(), Failure> {
    if flags.no_healthcheck {
        *health = Some(HealthCheck { off: true, ..HealthCheck::default() });
        return Ok(());
    }
    let what = HealthCheck {
        // As `docker run` has it: a line for the shell of the image.
        exec: flags
            .health_cmd
            .as_ref()
            .map_or_else(Vec::new, |line| ["sh", "-c", line].map(str::to_owned).to_vec()),
        http: flags.health_http.clone(),
        tcp: flags.health_tcp,
        ..HealthCheck::default()
    };
    let given = what != HealthCheck::default();
    let timed = flags.health_interval.is_some()
        || flags.health_timeout.is_some()
        || flags.health_retries.is_some()
        || flags.health_start_period.is_some();
    if !given && !timed {
        return Ok(());
    }
    let Some(known) = health.take().or_else(|| given.then(HealthCheck::default)) else {
        return Err(Failure::usage("there is no health check whose times could be set")
            .hint("say what is checked: --health-cmd, --health-http or --health-tcp"));
    };
    let what = if given { what } else { known.clone() };
    *health = Some(HealthCheck {
        interval: flags.health_interval.or(known.interval),
        timeout: flags.health_timeout.or(known.timeout),
        retries: flags.health_retries.or(known.retries),
        start_period: flags.health_start_period.or(known.start_period),
        ..what
    });
    Ok(())
}

fn replace<T: Clone>(field: &mut Option<T>, flag: Option<&T>) {
    if let Some(value) = flag {
        *field = Some(value.clone());
    }
}

fn replace_list<T: Clone>(field: &mut Vec<T>, flags: &[T]) {
    if !flags.is_empty() {
        *field = flags.to_vec();
    }
}

/// `net_admin` and `CAP_NET_ADMIN` mean `NET_ADMIN`, as for Docker.
fn capabilities(flags: &[String]) -> Vec<String> {
    let upper = flags.iter().map(|flag| flag.to_ascii_uppercase());
    upper.map(|flag| flag.strip_prefix("CAP_").map_or(flag.clone(), str::to_owned)).collect()
}

/// `KEY=VALUE`; a bare `KEY` has an empty value, where that is allowed.
fn add_pairs(
    into: &mut BTreeMap<String, String>,
    option: &str,
    flags: &[String],
    bare: bool,
) -> Result<(), Failure> {
    for flag in flags {
        let (key, value) = match flag.split_once('=') {
            Some(pair) => pair,
            None if bare => (flag.as_str(), ""),
            None => {
                return Err(Failure::usage(format!("`{option} {flag}`: a value is missing"))
                    .hint(format!("{option} KEY=VALUE")));
            }
        };
        if key.is_empty() {
            return Err(Failure::usage(format!("`{option} {flag}`: a key is missing"))
                .hint(format!("{option} KEY=VALUE")));
        }
        into.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn flags(words: &[&str]) -> SpecArgs {
        let command = SpecArgs::augment_args(clap::Command::new("spec").no_binary_name(true));
        SpecArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn read(toml: &str, image: Option<&str>, words: &[&str]) -> Result<TaskSpec, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let source = Source { file: Some(file.path()), image, command: &[], flags: &flags(words) };
        resolve(&source, &|_| None).map(|(_, spec)| spec)
    }

    #[test]
    fn flags_come_on_top_of_the_file() {
        let toml = "image = \"nginx\"\nports = [\"80:80\", \"81:81\"]\nmemory = \"64m\"\n[env]\nA = \"1\"\nB = \"1\"\n";
        let spec =
            read(toml, Some("nginx:2"), &["-p", "82:82", "-e", "B=2", "--memory", "128m", "--init"]).unwrap();
        assert_eq!(spec.image.as_str(), "nginx:2");
        assert_eq!(spec.ports.len(), 1);
        assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str()), ("1", "2"));
        assert_eq!(spec.memory, "128m".parse().ok());
        assert!(spec.init);
    }

    #[test]
    fn flags_are_named_and_read_as_in_docker_run() {
        let words = [
            "--cap-add",
            "cap_net_admin",
            "--cap-drop",
            "all",
            "--entrypoint",
            "/bin/sh",
            "-w",
            "/srv",
            "-u",
            "1:2",
            "-l",
            "a=b",
            "-l",
            "bare",
            "--log-opt",
            "max-size=1m",
            "--add-host",
            "db:10.0.0.5",
            "--dns",
            "1.1.1.1",
            "--device",
            "/dev/kvm",
            "--tmpfs",
            "/tmp:size=1m",
            "-v",
            "data:/data:ro",
            "--stop-timeout",
            "30",
            "--stop-signal",
            "INT",
            "--pids-limit",
            "9",
            "--restart",
            "unless-stopped",
            "--network",
            "none",
            "--hostname",
            "h",
            "--read-only",
            "--pull",
            "never",
        ];
        let spec = read("image = \"x\"", None, &words).unwrap();
        assert_eq!((spec.cap_add, spec.cap_drop), (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()]));
        assert_eq!(spec.labels["bare"], "");
        assert_eq!(spec.stop_grace, "30s".parse().ok());
        assert_eq!(spec.restart.to_string(), "always");
        assert_eq!(spec.entrypoint, ["/bin/sh"]);
    }

    #[test]
    fn health_checks() {
        let file = "image = \"x\"\n[health]\ntcp = 80\nretries = 5\ninterval = \"20s\"\n";
        let plain = "image = \"x\"";
        let read = |toml, words: &[&str]| read(toml, None, words).map(|spec| spec.health);
        let check = read(file, &["--health-http", "80/ready", "--health-interval", "5s"]).unwrap().unwrap();
        assert_eq!((check.tcp, check.http.map(|c| c.to_string())), (None, Some("80/ready".to_owned())));
        assert_eq!((check.retries, check.interval), (Some(5), "5s".parse().ok()));
        let check = read(file, &["--health-timeout", "3s"]).unwrap().unwrap();
        assert_eq!((check.tcp, check.timeout), (Some(80), "3s".parse().ok()));
        let check = read(file, &["--no-healthcheck"]).unwrap().unwrap();
        assert_eq!(check, HealthCheck { off: true, ..HealthCheck::default() });
        let check = read(plain, &["--health-cmd", "test -e /ready"]).unwrap().unwrap();
        assert_eq!(check.exec, ["sh", "-c", "test -e /ready"]);
        assert_eq!(read(plain, &[]).unwrap(), None);
        assert!(read(plain, &["--health-retries", "2"]).unwrap_err().message.contains("no health check"));
        assert!(read(plain, &["--health-tcp", "80", "--health-retries", "0"]).is_err());
    }

    #[test]
    fn a_wrong_spec_is_refused_before_it_is_sent() {
        let failure = read("image = \"x\"", None, &["-w", "relative"]).unwrap_err();
        assert_eq!(failure.exit, orca_api::error::exit::USAGE);
        assert!(failure.message.contains("workdir"), "{}", failure.message);
    }
}
