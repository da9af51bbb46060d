//! How to add a filter and a score: the worked example of `README.md`, compiled and run as a test.

use crate::ask::{Ask, Candidate};
use crate::cost::{ONE, millionths};
use crate::explain::Part;
use crate::filter::{Filter, Told};
use crate::index::{Bounds, Row};
use crate::model::Request;
use crate::score::Score;

/// Lets a task with a priority above 90 run only on nodes that nobody else uses.
struct Quiet;

impl Filter for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }
    fn wanted(&self, request: &Request) -> bool {
        request.priority > 90
    }
    fn reads_more(&self, _: &Request) -> bool {
        true // than what index and class tell: every row is asked
    }
    fn passes(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        candidate.row.tasks == 0
    }
    fn tell(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(format!("quiet: {} tasks here, none are allowed", candidate.row.tasks))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("move the tasks of {} elsewhere", candidate.node().name)
    }
}

/// Prefers nodes with little free memory, whatever else they have: one unit of cost for each free GiB.
struct LittleMemory;

impl Score for LittleMemory {
    fn cost(&self, _: &Ask<'_>, row: &Row) -> u64 {
        ONE + (row.free[1] >> 30).min(1 << 14) * ONE
    }
    fn bound(&self, _: &Ask<'_>, bounds: &Bounds) -> u64 {
        ONE + (bounds.free_least[1] >> 30).min(1 << 14) * ONE
    }
    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part> {
        let text = "one for each free GiB of memory, and one".to_owned();
        vec![Part { name: "memory".into(), value: millionths(self.cost(ask, row)), text }]
    }
}
// end of the example

#[test]
fn the_example_decides_and_explains() {
    use orca_api::id::{NodeId, SeededIds};

    use crate::model::{Node, Resources};
    use crate::world::World;

    let capacity = Resources { memory: orca_api::units::Bytes::mib(3 * 1024), ..Resources::ZERO };
    let id = NodeId::fresh(&mut SeededIds(1));
    let mut world = World::default();
    world.set_node(Node::new(id, "attic".parse().expect("a name"), capacity));
    let request = Request { priority: 91, ..Request::default() };
    let ask = Ask::new(&world, &request, None);
    let row = world.row(0);
    let candidate = ask.candidate(&row);
    assert!(Quiet.wanted(&request) && Quiet.reads_more(&request) && Quiet.passes(&ask, &candidate));
    assert_eq!(Quiet.tell(&ask, &candidate).text, "quiet: 0 tasks here, none are allowed");
    assert_eq!(Quiet.remedy(&ask, &candidate), "move the tasks of attic elsewhere");
    assert_eq!(Quiet.name(), "quiet");
    let cell = world.index.cells().first().expect("one node, one cell");
    let bounds = cell.bounds().first().expect("one chunk");
    assert!(LittleMemory.bound(&ask, bounds) <= LittleMemory.cost(&ask, &row));
    assert_eq!(LittleMemory.parts(&ask, &row)[0].value, 4_000_000);
}

#[test]
fn the_readme_shows_this_example() {
    let whole = include_str!("example.rs");
    let code =
        whole.split("use crate::score::Score;\n\n").nth(1).and_then(|rest| rest.split("// end of").next());
    let readme = include_str!("../README.md");
    assert!(code.is_some_and(|code| readme.contains(code.trim())), "README.md shows another example");
}
