//! The index: nodes that are alike stand together.
//!
//! A node's hot facts are one [`Row`] of 56 bytes. Rows of nodes of the same [`Shape`] whose three prices
//! are in the same octave-wide bands stand in one [`Cell`]. A cell keeps the lowest price of each resource
//! and the lowest sum of prices, so the cost of its best row is bounded without looking at a row:
//!
//! ```text
//!   shape 0  ┌ cell (cpu 1–2×, memory 1–2×, disk 4–8×)  low 1.1 1.3 4.0 │ row row row row …
//!            ├ cell (cpu 1–2×, memory 2–4×, disk 1–2×)  low 1.0 2.2 1.1 │ row row
//!   shape 1  └ …
//! ```
//!
//! A search visits cells by rising bound and stops when the next bound is above what it has. When a node
//! changes, its row is rewritten in place, or moves to another cell; nothing is sorted, nothing decays.
//! Only nodes that take work have a row.

use crate::cost;
use crate::model::Resources;

/// Bands of price for each resource: one per octave, and the last one open.
const BANDS: usize = cost::OCTAVES as usize + 1;
/// Cells of a shape.
const CELLS_PER_SHAPE: usize = BANDS * BANDS * BANDS;
/// No cell yet.
const NONE: u32 = u32::MAX;

/// CPU in thousandths, memory in bytes, disk in bytes.
pub(crate) type Amounts = [u64; 3];

/// As plain numbers, in the order of [`Amounts`].
pub(crate) const fn amounts(resources: Resources) -> Amounts {
    [resources.cpu.millis(), resources.memory.get(), resources.disk.get()]
}

/// Amounts in pieces that prices are computed from: CPU in thousandths, memory and disk in 64 KiB, below 2³⁶.
pub(crate) fn pieces(amounts: Amounts) -> Amounts {
    const MAX: u64 = (1 << 36) - 1;
    [amounts[0].min(MAX), (amounts[1] >> 16).min(MAX), (amounts[2] >> 16).min(MAX)]
}

/// What alike machines have: allocatable amounts in pieces, rounded down to six binary digits, so that
/// machines which differ by a few pages are of one shape. Only prices use it; filters use exact amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape(pub(crate) Amounts);

impl Shape {
    pub(crate) fn of(allocatable: Amounts) -> Self {
        Self(pieces(allocatable).map(|n| {
            let dropped = (u64::BITS - n.leading_zeros()).saturating_sub(6);
            n >> dropped << dropped
        }))
    }
}

/// What filters and scores read of a node in the inner loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Allocatable without what is reserved.
    pub(crate) free: Amounts,
    /// Price of each resource, units of 2⁻²⁰.
    pub(crate) price: [u32; 3],
    /// Where its cold facts are.
    pub(crate) slot: u32,
    /// Its attributes.
    pub(crate) class: u32,
    /// Its shape.
    pub(crate) shape: u32,
    /// Tasks it has.
    pub(crate) tasks: u32,
}

impl Row {
    fn band_index(&self) -> usize {
        let band = |price: u32| ((price >> 20).max(1).ilog2() as usize).min(BANDS - 1);
        (band(self.price[0]) * BANDS + band(self.price[1])) * BANDS + band(self.price[2])
    }

    fn price_sum(&self) -> u32 {
        self.price.iter().sum()
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    cell: u32,
    at: u32,
}

/// Rows of one shape and band, and bounds that no row of it is below.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) rows: Vec<Row>,
}

/// What is known of a cell's rows without reading them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// No row has a lower price.
    low: [u32; 3],
    /// No row has a lower sum of prices.
    low_sum: u32,
    /// No row has fewer tasks.
    pub(crate) low_tasks: u32,
    /// Their shape.
    pub(crate) shape: u32,
    /// How many rows.
    pub(crate) rows: u32,
}

impl Bounds {
    const fn empty(shape: u32) -> Self {
        Self { low: [u32::MAX; 3], low_sum: u32::MAX, low_tasks: u32::MAX, shape, rows: 0 }
    }

