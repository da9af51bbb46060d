//! Workers that forget: a store that was lost, commits that a power cut took.

use super::*;

#[test]
fn a_worker_that_counts_anew_is_heard() {
    let mut b = Bench::new();
    b.sequence = 1_000_000;
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Running, false);
    // Its store is lost, and its clock is behind: sequences begin far below.
    b.sequence = 10;
    b.hello(Vec::new());
    b.report("web", 1, State::Failed, false);
    assert_eq!(b.view("web").unwrap().reason, Some(Reason::Backoff));
    // So it is when its inventory says nothing new.
    let placement = b.placement("web");
    let known = b.m.durable.placements[&placement].status.clone();
    b.hello(vec![PlacementStatus { sequence: 2, ..known }]);
    b.sequence = 2;
    b.report("web", 2, State::Running, false);
    assert_eq!(b.view("web").unwrap().attempts, 2);
}

#[test]
fn no_number_is_given_twice() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Failed, false);
    b.report("web", 2, State::Running, false);
    let placement = b.placement("web");
    assert_eq!(b.m.assignment(b.node).unwrap().placements[&placement].attempts_before, 2);
}

#[test]
fn what_has_ended_is_not_begun_again() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Running, false);
    let before = b.m.generation(b.node).unwrap();
    b.report("web", 1, State::Completed, true);
    assert!(b.m.generation(b.node).unwrap() > before, "its worker hears of it");
    let placement = b.placement("web");
    assert_eq!(b.m.assignment(b.node).unwrap().placements[&placement].wanted, PlacementWanted::Stopped);
    // The worker forgot, and began another: it is not taken for alive.
    b.report("web", 2, State::Running, false);
    assert_eq!(b.view("web").unwrap().state, State::Completed);
}

#[test]
fn an_attempt_that_nobody_remembers_does_not_block_its_task() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Preparing, false);
    b.ask(Request::Stop { task: "web".into(), how: StopTask::default() }).unwrap();
    b.hello(Vec::new());
    let placement = b.placement("web");
    let task = b.m.durable.placements[&placement].task;
    b.sequence += 1;
    let told = PlacementStatus { sequence: b.sequence, finished: true, ..status(placement, task) };
    let (node, life) = (b.node, b.life);
    b.step(Event::Reported { token: Token(1), node, life, placements: vec![told] });
    assert_eq!(b.view("web").unwrap().state, State::Stopped);
    b.ask(Request::Remove { task: "web".into(), force: false }).unwrap();
    assert!(b.view("web").is_none());
}
