//! The driver: one event loop for each role, the only place where a core is stepped.
//!
//! ```text
//!   queue (bounded) ──► take up to 256 ──► step each ──► commit once ──► release effects ──► reads
//!        ▲                                                                    │
//!        └────────────── results, requests, messages of the link ◄────────────┘
//! ```
//!
//! * Changes are committed before any effect is released: nobody hears of anything that a crash can undo.
//! * Reads go through the same queue and run after the commit of the events before them, so they are linearisable.
//! * There are no timers: it sleeps until the core's next deadline and then steps a tick, after everything that was
//!   received before.
//! * Each completed turn is reported, which feeds the watchdog; an idle driver makes an empty turn now and then.
//! * An error from [`Role::commit`] ends the driver, and with it the daemon.
//!
//! It knows neither core: a role is what [`Role`] says.

use std::sync::Arc;
use std::time::Duration;

use orca_core::Now;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The most messages of one turn, and so of one commit.
const TURN_MESSAGES_MAX: usize = 256;
/// Messages that wait for their turn; who sends more waits.
const QUEUE_MESSAGES: usize = 1024;
/// A deadline so much overdue is stepped though messages are still waiting, in milliseconds.
const OVERDUE_MS: u64 = 2000;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The store's state is not known any more, or cannot be reached: the process must end, and load again.
#[derive(Debug, thiserror::Error)]
#[error("the {role} cannot go on")]
pub struct Fatal {
    /// `manager`, `worker`.
    pub role: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What the driver drives.
pub trait Role: Send + 'static {
    /// The core, as reads see it.
    type Core: Send + 'static;
    /// What it is stepped with.
    type Event: Send + 'static;

    /// The core.
    fn core(&self) -> &Self::Core;
    /// When time alone makes something due, on the boot clock in milliseconds.
    fn next_deadline(&self) -> Option<u64>;
    /// The event that says nothing but the time.
    fn tick(&self) -> Self::Event;
    /// Something that is measured before each turn and enters as an event.
    fn measured(&mut self, _now: Now) -> Option<Self::Event> {
        None
    }
    /// Steps the core, and keeps changes and effects.
    fn step(&mut self, event: Self::Event, now: Now);
    /// Commits the changes that were kept and releases the effects, or undoes both.
    fn commit(&mut self, now: Now) -> impl Future<Output = Result<(), Fatal>> + Send;
}

type Read<R> = Box<dyn FnOnce(&<R as Role>::Core, Now) + Send>;

enum Message<R: Role> {
    Event(R::Event),
    Read(Read<R>),
}

/// The driver does not take messages any more: the daemon is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("orcad is stopping")]
pub struct Stopped;

/// The way into a driver.
pub struct Handle<R: Role> {
    queue: mpsc::Sender<Message<R>>,
}

impl<R: Role> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<R: Role> std::fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("free", &self.queue.capacity()).finish()
    }
}

impl<R: Role> Handle<R> {
    /// Sends an event; waits while the queue is full.
    pub async fn send(&self, event: R::Event) -> Result<(), Stopped> {
        self.queue.send(Message::Event(event)).await.map_err(|_| Stopped)
    }

    /// Reads the core, after everything that was sent before.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&R::Core, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, got) = oneshot::channel();
        let read: Read<R> = Box::new(move |core, now| {
            // Whoever asked may have gone.
            let _ = answer.send(read(core, now));
        });
        self.queue.send(Message::Read(read)).await.map_err(|_| Stopped)?;
        got.await.map_err(|_| Stopped)
    }
}

/// A role's event loop.
pub struct Driver<R: Role> {
    role: R,
    queue: mpsc::Receiver<Message<R>>,
    clock: Clock,
    /// The longest time without a turn.
    beat: Duration,
    turned: Box<dyn Fn() + Send>,
}

/// A way into a driver that is still to be made: parts of a role need it before the role is whole.
pub struct Inbox<R: Role> {
    queue: mpsc::Receiver<Message<R>>,
}

/// The two ends of a driver's queue.
pub fn queue<R: Role>() -> (Handle<R>, Inbox<R>) {
    let (queue, inbox) = mpsc::channel(QUEUE_MESSAGES);
    (Handle { queue }, Inbox { queue: inbox })
}

impl<R: Role> Driver<R> {
    /// A driver. `turned` is called after each completed turn, at least once each `beat`.
    pub fn new(role: R, inbox: Inbox<R>, clock: Clock, beat: Duration, turned: Box<dyn Fn() + Send>) -> Self {
        Self { role, queue: inbox.queue, clock, beat, turned }
    }