    fn cover(&mut self, row: &Row) {
        for (low, price) in self.low.iter_mut().zip(row.price) {
            *low = (*low).min(price);
        }
        self.low_sum = self.low_sum.min(row.price_sum());
        self.low_tasks = self.low_tasks.min(row.tasks);
    }

    /// The least that a task with this growth can cost on a row of the cell.
    ///
    /// With m the smallest growth, Σ growth × price = m × Σ price + Σ (growth − m) × price, and each
    /// part is bounded by itself. The first part is what separates cells when all nodes are about equally used.
    pub(crate) fn cost(&self, growth: [u32; 3]) -> u64 {
        let least = growth[0].min(growth[1]).min(growth[2]);
        let rest: u64 = growth.iter().zip(self.low).map(|(g, low)| u64::from(g - least) * u64::from(low)).sum();
        u64::from(least) * u64::from(self.low_sum) + rest
    }
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    shapes: Vec<Shape>,
    /// For each shape and band the number of its cell.
    directory: Vec<u32>,
    cells: Vec<Cell>,
    bounds: Vec<Bounds>,
    rows: usize,
}

impl Index {
    /// The number of a shape, given one if it is new.
    pub(crate) fn shape(&mut self, shape: Shape) -> u32 {
        if let Some(at) = self.shapes.iter().position(|s| *s == shape) {
            return at as u32;
        }
        self.shapes.push(shape);
        self.directory.resize(self.shapes.len() * CELLS_PER_SHAPE, NONE);
        self.shapes.len() as u32 - 1
    }

    /// All shapes, by number.
    pub(crate) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Rows in all.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// All cells with their bounds, in no order that matters.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&Bounds, &Cell)> {
        self.bounds.iter().zip(&self.cells).filter(|(bounds, _)| bounds.rows > 0)
    }

    /// The row at a spot.
    pub(crate) fn row(&self, spot: Spot) -> Row {
        self.cells[spot.cell as usize].rows[spot.at as usize]
    }

    /// Adds a row; `moved` is told of every row that gets a spot.
    pub(crate) fn insert(&mut self, row: Row, mut moved: impl FnMut(u32, Spot)) {
        let entry = row.shape as usize * CELLS_PER_SHAPE + row.band_index();
        if self.directory[entry] == NONE {
            self.directory[entry] = self.cells.len() as u32;
            self.cells.push(Cell { rows: Vec::new() });
            self.bounds.push(Bounds::empty(row.shape));
        }
        let cell = self.directory[entry];
        let rows = &mut self.cells[cell as usize].rows;
        moved(row.slot, Spot { cell, at: rows.len() as u32 });
        rows.push(row);
        self.rows += 1;
        let bounds = &mut self.bounds[cell as usize];
        bounds.rows += 1;
        bounds.cover(&row);
    }

    /// Takes a row out; the last one of its cell takes its spot.
    pub(crate) fn remove(&mut self, spot: Spot, mut moved: impl FnMut(u32, Spot)) {
        let cell = &mut self.cells[spot.cell as usize];
        cell.rows.swap_remove(spot.at as usize);
        if let Some(row) = cell.rows.get(spot.at as usize) {
            moved(row.slot, spot);
        }
        self.rows -= 1;
        let bounds = &mut self.bounds[spot.cell as usize];
        bounds.rows -= 1;
        if bounds.rows == 0 {
            *bounds = Bounds::empty(bounds.shape);
        }
    }

    /// Writes a row anew, where it stands or where it now belongs.
    pub(crate) fn rewrite(&mut self, spot: Spot, row: Row, moved: impl FnMut(u32, Spot)) {
        let old = &mut self.cells[spot.cell as usize].rows[spot.at as usize];
        if old.shape == row.shape && old.band_index() == row.band_index() {
            *old = row;
            self.bounds[spot.cell as usize].cover(&row);
            return;
        }
        let mut moved = moved;
        self.remove(spot, &mut moved);
        self.insert(row, moved);
    }
}
