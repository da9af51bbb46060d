//! Routes of nodes.

use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use orca_api::cluster::SetLabels;
use orca_api::control::SetAvailability;
use orca_api::error::Problem;
use orca_core::manager::Request as Asking;

use super::control::{Call, Control, list as list_answer, ok, read_body, tagged};
use crate::net::http::Body;

pub(super) async fn list(control: &Control) -> Result<Response<Body>, Problem> {
    let (nodes, revision) =
        control.manager.read(|manager, now| (manager.node_list(now), manager.revision())).await?;
    Ok(list_answer(nodes, revision, None))
}

pub(super) async fn inspect(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let text = call.part.clone();
    let detail = control.manager.read(move |manager, now| manager.node_detail(&text, now)).await??;
    Ok(tagged(StatusCode::OK, detail.node.revision, &detail))
}

pub(super) async fn set_availability(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (set, bytes) = read_body::<SetAvailability>(call, body).await?;
    control.ask(call, &bytes, Asking::SetAvailability { node: call.part.clone(), set }).await
}

pub(super) async fn set_labels(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (set, bytes) = read_body::<SetLabels>(call, body).await?;
    control.ask(call, &bytes, Asking::SetLabels { node: call.part.clone(), set }).await
}

pub(super) async fn confirm_down(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    control.ask(call, b"", Asking::ConfirmDown { node: call.part.clone() }).await
}

pub(super) async fn remove(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let force = call.query.flag("force")?;
    control.ask(call, b"", Asking::RemoveNode { node: call.part.clone(), force }).await
}

pub(super) async fn drain_plan(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let text = call.part.clone();
    let plan = control.manager.read(move |manager, now| manager.drain_plan(&text, now)).await??;
    Ok(ok(&plan))
}
