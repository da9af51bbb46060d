//! Routes of tasks.

use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use orca_api::control::{
    ExplainSpec, LIST_MAX, RestartTask, StartTask, StopTask, TaskDetail, TaskView, WAIT_MAX,
};
use orca_api::error::Problem;
use orca_api::name::Name;
use orca_api::route::Access;
use orca_api::task::Phase;
use orca_api::units::Span;
use orca_core::manager::Request as Asking;
use tokio::time::Instant;

use super::control::{Call, Control, list as list_answer, ok, read_body, tagged};
use crate::net::http::{Body, bad_parameter};

/// The tasks by name: filtered, from where the answer before ended, and not more than asked for.
pub(super) async fn list(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let filter = Filter::read(call.query.text("filter").unwrap_or_default())?;
    let limit = call.query.parsed::<usize>("limit")?.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(bad_parameter("limit", format!("1 to {LIST_MAX}")));
    }
    let after = call.query.text("continue").map(Name::whole).transpose();
    let after = after.map_err(|error| bad_parameter("continue", error))?;
    let (mut tasks, revision) =
        control.manager.read(|manager, now| (manager.task_list(now), manager.revision())).await?;
    tasks.retain(|task| after.as_ref().is_none_or(|after| task.name > *after) && filter.fits(task));
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let next = if more { tasks.last().map(|t| t.name.to_string()) } else { None };
    Ok(list_answer(tasks, revision, next))
}

/// What stands on the view socket for what it does not show.
const VEIL: &str = "…";

/// Which tasks are wanted: those that fit everything.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    phase: Option<Phase>,
    node: Option<String>,
    name: Option<String>,
}

impl Filter {
    fn read(text: &str) -> Result<Self, Problem> {
        let mut filter = Self::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim() {
                "phase" => {
                    let phase = serde_json::from_value(value.into());
                    filter.phase = Some(phase.map_err(|_| {
                        bad_parameter("filter", "phase is pending, scheduled, running, completed or failed")
                    })?);
                }
                "node" => filter.node = Some(value.to_owned()),
                "name" => filter.name = Some(value.to_owned()),
                _ => {
                    return Err(bad_parameter(
                        "filter",
                        "write phase=…, node=… or name=PREFIX*, several with commas",
                    ));
                }
            }
        }
        Ok(filter)
    }

    fn fits(&self, task: &TaskView) -> bool {
        let on = |node: &str| {
            task.node.as_ref().is_some_and(|n| n.as_str() == node)
                || task.node_id.is_some_and(|id| id.to_string() == node.to_ascii_uppercase())
        };
        let named = |name: &str| match name.strip_suffix('*') {
            Some(prefix) => task.name.as_str().starts_with(prefix),
            None => task.name.as_str() == name,
        };
        self.phase.is_none_or(|p| task.phase == p)
            && self.node.as_deref().is_none_or(on)
            && self.name.as_deref().is_none_or(named)
    }
}

pub(super) async fn start(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (start, bytes) = read_body::<StartTask>(call, body).await?;
    control.ask(call, &bytes, Asking::Start(Box::new(start))).await
}

pub(super) async fn stop(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (how, bytes) = read_body::<StopTask>(call, body).await?;
    control.ask(call, &bytes, Asking::Stop { task: call.part.clone(), how }).await
}

pub(super) async fn restart(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (RestartTask {}, bytes) = read_body(call, body).await?;
    control.ask(call, &bytes, Asking::Restart { task: call.part.clone() }).await
}

pub(super) async fn remove(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let force = call.query.flag("force")?;
    control.ask(call, b"", Asking::Remove { task: call.part.clone(), force }).await
}

/// One task. With `since` and `wait` it is parked until something happens to the task, and answered with what is then.
pub(super) async fn inspect(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let wait = call.query.parsed::<Span>("wait")?.unwrap_or(Span::ZERO).min(WAIT_MAX);
    let mut since = call.query.parsed::<u64>("since")?.filter(|_| wait > Span::ZERO);
    let until = Instant::now() + wait.std();
    loop {
        let (text, waiters) = (call.part.clone(), std::sync::Arc::clone(control.manager.waiters()));
        let (detail, parked) = control
            .manager
            .read(move |manager, now| {
                let detail = manager.task_detail(&text, now)?;
                let parked = match since {
                    Some(since) if detail.task.revision <= since => Some(waiters.park(detail.task.id.raw())?),
                    _ => None,
                };
                Ok::<_, Problem>((detail, parked))
            })
            .await??;
        let Some(parked) = parked else {
            let detail = if call.connection.access == Access::View { veiled(detail) } else { detail };
            return Ok(tagged(StatusCode::OK, detail.task.revision, &detail));
        };
        tokio::select! {
            () = parked => {}
            () = tokio::time::sleep_until(until) => {}
        }
        // Whatever woke it (progress has no revision of its own) is worth an answer.
        since = None;
    }
}

/// A task as the view socket shows it: without the values that may be secret, and without the digest, by which a short
/// one could be guessed.
fn veiled(mut detail: TaskDetail) -> TaskDetail {
    for value in detail.spec.env.values_mut().chain(detail.spec.log_opt.values_mut()) {
        VEIL.clone_into(value);
    }
    VEIL.clone_into(&mut detail.spec_digest);
    detail
}

pub(super) async fn explain(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let text = call.part.clone();
    Ok(ok(&control.manager.read(move |manager, now| manager.explain_task(&text, now)).await??))
}

pub(super) async fn explain_spec(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (explain, _) = read_body::<ExplainSpec>(call, body).await?;
    let errors = explain.spec.check();
    if !errors.is_empty() {
        return Err(Problem::of_spec(&errors));
    }
    Ok(ok(&control.manager.read(move |manager, _| manager.explain_spec(&explain.spec)).await?))
}

pub(super) async fn stats_of(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let text = call.part.clone();
    Ok(ok(&control.manager.read(move |manager, _| manager.task_stats(&text)).await??))
}

pub(super) async fn stats(control: &Control) -> Result<Response<Body>, Problem> {
    let (stats, revision) = control.manager.read(|manager, _| (manager.stats(), manager.revision())).await?;
    Ok(list_answer(stats, revision, None))
}

#[cfg(test)]
mod tests {
    use orca_api::error::Code;

    use super::*;

    #[test]
    fn filters_are_read_strictly() {
        let filter = Filter::read("phase=running, name=web*,node=n1").unwrap();
        let wanted =
            Filter { phase: Some(Phase::Running), node: Some("n1".into()), name: Some("web*".into()) };
        assert_eq!(filter, wanted);
        for wrong in ["phase=up", "colour=red", "x"] {
            assert_eq!(Filter::read(wrong).unwrap_err().code, Code::BadRequest, "{wrong}");
        }
    }
}
