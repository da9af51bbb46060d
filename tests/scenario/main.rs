//! Scenarios: each `*.txt` here is a script, and what the cores make of it is compared with the `*.out` beside it.
//! Adding a scenario is adding a file; `UPDATE=1` writes the transcripts, and the review reads their difference.
//!
//! | line | does |
//! |---|---|
//! | `nodes 2` | the first line, if there is more than one node |
//! | `start NAME IMAGE [--restart P] [--memory M] [--cpus C] [-p PORT] [--grace S] [-v MOUNT] [--on NODE] [--singleton WAIT] [--replace]` | asks; so do `stop`, `restart`, `remove NAME [--force]`, `pause NODE`, `activate NODE`, `drain NODE [DEADLINE]` |
//! | `advance 5s` | lets time pass |
//! | `exit NAME CODE` | the task's process ends |
//! | `lose-container NAME` | somebody removes the task's container |
//! | `crash manager`, `crash worker NODE`, `lose-store NODE`, `reboot NODE` | a process or a machine dies, and comes back |
//! | `kill NODE 60s`, `power-cut NODE 60s` | its machine is off for so long; its connections break, or nobody hears of it |
//! | `cut NODE 20s` | nothing comes through to it, or from it |
//! | `goodbye NODE 30s` | its orcad stops, and announces when it will be back |
//! | `stay-away NODE 30s` | its orcad dies, and is started again after so long |
//! | `confirm-down NODE`, `remove-node NODE [--force]`, `nodes`, `attention` | asks, and shows |
//! | `token USES`, `join NAME [ahead|behind 7m]` | makes a token; a machine joins with it, and its clock is off by so much |
//! | `engine NODE stops 5s [live-restore]`, `engine NODE hangs 20s` | the engine is away for so long |
//! | `foreign NODE NAME PORT` | somebody else's container publishes a port |
//! | `repair` | every image is there, and runs |
//! | `tasks`, `explain NAME`, `drain-plan NODE` | shows what a client would see |
//!
//! What an image does is in its name: `orca_tests::world::engine` has the list.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use orca_api::cluster::CreateToken;
use orca_api::control::{SetAvailability, StartTask, StopTask};
use orca_api::node::Availability;
use orca_api::spec::TaskSpec;
use orca_api::units::Span;
use orca_core::manager::Request;
use orca_tests::world::{Plan, World};

#[test]
fn transcripts_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of this file")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 10, "the scenarios are gone");
    let update = std::env::var_os("UPDATE").is_some();
    let mut differ = Vec::new();
    for script in scripts {
        let text = std::fs::read_to_string(&script).expect("a script");
        let is = play(&text).unwrap_or_else(|e| panic!("{}: {e:#}", script.display()));
        let out = script.with_extension("out");
        if update {
            std::fs::write(&out, &is).expect("the transcript can be written");
        } else if std::fs::read_to_string(&out).ok().as_deref() != Some(&is) {
            println!("{}: the transcript is now:\n{is}", out.display());
            differ.push(out.display().to_string());
        }
    }
    assert!(differ.is_empty(), "transcripts differ (UPDATE=1 writes them): {}", differ.join(", "));
}

/// Plays a script; gives its transcript.
fn play(script: &str) -> Result<String> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let nodes = lines.clone().find_map(|line| line.strip_prefix("nodes ")).map_or(Ok(1), str::parse)?;
    let mut world = World::new(Plan::calm(nodes));
    world.run_for(Span::from_secs(1));
    let mut transcript = String::new();
    take(&mut world, &mut transcript)?;
    for line in lines.filter(|line| !line.starts_with("nodes ")) {
        if let Some(comment) = line.strip_prefix('#') {
            writeln!(transcript, "#{comment}")?;
            continue;
        }
        writeln!(transcript, "> {line}")?;
        act(&mut world, line).with_context(|| format!("`{line}`"))?;
        take(&mut world, &mut transcript)?;
        world.assert_sound();
    }
    Ok(transcript)
}

fn take(world: &mut World, transcript: &mut String) -> Result<()> {
    for line in world.take_lines() {
        writeln!(transcript, "{line}")?;
    }
    Ok(())
}

