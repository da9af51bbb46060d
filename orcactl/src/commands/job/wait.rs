//! `orcactl job wait`.

use orca_api::error::{Code, exit};
use orca_api::job::view::{JobDetail, JobState, JobView};

use super::follow::{self, Verdict};
use super::{ask, list, show_one};
use crate::cli::Format;
use crate::cli::job::{Goal, WaitArgs};
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::words;

/// Waits until a job is where it should be.
pub async fn run(client: &Client, printer: Printer, args: &WaitArgs) -> Outcome {
    let first = match ask(client, &args.name).await {
        Ok(answer) => answer.body.job,
        Err(failure) if is_gone(args.goal, &failure) => return gone(&printer, &args.name),
        Err(failure) => return Err(failure),
    };
    let followed = follow::until(client, &printer, &first, args.timeout, |job| judge(args.goal, job)).await;
    match followed {
        Ok(followed) if followed.verdict == Verdict::Cannot => {
            let version = followed.detail.job.rollout.as_ref().map_or(first.version, |rollout| rollout.to);
            Err(never(client, args.goal, &followed, version).await)
        }
        Ok(followed) => {
            show_one(&printer, &followed.detail.job)?;
            Ok(exit::OK)
        }
        Err(failure) if is_gone(args.goal, &failure) => gone(&printer, &args.name),
        Err(failure) => Err(failure),
    }
}

fn judge(goal: Goal, detail: &JobDetail) -> Verdict {
    let job = &detail.job;
    match (goal, job.state) {
        (Goal::Complete, JobState::Completed) => Verdict::Reached,
        (Goal::Complete, JobState::Failed | JobState::Stopped) => Verdict::Cannot,
        (Goal::Complete, _) if job.kind.lasts() => Verdict::Cannot,
        // A canary that stands is healthy; the job as a whole is not there yet.
        (Goal::Healthy, _) => match follow::judge(detail, job.version) {
            Verdict::Stands => Verdict::GoOn,
            verdict => verdict,
        },
        (Goal::Complete | Goal::Gone, _) => Verdict::GoOn,
    }
}

async fn never(client: &Client, goal: Goal, followed: &follow::Followed, version: u32) -> Failure {
    let job = &followed.detail.job;
    let name = &job.name;
    if goal == Goal::Complete && job.kind.lasts() {
        return Failure::new(format!("{name} will not complete: a {} runs for ever", job.kind))
            .hint(format!("orcactl job wait --for healthy {name}"));
    }
    if job.state == JobState::Stopped {
        return Failure::new(format!("{name} was stopped: it is {}", list::state(job)))
            .because(words::plain(&job.message))
            .hint(format!("orcactl job start {name}"));
    }
    follow::cannot(client, followed, version).await
}

fn is_gone(goal: Goal, failure: &Failure) -> bool {
    goal == Goal::Gone && failure.code == Some(Code::NoSuchJob)
}

fn gone(printer: &Printer, name: &str) -> Outcome {
    if printer.format() == Format::Json {
        printer.json(&None::<JobView>)?;
    } else if !printer.is_quiet() {
        printer.line(words::plain(name))?;
    }
    Ok(exit::OK)
}
