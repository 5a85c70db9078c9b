//! The steps between the source and the examples: sampling, rebalancing, row groups.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use fourfold_kernels::hash::{unit, xxh64};
use serde::{Deserialize, Serialize};

use super::split_writer::SplitWriter;
use crate::error::{Error, Result};
use crate::examples::{ExampleFile, ExamplePart};
use crate::model::Target;
use crate::placing::Purpose;

/// The number of rows copied at once: a rare class may have many copies of each of its rows.
const AT_ONCE: usize = 8_192;

/// Makes the classes of the `train` split more even, by leaving out rows or by repeating some. The other splits stay as
/// they are: models are judged on the data as it is. (Probabilities then are those of the rebalanced classes.)
///
/// The choice of rows to leave out or repeat depends on their order in the split, and is the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rebalance {
    how: How,
    ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Undersample,
    Oversample,
}

impl Rebalance {
    /// Leaves out rows of the frequent classes, until about as many are there as of the rarest.
    #[must_use]
    pub fn undersample() -> Self {
        Rebalance {
            how: How::Undersample,
            ratio: 1.0,
        }
    }

    /// Repeats rows of the rare classes, until about as many are there as of the most frequent.
    #[must_use]
    pub fn oversample() -> Self {
        Rebalance {
            how: How::Oversample,
            ratio: 1.0,
        }
    }

    /// The wanted number of rows of the rarest class for one of the most frequent; 1 by default.
    #[must_use]
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// The mean number of copies of a row of each class.
    fn factors(&self, counts: &BTreeMap<String, u64>) -> BTreeMap<String, f64> {
        let rarest = counts.values().min().copied().unwrap_or(0) as f64;
        let most = counts.values().max().copied().unwrap_or(0) as f64;
        let wanted = |count: f64| match self.how {
            How::Undersample => count.min(rarest / self.ratio),
            How::Oversample => count.max(most * self.ratio),
        };
        counts
            .iter()
            .map(|(class, count)| (class.clone(), wanted(*count as f64) / *count as f64))
            .collect()
    }
}

/// The options of loading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Load {
    pub(super) sample: Option<f64>,
    pub(super) rebalance: Option<Rebalance>,
    pub(super) row_group_rows: usize,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            sample: None,
            rebalance: None,
            row_group_rows: 131_072,
        }
    }
}

impl Load {
    pub(super) fn check(&self) -> Result<()> {
        if let Some(fraction) = self.sample
            && !(fraction > 0.0 && fraction <= 1.0)
        {
            return Err(Error::config(format!(
                "the sample is {fraction} of the rows, must be above 0 and at most 1"
            )));
        }
        if let Some(Rebalance { ratio, .. }) = self.rebalance
            && !(ratio > 0.0 && ratio <= 1.0)
        {
            return Err(Error::config(format!(
                "the ratio of the classes is {ratio}, must be above 0 and at most 1"
            )));
        }
        if !(1_024..=16_777_216).contains(&self.row_group_rows) {
            return Err(Error::config(format!(
                "row groups of {} rows, must be from 1024 to 16777216",
                self.row_group_rows
            )));
        }
        Ok(())
    }

    /// For each key, whether its row is in the sample; `None` without a sample.
    pub(super) fn within_sample(&self, keys: &[u64]) -> Option<BooleanArray> {
        let fraction = self.sample?;
        let within = keys
            .iter()
            .map(|key| Some(Purpose::Sample.share(*key) < fraction));
        Some(within.collect())
    }

    /// Writes the files of the `train` split again, with other numbers of rows of each class; and tells for how many
    /// rows of the data one row of each class stands then.
    pub(super) fn rebalance(
        &self,
        label: &str,
        schema: &SchemaRef,
        files: Vec<ExampleFile>,
    ) -> Result<(Vec<ExampleFile>, BTreeMap<String, f64>)> {
        let Some(rebalance) = self.rebalance else {
            return Ok((files, BTreeMap::new()));
        };
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for file in &files {
            for batch in ExamplePart::File(file).batches(&[label]) {
                for class in classes_of(&batch?, label)? {
                    *counts.entry(class).or_default() += 1;
                }
                if counts.len() > Target::MAX_CLASSES {
                    return Err(Error::config(format!(
                        "classes are to be rebalanced, and label `{label}` has more than {} values",
                        Target::MAX_CLASSES
                    )));
                }
            }
        }
        let factors = rebalance.factors(&counts);
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let files = files
            .into_iter()
            .map(|file| self.rewrite(&file, label, schema, &factors, &mut seen))
            .collect::<Result<_>>()?;
        let stands_for = seen
            .into_iter()
            .map(|(class, seen)| (class, seen.n_rows as f64 / seen.n_copies.max(1) as f64));
        Ok((files, stands_for.collect()))
    }

