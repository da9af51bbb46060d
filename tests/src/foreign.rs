//! Every parser of foreign text and bytes behind one kind of door: bytes in, and either a value or a refusal.
//!
//! Two judges knock: the fuzz targets of `tests/fuzz`, for hours, and `tests/corpus.rs`, with the committed corpus and
//! small mutations of it, on every run. A door panics where its parser does, and where what was accepted does not
//! survive being written and read again.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use orca_api::control::{ExecTask, ExplainSpec, RestartTask, SetAvailability, StartTask, StopTask};
use orca_api::id::{IdSource, LifeId, RawId};
use orca_api::link::{Goodbye, Hello, Poll, PollAnswer, Report, ReportAnswer, SpecBody, Welcome};
use orca_api::load::NodeLoad;
use orca_api::name::Name;
use orca_api::node::Role;
use orca_api::route::worker::{ExecQuery, LogQuery};
use orca_api::spec::{Constraint, HttpCheck, ImageRef, Mount, Port, Restart, Signal, TaskSpec, Tmpfs};
use orca_api::stream::Decoder;
use orca_api::text::{read_json, read_task_toml};
use orca_api::units::{Bytes, Cpu, Span, Time};
use orca_core::Now;
use orca_core::manager::{Event, Manager, Token};
use orcad::worker::streams::demux::Demux;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A parser, taken by its bytes.
pub type Door = fn(&[u8]);

/// The doors, by the names of their fuzz targets.
pub const DOORS: &[(&str, Door)] = &[
    ("api_json", api_json),
    ("config_toml", config_toml),
    ("demux", demux),
    ("frames", frames),
    ("link", link),
    ("query", query),
    ("task_toml", task_toml),
    ("words", words),
];

/// The body of a request on the control socket.
pub fn api_json(bytes: &[u8]) {
    if let Ok(start) = strict::<StartTask>(bytes) {
        checked(&start.spec);
    }
    if let Ok(explain) = strict::<ExplainSpec>(bytes) {
        checked(&explain.spec);
    }
    let _ = strict::<StopTask>(bytes);
    let _ = strict::<RestartTask>(bytes);
    let _ = strict::<ExecTask>(bytes);
    let _ = strict::<SetAvailability>(bytes);
}

/// A task file.
pub fn task_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read_task_toml(text) {
        Ok(file) => checked(&file.spec),
        Err(error) => placed(text, &error),
    }
}

/// A configuration file of the daemon.
pub fn config_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(errors) = orcad::config::load_text("orcad.toml", text) {
        // The excerpt beside a message is cut out of the text, whatever that is.
        assert!(!errors.render(false).is_empty());
    }
}

/// The query of a request.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for entry in orca_api::route::ROUTES {
        let Ok(query) = orcad::net::http::Query::read(Some(text), entry.query) else { continue };
        for (name, _) in entry.query {
            let _ = (
                query.flag(name),
                query.parsed::<u64>(name),
                query.parsed::<Time>(name),
                query.parsed::<Span>(name),
            );
        }
    }
    if let Some(decoded) = orca_api::route::decode(text) {
        assert_eq!(orca_api::route::decode(&orca_api::route::encode(&decoded)), Some(decoded));
    }
}

/// The texts that stand for one value in files, flags and requests, one a line.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for word in text.lines() {
        round::<ImageRef>(word);
        round::<Port>(word);
        round::<Mount>(word);
        round::<Tmpfs>(word);
        round::<Restart>(word);
        round::<Name>(word);
        round::<Time>(word);
        round::<Span>(word);
        round::<Cpu>(word);
        // Rounded for people when written.
        let _ = (word.parse::<Bytes>(), word.parse::<Signal>(), word.parse::<HttpCheck>());
        if let Ok(constraint) = word.parse::<Constraint>() {
            let _ = format!("{constraint:?}");
        }
    }
}

