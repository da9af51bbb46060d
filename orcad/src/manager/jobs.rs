//! Routes of jobs.

use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use orca_api::control::{LIST_MAX, WAIT_MAX};
use orca_api::error::{Code, Problem};
use orca_api::job::JobSpec;
use orca_api::job::read::{JobFile, read_value};
use orca_api::job::view::{ActOnRollout, JobDetail, JobVersion, RollbackJob, RunJob, ScaleJob};
use orca_api::name::Name;
use orca_api::route::Access;
use orca_api::units::Span;
use orca_core::manager::Request as Asking;
use orca_core::manager::jobs::JobRequest;
use serde::Deserialize;
use tokio::time::Instant;

use super::control::{Call, Control, list as list_answer, ok, read_body, tagged};
use crate::net::http::{Body, bad_parameter};

/// What stands on the view socket for what it does not show.
const VEIL: &str = "…";

/// The jobs by name, from where the answer before ended, and not more than asked for.
pub(super) async fn list(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let limit = call.query.parsed::<usize>("limit")?.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(bad_parameter("limit", format!("1 to {LIST_MAX}")));
    }
    let after = call.query.parsed::<Name>("continue")?;
    let (mut jobs, revision) =
        control.manager.read(|manager, now| (manager.job_list(now), manager.revision())).await?;
    jobs.retain(|job| after.as_ref().is_none_or(|after| job.name > *after));
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = if more { jobs.last().map(|j| j.name.to_string()) } else { None };
    Ok(list_answer(jobs, revision, next))
}

/// The job that a request holds as a file: variables put in, groups merged, and checked.
fn file_of(run: RunJob) -> Result<(JobFile, Option<u64>), Problem> {
    let revision = run.if_revision;
    let file = read_value(run.job, &run.variables).map_err(|error| {
        let details = serde_json::json!({ "path": error.path });
        let mut problem = Problem::new(Code::BadSpec, error.to_string()).details(details);
        if let Some(near) = &error.nearest {
            problem = problem.hint(format!("did you mean `{near}`?"));
        }
        problem
    })?;
    Ok((file, revision))
}

pub(super) async fn run(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (run, bytes) = read_body::<RunJob>(call, body).await?;
    let (JobFile { name, spec }, if_revision) = file_of(run)?;
    ask(control, call, &bytes, JobRequest::Run { name, spec, if_revision }).await
}

pub(super) async fn plan(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (run, _) = read_body::<RunJob>(call, body).await?;
    let (JobFile { name, spec }, if_revision) = file_of(run)?;
    let plan =
        control.manager.read(move |manager, now| manager.plan_job(&name, &spec, if_revision, now)).await??;
    Ok(ok(&plan))
}

async fn ask(
    control: &Control,
    call: &Call,
    body: &[u8],
    request: JobRequest,
) -> Result<Response<Body>, Problem> {
    control.ask(call, body, Asking::Job(Box::new(request))).await
}

/// The body of a request that says nothing: `{}`, or nothing at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn stop(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (Nothing {}, bytes) = read_body(call, body).await?;
    ask(control, call, &bytes, JobRequest::Stop { job: call.part.clone() }).await
}

pub(super) async fn start(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (Nothing {}, bytes) = read_body(call, body).await?;
    ask(control, call, &bytes, JobRequest::Start { job: call.part.clone() }).await
}

pub(super) async fn restart(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (Nothing {}, bytes) = read_body(call, body).await?;
    ask(control, call, &bytes, JobRequest::Restart { job: call.part.clone() }).await
}

pub(super) async fn remove(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let force = call.query.flag("force")?;
    ask(control, call, b"", JobRequest::Remove { job: call.part.clone(), force }).await
}

pub(super) async fn scale(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (scale, bytes) = read_body::<ScaleJob>(call, body).await?;
    ask(control, call, &bytes, JobRequest::Scale { job: call.part.clone(), scale }).await
}

pub(super) async fn rollback(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (how, bytes) = read_body::<RollbackJob>(call, body).await?;
    ask(control, call, &bytes, JobRequest::Rollback { job: call.part.clone(), how }).await
}