    fn rewrite(
        &self,
        file: &ExampleFile,
        label: &str,
        schema: &SchemaRef,
        factors: &BTreeMap<String, f64>,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<ExampleFile> {
        let aside = file.path.with_extension("rebalanced");
        let mut writer = SplitWriter::create(aside.clone(), schema, self.row_group_rows)?;
        for batch in ExamplePart::File(file).batches_with_keys() {
            let batch = batch?;
            let mut rows: Vec<u64> = Vec::with_capacity(AT_ONCE);
            for (row, class) in (0_u64..).zip(classes_of(&batch, label)?) {
                let factor = factors.get(&class).copied().unwrap_or(1.0);
                let seen = seen.entry(class).or_default();
                seen.n_rows += 1;
                // Whole copies, and one more for some rows: those whose number's hash is small.
                let hash = xxh64(2, &seen.n_rows.to_le_bytes());
                let mut copies = factor as usize + usize::from(unit(hash) < factor.fract());
                seen.n_copies += copies as u64;
                while copies > 0 {
                    let n = copies.min(AT_ONCE - rows.len());
                    rows.extend(std::iter::repeat_n(row, n));
                    copies -= n;
                    if rows.len() == AT_ONCE {
                        let full = std::mem::replace(&mut rows, Vec::with_capacity(AT_ONCE));
                        writer.write(&take_record_batch(&batch, &UInt64Array::from(full))?)?;
                    }
                }
            }
            if !rows.is_empty() {
                writer.write(&take_record_batch(&batch, &UInt64Array::from(rows))?)?;
            }
        }
        let written = writer.finish()?;
        replace(&written.path, &file.path)?;
        Ok(ExampleFile {
            path: file.path.clone(),
            n_rows: written.n_rows,
        })
    }
}

/// The rows of a class, and how many of them are written.
#[derive(Default)]
struct Seen {
    n_rows: u64,
    n_copies: u64,
}

fn replace(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .map_err(|error| Error::io(format!("writing `{}`", to.display()), error))
}

fn classes_of(batch: &RecordBatch, label: &str) -> Result<Vec<String>> {
    let column = batch
        .column_by_name(label)
        .ok_or_else(|| Error::data(format!("there is no label column `{label}`")))?;
    (0..column.len())
        .map(|row| Ok(array_value_to_string(column, row)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::compute::concat_batches;

    use super::*;

    #[test]
    fn factors_make_the_classes_even() {
        let counts = BTreeMap::from([("no".to_owned(), 900), ("yes".to_owned(), 100)]);
        let of = |rebalance: Rebalance| {
            let factors = rebalance.factors(&counts);
            (factors["no"], factors["yes"])
        };
        assert_eq!(of(Rebalance::undersample()), (1.0 / 9.0, 1.0));
        assert_eq!(of(Rebalance::oversample()), (1.0, 9.0));
        assert_eq!(of(Rebalance::undersample().ratio(0.5)), (2.0 / 9.0, 1.0));
        assert_eq!(of(Rebalance::oversample().ratio(0.5)), (1.0, 4.5));
    }

    #[test]
    fn many_copies_are_written_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let labels = (0..20_001).map(|row| if row == 7 { "rare" } else { "often" });
        let labels: ArrayRef = Arc::new(StringArray::from_iter_values(labels));
        let ids: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..20_001));
        let batch = RecordBatch::try_from_iter([("id", ids), ("label", labels)]).unwrap();
        let path = dir.path().join("part-00000.parquet");
        let load = Load {
            rebalance: Some(Rebalance::oversample()),
            ..Load::default()
        };
        let mut writer = SplitWriter::create(path, &batch.schema(), load.row_group_rows).unwrap();
        writer.write(&batch).unwrap();
        let files = vec![writer.finish().unwrap()];
        let (files, stands_for) = load.rebalance("label", &batch.schema(), files).unwrap();
        assert_eq!(files[0].n_rows, 40_000);
        assert_eq!(
            (stands_for["often"], stands_for["rare"]),
            (1.0, 1.0 / 20_000.0)
        );
        let copies: Vec<RecordBatch> = ExamplePart::File(&files[0])
            .batches(&[])
            .collect::<Result<_>>()
            .unwrap();
        let copies = concat_batches(&batch.schema(), &copies).unwrap();
        let wanted = (0..20_001).flat_map(|row| {
            let n = if row == 7 { 20_000 } else { 1 };
            std::iter::repeat_n(row, n)
        });
        let wanted = UInt64Array::from_iter_values(wanted);
        assert_eq!(copies, take_record_batch(&batch, &wanted).unwrap());
    }
}
