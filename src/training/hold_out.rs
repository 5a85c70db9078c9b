//! Rows of a data set held out of training: once, or fold by fold.
//!
//! Architecture invariant: a row's place follows from its [key](crate::data::Split), which the data pipeline has written
//! with it: copies of a row that rebalancing has made are never parted, nor are rows of one key of the split. Held by
//! `tests/it/placing.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Date32Type, Float64Type, TimestampMicrosecondType, UInt64Type};

use super::Dataset;
use crate::error::{Error, Result, near_names};
use crate::examples::{ExamplePart, ROW_KEY, with_row_key};
use crate::model::Target;
use crate::parallel::side_by_side;
use crate::placing::{Occurrences, Purpose, content_hashes};
use crate::schema::FieldType;

/// The rule that selects the rows of a [`Dataset`] that are held out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HoldOutBy {
    /// Each row independently of all others, as [splits](crate::data::Split) place them: rows that are added move none of
    /// the old ones, and rows of one key of a split by hash stay together. The share that is held out is then as asked
    /// for in the mean. Where that would leave one of the parts without a row, as it may for a few dozen rows, rows are
    /// counted off instead.
    #[default]
    Row,
    /// As many rows as asked for, and of each class as many, to the row. A few rows near the border move when others are
    /// added, and rows of one key of the split may be parted.
    Stratified,
    /// Rows with the same value of this column stay together (NULL is a value). As by row otherwise.
    Group(String),
    /// The last rows by this column of dates, timestamps or numbers; rows of one time stay together. A fold is trained for
    /// on the rows before it: of `n` folds, the first on about one part in `n + 1`.
    Time(String),
}

impl HoldOutBy {
    /// The way for a target: by the time of its rows, or else their group, or else by row.
    pub(super) fn of(target: &Target) -> Self {
        match (target.time(), target.group()) {
            (Some(column), _) => HoldOutBy::Time(column.to_owned()),
            (None, Some(column)) => HoldOutBy::Group(column.to_owned()),
            (None, None) => HoldOutBy::Row,
        }
    }
}

/// A data set in two.
#[derive(Clone, Debug)]
pub struct HoldOut {
    /// The rows to train on.
    pub train: Dataset,
    /// The rows held out. They keep their features: those made from the label are cross-fitted, as in training. Where the
    /// classes were rebalanced, their weights are those of the data as it was.
    pub held_out: Dataset,
}

/// The rows of a data set that are left when others are held out.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    cuts: Vec<Cut>,
    /// The number of rows of each part that are left, if there are cuts.
    n_rows: Arc<[usize]>,
}

/// Rows within or outside of a range of a measure.
#[derive(Clone, Debug)]
struct Cut {
    measure: Measure,
    /// From, and to before: one range, or one a class.
    ranges: Arc<[(f64, f64)]>,
    inside: bool,
}

/// A number for each row.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    by: HoldOutBy,
    purpose: Purpose,
}

/// The range of all numbers below one.
fn below(end: f64) -> (f64, f64) {
    (f64::NEG_INFINITY, end)
}

impl Selection {
    /// The number of times that rows were held out.
    fn depth(&self) -> u64 {
        self.cuts.len() as u64
    }

    /// The number of rows of each part.
    pub(super) fn n_rows(&self, parts: &[ExamplePart<'_>]) -> Vec<usize> {
        match self.cuts.is_empty() {
            true => parts.iter().map(ExamplePart::n_rows).collect(),
            false => self.n_rows.to_vec(),
        }
    }

    /// For each row of a batch, whether the last cut keeps it. The batch has the [`Selection::last_columns`].
    pub(super) fn last_holds(&self, batch: &RecordBatch, target: &Target) -> Result<Vec<bool>> {
        match self.cuts.last() {
            Some(cut) => cut.holds(batch, target),
            None => Ok(vec![true; batch.num_rows()]),
        }
    }

    /// The columns that the last cut looks at.
    pub(super) fn last_columns<'a>(&'a self, target: &'a Target) -> Vec<&'a str> {
        let last = self.cuts.last();
        last.map_or_else(Vec::new, |cut| cut.measure.columns(target))
    }

    fn with(&self, cut: Cut, n_rows: Vec<usize>) -> Self {
        Selection {
            cuts: self.cuts.iter().cloned().chain([cut]).collect(),
            n_rows: n_rows.into(),
        }
    }

    /// The rows of a part that are left, with these columns and perhaps others.
    pub(super) fn read<'a>(
        &'a self,
        part: ExamplePart<'a>,
        columns: &[&str],
        target: &'a Target,
    ) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
        let of_cuts = self.cuts.iter().flat_map(|cut| cut.measure.columns(target));
        let columns: Vec<&str> = columns.iter().copied().chain(of_cuts).collect();
        let batches = with_keys(part, &columns);
        if self.cuts.is_empty() {
            return batches;
        }
        Box::new(batches.map(move |batch| {
            let mut batch = batch?;
            for cut in &self.cuts {
                let left = BooleanArray::from(cut.holds(&batch, target)?);
                batch = filter_record_batch(&batch, &left)?;
            }
            Ok(batch)
        }))
    }
}

