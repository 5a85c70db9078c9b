//! Covariance and correlation of pairs of columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use fourfold_kernels::sketches::CoMoments;
use serde::{Deserialize, Serialize};

use super::PairStatistics;
use crate::error::{Error, Result};

/// The co-moments of pairs of columns, each over the rows in which both are finite.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct PairsAccumulator {
    sums: Vec<Pair>,
}

/// The co-moments of two columns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
struct Pair(CoMoments);

/// The form in saved sketches.
#[derive(Serialize, Deserialize)]
struct Stored {
    n: f64,
    mean_a: f64,
    mean_b: f64,
    aa: f64,
    bb: f64,
    ab: f64,
    /// The lowest and the highest of each column, which 0.1 wrote: its co-moments of a constant are rounding.
    #[serde(default, skip_serializing)]
    ends: Option<[f64; 4]>,
}

impl From<Stored> for Pair {
    fn from(stored: Stored) -> Self {
        let (mut means, mut products) = (
            vec![stored.mean_a, stored.mean_b],
            vec![stored.aa, stored.ab, stored.bb],
        );
        if let Some([low_a, high_a, low_b, high_b]) = stored.ends {
            if low_a == high_a {
                means[0] = low_a;
                (products[0], products[1]) = (0.0, 0.0);
            }
            if low_b == high_b {
                means[1] = low_b;
                (products[1], products[2]) = (0.0, 0.0);
            }
        }
        Pair(CoMoments::new(stored.n, means, products))
    }
}

impl From<Pair> for Stored {
    fn from(Pair(sums): Pair) -> Self {
        let mean = |at: usize| sums.means().get(at).copied().unwrap_or_default();
        Stored {
            n: sums.n(),
            mean_a: mean(0),
            mean_b: mean(1),
            aa: sums.product(0, 0),
            bb: sums.product(1, 1),
            ab: sums.product(0, 1),
            ends: None,
        }
    }
}

impl PairsAccumulator {
    /// The bytes held beside the struct itself.
    pub(super) fn held_bytes(&self) -> usize {
        // Two means and three products of each, if there are rows.
        self.sums.capacity() * (size_of::<Pair>() + 5 * size_of::<f64>())
    }

    pub(super) fn new(n: usize) -> Self {
        PairsAccumulator {
            sums: vec![Pair::default(); n],
        }
    }

    pub(super) fn update(&mut self, batch: &RecordBatch, pairs: &[(usize, usize)]) -> Result<()> {
        let mut columns: Vec<Option<Vec<f64>>> = vec![None; batch.num_columns()];
        for at in pairs.iter().flat_map(|(a, b)| [*a, *b]) {
            if let Some(column) = columns.get_mut(at)
                && column.is_none()
            {
                *column = Some(floats(batch, at)?);
            }
        }
        let column = |at: usize| {
            columns
                .get(at)
                .and_then(Option::as_deref)
                .unwrap_or_default()
        };
        for (sums, (a, b)) in self.sums.iter_mut().zip(pairs) {
            let blocks = column(*a).chunks(1_024).zip(column(*b).chunks(1_024));
            for (a, b) in blocks {
                sums.merge(&Pair(CoMoments::of(&[a, b])))?;
            }
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: &PairsAccumulator) -> Result<()> {
        let mut pairs = self.sums.iter_mut().zip(&other.sums);
        pairs.try_for_each(|(mine, theirs)| mine.merge(theirs))
    }

    pub(super) fn finish(&self, names: &[(&str, &str)]) -> Vec<PairStatistics> {
        let finish = |(Pair(sums), (a, b)): (&Pair, &(&str, &str))| {
            let (aa, bb, ab) = (sums.product(0, 0), sums.product(1, 1), sums.product(0, 1));
            PairStatistics {
                a: (*a).to_owned(),
                b: (*b).to_owned(),
                count: sums.n() as u64,
                covariance: if sums.n() > 0.0 { ab / sums.n() } else { 0.0 },
                correlation: (aa > 0.0 && bb > 0.0)
                    .then(|| (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0))
                    .filter(|correlation| correlation.is_finite()),
            }
        };
        self.sums.iter().zip(names).map(finish).collect()
    }
}

impl Pair {
    fn merge(&mut self, other: &Pair) -> Result<()> {
        match self.0.merge(&other.0) {
            true => Ok(()),
            false => Err(Error::internal("co-moments of different columns merged")),
        }
    }
}

/// A column as floats, NaN where it is NULL.
fn floats(batch: &RecordBatch, at: usize) -> Result<Vec<f64>> {
    let column = cast(batch.column(at), &DataType::Float64)?;
    let column = column.as_primitive::<Float64Type>();
    Ok(match column.null_count() {
        0 => column.values().to_vec(),
        _ => column
            .iter()
            .map(|value| value.unwrap_or(f64::NAN))
            .collect(),
    })
}
