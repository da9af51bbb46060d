//! What the daemon says. It may be away: the first call that cannot reach it ends the asking.

use orca_api::control::Status;
use orca_api::route::{Method, ROUTES, Route};
use orca_api::task::Reason;
use serde_json::Value;

use super::bundle::Progress;
use super::manifest::Collection;
use crate::client::Client;
use crate::output::error::Failure;

/// The most tasks that are shown in full.
const TASKS_MAX: usize = 500;
/// The most events.
const EVENTS_MAX: u32 = 2000;

/// Asks for everything.
pub(super) async fn collect(client: &Client, all: &mut Collection, progress: &Progress) {
    progress.say("asking orcad");
    let status = match client.call(Route::Status).answer::<Value>().await {
        Ok(answer) => answer.body,
        Err(failure) => {
            let why = match failure.because.first() {
                Some(because) => format!("{}: {because}", failure.message),
                None => failure.message.clone(),
            };
            all.left_out("everything that the daemon knows (status, nodes, tasks, events, metrics)", why);
            return;
        }
    };
    let nodes: Vec<String> = serde_json::from_value::<Status>(status.clone())
        .map(|status| status.node_list.iter().map(|node| node.name.to_string()).collect())
        .unwrap_or_default();
    all.document("daemon/status.json", "status", status);
    take(all, "daemon/version.json", "versions", client.call(Route::Version).answer().await.map(|a| a.body));
    let events = client.call(Route::Events).query("limit", EVENTS_MAX).answer().await.map(|a| a.body);
    take(all, "daemon/events.json", "the newest events", events);
    for (route, name, what) in lists() {
        let call = client.call(route);
        let call = if route == Route::Events { call.query("limit", EVENTS_MAX) } else { call };
        take(all, &name, what, call.answer().await.map(|a| a.body));
    }
    match metrics(client).await {
        Ok(text) => all.text("daemon/metrics.txt", "metrics", text),
        Err(failure) => all.left_out("daemon/metrics.txt", failure.message),
    }
    for node in nodes {
        let answer = client.call(Route::NodeInspect).part(&node).answer().await.map(|a| a.body);
        take(all, &format!("daemon/node-{node}.json"), &format!("node {node}"), answer);
    }
    tasks(client, all, progress).await;
}

/// Everything that can be read without a name, so that what is added to the API is in the bundle as well: the route, the
/// file's name, what it is. What has its own place here is not among it.
fn lists() -> impl Iterator<Item = (Route, String, &'static str)> {
    let own = [Route::Status, Route::OpenApi, Route::Metrics, Route::TaskList];
    ROUTES
        .iter()
        .filter(move |e| e.method == Method::Get && !e.path.contains('{') && !own.contains(&e.route))
        .map(|e| {
            let name = e.path.trim_start_matches("/v1/").replace('/', "-");
            (e.route, format!("daemon/{name}.json"), e.summary)
        })
}

async fn tasks(client: &Client, all: &mut Collection, progress: &Progress) {
    let list = match list(client).await {
        Ok(list) => list,
        Err(failure) => return all.left_out("daemon/tasks.json", failure.message),
    };
    for (i, task) in list.iter().take(TASKS_MAX).enumerate() {
        let Some(name) = task.get("name").and_then(Value::as_str) else { continue };
        progress.say(&format!("task {} of {}", i + 1, list.len().min(TASKS_MAX)));
        let answer = client.call(Route::TaskInspect).part(name).answer().await.map(|a| a.body);
        take(
            all,
            &format!("daemon/task-{name}.json"),
            &format!("task {name}, with spec and history"),
            answer,
        );
        let waits = task.get("reason").and_then(Value::as_str) == Some(Reason::NoFit.as_str());
        if waits {
            let answer = client.call(Route::TaskExplain).part(name).answer().await.map(|a| a.body);
            take(
                all,
                &format!("daemon/explain-{name}.json"),
                &format!("why task {name} does not run"),
                answer,
            );
        }
    }
    if list.len() > TASKS_MAX {
        all.left_out(
            format!("specs and histories of {} tasks", list.len() - TASKS_MAX),
            format!("only those of {TASKS_MAX} are taken"),
        );
    }
    all.document("daemon/tasks.json", "every task, at a glance", Value::from(list));
}

async fn list(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut tasks = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = client.call(Route::TaskList).query_some("continue", next.as_ref());
        let mut page: Value = call.answer().await?.body;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            tasks.extend(items);
        }
        next = page.get("next").and_then(Value::as_str).map(ToOwned::to_owned);
        if next.is_none() {
            return Ok(tasks);
        }
    }
}

async fn metrics(client: &Client) -> Result<String, Failure> {
    let mut lines = client.call(Route::Metrics).stream().await?;
    let mut text = String::new();
    while let Some(line) = lines.next().await? {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

fn take(all: &mut Collection, name: &str, what: &str, answer: Result<Value, Failure>) {
    match answer {
        Ok(value) => all.document(name, what, value),
        Err(failure) => all.left_out(name, failure.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_lists_is_taken() {
        let names: Vec<String> = lists().map(|(_, name, _)| name).collect();
        for name in ["daemon/version.json", "daemon/events.json", "daemon/stats.json", "daemon/nodes.json"] {
            assert!(names.iter().any(|n| n == name), "{name} is not among {names:?}");
        }
    }
}