pub(super) async fn rollout(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (ActOnRollout { act }, bytes) = read_body(call, body).await?;
    ask(control, call, &bytes, JobRequest::Rollout { job: call.part.clone(), act }).await
}

/// One job. With `since` and `wait` it is parked until something happens to it or to a task of it.
pub(super) async fn inspect(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let wait = call.query.parsed::<Span>("wait")?.unwrap_or(Span::ZERO).min(WAIT_MAX);
    let mut since = call.query.parsed::<u64>("since")?.filter(|_| wait > Span::ZERO);
    let until = Instant::now() + wait.std();
    loop {
        let (text, waiters) = (call.part.clone(), std::sync::Arc::clone(control.manager.waiters()));
        let (detail, parked) = control
            .manager
            .read(move |manager, now| {
                let detail = manager.job_detail(&text, now)?;
                let parked = match since {
                    Some(since) if detail.job.revision <= since => Some(waiters.park(detail.job.id.raw())?),
                    _ => None,
                };
                Ok::<_, Problem>((detail, parked))
            })
            .await??;
        let Some(parked) = parked else {
            let detail = if call.connection.access == Access::View { veiled(detail) } else { detail };
            return Ok(tagged(StatusCode::OK, detail.job.revision, &detail));
        };
        tokio::select! {
            () = parked => {}
            () = tokio::time::sleep_until(until) => {}
        }
        // Whatever woke it (progress has no revision of its own) is worth an answer.
        since = None;
    }
}

pub(super) async fn history(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let text = call.part.clone();
    let read =
        move |manager: &orca_core::manager::Manager, _| (manager.job_history(&text), manager.revision());
    let (history, revision) = control.manager.read(read).await?;
    let mut history = history?;
    if call.connection.access == Access::View {
        history.iter_mut().for_each(veil_changes);
    }
    Ok(list_answer(history, revision, None))
}

/// A job as the view socket shows it: without values that may be secret, and without digests, by which a short one could
/// be guessed.
fn veiled(mut detail: JobDetail) -> JobDetail {
    veil_spec(&mut detail.spec);
    VEIL.clone_into(&mut detail.spec_digest);
    detail
}

fn veil_spec(spec: &mut JobSpec) {
    let of_groups = spec.groups.values_mut().map(|g| &mut g.spec);
    for spec in of_groups.chain(spec.pre_deploy.as_deref_mut()) {
        for value in spec.env.values_mut().chain(spec.log_opt.values_mut()) {
            VEIL.clone_into(value);
        }
    }
}

fn veil_changes(version: &mut JobVersion) {
    let secret = |path: &str| path.split('.').any(|part| part == "env" || part == "log_opt");
    for change in version.changes.iter_mut().filter(|c| secret(&c.path)) {
        for value in [&mut change.old, &mut change.new].into_iter().flatten() {
            *value = VEIL.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_socket_shows_no_values() {
        let json = serde_json::json!({"name": "web", "image": "a", "env": {"TOKEN": "secret"}});
        let run = RunJob { job: json, variables: std::collections::BTreeMap::new(), if_revision: None };
        let mut spec = file_of(run).unwrap().0.spec;
        veil_spec(&mut spec);
        assert!(!serde_json::to_string(&spec).unwrap().contains("secret"));
        let mut version: JobVersion = serde_json::from_value(serde_json::json!({
            "version": 2, "at": "2026-01-01T00:00:00Z", "by": "uid 0", "current": true, "proven": false,
            "changes": [{"path": "group.api.env.TOKEN", "old": null, "new": "secret"}],
        }))
        .unwrap();
        veil_changes(&mut version);
        assert_eq!(version.changes[0].new, Some(VEIL.into()));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_place() {
        let json = serde_json::json!({"name": "web", "image": "a", "cout": 3});
        let run = RunJob { job: json, variables: std::collections::BTreeMap::new(), if_revision: None };
        let problem = file_of(run).unwrap_err();
        assert_eq!(problem.code, Code::BadSpec);
        assert_eq!(problem.hint, ["did you mean `count`?"]);
    }
}