    /// Drives until `stop`, and then until everything that was accepted before is done.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Fatal> {
        let mut messages = Vec::with_capacity(TURN_MESSAGES_MAX);
        let mut stopping = false;
        loop {
            let now = (self.clock)();
            let idle = match self.role.next_deadline() {
                Some(due) => Duration::from_millis(due.saturating_sub(now.boot_ms)).min(self.beat),
                None => self.beat,
            };
            let received = tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.queue.close();
                    continue;
                }
                received = self.queue.recv_many(&mut messages, TURN_MESSAGES_MAX) => Some(received),
                () = tokio::time::sleep(idle) => None,
            };
            if received == Some(0) {
                return Ok(());
            }
            self.turn(&mut messages).await?;
            (self.turned)();
        }
    }

    /// Steps the events, commits once, then reads.
    async fn turn(&mut self, messages: &mut Vec<Message<R>>) -> Result<(), Fatal> {
        let now = (self.clock)();
        let drained = messages.len() < TURN_MESSAGES_MAX;
        if let Some(event) = self.role.measured(now) {
            self.role.step(event, now);
        }
        let mut reads: Vec<Read<R>> = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Event(event) => self.role.step(event, (self.clock)()),
                Message::Read(read) => reads.push(read),
            }
        }
        let now = (self.clock)();
        if let Some(due) = self.role.next_deadline()
            && due + if drained { 0 } else { OVERDUE_MS } <= now.boot_ms
        {
            let tick = self.role.tick();
            self.role.step(tick, now);
        }
        self.role.commit(now).await?;
        for read in reads {
            read(self.role.core(), now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use orca_api::units::Time;

    use super::*;

    /// Adds numbers up; what is visible outside is what was committed.
    struct Adder {
        sum: u64,
        committed: Arc<AtomicU64>,
        due: Option<u64>,
        commits: Arc<AtomicU64>,
    }

    impl Role for Adder {
        type Core = u64;
        type Event = u64;
        fn core(&self) -> &u64 {
            &self.sum
        }
        fn next_deadline(&self) -> Option<u64> {
            self.due
        }
        fn tick(&self) -> u64 {
            1000
        }
        fn step(&mut self, event: u64, _now: Now) {
            if event == 1000 {
                self.due = None;
            }
            self.sum += event;
        }
        async fn commit(&mut self, _now: Now) -> Result<(), Fatal> {
            self.committed.store(self.sum, Ordering::SeqCst);
            self.commits.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn adder(due: Option<u64>) -> (Handle<Adder>, Driver<Adder>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (committed, commits) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let role = Adder { sum: 0, committed: Arc::clone(&committed), due, commits: Arc::clone(&commits) };
        let (handle, inbox) = queue();
        let clock: Clock = Arc::new(|| Now { wall: Time::from_ms(0), boot_ms: 5 });
        (
            handle,
            Driver::new(role, inbox, clock, Duration::from_millis(20), Box::new(|| {})),
            committed,
            commits,
        )
    }

    #[tokio::test]
    async fn a_read_sees_what_was_sent_before_it_and_only_what_is_committed() {
        let (handle, driver, committed, commits) = adder(None);
        for n in 1..=100 {
            handle.send(n).await.unwrap();
        }
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        let seen = Arc::clone(&committed);
        let (sum, stored) = handle.read(move |sum, _| (*sum, seen.load(Ordering::SeqCst))).await.unwrap();
        assert_eq!((sum, stored), (5050, 5050));
        assert!(commits.load(Ordering::SeqCst) <= 3, "a hundred events are one commit");
        stop.cancel();
        driver.await.unwrap().unwrap();
        assert_eq!(handle.send(1).await, Err(Stopped));
    }

    #[tokio::test]
    async fn what_was_accepted_before_the_stop_is_done() {
        let (handle, driver, committed, _) = adder(None);
        for n in 1..=10 {
            handle.send(n).await.unwrap();
        }
        let stop = CancellationToken::new();
        stop.cancel();
        driver.run(stop).await.unwrap();
        assert_eq!(committed.load(Ordering::SeqCst), 55);
    }

    #[tokio::test]
    async fn a_deadline_is_a_tick() {
        let (handle, driver, _, _) = adder(Some(5));
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        while handle.read(|sum, _| *sum).await.unwrap() != 1000 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        driver.await.unwrap().unwrap();
    }
}
