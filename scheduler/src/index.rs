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
/// Rows whose prices are multiplied together, by vector instructions where the processor has them.
pub(crate) const LANES: usize = 8;
/// The price in a lane without a row: above every price, and three of them times any growth still add up.
const NO_PRICE: u32 = (1 << 29) - 1;
/// Cells of more chunks than this keep lowest prices that may be too low once a row has gone.
const TIGHT_CHUNKS: usize = 16;
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

    fn lows(&self) -> Lows {
        Lows { each: self.price, sum: self.price.iter().sum() }
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    cell: u32,
    at: u32,
}

/// The prices of up to [`LANES`] rows, by resource.
#[derive(Clone, Debug)]
pub(crate) struct Prices([[u32; LANES]; 3]);

impl Prices {
    const NONE: Self = Self([[NO_PRICE; LANES]; 3]);

    fn set(&mut self, lane: usize, prices: [u32; 3]) {
        for (column, price) in self.0.iter_mut().zip(prices) {
            column[lane] = price;
        }
    }

    /// Whether Σ growth × price is at most so much for one of them, in units of 2⁻⁴⁰; without a branch, so that rows are
    /// computed side by side.
    #[inline]
    pub(crate) fn may_rise(&self, growth: [u32; 3], most: u64) -> bool {
        let [cpu, memory, disk] = &self.0;
        let growth = growth.map(u64::from);
        // sums are below 2⁶³: the sign of the difference tells
        let above = most.min(i64::MAX as u64 - 1) as i64 + 1;
        let mut signs = 0i64;
        for lane in 0..LANES {
            let rise = growth[0] * u64::from(cpu[lane])
                + growth[1] * u64::from(memory[lane])
                + growth[2] * u64::from(disk[lane]);
            signs |= rise as i64 - above;
        }
        signs < 0
    }
}

/// The lowest prices in a set of rows, and their lowest sum.
#[derive(Clone, Copy, Debug)]
struct Lows {
    each: [u32; 3],
    sum: u32,
}

impl Lows {
    const OF_NOTHING: Self = Self { each: [u32::MAX; 3], sum: u32::MAX };

    fn cover(&mut self, other: Self) {
        for (low, price) in self.each.iter_mut().zip(other.each) {
            *low = (*low).min(price);
        }
        self.sum = self.sum.min(other.sum);
    }

    /// Whether they may rise when a row or a set with these goes.
    fn rest_on(&self, other: Self) -> bool {
        self.sum == other.sum || self.each.iter().zip(other.each).any(|(low, price)| *low == price)
    }

    /// The least that Σ growth × price can be, in units of 2⁻⁴⁰.
    ///
    /// With m the smallest growth, Σ growth × price = m × Σ price + Σ (growth − m) × price, and each
    /// part is bounded by itself. The first part is what separates sets when all nodes are about equally used.
    #[inline]
    fn rise(&self, growth: [u32; 3]) -> u64 {
        let least = growth[0].min(growth[1]).min(growth[2]);
        let rest: u64 =
            growth.iter().zip(self.each).map(|(g, low)| u64::from(g - least) * u64::from(low)).sum();
        u64::from(least) * u64::from(self.sum) + rest
    }
}

/// What no row of a set is below, and what none has more of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most that is free of each resource.
    pub(crate) free_most: Amounts,
    /// The least that is free of each.
    pub(crate) free_least: Amounts,
    lows: Lows,
    /// The fewest tasks.
    pub(crate) tasks: u32,
    /// Their shape.
    pub(crate) shape: u32,
}

impl Bounds {
    const fn of_nothing(shape: u32) -> Self {
        Self { free_most: [0; 3], free_least: [u64::MAX; 3], lows: Lows::OF_NOTHING, tasks: u32::MAX, shape }
    }

    fn of_rows(shape: u32, rows: &[Row]) -> Self {
        let mut bounds = Self::of_nothing(shape);
        for row in rows {
            bounds.cover(row);
        }
        bounds
    }

