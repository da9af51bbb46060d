//! What happened, as a list; and what happens, as server-sent events that can be resumed.
//!
//! ```text
//!   follow (bounded) ── begins first ──────────────┐
//!   history (store) ── from the reader's place ──► │ ──► what is newer than the last one sent
//! ```
//!
//! Following begins before history is read, and every event is in the store before it is published: nothing is lost or
//! doubled in between. A reader that falls too far behind is told so and closed; it resumes with `Last-Event-ID`.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, header};
use orca_api::control::EventView;
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, TaskId};
use tokio::sync::{broadcast, mpsc};

use super::control::{Call, Control, list as list_answer};
use super::role::ManagerHandle;
use super::waiters::Published;
use crate::net::http::{self, Body, bad_parameter, text_header};
use crate::store::{EventFilter, EventPlace, StoreError};

/// Events of a list where no number is asked for.
const LIST_DEFAULT: u32 = 100;
/// The most events of a list.
const LIST_MOST: u32 = 10_000;
/// Events that are read from the store at once.
const PAGE: u32 = 500;
/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Events that are written ahead of a reader.
const AHEAD: usize = 64;

/// What a reader asks for.
struct Ask {
    since: Option<EventPlace>,
    limit: Option<u32>,
    filter: EventFilter,
    follow: bool,
}

pub(super) async fn events(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let ask = read_ask(control, call).await?;
    if let Some(since) = ask.since {
        let from = control.manager.read(|manager, _| manager.events_from()).await?;
        if since.revision + 1 < from {
            return Err(Problem::new(Code::Gone, format!("events before revision {from} are gone"))
                .hint("read the list without `since`, then watch from its revision"));
        }
    }
    if ask.follow { follow(control, ask) } else { list(control, ask).await }
}

async fn read_ask(control: &Control, call: &Call) -> Result<Ask, Problem> {
    let headers = call.head.headers();
    let accepts =
        text_header(headers, header::ACCEPT.as_str()).is_some_and(|a| a.contains("text/event-stream"));
    let since = match (call.query.text("since"), text_header(headers, "last-event-id")) {
        // The newer word: a browser repeats the address and adds the header when it resumes.
        (_, Some(id)) => {
            Some(place(id).ok_or_else(|| Problem::new(Code::BadRequest, "Last-Event-ID is REVISION.INDEX"))?)
        }
        (Some(text), None) => {
            Some(place(text).ok_or_else(|| bad_parameter("since", "a revision, or REVISION.INDEX"))?)
        }
        (None, None) => None,
    };
    let limit = call.query.parsed::<u32>("limit")?;
    if limit.is_some_and(|l| !(1..=LIST_MOST).contains(&l)) {
        return Err(bad_parameter("limit", format!("1 to {LIST_MOST}")));
    }
    let task = match call.query.text("task") {
        // A task that was removed is still known by its whole id.
        Some(text) => Some(match text.parse::<TaskId>() {
            Ok(id) => id,
            Err(_) => {
                let text = text.to_owned();
                control.manager.read(move |manager, _| manager.find_task(&text)).await??
            }
        }),
        None => None,
    };
    let node = match call.query.text("node") {
        // So is a node.
        Some(text) => Some(match text.parse::<NodeId>() {
            Ok(id) => id,
            Err(_) => {
                let text = text.to_owned();
                control.manager.read(move |manager, _| manager.find_node(&text)).await??
            }
        }),
        None => None,
    };
    Ok(Ask {
        since,
        limit,
        filter: EventFilter { task, node },
        follow: accepts || call.query.flag("follow")?,
    })
}

/// `12` is after the whole of revision 12, `12.3` after its event 3.
fn place(text: &str) -> Option<EventPlace> {
    let (revision, index) = match text.split_once('.') {
        Some((revision, index)) => (revision, index.parse().ok()?),
        None => (text, u32::MAX),
    };
    Some(EventPlace { revision: revision.parse().ok()?, index })
}

fn place_of(event: &EventView) -> EventPlace {
    EventPlace { revision: event.revision, index: event.index }
}

async fn list(control: &Control, ask: Ask) -> Result<Response<Body>, Problem> {
    let revision = control.manager.read(|manager, _| manager.revision()).await?;
    let limit = ask.limit.unwrap_or(LIST_DEFAULT);
    let store = control.manager.store();
    let mut next = None;
    let events = match ask.since {
        None => store.newest(limit, ask.filter).await.map_err(unread)?,
        Some(since) => {
            let mut events = store.events(since, limit + 1, ask.filter).await.map_err(unread)?;
            if events.len() > limit as usize {
                events.truncate(limit as usize);
                next = events.last().map(|e| format!("{}.{}", e.revision, e.index));
            }
            events
        }
    };
    Ok(list_answer(events, revision, next))
}