/// The rows of a part with these columns. Rows in memory get their keys here: their files have them.
fn with_keys<'a>(
    part: ExamplePart<'a>,
    columns: &[&str],
) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
    let in_memory = matches!(part, ExamplePart::Batches(_));
    if !(in_memory && columns.contains(&ROW_KEY)) {
        let columns: HashSet<&str> = columns.iter().copied().collect();
        return part.read(&|name| columns.contains(name));
    }
    let mut seen = Occurrences::default();
    Box::new(part.read(&|_| true).map(move |batch| {
        let batch = batch?;
        let mut columns = batch.columns().to_vec();
        let mut keys = content_hashes(&columns.iter().collect::<Vec<_>>(), batch.num_rows())?;
        seen.number(&mut keys);
        columns.push(Arc::new(UInt64Array::from(keys)));
        let schema = with_row_key(&batch.schema());
        Ok(RecordBatch::try_new(schema, columns)?)
    }))
}

impl Cut {
    /// For each row, whether it is on this side.
    fn holds(&self, batch: &RecordBatch, target: &Target) -> Result<Vec<bool>> {
        let strata = self.measure.strata(batch, target)?;
        let numbers = self.measure.of(batch)?;
        let holds = |(row, number): (usize, f64)| {
            let stratum = strata.as_ref().map_or(0, |strata| strata[row]);
            let range = self.ranges.get(stratum);
            let within = range.is_some_and(|(from, to)| *from <= number && number < *to);
            within == self.inside
        };
        Ok(numbers.into_iter().enumerate().map(holds).collect())
    }
}

impl Measure {
    fn columns<'a>(&'a self, target: &'a Target) -> Vec<&'a str> {
        match &self.by {
            HoldOutBy::Row => vec![ROW_KEY],
            HoldOutBy::Stratified => vec![ROW_KEY, target.label()],
            HoldOutBy::Group(column) | HoldOutBy::Time(column) => vec![column],
        }
    }

    /// Returns true if its numbers are uniform over 0..1.
    pub(super) fn is_share(&self) -> bool {
        matches!(self.by, HoldOutBy::Row | HoldOutBy::Group(_))
    }

    /// The number of classes of rows that are divided separately.
    fn n_strata(&self, target: &Target) -> usize {
        match self.by {
            // One more for classes that the target does not know.
            HoldOutBy::Stratified => target.classes().len() + 1,
            HoldOutBy::Row | HoldOutBy::Group(_) | HoldOutBy::Time(_) => 1,
        }
    }

    /// The class of each row, where classes are divided each for itself.
    fn strata(&self, batch: &RecordBatch, target: &Target) -> Result<Option<Vec<usize>>> {
        let n_classes = target.classes().len();
        if self.by != HoldOutBy::Stratified || n_classes == 0 {
            return Ok(None);
        }
        let labels = target.encode(column(batch, target.label())?)?;
        let strata = labels
            .into_iter()
            .map(|label| (label as usize).min(n_classes));
        Ok(Some(strata.collect()))
    }

    fn of(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let share = |key: &u64| self.purpose.share(*key);
        match &self.by {
            HoldOutBy::Row | HoldOutBy::Stratified => {
                let keys = column(batch, ROW_KEY)?.as_primitive_opt::<UInt64Type>();
                let keys = keys.ok_or_else(|| Error::internal("keys of rows that are no keys"))?;
                Ok(keys.values().iter().map(share).collect())
            }
            HoldOutBy::Group(name) => {
                let hashes = content_hashes(&[column(batch, name)?], batch.num_rows())?;
                Ok(hashes.iter().map(share).collect())
            }
            HoldOutBy::Time(name) => times(name, column(batch, name)?),
        }
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| Error::data(format!("a part of the rows has no column `{name}`")))
}

