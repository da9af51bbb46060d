//! The index: nodes that are alike stand together.
//!
//! A node's hot facts are one [`Row`] of 72 bytes. Rows of nodes of the same [`Shape`] whose
//! three prices are in the same bands stand in one [`Cell`], in chunks of [`CHUNK`]. The bands bound the
//! cost of a whole cell; each chunk keeps its own lowest prices:
//!
//! ```text
//!   shape 0  ┌ cell  cpu 1–2  memory 1–2  disk 4–8   [row row … row] [row row … row] [row row]
//!            │                                        low 1.1 1.3 4.0  low 1.0 1.2 4.4  …
//!            ├ cell  cpu 1–2  memory 2–4  disk 1–2   [row row … row]
//!   shape 1  └ …
//! ```
//!
//! A search reads the chunks whose bound is below what it has, and no others. When a node changes, its row
//! is rewritten in place, or moves to another cell; nothing is sorted, nothing decays, and the index is a
//! function of the rows (only the order inside a cell depends on history, and no decision depends on it).
//! Only nodes that take work have a row.

use orca_api::id::NodeId;

use crate::cost;
use crate::model::Resources;

/// Bands of price for each resource: two per octave, the last one open.
const BANDS: usize = 2 * cost::OCTAVES as usize + 1;
/// The lowest price of each band, units of 2⁻²⁰.
const BAND_LOW: [u32; BANDS] = band_low();

const fn band_low() -> [u32; BANDS] {
    /// √2 in units of 2⁻²⁰.
    const ROOT: u32 = 1_482_910;
    let mut low = [0; BANDS];
    let mut band = 0;
    while band < BANDS {
        low[band] = (if band.is_multiple_of(2) { cost::PRICE_ONE } else { ROOT }) << (band / 2);
        band += 1;
    }
    low
}

/// Cells of a shape.
const CELLS_PER_SHAPE: usize = BANDS * BANDS * BANDS;
/// Rows that share one bound. Fewer make bounds tighter and more of them.
pub(crate) const CHUNK: usize = 32;
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

/// What alike machines have: allocatable amounts in pieces, memory and disk rounded down to six binary digits,
/// so that machines which differ by a few pages are of one shape. Only prices use it; filters use exact amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape(pub(crate) Amounts);

impl Shape {
    pub(crate) fn of(allocatable: Amounts) -> Self {
        let rounded = |n: u64| {
            let dropped = (u64::BITS - n.leading_zeros()).saturating_sub(6);
            n >> dropped << dropped
        };
        let [cpu, memory, disk] = pieces(allocatable);
        Self([cpu, rounded(memory), rounded(disk)])
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
    /// The node.
    pub(crate) id: NodeId,
    /// Host ports in use, folded: bit n is set if one of them is n modulo 64.
    pub(crate) ports: u64,
}

/// The number of a cell in the directory.
fn entry(shape: usize, [cpu, memory, disk]: [usize; 3]) -> usize {
    shape * CELLS_PER_SHAPE + (cpu * BANDS + memory) * BANDS + disk
}

/// The bit of a host port in [`Row::ports`].
pub(crate) const fn port_bit(port: u16) -> u64 {
    1 << (port % 64)
}

impl Row {
    fn bands(&self) -> [usize; 3] {
        self.price.map(|price| {
            let octave = (price >> 20).max(1).ilog2() as usize;
            let band = (2 * octave).min(BANDS - 1);
            if band + 1 < BANDS && price >= BAND_LOW[band + 1] { band + 1 } else { band }
        })
    }

    /// The number of its cell in the directory.
    fn entry(&self) -> usize {
        entry(self.shape as usize, self.bands())
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

/// What no row of a set is below, and what none has more of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most that is free of each resource.
    pub(crate) free_most: Amounts,
    /// The least that is free of each.
    pub(crate) free_least: Amounts,
    low: [u32; 3],
    low_sum: u32,
    /// The fewest tasks.
    pub(crate) tasks: u32,
    /// Their shape.
    pub(crate) shape: u32,
}

impl Bounds {
    const fn of_nothing(shape: u32) -> Self {
        Self {
            free_most: [0; 3],
            free_least: [u64::MAX; 3],
            low: [u32::MAX; 3],
            low_sum: u32::MAX,
            tasks: u32::MAX,
            shape,
        }
    }

    fn of_rows(shape: u32, rows: &[Row]) -> Self {
        let mut bounds = Self::of_nothing(shape);
        for row in rows {
            bounds.cover(row);
        }
        bounds
    }

