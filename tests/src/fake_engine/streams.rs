//! Answers that flow: events, output, waits.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::http::{Answer, Query, has_label, refused, respond};
use super::{Shared, container};

pub(super) fn flowing(kind: &str, parts: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    respond(
        200,
        kind,
        StreamBody::new(parts.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)))).boxed_unsync(),
    )
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// The engine's events, as they happen.
pub(super) fn events(shared: &Arc<Shared>, query: &Query) -> Answer {
    let filters: Value =
        query.get("filters").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let wanted = container::strings(&filters["label"]);
    let receiver = shared.events.subscribe();
    // One that happens between these two lines comes twice, as hints may.
    let past = match query.get("since").and_then(|text| since(&text)) {
        Some(since) => shared.look(|state| {
            state
                .past_events
                .iter()
                .filter(|e| e["time"].as_i64() >= Some(since.as_second()))
                .cloned()
                .collect()
        }),
        None => std::collections::VecDeque::new(),
    };
    let parts = stream::unfold((receiver, wanted, past), |(mut receiver, wanted, mut past)| async move {
        loop {
            let event = match past.pop_front() {
                Some(event) => event,
                None => receiver.recv().await.ok()?,
            };
            let labels: BTreeMap<String, String> =
                serde_json::from_value(event["Actor"]["Attributes"].clone()).unwrap_or_default();
            if wanted.iter().all(|label| has_label(&labels, label)) {
                return Some((line(&event), (receiver, wanted, past)));
            }
        }
    });
    flowing("application/json", parts)
}

/// Answers when a container does not run.
pub(super) fn wait(shared: &Arc<Shared>, name: &str) -> Answer {
    if shared.look(|state| state.find(name).is_none()) {
        return refused((404, format!("No such container: {name}")));
    }
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    let ended = async move {
        let code = shared
            .until(|state| match state.find(&name) {
                Some(container) if container.lives() => None,
                Some(container) => Some(container.exit_code),
                None => Some(0),
            })
            .await;
        line(&json!({ "StatusCode": code }))
    };
    flowing("application/json", stream::once(ended))
}

/// A message in the engine's framing.
pub(super) fn framed(source: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![source, 0, 0, 0];
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A container's output.
pub(super) fn logs(shared: &Arc<Shared>, name: &str, query: &Query) -> Answer {
    let Some((length, unreadable)) = shared.look(|state| {
        state.find(name).map(|c| (c.output.len(), c.body["HostConfig"]["LogConfig"]["Type"] == "none"))
    }) else {
        return refused((404, format!("No such container: {name}")));
    };
    if unreadable {
        return refused((501, "configured logging driver does not support reading".to_owned()));
    }
    let from =
        query.get("tail").and_then(|n| n.parse::<usize>().ok()).map_or(0, |n| length.saturating_sub(n));
    let since = query.get("since").and_then(|text| since(&text));
    let follow = query.is("follow");
    // As some engines do: the last words are lost on those who follow.
    let loses = follow && shared.look(|state| state.faults.lose_last_words);
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    let damaged = shared.look(|state| state.faults.damaged_logs);
    let begin = if damaged { vec![Bytes::from(framed(9, b"damage"))] } else { Vec::new() };
    let parts = stream::unfold((shared, name, from), move |(shared, name, at)| async move {
        let next = shared
            .until(|state| {
                let Some(container) = state.find(&name) else { return Some(None) };
                let lost = usize::from(loses && !container.lives());
                let old = |time: &str| {
                    since.is_some_and(|since| time.parse::<jiff::Timestamp>().is_ok_and(|time| time < since))
                };
                let new = container.output.iter().enumerate().skip(at).find(|(_, (time, ..))| !old(time));
                match new {
                    Some((i, (time, source, bytes))) if i + lost < container.output.len() => {
                        Some(Some((i, framed(*source, &[time.as_bytes(), b" ", bytes].concat()))))
                    }
                    None if follow && container.lives() => None,
                    _ => Some(None),
                }
            })
            .await?;
        Some((Bytes::from(next.1), (shared, name, next.0 + 1)))
    });
    flowing("application/vnd.docker.raw-stream", stream::iter(begin).chain(parts))
}

/// Seconds with nanoseconds since 1970, as the engine reads them.
fn since(text: &str) -> Option<jiff::Timestamp> {
    let (seconds, nanos) = text.split_once('.').unwrap_or((text, "0"));
    jiff::Timestamp::new(seconds.parse().ok()?, nanos.parse().ok()?).ok()
}