/// When each row was: days, microseconds, or whatever the numbers are.
fn times(name: &str, column: &ArrayRef) -> Result<Vec<f64>> {
    let field_type = FieldType::of(column.data_type());
    let column = match field_type {
        FieldType::Integer => FieldType::Float.normalize(name, column)?,
        _ => field_type.normalize(name, column)?,
    };
    let numbers: Vec<f64> = match field_type {
        FieldType::Integer | FieldType::Float => {
            column.as_primitive::<Float64Type>().values().to_vec()
        }
        FieldType::Date => {
            let days = column.as_primitive::<Date32Type>().values();
            days.iter().map(|day| f64::from(*day)).collect()
        }
        FieldType::Timestamp => {
            let times = column.as_primitive::<TimestampMicrosecondType>().values();
            times.iter().map(|time| *time as f64).collect()
        }
        other => {
            return Err(Error::config(format!(
                "rows are held out by the time in column `{name}`, which is of type {other}, must be a date, a timestamp \
                 or a number"
            )));
        }
    };
    let is_time = |(row, number): (usize, &f64)| column.is_valid(row) && number.is_finite();
    if let Some(odd) = numbers.iter().enumerate().find(|row| !is_time(*row)) {
        let shown = match column.is_valid(odd.0) {
            true => odd.1.to_string(),
            false => "NULL".to_owned(),
        };
        return Err(Error::data(format!(
            "rows are held out by the time in column `{name}`, which is {shown} in a row, every row must have a time"
        )));
    }
    Ok(numbers)
}

impl Dataset {
    /// Sets how rows are held out; by default, by the target's time or group, or by row.
    #[must_use]
    pub fn hold_out_by(mut self, by: HoldOutBy) -> Self {
        self.hold_out_by = by;
        self
    }

    /// The way in which rows are held out.
    #[must_use]
    pub fn holds_out_by(&self) -> &HoldOutBy {
        &self.hold_out_by
    }

