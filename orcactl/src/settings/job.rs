//! A job from its file and the values of its variables, or from flags alone.
//!
//! A file is read here as orcad reads it, so that what is wrong is shown with its line before anything is sent;
//! what is sent is the file's own tree, and orcad reads it again.

use std::io::Read as _;
use std::path::Path;

use orca_api::job::JobType;
use orca_api::job::read::{self, Variables};
use orca_api::job::view::RunJob;
use orca_api::name::Name;
use orca_api::spec::TaskSpec;
use orca_api::text::{self, TextError};
use serde_json::Value;

use super::env::Environment;
use super::spec::{self, Source};
use crate::cli::job::{RunArgs, VariableArgs};
use crate::output::error::{self, Failure};

/// The request for a file, read and found good.
///
/// # Errors
/// Of a file that cannot be read, with its line; of a variable that has no value, or no declaration.
pub fn of_file(path: &Path, variables: &VariableArgs) -> Result<(Name, RunJob), Failure> {
    let variables = read_variables(variables)?;
    let (name, text) = read_text(path, "a job's file is TOML: orcactl job init writes an example")?;
    let is_json =
        path.extension().is_some_and(|extension| extension == "json") || text.trim_start().starts_with('{');
    let read = if is_json {
        text::read_json::<Value>(text.as_bytes()).and_then(|job| {
            let file = read::read_json(text.as_bytes(), &variables)?;
            Ok((file, job))
        })
    } else {
        read::read_toml(&text, &variables).and_then(|file| Ok((file, text::read_toml::<Value>(&text)?)))
    };
    let (file, job) = read.map_err(|problem| wrong(&name, &text, &problem))?;
    Ok((file.name, RunJob { job, variables, if_revision: None }))
}

/// The request for `job run`, with a file or without.
///
/// # Errors
/// Those of [`of_file`], and where the arguments do not go together.
pub fn of_arguments(args: &RunArgs, environment: Environment<'_>) -> Result<RunJob, Failure> {
    let (first, rest) = args
        .what
        .split_first()
        .ok_or_else(|| Failure::usage("a file is missing").hint("orcactl job run FILE.toml"))?;
    let mut request = match &args.name {
        Some(name) => of_image(name, first, rest, args, environment)?,
        None => {
            if !rest.is_empty() {
                return Err(Failure::usage(format!("`{}` is too much: a job is run from one file", rest[0]))
                    .hint(format!("without a file: orcactl job run --name NAME {first} …")));
            }
            refuse_flags(args, environment)?;
            of_file(Path::new(first), &args.variables)
                .map_err(|failure| {
                    if Path::new(first).exists() || first == "-" {
                        failure
                    } else {
                        failure.hint(format!(
                            "to run an image without a file: orcactl job run --name NAME {first}"
                        ))
                    }
                })?
                .1
        }
    };
    request.if_revision = args.if_revision;
    Ok(request)
}

/// A file says what its tasks are; flags beside it would be for which of its groups?
fn refuse_flags(args: &RunArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let source = Source { file: None, image: Some("none"), command: &[], flags: &args.spec };
    let given = spec::resolve(&source, environment).map(|(_, spec)| spec);
    let nothing = "none".parse().map(TaskSpec::of_image);
    if given.is_ok() && given.ok() == nothing.ok() {
        return Ok(());
    }
    Err(Failure::usage("what a task is stands in the job's file, not in flags beside it")
        .hint("a value that changes from run to run is a variable: --var NAME=VALUE")
        .hint("without a file: orcactl job run --name NAME [OPTIONS] IMAGE"))
}

/// A job of one group, as the flags say.
fn of_image(
    name: &Name,
    image: &str,
    command: &[String],
    args: &RunArgs,
    environment: Environment<'_>,
) -> Result<RunJob, Failure> {
    if !args.variables.var.is_empty() || !args.variables.var_file.is_empty() {
        return Err(Failure::usage("variables are for files, and --name runs an image without one"));
    }
    let source = Source { file: None, image: Some(image), command, flags: &args.spec };
    let (_, spec) = spec::resolve(&source, environment)?;
    let kind = args.kind.map_or(JobType::Service, Into::into);
    let unwritable = |error: serde_json::Error| {
        Failure::new("the job cannot be written as JSON").because(error.to_string())
    };
    let mut job = serde_json::to_value(&spec).map_err(unwritable)?;
    if let Value::Object(keys) = &mut job {
        // A job's type says how its tasks are restarted, where the flags do not.
        if args.spec.restart.is_none() {
            keys.remove("restart");
        }
        keys.insert("name".to_owned(), name.as_str().into());
        keys.insert("type".to_owned(), kind.as_str().into());
        if let Some(count) = args.count {
            keys.insert("count".to_owned(), count.into());
        }
    }
    let bytes = serde_json::to_vec(&job).map_err(unwritable)?;
    read::read_json(&bytes, &Variables::new()).map_err(|problem| {
        let failure = Failure::usage(problem.message.clone());
        if problem.path.is_empty() {
            failure
        } else {
            failure.because(format!("it is about `{}`", problem.path))
        }
    })?;
    Ok(RunJob { job, variables: Variables::new(), if_revision: None })
}

fn read_variables(args: &VariableArgs) -> Result<Variables, Failure> {
    let mut variables = Variables::new();
    for path in &args.var_file {
        let (name, text) = read_text(path, "it is TOML with one NAME = VALUE a line")?;
        let read = read::read_variables(&text).map_err(|problem| {
            let failure = error::of_file(&name, &text, &problem);
            Failure {
                hint: vec!["write one NAME = VALUE a line; a text stands in quotes".to_owned()],
                ..failure
            }
        })?;
        variables.extend(read);
    }
    for flag in &args.var {
        match flag.split_once('=') {
            Some((name, value)) if !name.is_empty() => variables.insert(name.to_owned(), value.to_owned()),
            _ => {
                return Err(Failure::usage(format!("`--var {flag}` gives no value")).hint("--var NAME=VALUE"));
            }
        };
    }
    Ok(variables)
}

/// The text of a file, `-` for standard input, and how to name it.
fn read_text(path: &Path, hint: &str) -> Result<(String, String), Failure> {
    let stdin = path == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = String::new();
    let most = text::TEXT_BYTES_MAX as u64 + 1;
    let read = if stdin {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok((name, text)),
        Err(problem) => {
            Err(Failure::usage(format!("{name} cannot be read")).because(problem.to_string()).hint(hint))
        }
    }
}

fn wrong(name: &str, text: &str, problem: &TextError) -> Failure {
    let failure = error::of_file(name, text, problem);
    if problem.nearest.is_some() {
        return failure;
    }
    Failure { hint: vec!["orcactl job init - shows what a job's file looks like".to_owned()], ..failure }
}