    fn cover(&mut self, row: &Row) {
        for (low, price) in self.low.iter_mut().zip(row.price) {
            *low = (*low).min(price);
        }
        for r in 0..3 {
            self.free_most[r] = self.free_most[r].max(row.free[r]);
            self.free_least[r] = self.free_least[r].min(row.free[r]);
        }
        self.low_sum = self.low_sum.min(row.price_sum());
        self.tasks = self.tasks.min(row.tasks);
    }

    /// Whether the bounds may rise when this row goes.
    fn rests_on(&self, row: &Row) -> bool {
        row.price_sum() == self.low_sum || row.price.iter().zip(self.low).any(|(price, low)| *price == low)
    }

    /// Whether a row could have room for so much.
    #[inline]
    pub(crate) fn have_room(&self, need: Amounts) -> bool {
        (0..3).all(|r| need[r] <= self.free_most[r])
    }

    /// The least that Σ growth × price can be, in units of 2⁻⁴⁰.
    ///
    /// With m the smallest growth, Σ growth × price = m × Σ price + Σ (growth − m) × price, and each
    /// part is bounded by itself. The first part is what separates chunks when all nodes are about equally used.
    #[inline]
    pub(crate) fn rise(&self, growth: [u32; 3]) -> u64 {
        let least = growth[0].min(growth[1]).min(growth[2]);
        let rest: u64 =
            growth.iter().zip(self.low).map(|(g, low)| u64::from(g - least) * u64::from(low)).sum();
        u64::from(least) * u64::from(self.low_sum) + rest
    }
}

/// Rows of one shape and one band of each price.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    shape: u32,
    rows: Vec<Row>,
    /// The class of each row, apart: counting by class need not read rows.
    classes: Vec<u32>,
    /// For each chunk of `rows`.
    chunks: Vec<Bounds>,
}

impl Cell {
    /// Its chunks with their bounds.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (&Bounds, &[Row])> {
        self.chunks.iter().zip(self.rows.chunks(CHUNK))
    }

    /// Its chunks with their bounds and the classes of their rows.
    pub(crate) fn chunk_classes(&self) -> impl Iterator<Item = (&Bounds, &[u32], &[Row])> {
        let parts = self.classes.chunks(CHUNK).zip(self.rows.chunks(CHUNK));
        self.chunks.iter().zip(parts).map(|(bounds, (classes, rows))| (bounds, classes, rows))
    }

    /// The rows of one chunk.
    pub(crate) fn chunk(&self, chunk: usize) -> &[Row] {
        &self.rows[chunk * CHUNK..self.rows.len().min((chunk + 1) * CHUNK)]
    }

    fn push(&mut self, row: Row) {
        if self.rows.len().is_multiple_of(CHUNK) {
            self.chunks.push(Bounds::of_nothing(row.shape));
        }
        self.rows.push(row);
        self.classes.push(row.class);
        if let Some(last) = self.chunks.last_mut() {
            last.cover(&row);
        }
    }

    fn rewrite(&mut self, at: usize, row: Row) {
        let old = std::mem::replace(&mut self.rows[at], row);
        self.classes[at] = row.class;
        let chunk = at / CHUNK;
        if self.chunks[chunk].rests_on(&old) {
            self.measure(chunk);
        } else {
            self.chunks[chunk].cover(&row);
        }
    }

    /// Removes a row; the last one takes its place.
    fn swap_remove(&mut self, at: usize) -> Row {
        let gone = self.rows.swap_remove(at);
        self.classes.swap_remove(at);
        self.chunks.truncate(self.rows.len().div_ceil(CHUNK));
        let changed = at / CHUNK;
        if changed < self.chunks.len() {
            self.measure(changed);
        }
        // the last chunk lost a row: its bounds still hold, and are measured when it next changes
        gone
    }

    fn measure(&mut self, chunk: usize) {
        let end = self.rows.len().min((chunk + 1) * CHUNK);
        self.chunks[chunk] = Bounds::of_rows(self.shape, &self.rows[chunk * CHUNK..end]);
    }
}

/// Which cells of a shape have rows, one bit for each band; so that a small cluster costs little.
#[derive(Clone, Debug, Default)]
struct Occupied {
    cpu: u16,
    /// By band of CPU.
    memory: [u16; BANDS],
    /// By bands of CPU and memory.
    disk: [[u16; BANDS]; BANDS],
}

impl Occupied {
    fn set(&mut self, [cpu, memory, disk]: [usize; 3]) {
        self.disk[cpu][memory] |= 1 << disk;
        self.memory[cpu] |= 1 << memory;
        self.cpu |= 1 << cpu;
    }

