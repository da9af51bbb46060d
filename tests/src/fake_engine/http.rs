//! The routes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::state::{API_OLDEST, Call};
use super::{Shared, container, exec, pull, streams};

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Counts a connection as long as it lives.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.with(|state| state.connections -= 1);
    }
}

/// Serves one connection.
pub(super) async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    shared.with(|state| state.connections += 1);
    let counted = Counted(Arc::clone(&shared));
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, shared).await) }
    });
    // A client that goes away in the middle is the normal end of a stream here.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    drop(counted);
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Answer {
    let target = request.uri().path().to_owned();
    let (api, path) = split_version(&target);
    let (method, path) = (request.method().clone(), percent_decoded(path));
    let query = request.uri().query().unwrap_or_default().to_owned();
    shared.with(|state| {
        state.calls.push(Call { method: method.to_string(), api, path: path.clone(), query: query.clone() });
    });
    let hangs = |faults: &super::Faults| {
        faults.hang || faults.hang_path.as_ref().is_some_and(|end| path.ends_with(end.as_str()))
    };
    shared.until(|state| (!hangs(&state.faults)).then_some(())).await;
    let (newest, faults) = shared.look(|state| (state.api_newest, state.faults.clone()));
    if faults.delay > std::time::Duration::ZERO {
        tokio::time::sleep(faults.delay).await;
    }
    if let Some((end, text)) = &faults.fail_path
        && path.ends_with(end.as_str())
    {
        return refused((500, text.clone()));
    }
    if let Some(api) = api {
        if api > newest {
            return refused((
                400,
                format!("client version 1.{api} is too new. Maximum supported API version is 1.{newest}"),
            ));
        }
        if api < API_OLDEST {
            return refused((
                400,
                format!("client version 1.{api} is too old. Minimum supported API version is 1.{API_OLDEST}"),
            ));
        }
    }
    route(&shared, &method, &path, &Query(query), request).await
}

/// `/v1.41/info` → 41 and `/info`.
fn split_version(path: &str) -> (Option<u32>, &str) {
    let Some(rest) = path.strip_prefix("/v1.") else { return (None, path) };
    let end = rest.find('/').unwrap_or(rest.len());
    (rest[..end].parse().ok(), &rest[end..])
}

async fn route(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is = |wanted: Method| *method == wanted;
    match parts.as_slice() {
        ["_ping"] => text("OK"),
        ["version"] => json_answer(200, &shared.look(super::State::version)),
        ["info"] => json_answer(200, &shared.look(super::State::info)),
        ["events"] => streams::events(shared, query),
        ["networks", "bridge"] => json_answer(200, &shared.look(super::State::network)),
        ["networks", name] => refused((404, format!("network {name} not found"))),
        ["images", "create"] => pull::pull(shared, query, request.headers()),
        ["images", name @ .., "json"] if !name.is_empty() => image(shared, &name.join("/")),
        ["containers", "json"] => list(shared, query),
        ["containers", "create"] => {
            let body = body(request).await;
            match container::create(shared, &query.get("name").unwrap_or_default(), &body) {
                Ok(id) => json_answer(201, &json!({"Id": id, "Warnings": []})),
                Err(refusal) => refused(refusal),
            }
        }
        ["containers", name] if is(Method::DELETE) => {
            done(container::remove(shared, name, query.is("force")))
        }
        ["containers", name, "json"] => {
            match shared.look(|state| state.find(name).map(container::Container::inspect)) {
                Some(seen) => json_answer(200, &seen),
                None => refused((404, format!("No such container: {name}"))),
            }
        }
        ["containers", name, "start"] => match container::start(shared, name) {
            Ok(true) => empty(204),
            Ok(false) => empty(304),
            Err(refusal) => refused(refusal),
        },
        ["containers", name, "kill"] => {
            done(container::kill(shared, name, &query.get("signal").unwrap_or_else(|| "KILL".to_owned())))
        }
        ["containers", name, "wait"] => streams::wait(shared, name),
        ["containers", name, "unpause"] => done(unpause(shared, name)),
        ["containers", name, "logs"] => streams::logs(shared, name, query),
        ["containers", name, "exec"] => {
            let body = body(request).await;
            match exec::create(shared, name, &body) {
                Ok(id) => json_answer(201, &json!({"Id": id})),
                Err(refusal) => refused(refusal),
            }
        }
        ["exec", id, "start"] => exec::start(shared, id, request),
        ["exec", id, "json"] => match exec::inspect(shared, id) {
            Some(seen) => json_answer(200, &seen),
            None => refused((404, format!("No such exec instance: {id}"))),
        },
        ["exec", id, "resize"] => done(exec::resize(shared, id, query)),
        _ => refused((404, format!("page not found: {method} {path}"))),
    }
}

fn image(shared: &Shared, name: &str) -> Answer {
    match shared.look(|state| state.image(name).cloned()) {
        Some(image) => {
            json_answer(200, &json!({"Id": image.id, "Config": {"Labels": image.behaviour.image_labels}}))
        }
        None => refused((404, format!("No such image: {name}"))),
    }
}

fn list(shared: &Shared, query: &Query) -> Answer {
    let filters: Value =
        query.get("filters").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let wanted = container::strings(&filters["label"]);
    let all = query.is("all");
    let limit = query.get("limit").and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(usize::MAX);
    let found: Vec<Value> = shared.look(|state| {
        let fits = |c: &&container::Container| {
            (all || c.lives()) && wanted.iter().all(|label| has_label(&c.labels, label))
        };
        state.containers.iter().filter(fits).map(container::Container::summary).take(limit).collect()
    });
    json_answer(200, &Value::from(found))
}

/// `key` or `key=value`.
pub(super) fn has_label(labels: &std::collections::BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

fn unpause(shared: &Shared, name: &str) -> Result<(), container::Refused> {
    let thawed = shared.with(|state| {
        let container = state.find_mut(name).ok_or_else(|| (404, format!("No such container: {name}")))?;
        if container.status != container::Status::Paused {
            return Err((500, format!("Container {name} is not paused")));
        }
        container.status = container::Status::Running;
        Ok(container.id.clone())
    })?;
    container::publish(shared, &thawed, "unpause");
    Ok(())
}

async fn body(request: Request<Incoming>) -> Value {
    let bytes =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// A query string.
pub(super) struct Query(String);

impl Query {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then(|| percent_decoded(&value.replace('+', " ")))
        })
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "true" || value == "1")
    }
}

fn percent_decoded(text: &str) -> String {
    orca_api::route::decode(text).unwrap_or_else(|| text.to_owned())
}

pub(super) fn respond(status: u16, kind: &str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    Response::builder()
        .status(status)
        .header("Content-Type", kind)
        .body(body)
        .expect("a status and a plain header")
}

pub(super) fn json_answer(status: u16, value: &Value) -> Answer {
    respond(status, "application/json", Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

fn text(text: &'static str) -> Answer {
    respond(200, "text/plain", Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
}

fn empty(status: u16) -> Answer {
    respond(status, "text/plain", Full::new(Bytes::new()).boxed_unsync())
}

pub(super) fn refused((status, message): container::Refused) -> Answer {
    json_answer(status, &json!({ "message": message }))
}

fn done(result: Result<(), container::Refused>) -> Answer {
    match result {
        Ok(()) => empty(204),
        Err(refusal) => refused(refusal),
    }
}
