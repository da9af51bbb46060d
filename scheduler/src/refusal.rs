//! Why nothing fits: every node under the first filter that it fails, counted without asking every node.
//!
//! Nodes that fail by their attributes are counted by class. For the others a chunk's bounds usually say
//! which resource all of its rows lack; only where they do not are rows read.

use orca_api::id::NodeId;
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::filter::{self, Filter, ROOM};
use crate::index::{Bounds, Cell, Row};

/// No node fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct Refusal {
    /// Nodes that are known.
    pub nodes: u32,
    /// How many nodes failed which filter first, most nodes first.
    pub counts: Vec<Count>,
}

/// Nodes that failed a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The filter's name.
    pub filter: String,
    /// How many nodes failed it before any other.
    pub nodes: u32,
    /// What the filter says of the one that is nearest to passing.
    pub example: String,
    /// That node.
    pub example_node: NodeId,
}

impl Refusal {
    fn text(&self) -> String {
        if self.nodes == 0 {
            return "no node is known".to_owned();
        }
        let parts = self.counts.iter().map(|c| match c.nodes {
            1 if self.nodes == 1 => c.example.clone(),
            1 => format!("1 node: {}", c.example),
            n => format!("{n} nodes: {} (nearest: {})", c.filter, c.example),
        });
        let nodes = if self.nodes == 1 {
            "the only node does not fit".to_owned()
        } else {
            format!("none of {} nodes fits", self.nodes)
        };
        format!("{nodes}: {}", parts.collect::<Vec<_>>().join("; "))
    }
}

impl Ask<'_> {
    /// Why no node fits.
    pub(crate) fn refusal(&self) -> Refusal {
        let mut tally = Tally::default();
        if self.reads_more || self.ports != 0 {
            self.world.index.rows().for_each(|row| self.tally_row(&mut tally, row));
        } else {
            self.tally_by_class(&mut tally);
        }
        for slot in &self.world.closed {
            let row = self.world.row(*slot);
            let candidate = self.candidate(&row);
            if let Some(number) = filter::OF_NODE.iter().position(|f| !f.passes(self, &candidate)) {
                tally.count(number, 1, Nearest { misses: 1, id: row.id, slot: row.slot });
            }
        }
        let nodes = self.world.index.len() + self.world.closed.len();
        Refusal { nodes: nodes as u32, counts: tally.counts(self) }
    }

    /// Counts one node that takes work.
    fn tally_row(&self, tally: &mut Tally, row: &Row) {
        let candidate = self.candidate(row);
        if let Some(number) = self.first_failed(&candidate) {
            let (misses, _) = filter::OF_REQUEST[number].misses(self, &candidate);
            tally.count(filter::OF_NODE.len() + number, 1, Nearest { misses, id: row.id, slot: row.slot });
        }
    }

    /// Counts nodes that take work, where the request's filters need nothing but class and room.
    fn tally_by_class(&self, tally: &mut Tally) {
        let world = self.world;
        let passes: Vec<bool> =
            (0..world.classes.len()).map(|class| self.class_passes(class as u32)).collect();
        let failing = world.classes.iter().zip(&passes).filter(|(_, passes)| !**passes);
        for (class, _) in failing {
            let first = class.open.first().and_then(|id| Some((*id, world.number(*id)?)));
            let Some((id, slot)) = first else { continue };
            if let Some(number) = self.first_failed(&self.candidate(&world.row(slot))) {
                let nodes = class.open.len() as u32;
                tally.count(filter::OF_NODE.len() + number, nodes, Nearest { misses: 1, id, slot });
            }
        }
        let passing = world.classes.iter().zip(&passes).filter(|(_, passes)| **passes);
        let passing: usize = passing.map(|(class, _)| class.open.len()).sum();
        if let Some(short) = self.short_everywhere() {
            self.tally_short(tally, short, passing as u32);
            return;
        }
        for cell in world.index.cells() {
            for (bounds, classes, rows) in cell.chunk_classes() {
                let passing = classes.iter().filter(|class| passes[**class as usize]).count();
                if passing > 0 {
                    self.tally_chunk(tally, bounds, passing as u32, rows);
                }
            }
        }
    }

    /// The resource that a chunk's rows may lack first, and how much the one with the most of it misses: nothing
    /// where some have enough. `None` where all have room.
    fn short_of(&self, bounds: &Bounds) -> Option<(usize, u64)> {
        let short = (0..3).find(|r| self.need[*r] > bounds.free_least[*r])?;
        Some((short, self.need[short].saturating_sub(bounds.free_most[short])))
    }

    /// The one resource that every row lacks first, if bounds say so.
    fn short_everywhere(&self) -> Option<usize> {
        let mut everywhere = None;
        for bounds in self.world.index.cells().iter().flat_map(Cell::bounds) {
            let (short, _) = self.short_of(bounds).filter(|(_, misses)| *misses > 0)?;
            if *everywhere.get_or_insert(short) != short {
                return None;
            }
        }
        everywhere
    }

    /// Counts so many nodes that pass by their class and all lack the same resource first.
    fn tally_short(&self, tally: &mut Tally, short: usize, passing: u32) {
        let mut nearest: Option<Nearest> = None;
        let cells = self.world.index.cells().iter();
        for (cell, number, bounds) in
            cells.flat_map(|cell| cell.bounds().iter().enumerate().map(move |(n, bounds)| (cell, n, bounds)))
        {
            let misses = self.need[short].saturating_sub(bounds.free_most[short]);
            if nearest.is_some_and(|nearest| nearest.misses < misses) {
                continue;
            }
            for row in cell.chunk(number).iter().filter(|row| self.class_passes(row.class)) {
                let misses = self.need[short].saturating_sub(row.free[short]);
                let this = Nearest { misses, id: row.id, slot: row.slot };
                nearest = Some(nearest.map_or(this, |nearest| nearest.min(this)));
            }
        }
        if let Some(nearest) = nearest {
            tally.count(filter::OF_NODE.len() + ROOM[short], passing, nearest);
        }
    }

    /// Counts the rows of a chunk that pass by their class, of which there are so many.
    fn tally_chunk(&self, tally: &mut Tally, bounds: &Bounds, passing: u32, rows: &[Row]) {
        let Some((short, misses)) = self.short_of(bounds) else { return };
        let number = filter::OF_NODE.len() + ROOM[short];
        if misses > 0 && tally.nearest(number).is_some_and(|nearest| nearest.misses < misses) {
            tally.more(number, passing);
            return;
        }
        rows.iter().filter(|row| self.class_passes(row.class)).for_each(|row| self.tally_row(tally, row));
    }
}