/// A message of the link: what the other machine says, and what the manager makes of it.
pub fn link(bytes: &[u8]) {
    let mut manager = a_manager();
    let node = manager.first_node();
    let now = Now { wall: Time::from_ms(2_000), boot_ms: 1_000 };
    let mut take = |event: Event| drop(manager.step(event, now, &mut Counted(9)));
    if let (Ok(hello), Some(node)) = (tolerant::<Hello>(bytes), node) {
        take(Event::Hello { token: Token(1), node, address: None, hello: Box::new(hello) });
    }
    if let (Ok(report), Some(node)) = (tolerant::<Report>(bytes), node) {
        let life = report.life;
        take(Event::Hello { token: Token(2), node, address: None, hello: Box::new(a_hello(life)) });
        take(Event::Reported { token: Token(3), node, life, placements: report.placements });
    }
    if let (Ok(goodbye), Some(node)) = (tolerant::<Goodbye>(bytes), node) {
        take(Event::Goodbye { node, goodbye });
    }
    if let (Ok(load), Some(node)) = (tolerant::<NodeLoad>(bytes), node) {
        take(Event::Measured { node, load: Box::new(load) });
    }
    take(Event::Tick);
    assert!(Manager::load(manager.durable_rows()).same_durable(&manager), "a load gives another state");
    let _ = (tolerant::<Poll>(bytes), tolerant::<PollAnswer>(bytes), tolerant::<ReportAnswer>(bytes));
    let _ = (
        tolerant::<Welcome>(bytes),
        tolerant::<SpecBody>(bytes),
        tolerant::<LogQuery>(bytes),
        tolerant::<ExecQuery>(bytes),
    );
}

/// Frames of `orca-stream/1`. The first byte says how the rest is cut.
pub fn frames(bytes: &[u8]) {
    let Some((cut, rest)) = bytes.split_first() else { return };
    let mut decoder = Decoder::default();
    let (mut taken, mut again) = (0, Vec::new());
    for piece in rest.chunks(usize::from(*cut).max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    again.extend(frame.encode());
                    taken = again.len();
                }
                Ok(None) => break,
                Err(_) => {
                    assert_eq!(again, rest[..taken], "what was taken is what was sent");
                    return;
                }
            }
        }
    }
    assert_eq!(again, rest[..taken], "what was taken is what was sent");
}

/// The engine's framing of output. The first byte says how the rest is cut.
pub fn demux(bytes: &[u8]) {
    let Some((cut, rest)) = bytes.split_first() else { return };
    let mut demux = Demux::default();
    let mut payload = 0;
    for piece in rest.chunks(usize::from(*cut).max(1)) {
        demux.buffer.extend_from_slice(piece);
        loop {
            match demux.next_piece() {
                Ok(Some(piece)) => payload += piece.bytes.len(),
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    }
    assert!(payload + demux.buffer.len() <= rest.len(), "nothing is made up");
}

/// Reads strictly; what is accepted is written and read again to the same.
fn strict<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Result<T, ()> {
    match read_json::<T>(bytes) {
        Ok(value) => {
            let text = serde_json::to_vec(&value).expect("what was read can be written");
            assert_eq!(read_json::<T>(&text).as_ref(), Ok(&value), "{}", String::from_utf8_lossy(&text));
            Ok(value)
        }
        Err(error) => {
            placed(&String::from_utf8_lossy(bytes), &error);
            Err(())
        }
    }
}

/// Reads as the link does; what is accepted can be written.
fn tolerant<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let value = serde_json::from_slice::<T>(bytes)?;
    serde_json::to_vec(&value)?;
    Ok(value)
}

/// A message is for people: it is there, and its place lies within the text.
fn placed(text: &str, error: &orca_api::text::TextError) {
    assert!(!error.to_string().is_empty());
    if let Some((line, column)) = error.position {
        assert!(line <= text.lines().count() + 1 && column >= 1, "{error}");
    }
}

/// The rules of a spec, and its digest.
fn checked(spec: &TaskSpec) {
    for error in spec.check() {
        assert!(!error.path.is_empty() && !error.message.is_empty());
    }
    assert_eq!(spec.digest().len(), 64);
    let _ = (spec.cpu_reservation(), spec.memory_reservation(), spec.disk_reservation(), spec.grace());
}

/// What is accepted is written in a way that reads back to the same.
fn round<T: FromStr + Display + PartialEq + Debug>(word: &str) {
    if let Ok(value) = word.parse::<T>() {
        let written = value.to_string();
        assert_eq!(written.parse::<T>().ok().as_ref(), Some(&value), "{word:?} was written as {written:?}");
    }
}

/// Ids that count.
struct Counted(u8);

impl IdSource for Counted {
    fn next_id(&mut self) -> RawId {
        self.0 = self.0.wrapping_add(1);
        RawId::from_bytes([self.0; 10])
    }
}

fn a_manager() -> Manager {
    let now = Now { wall: Time::from_ms(1_000), boot_ms: 0 };
    let name = "n1".parse().expect("a name");
    Manager::load(Manager::bootstrap(&mut Counted(0), now, name, vec![Role::Manager, Role::Worker]))
}

fn a_hello(life: LifeId) -> Hello {
    Hello {
        version: orca_api::link::LINK_VERSION,
        life,
        facts: orca_api::link::NodeFacts::default(),
        generation: orca_api::link::Generation::default(),
        clock: Time::from_ms(2_000),
        inventory: Vec::new(),
    }
}