fn act(world: &mut World, line: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["start", name, image, ref options @ ..] => {
            let request = start(name, image, options)?;
            world.ask_manager(request);
        }
        ["stop", name] => {
            world.ask_manager(Request::Stop { task: name.to_owned(), how: StopTask::default() });
        }
        ["restart", name] => world.ask_manager(Request::Restart { task: name.to_owned() }),
        ["remove", name] => world.ask_manager(Request::Remove { task: name.to_owned(), force: false }),
        ["remove", name, "--force"] => {
            world.ask_manager(Request::Remove { task: name.to_owned(), force: true });
        }
        ["pause", node] => set_availability(world, node, Availability::Paused, None),
        ["activate", node] => set_availability(world, node, Availability::Active, None),
        ["drain", node] => set_availability(world, node, Availability::Draining, None),
        ["drain", node, deadline] => {
            set_availability(world, node, Availability::Draining, Some(deadline.parse()?));
        }
        ["drain-plan", node] => show_drain(world, node)?,
        ["advance", span] => world.run_for(span.parse()?),
        ["exit", name, code] => {
            let (n, id) = container(world, name)?;
            world.end_process(n, &id, code.parse()?);
        }
        ["lose-container", name] => {
            let (n, id) = container(world, name)?;
            world.remove_by_hand(n, &id);
        }
        ["crash", "manager"] => world.crash_manager(),
        ["crash", "worker", node] => world.crash_worker(number(world, node)?),
        ["lose-store", node] => world.lose_worker_store(number(world, node)?),
        ["reboot", node] => world.reboot(number(world, node)?),
        ["kill", node, span] => world.kill_machine(number(world, node)?, span.parse::<Span>()?.ms()),
        ["power-cut", node, span] => world.lose_power(number(world, node)?, span.parse::<Span>()?.ms()),
        ["cut", node, span] => world.cut_off(number(world, node)?, span.parse::<Span>()?.ms()),
        ["goodbye", node, span] => world.say_goodbye(number(world, node)?, span.parse()?),
        ["stay-away", node, span] => {
            world.stay_away(number(world, node)?, span.parse::<Span>()?.ms());
        }
        ["confirm-down", node] => world.ask_manager(Request::ConfirmDown { node: node.to_owned() }),
        ["remove-node", node, ref more @ ..] => {
            world.ask_manager(Request::RemoveNode { node: node.to_owned(), force: more == ["--force"] });
        }
        ["token", uses] => {
            let uses = Some(uses.parse()?);
            world.ask_manager(Request::CreateToken(CreateToken { uses, ..CreateToken::default() }));
        }
        ["join", name] => world.join(name, 0),
        ["join", name, "ahead", span] => world.join(name, i64::try_from(span.parse::<Span>()?.ms())?),
        ["join", name, "behind", span] => world.join(name, -i64::try_from(span.parse::<Span>()?.ms())?),
        ["nodes"] => show_nodes(world),
        ["attention"] => show_attention(world),
        ["engine", node, "stops", span, ref more @ ..] => {
            let n = number(world, node)?;
            world.set_live_restore(n, more == ["live-restore"]);
            world.engine_stops(n, span.parse::<Span>()?.ms());
        }
        ["engine", node, "hangs", span] => {
            world.engine_hangs(number(world, node)?, span.parse::<Span>()?.ms());
        }
        ["foreign", node, name, port] => world.foreign_container(number(world, node)?, name, Some(port)),
        ["repair"] => world.repair(),
        ["tasks"] => show_tasks(world),
        ["explain", name] => explain(world, name)?,
        _ => bail!("no such line"),
    }
    // Whatever was asked is answered, and whatever follows at once is shown with it.
    world.run_for(Span::from_ms(20));
    Ok(())
}

