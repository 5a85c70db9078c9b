//! Statistics that are kept: as JSON, with the sketches that later ones merge with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fourfold_kernels::sketches::bytes::Floats;
use fourfold_kernels::sketches::quantiles;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::column::Values;
use super::{
    ColumnStatistics, QuantileSketch, Statistics, StatisticsAccumulator, StatisticsOptions, base64,
};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};

/// The sketches that statistics were made from, which merge. They take no part in comparisons of statistics.
#[derive(Clone, Default)]
pub(super) struct Sketches(Option<Arc<Kept>>);

struct Kept {
    /// Compact statistics have none.
    accumulator: Option<StatisticsAccumulator>,
    quantiles: OnceLock<BTreeMap<String, QuantileSketch>>,
}

/// The serialized form of sketches: an accumulator's state, or a sample of each column of numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Saved {
    State(String),
    Samples(BTreeMap<String, String>),
}

impl Sketches {
    pub(super) fn new(accumulator: StatisticsAccumulator) -> Self {
        Sketches(Some(Arc::new(Kept {
            accumulator: Some(accumulator),
            quantiles: OnceLock::new(),
        })))
    }

    /// Sketches of quantiles alone.
    pub(super) fn of_quantiles(quantiles: BTreeMap<String, QuantileSketch>) -> Self {
        Sketches(Some(Arc::new(Kept {
            accumulator: None,
            quantiles: OnceLock::from(quantiles),
        })))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for Sketches {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Sketches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "None" } else { "Some(..)" })
    }
}

impl Serialize for Sketches {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_none(),
            Some(kept) => match &kept.accumulator {
                Some(accumulator) => {
                    let state = accumulator.state().map_err(serde::ser::Error::custom)?;
                    serializer.serialize_some(&base64::encode(&state))
                }
                None => {
                    let samples = kept.quantiles.get().into_iter().flatten();
                    serializer.collect_map(samples.map(|(column, sketch)| {
                        let sample = Floats(quantiles::sample(sketch, SAMPLE));
                        (column, base64::encode(&sample.to_bytes()))
                    }))
                }
            },
        }
    }
}

impl<'de> Deserialize<'de> for Sketches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let damaged = || D::Error::custom("the sketches are damaged");
        let text = match Option::<Saved>::deserialize(deserializer)? {
            None => return Ok(Sketches(None)),
            Some(Saved::Samples(samples)) => {
                let sketch = |(column, text): (String, String)| {
                    let sample = base64::decode(&text)
                        .and_then(|bytes| Floats::of_bytes(&bytes))
                        .filter(|Floats(sample)| {
                            sample.len() <= SAMPLE && sample.iter().all(|value| !value.is_nan())
                        });
                    let mut sketch = QuantileSketch::default();
                    sketch.update_slice(&sample?.0);
                    Some((column, sketch))
                };
                let quantiles: Option<BTreeMap<_, _>> = samples.into_iter().map(sketch).collect();
                return Ok(Sketches::of_quantiles(quantiles.ok_or_else(damaged)?));
            }
            Some(Saved::State(text)) => text,
        };
        let state = base64::decode(&text).ok_or_else(damaged)?;
        let accumulator = StatisticsAccumulator::from_state(&state).map_err(D::Error::custom)?;
        if !accumulator.is_whole() {
            return Err(damaged());
        }
        Ok(Sketches::new(accumulator))
    }
}

/// The values that compact statistics keep of a column of numbers: as many as a sketch holds exactly.
const SAMPLE: usize = 1_000;

impl ColumnStatistics {
    /// The same statistics with as many of the frequent values as there is room for.
    fn with_short_list(&self) -> Self {
        const MOST_BYTES: usize = 1 << 16;
        let mut short = self.clone();
        let mut n_bytes = 0;
        let fit = self.top_values.iter().take_while(|(value, _)| {
            n_bytes += value.len();
            n_bytes <= MOST_BYTES
        });
        let fit = fit.count();
        if fit < short.top_values.len() {
            short.top_values.truncate(fit);
            short.top_values_exact = false;
        }
        short
    }
}

