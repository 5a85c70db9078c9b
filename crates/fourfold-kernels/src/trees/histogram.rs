//! Sums of gradients by bin.
//!
//! Rows are in tiles of up to 8 features, a row's bytes side by side, so that one line of the cache feeds all their
//! histograms, and these (32 kB) stay in the cache next to the core. Where rows are cut into parts depends on their number
//! only, and parts are added up in order, so sums have
//! the same bits on any number of threads.

use crate::parallel;

/// A gradient and a Hessian; and sums of them.
pub(super) type Pair = [f32; 2];

/// Features of a tile.
const WIDTH: usize = 8;

/// The minimum number of rows of a part.
const PART: usize = 1 << 14;

/// The features of a data set as training reads them.
#[derive(Debug)]
pub(super) struct Tiles {
    tiles: Vec<Tile>,
    /// The start of the cells of each feature in a histogram.
    pub(super) starts: Vec<usize>,
}

#[derive(Debug)]
struct Tile {
    first: usize,
    width: usize,
    bins: Vec<u8>,
}

/// The sums of each bin of each feature, feature by feature.
pub(super) type Histogram = Vec<[f64; 2]>;

/// Some rows of a data set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    All(usize),
    These(&'a [u32]),
}

impl Rows<'_> {
    fn len(self) -> usize {
        match self {
            Rows::All(n) => n,
            Rows::These(rows) => rows.len(),
        }
    }
}

impl Tiles {
    pub(super) fn new(
        columns: &[Vec<u8>],
        n_bins: &[usize],
        n_rows: usize,
        threads: usize,
    ) -> Self {
        let mut starts = vec![0];
        for n in n_bins {
            starts.push(starts[starts.len() - 1] + n);
        }
        let groups: Vec<(usize, &[Vec<u8>])> = columns
            .chunks(WIDTH)
            .enumerate()
            .map(|(at, group)| (at * WIDTH, group))
            .collect();
        let tiles = parallel::map(&groups, threads, |(first, group)| {
            let width = group.len();
            let mut bins = vec![0; n_rows * width];
            for (at, column) in group.iter().enumerate() {
                for (place, bin) in bins[at..].iter_mut().step_by(width).zip(column) {
                    *place = *bin;
                }
            }
            Tile {
                first: *first,
                width,
                bins,
            }
        });
        Tiles { tiles, starts }
    }

    /// The histogram of some rows.
    pub(super) fn histogram(
        &self,
        rows: Rows<'_>,
        gradients: &[Pair],
        threads: usize,
    ) -> Histogram {
        let parts = parallel::parts(rows.len(), PART, 16);
        let jobs: Vec<_> = self
            .tiles
            .iter()
            .flat_map(|tile| parts.iter().map(move |part| (tile, part)))
            .collect();
        let work = rows.len() * (self.starts.len() - 1);
        let threads = threads.min(1 + work / 200_000);
        let sums = parallel::map(&jobs, threads, |(tile, part)| {
            let rows = match rows {
                Rows::All(_) => Rows::All(part.len()),
                Rows::These(rows) => Rows::These(&rows[(*part).clone()]),
            };
            let first = if matches!(rows, Rows::All(_)) {
                part.start
            } else {
                0
            };
            tile.sums(rows, first, gradients, &self.starts)
        });
        let mut histogram = vec![[0.0; 2]; self.starts[self.starts.len() - 1]];
        for ((tile, _), sums) in jobs.iter().zip(sums) {
            let cells = &mut histogram[self.starts[tile.first]..];
            for (cell, sum) in cells.iter_mut().zip(sums) {
                cell[0] += sum[0];
                cell[1] += sum[1];
            }
        }
        histogram
    }
}

impl Tile {
    fn sums(
        &self,
        rows: Rows<'_>,
        first: usize,
        gradients: &[Pair],
        starts: &[usize],
    ) -> Histogram {
        macro_rules! by_width {
            ($($width:literal)*) => {
                match self.width {
                    $($width => self.sums_of::<$width>(rows, first, gradients, starts),)*
                    _ => Histogram::new(),
                }
            };
        }
        by_width!(1 2 3 4 5 6 7 8)
    }

    fn sums_of<const W: usize>(
        &self,
        rows: Rows<'_>,
        first: usize,
        gradients: &[Pair],
        starts: &[usize],
    ) -> Histogram {
        let mut sums: Box<[[[f64; 2]; 256]; W]> = Box::new([[[0.0; 2]; 256]; W]);
        let bins = self.bins.as_chunks::<W>().0;
        match rows {
            Rows::All(n) => {
                let gradients = &gradients[first..first + n];
                for (bins, gradient) in bins[first..first + n].iter().zip(gradients) {
                    add(&mut sums, bins, *gradient);
                }
            }
            Rows::These(rows) => {
                for row in rows {
                    add(&mut sums, &bins[*row as usize], gradients[*row as usize]);
                }
            }
        }
        let mut histogram = Histogram::with_capacity(starts[self.first + W] - starts[self.first]);
        for (cells, bounds) in sums.iter().zip(starts[self.first..].windows(2)) {
            histogram.extend(&cells[..bounds[1] - bounds[0]]);
        }
        histogram
    }
}

#[inline(always)]
fn add<const W: usize>(sums: &mut [[[f64; 2]; 256]; W], bins: &[u8; W], gradient: Pair) {
    let gradient = gradient.map(f64::from);
    for (cells, bin) in sums.iter_mut().zip(bins) {
        let cell = &mut cells[*bin as usize];
        *cell = [cell[0] + gradient[0], cell[1] + gradient[1]];
    }
}