fn start(name: &str, image: &str, options: &[&str]) -> Result<Request> {
    let mut spec = TaskSpec::of_image(image.parse()?);
    let mut replace = false;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().copied().context("a value is missing");
        match *option {
            "--restart" => spec.restart = value()?.parse()?,
            "--memory" => spec.memory = Some(value()?.parse()?),
            "--cpus" => spec.cpus = Some(value()?.parse()?),
            "-p" => spec.ports.push(value()?.parse()?),
            "--grace" => spec.stop_grace = Some(value()?.parse()?),
            "-v" => spec.mounts.push(value()?.parse()?),
            "--on" => spec.preferences.push(format!("node.name == {}: 100", value()?)),
            "--singleton" => {
                spec.singleton = true;
                spec.singleton_wait = Some(value()?.parse()?);
            }
            "--replace" => replace = true,
            other => bail!("no such option: {other}"),
        }
    }
    Ok(Request::Start(Box::new(StartTask { name: Some(name.parse()?), spec, replace })))
}

fn show_drain(world: &mut World, node: &str) -> Result<()> {
    let core = world.manager.core.as_ref().context("there is no manager")?;
    for t in core.drain_plan(node, world.clock())?.tasks {
        let to = t.to.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let blocked = t.blocked.map_or_else(String::new, |why| format!("  blocked: {why}"));
        world.note(format!("  {} to {to}, {}: {}{blocked}", t.name, t.order, t.step));
    }
    Ok(())
}

fn set_availability(world: &mut World, node: &str, availability: Availability, deadline: Option<Span>) {
    world.ask_manager(Request::SetAvailability {
        node: node.to_owned(),
        set: SetAvailability { availability, deadline },
    });
}

/// The index of a node by its name.
fn number(world: &World, node: &str) -> Result<usize> {
    let n: usize = node.strip_prefix('n').context("a node is called n1, n2, …")?.parse()?;
    if (1..=world.workers.len()).contains(&n) { Ok(n - 1) } else { bail!("there is no node {node}") }
}

fn show_nodes(world: &mut World) {
    let views = world.manager.core.as_ref().map_or_else(Vec::new, |core| core.node_list(world.clock()));
    for n in views {
        let conditions: Vec<&str> = n.conditions.iter().map(|c| c.as_str()).collect();
        world.note(format!(
            "  {} {} {} tasks {} {}",
            n.name,
            n.state,
            n.availability,
            n.tasks,
            conditions.join(" ")
        ));
    }
}

fn show_attention(world: &mut World) {
    let (node, clock) = (world.workers[0].node, world.clock());
    let status = world.manager.core.as_ref().and_then(|core| core.status(node, "test", clock.wall, clock));
    for a in status.map_or_else(Vec::new, |s| s.attention) {
        world.note(format!("  ! {}", a.text));
        world.note(format!("      {}", a.hint));
    }
}

/// The living container of a task.
fn container(world: &World, name: &str) -> Result<(usize, String)> {
    let task = world.tasks().into_iter().find(|t| t.name.as_str() == name).context("no such task")?;
    for (n, w) in world.workers.iter().enumerate() {
        for made in w.engine.containers.values().filter(|c| c.seen.pid > 0) {
            if made.seen.labels.as_ref().is_some_and(|l| l.task == task.id) {
                return Ok((n, made.seen.id.clone()));
            }
        }
    }
    bail!("it has no living container")
}

fn show_tasks(world: &mut World) {
    for t in world.tasks() {
        let node = t.node.as_ref().map_or("-", |n| n.as_str());
        let reason = t.reason.map_or("-", |r| r.as_str());
        let stale = if t.stale_since.is_some() { "  (stale)" } else { "" };
        let (restarts, attempts) = (t.restarts, t.attempts);
        world.note(format!(
            "  {:<6} {:<9} {reason:<16} on {node:<3} attempts {attempts}, restarts {restarts}{stale}  {}",
            t.name, t.phase, t.message
        ));
    }
}

fn explain(world: &mut World, name: &str) -> Result<()> {
    let core = world.manager.core.as_ref().context("there is no manager")?;
    let explanation = core.explain_task(name, world.clock())?;
    world.note(format!("  {}", explanation.verdict));
    for line in explanation.story.iter().chain(&explanation.suggestions) {
        world.note(format!("  {line}"));
    }
    for node in &explanation.nodes {
        for f in node.filters.iter().filter(|f| !f.passes) {
            world.note(format!("  {}: {}: {}", node.node, f.filter, f.text));
        }
    }
    Ok(())
}