/// The file: the version first, then what [`Statistics`] hold.
#[derive(Serialize, Deserialize)]
struct Document<S> {
    format_version: u32,
    #[serde(flatten)]
    statistics: S,
}

impl Statistics {
    /// The statistics beyond those of every column.
    #[must_use]
    pub fn options() -> StatisticsOptions {
        StatisticsOptions::new()
    }

    /// The version of the JSON layout that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The statistics of the rows of both: as if they had been computed in one pass, exactly where counts are exact,
    /// and within the bounds of the sketches elsewhere. So days merge into months.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// # use fourfold::accumulate::Accumulate;
    /// use fourfold::statistics::{Statistics, StatisticsAccumulator};
    ///
    /// let of = |values: Vec<i64>| {
    ///     let x: ArrayRef = Arc::new(Int64Array::from(values));
    ///     let batch = RecordBatch::try_from_iter([("x", x)])?;
    ///     let mut accumulator = StatisticsAccumulator::new(&batch.schema());
    ///     accumulator.update(&batch)?;
    ///     Ok::<_, fourfold::Error>(accumulator.finish())
    /// };
    /// let (monday, tuesday) = (of(vec![1, 2])?, of(vec![2, 3, 4])?);
    /// assert_eq!(monday.merge(&tuesday)?, of(vec![1, 2, 2, 3, 4])?);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if either is without its sketches, or if they are of different
    /// columns or options, or have too many slices together.
    pub fn merge(&self, other: &Statistics) -> Result<Statistics> {
        let mut whole = self.accumulator()?;
        whole.merge(other.accumulator()?)?;
        Ok(whole.finish())
    }

    /// The accumulator that these are of.
    fn accumulator(&self) -> Result<StatisticsAccumulator> {
        let kept = self.sketches.0.as_ref();
        let mut accumulator = kept
            .and_then(|kept| kept.accumulator.clone())
            .ok_or_else(|| Error::data("statistics without their sketches cannot be merged"))?;
        for slice in &self.slices {
            accumulator.put_slice(slice.slice.clone(), slice.statistics.accumulator()?);
        }
        Ok(accumulator)
    }

    /// The same without what merging needs, at a fraction of the size.
    #[must_use]
    pub fn without_sketches(&self) -> Statistics {
        let mut bare = self.clone();
        bare.sketches = Sketches(None);
        for slice in &mut bare.slices {
            slice.statistics.sketches = Sketches(None);
        }
        bare
    }

    /// The statistics of some columns, small enough to be saved with a model: at most about 100 KB a column of text and
    /// 20 KB another one, whatever they are of. They tell [distances](super::distance) to other data as the whole ones do,
    /// within a tenth of a percent of rank, and cannot be merged. Slices and pairs are left out.
    ///
    /// In place of the sketches there is a sample of 1,000 values of each column of numbers, at equal steps of rank.
    /// Frequent values are listed up to 64 KB of text.
    #[must_use]
    pub fn compact<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Statistics {
        let wanted: BTreeSet<&str> = columns.into_iter().collect();
        let is_wanted = |column: &ColumnStatistics| {
            let paths = column.name.match_indices('.').map(|(at, _)| at);
            wanted.contains(column.name.as_str())
                || column.nested
                    && paths
                        .filter_map(|at| column.name.get(..at))
                        .any(|above| wanted.contains(above))
        };
        let columns: Vec<ColumnStatistics> = self
            .columns
            .iter()
            .filter(|column| is_wanted(column))
            .map(ColumnStatistics::with_short_list)
            .collect();
        let sample = |column: &ColumnStatistics| {
            let mut sketch = QuantileSketch::default();
            sketch.update_slice(&quantiles::sample(
                self.quantile_sketch(&column.name)?,
                SAMPLE,
            ));
            Some((column.name.clone(), sketch))
        };
        Statistics {
            n_rows: self.n_rows,
            sketches: Sketches::of_quantiles(columns.iter().filter_map(sample).collect()),
            columns,
            pairs: Vec::new(),
            slices: Vec::new(),
        }
    }