fn unread(error: StoreError) -> Problem {
    tracing::error!(%error, "events could not be read");
    Problem::new(Code::Internal, "the events could not be read").because(error.to_string())
}

fn follow(control: &Control, ask: Ask) -> Result<Response<Body>, Problem> {
    let place = control.watcher_place()?;
    let live = control.manager.waiters().follow();
    let (to, body) = http::pieces(AHEAD);
    let (manager, stop) = (control.manager.clone(), control.stop.clone());
    tokio::spawn(async move {
        let mut reader = Reader { to, last: None, filter: ask.filter };
        tokio::select! {
            _ = reader.run(&manager, live, &ask) => {}
            () = stop.cancelled() => {}
        }
        drop(place);
    });
    Ok(http::stream("text/event-stream", body))
}

/// The reader is gone, or was told why its stream ends.
struct Over;

struct Reader {
    to: mpsc::Sender<Bytes>,
    last: Option<EventPlace>,
    filter: EventFilter,
}

impl Reader {
    async fn run(
        &mut self,
        manager: &ManagerHandle,
        mut live: broadcast::Receiver<Published>,
        ask: &Ask,
    ) -> Result<(), Over> {
        // Headers go out with the first bytes: a reader learns at once that it is connected.
        self.write(": connected\n\n".to_owned()).await?;
        self.history(manager, ask).await?;
        loop {
            let published = match tokio::time::timeout(KEEP_ALIVE, live.recv()).await {
                Err(_) => {
                    self.write(": alive\n\n".to_owned()).await?;
                    continue;
                }
                Ok(Ok(published)) => published,
                Ok(Err(broadcast::error::RecvError::Lagged(sets))) => {
                    let problem =
                        Problem::new(Code::Gone, format!("this reader is {sets} sets of events behind"))
                            .hint("resume with Last-Event-ID");
                    return self.end(&problem).await;
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return Err(Over),
            };
            for event in published.events.iter() {
                self.event(event).await?;
            }
        }
    }

    async fn history(&mut self, manager: &ManagerHandle, ask: &Ask) -> Result<(), Over> {
        let Some(mut since) = ask.since else {
            // Without a place it begins with the newest, as many as were asked for, or with what comes.
            let events = match ask.limit {
                Some(limit) => manager.store().newest(limit, self.filter).await,
                None => return Ok(()),
            };
            return self.all(events).await.map(|_| ());
        };
        self.last = Some(since);
        loop {
            let page = manager.store().events(since, PAGE, self.filter).await;
            let read = self.all(page).await?;
            match self.last {
                Some(last) if read == PAGE as usize => since = last,
                _ => return Ok(()),
            }
        }
    }

    async fn all(&mut self, events: Result<Vec<EventView>, StoreError>) -> Result<usize, Over> {
        match events {
            Ok(events) => {
                for event in &events {
                    self.event(event).await?;
                }
                Ok(events.len())
            }
            Err(error) => self.end(&unread(error)).await.map(|()| 0),
        }
    }

    /// Writes an event, unless it was written before or is not wanted.
    async fn event(&mut self, event: &EventView) -> Result<(), Over> {
        let at = place_of(event);
        let wanted = self.filter.task.is_none_or(|task| event.task == Some(task))
            && self.filter.node.is_none_or(|node| event.node == Some(node));
        if !wanted || self.last.is_some_and(|last| at <= last) {
            return Ok(());
        }
        self.last = Some(at);
        let data = serde_json::to_string(event).map_err(|_| Over)?;
        self.write(format!("id: {}.{}\nevent: {}\ndata: {data}\n\n", at.revision, at.index, event.kind)).await
    }

    async fn end(&mut self, problem: &Problem) -> Result<(), Over> {
        let data = serde_json::to_string(problem).map_err(|_| Over)?;
        self.write(format!("event: problem\ndata: {data}\n\n")).await?;
        Err(Over)
    }

    async fn write(&self, text: String) -> Result<(), Over> {
        self.to.send(Bytes::from(text)).await.map_err(|_| Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(place("12"), Some(EventPlace { revision: 12, index: u32::MAX }));
        assert_eq!(place("12.3"), Some(EventPlace { revision: 12, index: 3 }));
        for wrong in ["", "x", "1.", "1.2.3", "-1"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