    fn cover(&mut self, row: &Row) {
        self.lows.cover(row.lows());
        for r in 0..3 {
            self.free_most[r] = self.free_most[r].max(row.free[r]);
            self.free_least[r] = self.free_least[r].min(row.free[r]);
        }
        self.tasks = self.tasks.min(row.tasks);
    }

    /// Whether a row could have room for so much.
    #[inline]
    pub(crate) fn have_room(&self, need: Amounts) -> bool {
        (0..3).all(|r| need[r] <= self.free_most[r])
    }

    /// The least that Σ growth × price can be, in units of 2⁻⁴⁰.
    #[inline]
    pub(crate) fn rise(&self, growth: [u32; 3]) -> u64 {
        self.lows.rise(growth)
    }
}

/// Rows of one shape and one band of each price.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    shape: u32,
    rows: Vec<Row>,
    /// The class of each row, apart: counting by class need not read rows.
    classes: Vec<u32>,
    /// The prices of the rows, apart as well, in columns of [`LANES`].
    prices: Vec<Prices>,
    /// For each chunk of `rows`.
    chunks: Vec<Bounds>,
}

impl Cell {
    const fn empty(shape: u32) -> Self {
        Self { shape, rows: Vec::new(), classes: Vec::new(), prices: Vec::new(), chunks: Vec::new() }
    }

    /// The bounds of its chunks, by number.
    #[inline]
    pub(crate) fn bounds(&self) -> &[Bounds] {
        &self.chunks
    }

    /// The rows of a chunk.
    #[inline]
    pub(crate) fn chunk(&self, number: usize) -> &[Row] {
        &self.rows[number * CHUNK..self.rows.len().min((number + 1) * CHUNK)]
    }

    /// The rows of a chunk, [`LANES`] at a time, with their prices.
    #[inline]
    pub(crate) fn lanes(&self, number: usize) -> impl Iterator<Item = (&Prices, &[Row])> {
        self.prices[number * (CHUNK / LANES)..].iter().zip(self.chunk(number).chunks(LANES))
    }

    /// Its chunks with their bounds and the classes of their rows.
    pub(crate) fn chunk_classes(&self) -> impl Iterator<Item = (&Bounds, &[u32], &[Row])> {
        let parts = self.classes.chunks(CHUNK).zip(self.rows.chunks(CHUNK));
        self.chunks.iter().zip(parts).map(|(bounds, (classes, rows))| (bounds, classes, rows))
    }

    fn push(&mut self, row: Row) {
        if self.rows.len().is_multiple_of(CHUNK) {
            self.chunks.push(Bounds::of_nothing(row.shape));
        }
        if self.rows.len().is_multiple_of(LANES) {
            self.prices.push(Prices::NONE);
        }
        if let (Some(chunk), Some(prices)) = (self.chunks.last_mut(), self.prices.last_mut()) {
            chunk.cover(&row);
            prices.set(self.rows.len() % LANES, row.price);
        }
        self.rows.push(row);
        self.classes.push(row.class);
    }

    fn rewrite(&mut self, at: usize, row: Row) {
        let old = std::mem::replace(&mut self.rows[at], row);
        self.classes[at] = row.class;
        self.prices[at / LANES].set(at % LANES, row.price);
        let chunk = at / CHUNK;
        if self.chunks[chunk].lows.rest_on(old.lows()) {
            self.measure(chunk);
        } else {
            self.chunks[chunk].cover(&row);
        }
    }

    /// Removes a row; the last one takes its place.
    fn swap_remove(&mut self, at: usize) -> Row {
        let gone = self.rows.swap_remove(at);
        self.classes.swap_remove(at);
        if let Some(moved) = self.rows.get(at) {
            self.prices[at / LANES].set(at % LANES, moved.price);
        }
        let last = self.rows.len();
        self.prices[last / LANES].set(last % LANES, [NO_PRICE; 3]);
        self.prices.truncate(last.div_ceil(LANES));
        self.chunks.truncate(last.div_ceil(CHUNK));
        let changed = at / CHUNK;
        if changed < self.chunks.len() {
            self.measure(changed);
        }
        // the last chunk lost a row: its bounds still hold, and are measured when it next changes
        gone
    }