    /// The quantile sketch behind a column's numbers, for analyses that need finer ranks than the
    /// [quantiles](super::NumericStatistics::quantiles); `None` for other columns, and if the statistics were stripped
    /// of it.
    #[must_use]
    pub fn quantile_sketch(&self, column: &str) -> Option<&QuantileSketch> {
        let kept = self.sketches.0.as_ref()?;
        let sketches = kept.quantiles.get_or_init(|| {
            let columns = kept.accumulator.iter().flat_map(|whole| whole.flat());
            let sketch = |column: &super::column::ColumnAccumulator| match &column.values {
                Values::Number(values) => Some((column.name.clone(), values.quantile_sketch())),
                _ => None,
            };
            columns.filter_map(sketch).collect()
        });
        sketches.get(column)
    }

    /// As JSON: an object of `format_version` (1) and the public fields of [`Statistics`], by the same names. An
    /// infinite end of a bucket is `"inf"` or `"-inf"`. `sketches`, of the whole and of each slice, is what merging
    /// needs, as base64 of CBOR (of [compact](Statistics::compact) ones, the samples): leave it as it is, or leave it out.
    ///
    /// # Errors
    /// Never with statistics of this crate.
    pub fn to_json(&self) -> Result<String> {
        let document = Document {
            format_version: Self::FORMAT_VERSION,
            statistics: self,
        };
        serde_json::to_string_pretty(&document)
            .map_err(|error| Error::internal("statistics cannot be written").with_source(error))
    }

    /// Statistics from their [JSON](Statistics::to_json).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it is not that, or of a later version.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let corrupt = |error| Error::corrupt("not the JSON of statistics").with_source(error);
        let Version { format_version } = serde_json::from_str(text).map_err(corrupt)?;
        if format_version != Self::FORMAT_VERSION {
            return Err(Error::corrupt(format!(
                "statistics are of format version {format_version}, must be {}",
                Self::FORMAT_VERSION
            )));
        }
        let document: Document<Statistics> = serde_json::from_str(text).map_err(corrupt)?;
        let mut statistics = document.statistics;
        statistics.bound_estimates();
        Ok(statistics)
    }

    /// Earlier versions kept estimates that are above what there can be.
    fn bound_estimates(&mut self) {
        for column in &mut self.columns {
            column.distinct = column.distinct.min(column.n_values());
        }
        for slice in &mut self.slices {
            slice.statistics.bound_estimates();
        }
    }

    /// Writes the [JSON](Statistics::to_json) to a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        fs::write(path, self.to_json()?)
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
    }

    /// Reads what [`Statistics::save`] has written.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or [`ErrorKind::Io`](crate::ErrorKind::Io) if the file
    /// cannot be read; as [`Statistics::from_json`], naming the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        Statistics::from_json(&text).map_err(|error| {
            Error::new(
                error.kind(),
                format!("`{}`: {}", path.display(), error.message()),
            )
            .with_source(error)
        })
    }
}

/// Floats in JSON, which has no infinity.
pub(super) mod float {
    use super::*;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            serializer.serialize_f64(*value)
        } else {
            serializer.serialize_str(&value.to_string())
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number {
            Finite(f64),
            Text(String),
        }
        match Number::deserialize(deserializer)? {
            Number::Finite(value) => Ok(value),
            Number::Text(text) => match text.as_str() {
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                "NaN" => Ok(f64::NAN),
                _ => Err(D::Error::custom(format!("`{text}` is not a number"))),
            },
        }
    }
}