    fn clear(&mut self, [cpu, memory, disk]: [usize; 3]) {
        self.disk[cpu][memory] &= !(1 << disk);
        if self.disk[cpu][memory] == 0 {
            self.memory[cpu] &= !(1 << memory);
        }
        if self.memory[cpu] == 0 {
            self.cpu &= !(1 << cpu);
        }
    }
}

/// The numbers of the set bits, from the lowest.
fn bits(mut mask: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (bit < 16).then_some(bit)
    })
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    shapes: Vec<Shape>,
    /// For each shape and band the number of its cell.
    directory: Vec<u32>,
    /// For each shape the cells that have rows.
    occupied: Vec<Occupied>,
    cells: Vec<Cell>,
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
        self.occupied.push(Occupied::default());
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

    /// All cells, some of them empty, in no order that matters.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Goes through the cells of each shape from the lowest prices up, and leaves out what `beaten` says
    /// cannot win, given Σ weight × lowest price: a band that is beaten takes all higher ones with it.
    #[inline]
    pub(crate) fn walk<'a, T>(
        &'a self,
        state: &mut T,
        weights: impl Fn(u32) -> [u32; 3],
        beaten: impl Fn(&T, u64) -> bool,
        mut look: impl FnMut(&mut T, &'a Cell),
    ) {
        let low = |weight: u32, band: usize| u64::from(weight) * u64::from(BAND_LOW[band]);
        for (shape, occupied) in self.occupied.iter().enumerate() {
            let [cpu_weight, memory_weight, disk_weight] = weights(shape as u32);
            let disk_least = low(disk_weight, 0);
            for cpu in bits(occupied.cpu) {
                let cpu_low = low(cpu_weight, cpu);
                if beaten(state, cpu_low + low(memory_weight, 0) + disk_least) {
                    break;
                }
                for memory in bits(occupied.memory[cpu]) {
                    let both_low = cpu_low + low(memory_weight, memory);
                    if beaten(state, both_low + disk_least) {
                        break;
                    }
                    for disk in bits(occupied.disk[cpu][memory]) {
                        let rise = both_low + low(disk_weight, disk);
                        if beaten(state, rise) {
                            break;
                        }
                        let cell = self.directory[entry(shape, [cpu, memory, disk])];
                        look(state, &self.cells[cell as usize]);
                    }
                }
            }
        }
    }

    /// All rows, in no order that matters.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.cells.iter().flat_map(|cell| &cell.rows)
    }

    /// The row at a spot.
    pub(crate) fn row(&self, spot: Spot) -> &Row {
        &self.cells[spot.cell as usize].rows[spot.at as usize]
    }

    /// Adds a row; `moved` is told of every row that gets a spot.
    pub(crate) fn insert(&mut self, row: Row, mut moved: impl FnMut(u32, Spot)) {
        let entry = &mut self.directory[row.entry()];
        if *entry == NONE {
            *entry = self.cells.len() as u32;
            self.cells.push(Cell {
                shape: row.shape,
                rows: Vec::new(),
                classes: Vec::new(),
                chunks: Vec::new(),
            });
        }
        let cell = &mut self.cells[*entry as usize];
        if cell.rows.is_empty() {
            self.occupied[row.shape as usize].set(row.bands());
        }
        moved(row.slot, Spot { cell: *entry, at: cell.rows.len() as u32 });
        cell.push(row);
        self.rows += 1;
    }

    /// Takes a row out; the last one of its cell takes its spot.
    pub(crate) fn remove(&mut self, spot: Spot, mut moved: impl FnMut(u32, Spot)) {
        let cell = &mut self.cells[spot.cell as usize];
        let gone = cell.swap_remove(spot.at as usize);
        if cell.rows.is_empty() {
            self.occupied[gone.shape as usize].clear(gone.bands());
        }
        if let Some(row) = cell.rows.get(spot.at as usize) {
            moved(row.slot, spot);
        }
        self.rows -= 1;
    }

    /// Writes a row anew, where it stands or where it now belongs.
    pub(crate) fn rewrite(&mut self, spot: Spot, row: Row, mut moved: impl FnMut(u32, Spot)) {
        let cell = &mut self.cells[spot.cell as usize];
        if cell.rows[spot.at as usize].entry() == row.entry() {
            cell.rewrite(spot.at as usize, row);
        } else {
            self.remove(spot, &mut moved);
            self.insert(row, moved);
        }
    }
}
