//! The corpus of the fuzz targets, and small mutations of it, through the same doors on every run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use orca_api::control::{ExecTask, StartTask};
use orca_api::link::{Goodbye, Hello, Poll, PollAnswer, Report, Welcome};
use orca_api::load::NodeLoad;
use orca_api::route::worker::ExecQuery;
use orca_api::text::{read_json, read_task_toml};
use orca_tests::foreign::{DOORS, Door};
use serde::de::DeserializeOwned;

/// Mutations of each file.
const MUTATIONS: u32 = 400;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Knocks; what the door panicked at, if it did.
fn knock(door: Door, bytes: &[u8], of: &Path, what: &str) -> Option<String> {
    let panicked = std::panic::catch_unwind(|| door(bytes)).err()?;
    let said =
        panicked.downcast_ref::<String>().map(String::as_str).or(panicked.downcast_ref::<&str>().copied());
    let said = said.unwrap_or("a panic without words");
    Some(format!("{} ({what}): {said}\n    {:?}", of.display(), String::from_utf8_lossy(bytes)))
}

/// xorshift: the same mutations on every run.
fn next(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).unwrap_or(0)
}

fn mutated(bytes: &[u8], seed: &mut u64) -> Vec<u8> {
    const BYTES: &[u8] = b"\0\x01\x02\x7f\x80\xff\"{}[]:,=.-+09eE\n\\/%& ";
    let mut out = bytes.to_vec();
    for _ in 0..=next(seed) % 4 {
        let at = next(seed) % (out.len() + 1);
        let byte = BYTES[next(seed) % BYTES.len()];
        match next(seed) % 4 {
            0 if at < out.len() => out[at] = byte,
            1 => out.insert(at, byte),
            2 if at < out.len() => drop(out.remove(at)),
            _ => out.truncate(at),
        }
    }
    out
}

#[test]
fn every_door_takes_its_corpus() {
    let (mut seed, mut wrong) = (0x9E37_79B9_7F4A_7C15, Vec::new());
    for (name, door) in DOORS {
        let folder = fuzz().join("corpus").join(name);
        let files = names(&folder);
        assert!(files.len() >= 3, "{}: only {} files", folder.display(), files.len());
        for file in files {
            let path = folder.join(file);
            let bytes = std::fs::read(&path).expect("a file of the corpus");
            let mut found = knock(*door, &bytes, &path, "as it is");
            for n in 0..MUTATIONS {
                let mutated = mutated(&bytes, &mut seed);
                found = found.or_else(|| knock(*door, &mutated, &path, &format!("mutation {n}")));
            }
            wrong.extend(found);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_door_has_its_fuzz_target() {
    let doors: BTreeSet<String> = DOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("corpus")), doors);
    let targets = names(&fuzz().join("fuzz_targets"));
    assert_eq!(targets, doors.iter().map(|door| format!("{door}.rs")).collect());
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for door in doors {
        assert!(
            manifest.contains(&format!("name = \"{door}\"")),
            "{door} is no [[bin]] of tests/fuzz/Cargo.toml"
        );
        let target =
            std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{door}.rs"))).expect("a target");
        assert!(target.contains(&format!("foreign::{door}(")), "{door}.rs knocks at another door");
    }
}

/// A corpus of refusals alone would never get past the doors.
#[test]
fn the_corpus_holds_what_is_accepted() {
    fn link<T: DeserializeOwned>(file: &str) {
        let bytes = std::fs::read(fuzz().join("corpus/link").join(file)).expect("a file of the corpus");
        if let Err(error) = serde_json::from_slice::<T>(&bytes) {
            panic!("link/{file}: {error}");
        }
    }
    link::<Hello>("hello");
    link::<Report>("report");
    link::<Report>("unknown-fields");
    link::<Poll>("poll");
    link::<PollAnswer>("poll-answer");
    link::<Welcome>("welcome");
    link::<Goodbye>("goodbye");
    link::<NodeLoad>("load");
    link::<ExecQuery>("exec-query");
    let text =
        |file: &str| std::fs::read_to_string(fuzz().join("corpus").join(file)).expect("a file of the corpus");
    let start: StartTask = read_json(text("api_json/start-everything").as_bytes()).expect("a request");
    assert_eq!(start.spec.check(), []);
    read_json::<ExecTask>(text("api_json/exec").as_bytes()).expect("a request");
    for file in ["image", "named", "quoted-name"] {
        assert!(read_task_toml(&text(&format!("task_toml/{file}"))).is_ok(), "{file}");
    }
    for file in ["packaged", "packaged-set", "shares"] {
        let loaded = orcad::config::load_text(file, &text(&format!("config_toml/{file}")));
        assert!(loaded.is_ok(), "{file}: {}", loaded.err().map(|e| e.render(false)).unwrap_or_default());
    }
}
