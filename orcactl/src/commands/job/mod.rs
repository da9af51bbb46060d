//! `orcactl job …`.

use orca_api::job::view::{JobDetail, JobView};
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::Format;
use crate::client::{Answer, Client};
use crate::output::error::Failure;
use crate::output::printer::Printer;

pub mod act;
mod board;
pub mod exec;
pub mod explain;
pub mod follow;
pub mod history;
pub mod init;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod plan;
pub mod remove;
pub mod rollout;
pub mod run;
pub mod schema;
pub mod wait;

/// A job by its name, or the beginning of its id.
async fn ask(client: &Client, name: &str) -> Result<Answer<JobDetail>, Failure> {
    client.call(Route::JobInspect).part(name).answer().await
}

/// Says which jobs a command has acted on.
fn show(printer: &Printer, jobs: &[JobView]) -> Result<(), Failure> {
    if printer.format() == Format::Table && !printer.is_quiet() {
        return jobs.iter().try_for_each(|job| printer.line(&job.name));
    }
    let now = Time::from_ms(jiff::Timestamp::now().as_millisecond());
    printer.objects(
        jobs,
        |job| job.id.to_string(),
        |job| job.name.to_string(),
        |wide| list::table(jobs, now, wide),
    )
}

/// The same of one job: in JSON the job itself, not a list.
fn show_one(printer: &Printer, job: &JobView) -> Result<(), Failure> {
    if printer.format() == Format::Json {
        return printer.json(job);
    }
    show(printer, std::slice::from_ref(job))
}

/// A file's or a task's group, by its name: `shop.api.2` is of `api`, `web.2` of the unnamed group.
fn is_of_group(job: &str, group: &str, task: &str) -> bool {
    let rest = task.strip_prefix(job).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    rest.rsplit_once('.').map_or("", |(group, _)| group) == group
}

/// The names of a job's tasks, those of one group where it is given.
///
/// # Errors
/// Where the job has no such group.
fn tasks_of<'d>(
    detail: &'d JobDetail,
    group: Option<&str>,
) -> Result<Vec<&'d orca_api::control::TaskView>, Failure> {
    let name = detail.job.name.as_str();
    if let Some(group) = group
        && !detail.spec.groups.contains_key(group)
    {
        let known: Vec<&str> =
            detail.spec.groups.keys().map(String::as_str).filter(|g| !g.is_empty()).collect();
        let failure =
            Failure::new(format!("{name} has no group `{group}`")).exit(orca_api::error::exit::NO_SUCH);
        return Err(if known.is_empty() {
            failure.hint("its only group has no name: leave --group out")
        } else {
            failure.hint(format!("its groups: {}", known.join(", ")))
        });
    }
    let of_group = |task: &&orca_api::control::TaskView| {
        group.is_none_or(|group| is_of_group(name, group, task.name.as_str()))
    };
    Ok(detail.tasks.iter().filter(of_group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_of_the_group_in_its_name() {
        assert!(is_of_group("shop", "api", "shop.api.2"));
        assert!(is_of_group("web", "", "web.2"));
        assert!(!is_of_group("shop", "", "shop.api.2"));
        assert!(!is_of_group("shop", "ap", "shop.api.2"));
    }
}
