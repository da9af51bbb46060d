//! Who waits for what: requests parked at a task or a job, polls parked at a node, readers that follow the events.
//!
//! A request is parked inside a read of the core, so nothing can happen between what it saw and its parking: no
//! wake-up is lost. Waiters are indexed by object and bounded in number; a reader that follows too slowly is told so.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use orca_api::control::EventView;
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, RawId};
use tokio::sync::{Notify, broadcast, oneshot};

use crate::net::limits::WAITERS_MAX;

/// Sets of events that a reader may be behind.
const FOLLOW_SETS: usize = 1024;

/// What a step published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The events, in their order.
    pub events: Arc<Vec<EventView>>,
}

/// The waiters of a manager.
#[derive(Debug)]
pub struct Waiters {
    parked: Mutex<ByObject>,
    nodes: Mutex<BTreeMap<NodeId, Arc<Notify>>>,
    followers: broadcast::Sender<Published>,
}

#[derive(Debug, Default)]
struct ByObject {
    objects: BTreeMap<RawId, BTreeMap<u64, oneshot::Sender<()>>>,
    count: usize,
    next: u64,
    closed: bool,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            parked: Mutex::default(),
            nodes: Mutex::default(),
            followers: broadcast::Sender::new(FOLLOW_SETS),
        }
    }
}

impl Waiters {
    fn by_object(&self) -> MutexGuard<'_, ByObject> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next thing that happens to a task or a job, named by the bits of its id. After [`Waiters::close`] it is over at once.
    pub fn park(self: &Arc<Self>, object: RawId) -> Result<Parked, Problem> {
        let mut by_object = self.by_object();
        if by_object.count >= WAITERS_MAX {
            return Err(Problem::new(Code::Busy, format!("{WAITERS_MAX} requests are waiting already"))
                .hint("try again in a moment"));
        }
        let (wake, woken) = oneshot::channel();
        let number = by_object.next;
        by_object.next += 1;
        if !by_object.closed {
            by_object.objects.entry(object).or_default().insert(number, wake);
            by_object.count += 1;
        }
        Ok(Parked { waiters: Arc::clone(self), object, number, woken })
    }

    /// Wakes who waits for these objects.
    pub fn wake(&self, objects: impl IntoIterator<Item = RawId>) {
        let mut by_object = self.by_object();
        for object in objects {
            if let Some(parked) = by_object.objects.remove(&object) {
                by_object.count -= parked.len();
                for (_, wake) in parked {
                    // Who is gone needs no waking.
                    let _ = wake.send(());
                }
            }
        }
    }

    /// Wakes everybody, and lets nobody wait any more: the daemon is stopping.
    pub fn close(&self) {
        let mut by_object = self.by_object();
        by_object.closed = true;
        by_object.count = 0;
        by_object.objects.clear();
    }

    /// Requests that are parked now.
    pub fn count(&self) -> usize {
        self.by_object().count
    }

    /// What a node's parked poll waits for.
    pub fn node(&self, node: NodeId) -> Arc<Notify> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.entry(node).or_default())
    }

    /// Wakes a node's parked poll.
    pub fn wake_node(&self, node: NodeId) {
        self.node(node).notify_waiters();
    }

    /// Follows the events from now on.
    pub fn follow(&self) -> broadcast::Receiver<Published> {
        self.followers.subscribe()
    }

    /// Gives events to those who follow.
    pub fn publish(&self, events: Vec<EventView>) {
        if !events.is_empty() {
            // Without followers nobody needs them: they are in the store.
            let _ = self.followers.send(Published { events: Arc::new(events) });
        }
    }
}

/// A parked request: done when something happened to the object. Dropping it gives its place back.
#[derive(Debug)]
pub struct Parked {
    waiters: Arc<Waiters>,
    object: RawId,
    number: u64,
    woken: oneshot::Receiver<()>,
}

impl Future for Parked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.woken).poll(cx).map(|_| ())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut by_object = self.waiters.by_object();
        let Some(parked) = by_object.objects.get_mut(&self.object) else { return };
        let was_there = parked.remove(&self.number).is_some();
        let empty = parked.is_empty();
        if was_there {
            by_object.count -= 1;
        }
        if empty {
            by_object.objects.remove(&self.object);
        }
    }
}

#[cfg(test)]
mod tests {
    use orca_api::id::{IdSource as _, SeededIds};

    use super::*;

    #[tokio::test]
    async fn only_those_who_wait_for_the_task_are_woken() {
        let waiters = Arc::new(Waiters::default());
        let mut ids = SeededIds(1);
        let (a, b) = (ids.next_id(), ids.next_id());
        let (for_a, mut for_b) = (waiters.park(a).unwrap(), waiters.park(b).unwrap());
        waiters.wake([a]);
        for_a.await;
        assert!(futures_util::poll!(&mut for_b).is_pending());
        assert_eq!(waiters.count(), 1);
        drop(for_b);
        assert_eq!(waiters.count(), 0);
    }

    #[tokio::test]
    async fn a_stop_wakes_everybody_for_good() {
        let waiters = Arc::new(Waiters::default());
        let task = SeededIds(2).next_id();
        let parked = waiters.park(task).unwrap();
        waiters.close();
        parked.await;
        waiters.park(task).unwrap().await;
        assert_eq!(waiters.count(), 0);
    }

    #[test]
    fn their_number_is_bounded() {
        let waiters = Arc::new(Waiters::default());
        let task = SeededIds(3).next_id();
        let parked: Vec<_> = (0..WAITERS_MAX).map(|_| waiters.park(task).unwrap()).collect();
        assert_eq!(waiters.park(task).unwrap_err().code, Code::Busy);
        drop(parked);
        assert!(waiters.park(task).is_ok());
    }
}