/// Nodes by the first filter that they fail.
#[derive(Default)]
struct Tally {
    /// By number: filters of the node, then filters of the request.
    failed: [Option<Failed>; filter::OF_NODE.len() + filter::OF_REQUEST.len()],
}

#[derive(Clone, Copy)]
struct Failed {
    nodes: u32,
    nearest: Nearest,
}

/// The node that misses least of what a filter wants, the lowest id of equals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nearest {
    misses: u64,
    id: NodeId,
    slot: u32,
}

impl Tally {
    fn filter(number: usize) -> &'static dyn Filter {
        match number.checked_sub(filter::OF_NODE.len()) {
            None => filter::OF_NODE[number],
            Some(number) => filter::OF_REQUEST[number],
        }
    }

    fn nearest(&self, number: usize) -> Option<Nearest> {
        self.failed[number].map(|failed| failed.nearest)
    }

    /// Counts more nodes, none of them nearer than the nearest.
    fn more(&mut self, number: usize, nodes: u32) {
        if let Some(failed) = &mut self.failed[number] {
            failed.nodes += nodes;
        }
    }

    fn count(&mut self, number: usize, nodes: u32, nearest: Nearest) {
        let failed = self.failed[number].get_or_insert(Failed { nodes: 0, nearest });
        failed.nodes += nodes;
        failed.nearest = failed.nearest.min(nearest);
    }

    fn counts(&self, ask: &Ask<'_>) -> Vec<Count> {
        let mut counts: Vec<Count> = (0..self.failed.len())
            .filter_map(|number| {
                let failed = self.failed[number]?;
                let filter = Self::filter(number);
                let row = ask.world.row(failed.nearest.slot);
                let candidate = ask.candidate(&row);
                Some(Count {
                    filter: filter.name().to_owned(),
                    nodes: failed.nodes,
                    example: filter.tell(ask, &candidate).text,
                    example_node: failed.nearest.id,
                })
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.nodes));
        counts
    }
}