    /// The lowest prices of its rows.
    fn lows(&self) -> Lows {
        let mut lows = Lows::OF_NOTHING;
        self.chunks.iter().for_each(|chunk| lows.cover(chunk.lows));
        lows
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
    /// For each cell its lowest prices, close together: most cells that a search passes are passed by these alone.
    lows: Vec<Lows>,
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

    /// Goes through the cells of each shape from the lowest prices up, and leaves out those of which no row has a
    /// Σ growth × price of at most what `most` says: a band that is above it takes all higher ones with it.
    #[inline]
    pub(crate) fn walk<'a, T>(
        &'a self,
        state: &mut T,
        growths: impl Fn(u32) -> [u32; 3],
        most: impl Fn(&T) -> u64,
        mut look: impl FnMut(&mut T, &'a Cell),
    ) {
        for (shape, occupied) in self.occupied.iter().enumerate() {
            let growth = growths(shape as u32);
            let low = |r: usize, band: usize| u64::from(growth[r]) * u64::from(BAND_LOW[band]);
            let disk_low: [u64; BANDS] = std::array::from_fn(|band| low(2, band));
            for cpu in bits(occupied.cpu) {
                let cpu_low = low(0, cpu);
                if cpu_low + low(1, 0) + disk_low[0] > most(state) {
                    break;
                }
                for memory in bits(occupied.memory[cpu]) {
                    let both_low = cpu_low + low(1, memory);
                    if both_low + disk_low[0] > most(state) {
                        break;
                    }
                    let cells = &self.directory[entry(shape, [cpu, memory, 0])..][..BANDS];
                    for disk in bits(occupied.disk[cpu][memory]) {
                        if both_low + disk_low[disk] > most(state) {
                            break;
                        }
                        let cell = cells[disk] as usize;
                        if self.lows[cell].rise(growth) <= most(state) {
                            look(state, &self.cells[cell]);
                        }
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
        let number = &mut self.directory[row.entry()];
        if *number == NONE {
            *number = self.cells.len() as u32;
            self.cells.push(Cell::empty(row.shape));
            self.lows.push(Lows::OF_NOTHING);
        }
        let (number, cell) = (*number, &mut self.cells[*number as usize]);
        if cell.rows.is_empty() {
            self.occupied[row.shape as usize].set(row.bands());
            self.lows[number as usize] = Lows::OF_NOTHING;
        }
        moved(row.slot, Spot { cell: number, at: cell.rows.len() as u32 });
        cell.push(row);
        self.lows[number as usize].cover(row.lows());
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
        self.tighten(spot.cell, gone.lows());
        self.rows -= 1;
    }

    /// Writes a row anew, where it stands or where it now belongs.
    pub(crate) fn rewrite(&mut self, spot: Spot, row: Row, mut moved: impl FnMut(u32, Spot)) {
        let cell = &mut self.cells[spot.cell as usize];
        let old = &cell.rows[spot.at as usize];
        if old.entry() == row.entry() {
            let old = old.lows();
            cell.rewrite(spot.at as usize, row);
            self.lows[spot.cell as usize].cover(row.lows());
            self.tighten(spot.cell, old);
        } else {
            self.remove(spot, &mut moved);
            self.insert(row, moved);
        }
    }

    /// Measures the lowest prices of a cell, if they may have risen because a row with these went.
    fn tighten(&mut self, cell: u32, gone: Lows) {
        let (lows, cell) = (&mut self.lows[cell as usize], &self.cells[cell as usize]);
        if lows.rest_on(gone) && cell.chunks.len() <= TIGHT_CHUNKS {
            *lows = cell.lows();
        }
    }
}