    /// Holds out this share of the rows: to stop early, to choose or to calibrate by. Equal data sets give equal parts,
    /// and what is held out of one of the parts again is independent of it. The rows stay where they are: two passes at
    /// most read the columns that decide, in parallel, and the stratified and those by time take 8 bytes a row meanwhile.
    ///
    /// ```
    /// use fourfold::Result;
    /// use fourfold::training::{Dataset, HoldOutBy};
    ///
    /// fn divide(rows: Dataset) -> Result<(Dataset, Dataset)> {
    ///     let parts = rows.hold_out_by(HoldOutBy::Stratified).hold_out(0.2)?;
    ///     Ok((parts.train, parts.held_out))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a share that is not between 0 and 1, or a column that is not
    /// there; [`ErrorKind::Data`](crate::ErrorKind::Data) if one of the parts would have no row.
    pub fn hold_out(&self, fraction: f64) -> Result<HoldOut> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::config(format!(
                "a share of {fraction} of the rows is to be held out, must be above 0 and below 1"
            )));
        }
        let measure = self.measure(Purpose::HoldOut)?;
        if measure.is_share()
            && let Some(parts) = self.divide(&measure, vec![below(fraction)])?
        {
            return Ok(parts);
        }
        let by_time = matches!(self.hold_out_by, HoldOutBy::Time(_));
        let ranges = self.sorted(&measure)?.into_iter().map(|sorted| {
            let n = sorted.len();
            // Of two rows or more, at least one is on either side.
            let wanted = (fraction * n as f64).round() as usize;
            let held = wanted.clamp(n.min(2) / 2, n.saturating_sub(1));
            match by_time {
                true => (value_at(&sorted, n - held), f64::INFINITY),
                false => below(value_at(&sorted, held)),
            }
        });
        let ranges = ranges.collect();
        self.divide(&measure, ranges)?.ok_or_else(|| {
            Error::data(format!(
                "holding out {fraction} of {} rows leaves none on one side",
                self.n_rows()
            ))
        })
    }

    pub(super) fn measure(&self, purpose: impl Fn(u64) -> Purpose) -> Result<Measure> {
        if let HoldOutBy::Group(column) | HoldOutBy::Time(column) = &self.hold_out_by {
            let fields = self.examples.schema().fields().iter();
            let names = fields.map(|field| field.name().as_str());
            if !names.clone().any(|name| name == column) {
                return Err(Error::config(format!(
                    "rows are held out by column `{column}`, which is not in the data{}",
                    near_names(column, names)
                )));
            }
        }
        Ok(Measure {
            by: self.hold_out_by.clone(),
            purpose: purpose(self.selection.depth()),
        })
    }

    /// The rows within these ranges and the others, or those before; `None` if one side has no row.
    fn divide(&self, measure: &Measure, ranges: Vec<(f64, f64)>) -> Result<Option<HoldOut>> {
        let mut parts = self.divide_often(measure, vec![ranges])?;
        Ok(parts.pop().flatten())
    }

    /// As [`Dataset::divide`], by each of these lists of ranges: in one pass.
    pub(super) fn divide_often(
        &self,
        measure: &Measure,
        ranges: Vec<Vec<(f64, f64)>>,
    ) -> Result<Vec<Option<HoldOut>>> {
        let cut = |(ranges, inside): (Vec<(f64, f64)>, bool)| Cut {
            measure: measure.clone(),
            ranges: ranges.into(),
            inside,
        };
        let cuts = ranges.into_iter().map(|ranges| {
            let train = match (&measure.by, ranges.as_slice()) {
                (HoldOutBy::Time(_), [(start, _)]) => (vec![below(*start)], true),
                _ => (ranges.clone(), false),
            };
            [cut(train), cut((ranges, true))]
        });
        let cuts: Vec<[Cut; 2]> = cuts.collect();
        let counts = self.each_part(measure, |batches| {
            let mut counts = vec![[0; 2]; cuts.len()];
            for batch in batches {
                let batch = batch?;
                for (counts, cuts) in counts.iter_mut().zip(&cuts) {
                    for (count, cut) in counts.iter_mut().zip(cuts) {
                        let holds = cut.holds(&batch, &self.target)?;
                        *count += holds.iter().filter(|it| **it).count();
                    }
                }
            }
            Ok(counts)
        })?;
        let divided = cuts.into_iter().enumerate().map(|(at, cuts)| {
            let [to_train, held] = [0, 1].map(|side| {
                let n_rows = counts.iter().map(|counts| counts[at][side]);
                n_rows.collect::<Vec<usize>>()
            });
            if to_train.iter().all(|n| *n == 0) || held.iter().all(|n| *n == 0) {
                return None;
            }
            let [train_cut, held_cut] = cuts;
            let (mut train, mut held_out) = (self.clone(), self.clone());
            train.selection = self.selection.with(train_cut, to_train);
            held_out.selection = self.selection.with(held_cut, held);
            if let Some(stands_for) = held_out.stands_for.take() {
                held_out.weighting = held_out.weighting.standing_for(&stands_for);
            }
            Some(HoldOut { train, held_out })
        });
        Ok(divided.collect())
    }

    /// The number of rows in each range of an unstratified measure.
    pub(super) fn count(&self, measure: &Measure, ranges: &[(f64, f64)]) -> Result<Vec<usize>> {
        let parts = self.each_part(measure, |batches| {
            let mut counts = vec![0; ranges.len()];
            for batch in batches {
                for number in measure.of(&batch?)? {
                    let place = ranges.partition_point(|(_, to)| *to <= number);
                    if let Some(count) = counts.get_mut(place) {
                        *count += 1;
                    }
                }
            }
            Ok(counts)
        })?;
        let sum = |place: usize| parts.iter().map(|counts| counts[place]).sum();
        Ok((0..ranges.len()).map(sum).collect())
    }

    /// The numbers of all rows, sorted, of each stratum.
    pub(super) fn sorted(&self, measure: &Measure) -> Result<Vec<Vec<f64>>> {
        let n_strata = measure.n_strata(&self.target);
        let parts = self.each_part(measure, |batches| {
            let mut numbers = vec![Vec::new(); n_strata];
            for batch in batches {
                let batch = batch?;
                let strata = measure.strata(&batch, &self.target)?;
                for (row, number) in measure.of(&batch)?.into_iter().enumerate() {
                    let stratum = strata.as_ref().map_or(0, |strata| strata[row]);
                    numbers[stratum].push(number);
                }
            }
            Ok(numbers)
        })?;
        let mut all = vec![Vec::new(); n_strata];
        for part in parts {
            for (all, mut numbers) in all.iter_mut().zip(part) {
                all.append(&mut numbers);
            }
        }
        all.iter_mut()
            .for_each(|numbers| numbers.sort_unstable_by(f64::total_cmp));
        Ok(all)
    }

    /// Looks at what a measure needs of every part, side by side.
    fn each_part<T: Send>(
        &self,
        measure: &Measure,
        look: impl Fn(&mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let columns = measure.columns(&self.target);
        side_by_side(self.threads, self.examples.parts(), |part| {
            look(&mut self.selection.read(part, &columns, &self.target))
        })
    }
}

/// The number at a place of a sorted list; behind its end, one above all.
pub(super) fn value_at(sorted: &[f64], place: usize) -> f64 {
    sorted.get(place).copied().unwrap_or(f64::INFINITY)
}
