//! Covariance and correlation of pairs of columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde::{Deserialize, Serialize};

use super::PairStatistics;
use crate::error::Result;

/// The second moments of pairs of columns, each over the rows in which both are finite; by blocks, merged by the
/// pairwise update of Chan, Golub and LeVeque (1979).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct PairsAccumulator {
    sums: Vec<Sums>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    n: f64,
    mean_a: f64,
    mean_b: f64,
    aa: f64,
    bb: f64,
    ab: f64,
    /// The lowest and the highest of each column; none in what was saved without them.
    #[serde(default)]
    ends: Option<[f64; 4]>,
}

impl PairsAccumulator {
    /// Bytes held beside the struct itself.
    pub(super) fn held_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sums>()
    }

    pub(super) fn new(n: usize) -> Self {
        PairsAccumulator {
            sums: vec![Sums::default(); n],
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
            blocks.for_each(|(a, b)| sums.merge(&Sums::of(a, b)));
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: &PairsAccumulator) {
        for (mine, theirs) in self.sums.iter_mut().zip(&other.sums) {
            mine.merge(theirs);
        }
    }

    pub(super) fn finish(&self, names: &[(&str, &str)]) -> Vec<PairStatistics> {
        let finish = |(sums, (a, b)): (&Sums, &(&str, &str))| PairStatistics {
            a: (*a).to_owned(),
            b: (*b).to_owned(),
            count: sums.n as u64,
            covariance: if sums.n > 0.0 { sums.ab / sums.n } else { 0.0 },
            // The rounding of a constant's mean would be a spread.
            correlation: (sums.aa > 0.0 && sums.bb > 0.0 && sums.both_vary())
                .then(|| (sums.ab / (sums.aa.sqrt() * sums.bb.sqrt())).clamp(-1.0, 1.0))
                .filter(|correlation| correlation.is_finite()),
        };
        self.sums.iter().zip(names).map(finish).collect()
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

impl Sums {
    fn of(a: &[f64], b: &[f64]) -> Self {
        let both = || {
            let finite = |(a, b): &(&f64, &f64)| a.is_finite() && b.is_finite();
            a.iter().zip(b).filter(finite)
        };
        let (n, a, b) = both().fold((0.0, 0.0, 0.0), |(n, sum_a, sum_b), (a, b)| {
            (n + 1.0, sum_a + a, sum_b + b)
        });
        if n == 0.0 {
            return Sums::default();
        }
        let mut sums = Sums {
            n,
            mean_a: a / n,
            mean_b: b / n,
            ..Sums::default()
        };
        let mut ends = [
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        for (a, b) in both() {
            ends = [
                ends[0].min(*a),
                ends[1].max(*a),
                ends[2].min(*b),
                ends[3].max(*b),
            ];
            let (a, b) = (a - sums.mean_a, b - sums.mean_b);
            sums.aa += a * a;
            sums.bb += b * b;
            sums.ab += a * b;
        }
        sums.ends = Some(ends);
        sums
    }

    fn both_vary(&self) -> bool {
        self.ends
            .is_none_or(|[low_a, high_a, low_b, high_b]| low_a < high_a && low_b < high_b)
    }

    fn merge(&mut self, other: &Sums) {
        if other.n == 0.0 {
            return;
        }
        // The square of a large mean would be infinite, and NaN times no rows.
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let n = self.n + other.n;
        let (a, b) = (other.mean_a - self.mean_a, other.mean_b - self.mean_b);
        let weight = self.n * other.n / n;
        self.mean_a += a * (other.n / n);
        self.mean_b += b * (other.n / n);
        self.aa += other.aa + a * a * weight;
        self.bb += other.bb + b * b * weight;
        self.ab += other.ab + a * b * weight;
        self.ends = self.ends.zip(other.ends).map(|(own, other)| {
            [
                own[0].min(other[0]),
                own[1].max(other[1]),
                own[2].min(other[2]),
                own[3].max(other[3]),
            ]
        });
        self.n = n;
    }
}
