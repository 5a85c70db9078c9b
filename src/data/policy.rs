//! Policies for data that breaks its schema.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::Split;
use super::extract::{Extracted, NOTE, reopen, split_dir};
use super::split_writer::SplitWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::examples::Examples;
use crate::model::{load_json, save_json};
use crate::schema::{Anomaly, AnomalyKind, Schema, Severity};
use crate::store::{Aside, Place};

/// The policy of the data pipeline for data that breaks its schema with an [error](Severity::Error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyPolicy {
    /// The pipeline stops before training, with all anomalies.
    #[default]
    Fail,
    /// The pipeline continues; the anomalies are in its record as warnings, and in the log.
    Warn,
    /// Rows that break a rule are [set aside](Quarantined), and the pipeline continues with the others, which are
    /// analysed and validated again. It stops if they still break the schema: a missing column, a wrong type or drift
    /// is no fault of single rows.
    Quarantine,
    /// The pipeline continues; the anomalies are in its record.
    Proceed,
}

/// The rows that [`AnomalyPolicy::Quarantine`] has set aside: Parquet files beside those of the splits. They have the
/// columns of the examples, and two more: `quarantine_split`, the split they were in, and `quarantine_reasons`, a
/// list of `column: KIND`. Nothing is lost: kept and quarantined rows together are the labelled rows that
/// were read, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quarantined {
    /// The folder of the Parquet files.
    pub place: PathBuf,
    /// The number of rows.
    pub n_rows: u64,
    /// The number of rows that break each rule; a row may break several.
    pub reasons: Vec<QuarantineReason>,
}

/// A rule, and how many of the quarantined rows break it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuarantineReason {
    /// The column.
    pub column: String,
    /// The kind of anomaly.
    pub kind: AnomalyKind,
    /// The number of rows.
    pub n_rows: u64,
}

const FOLDER: &str = "Quarantine";
const SUMMARY: &str = "quarantine.json";
const SPLIT: &str = "quarantine_split";
const REASONS: &str = "quarantine_reasons";

/// The rules whose violating rows are quarantined.
pub(super) type Rules = BTreeSet<(String, AnomalyKind)>;

/// The rules that single rows break, of all that were broken with an error: no row is at fault for drift, or for a
/// number of rows.
pub(super) fn rules_of_rows<'a>(
    schema: &Schema,
    anomalies: impl Iterator<Item = &'a Anomaly>,
) -> Rules {
    anomalies
        .filter(|anomaly| anomaly.severity == Severity::Error)
        .filter_map(|anomaly| {
            let kind = rule_of_rows(schema, &anomaly.column, anomaly.kind)?;
            Some((anomaly.column.clone(), kind))
        })
        .collect()
}

/// The kind of what is wrong with each row, as [`Schema::check_rows`] has it.
fn rule_of_rows(schema: &Schema, column: &str, kind: AnomalyKind) -> Option<AnomalyKind> {
    match kind {
        AnomalyKind::FeatureTypeLowFractionPresent | AnomalyKind::FeatureTypeNotPresent => {
            let field = schema.field(column).ok()?;
            field
                .is_required()
                .then_some(AnomalyKind::FeatureTypeLowFractionPresent)
        }
        AnomalyKind::FeatureTypeLowNumberValues
        | AnomalyKind::FeatureTypeHighNumberValues
        | AnomalyKind::InvalidFeatureShape
        | AnomalyKind::BoolTypeBigInt
        | AnomalyKind::BoolTypeSmallInt
        | AnomalyKind::BoolTypeUnexpectedString
        | AnomalyKind::BoolTypeUnexpectedFloat
        | AnomalyKind::IntTypeBigInt
        | AnomalyKind::IntTypeSmallInt
        | AnomalyKind::IntTypeNotIntString
        | AnomalyKind::FloatTypeBigFloat
        | AnomalyKind::FloatTypeSmallFloat
        | AnomalyKind::FloatTypeStringNotFloat
        | AnomalyKind::FloatTypeHasNan
        | AnomalyKind::FloatTypeHasInf
        | AnomalyKind::OutOfRange
        | AnomalyKind::EnumTypeUnexpectedStringValues => Some(kind),
        _ => None,
    }
}

/// Divides the rows of every split into those that are kept and those that are quarantined, at `place`; what an
/// earlier run has left there is used again.
pub(super) async fn quarantine(
    extracted: Extracted,
    split: &Split,
    schema: &Schema,
    rules: Rules,
    row_group_rows: usize,
    place: &Place,
) -> Result<(Extracted, Quarantined)> {
    if let Place::At(place) = place
        && let Some(kept) = reopen(split, place)?
    {
        return Ok((kept, quarantined_in(place)?));
    }
    let aside = Aside::to(place)?;
    for name in extracted.splits.keys() {
        create_dir(&aside.path().join(split_dir(name)))?;
    }
    create_dir(&aside.path().join(FOLDER))?;
    let sieve = Arc::new(Sieve {
        schema: schema.clone(),
        rules,
        row_group_rows,
        dir: aside.path().to_owned(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for (name, examples) in &extracted.splits {
        for number in 0..examples.parts().len() {
            let (sieve, name, examples) = (Arc::clone(&sieve), name.clone(), examples.clone());
            tasks.spawn_blocking(move || sieve.part(&name, &examples, number));
        }
    }
    let mut counts: BTreeMap<(String, AnomalyKind), u64> = BTreeMap::new();
    let mut n_rows = 0;
    while let Some(part) = tasks.join_next().await {
        let part = part
            .map_err(|error| Error::internal("a part of the quarantine stopped").with_source(error))
            .flatten();
        let part = match part {
            Ok(part) => part,
            Err(error) => {
                // The folder is removed once there are no more writers.
                tasks.shutdown().await;
                return Err(error);
            }
        };
        n_rows += part.n_rows;
        for (rule, n) in part.counts {
            *counts.entry(rule).or_default() += n;
        }
    }
    let quarantined = Quarantined {
        // Said when it is read: it is not known yet, and may be copied elsewhere.
        place: PathBuf::new(),
        n_rows,
        reasons: counts
            .into_iter()
            .map(|((column, kind), n_rows)| QuarantineReason {
                column,
                kind,
                n_rows,
            })
            .collect(),
    };
    save_json(aside.path(), NOTE, &extracted.note)?;
    save_json(aside.path(), SUMMARY, &quarantined)?;
    let place = match (aside.commit(), place) {
        (Ok(place), _) => place,
        // Another run was faster.
        (Err(error), Place::At(place)) if error.kind() == ErrorKind::AlreadyExists => place.clone(),
        (Err(error), _) => return Err(error),
    };
    let quarantined = Quarantined {
        place: place.join(FOLDER),
        ..quarantined
    };
    let kept = reopen(split, &place)?.ok_or_else(|| {
        Error::new(
            ErrorKind::Schema,
            format!(
                "all {n_rows} rows break the schema; they are in `{}`",
                quarantined.place.display()
            ),
        )
    })?;
    Ok((kept, quarantined))
}

/// The quarantined rows beside the kept ones.
pub(super) fn quarantined_in(place: &Path) -> Result<Quarantined> {
    Ok(Quarantined {
        place: place.join(FOLDER),
        ..load_json(place, SUMMARY)?
    })
}

fn create_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)
        .map_err(|error| Error::io(format!("writing `{}`", dir.display()), error))
}

struct Sieve {
    schema: Schema,
    rules: Rules,
    row_group_rows: usize,
    dir: PathBuf,
}

/// The quarantined rows of one partition.
#[derive(Default)]
struct Part {
    n_rows: u64,
    counts: BTreeMap<(String, AnomalyKind), u64>,
}

impl Sieve {
    fn part(&self, split: &str, examples: &Examples, number: usize) -> Result<Part> {
        let mut part = Part::default();
        let (mut kept, mut aside) = (None, None);
        let file = format!("part-{number:05}.parquet");
        let aside_schema = with_reasons(examples.schema())?;
        let batches = examples.parts().into_iter().nth(number);
        for batch in batches
            .into_iter()
            .flat_map(|part| part.batches_with_keys())
        {
            let batch = batch?;
            let mut reasons: Vec<Vec<(&str, AnomalyKind)>> = vec![Vec::new(); batch.num_rows()];
            for (place, field) in self.schema.fields.iter().enumerate() {
                field.each_break(&batch, place, &mut |row, kind, _| {
                    let broken = self
                        .rules
                        .iter()
                        .find(|(column, broken)| *column == field.name && *broken == kind);
                    if let (Some((column, _)), Some(reasons)) = (broken, reasons.get_mut(row)) {
                        reasons.push((column, kind));
                    }
                });
            }
            let bad: BooleanArray = reasons
                .iter()
                .map(|reasons| Some(!reasons.is_empty()))
                .collect();
            let write = |writer: &mut Option<SplitWriter>, dir: &str, rows: &RecordBatch| {
                if rows.num_rows() == 0 {
                    return Ok(());
                }
                let writer = match writer {
                    Some(writer) => writer,
                    empty => {
                        let path = self.dir.join(dir).join(if dir == FOLDER {
                            format!("{split}-{file}")
                        } else {
                            file.clone()
                        });
                        empty.insert(SplitWriter::create(
                            path,
                            &rows.schema(),
                            self.row_group_rows,
                        )?)
                    }
                };
                writer.write(rows)
            };
            let good = filter_record_batch(&batch, &not(&bad)?)?;
            write(&mut kept, &split_dir(split), &good)?;
            if bad.true_count() > 0 {
                let rows = filter_record_batch(&batch, &bad)?;
                part.n_rows += rows.num_rows() as u64;
                let mut list = ListBuilder::new(StringBuilder::new());
                for reasons in reasons.iter().filter(|reasons| !reasons.is_empty()) {
                    for (column, kind) in reasons {
                        *part
                            .counts
                            .entry(((*column).to_owned(), *kind))
                            .or_default() += 1;
                        list.values().append_value(format!("{column}: {kind}"));
                    }
                    list.append(true);
                }
                let n_columns = examples.schema().fields().len();
                let mut columns: Vec<ArrayRef> = rows.columns()[..n_columns].to_vec();
                columns.push(Arc::new(StringArray::from(vec![split; rows.num_rows()])));
                columns.push(Arc::new(list.finish()));
                let rows = RecordBatch::try_new(Arc::clone(&aside_schema), columns)?;
                write(&mut aside, FOLDER, &rows)?;
            }
        }
        for writer in [kept, aside].into_iter().flatten() {
            writer.finish()?;
        }
        Ok(part)
    }
}

fn with_reasons(schema: &SchemaRef) -> Result<SchemaRef> {
    for name in [SPLIT, REASONS] {
        if schema.column_with_name(name).is_some() {
            return Err(Error::data(format!(
                "column `{name}` has the name of what a quarantine says of its rows; rename it"
            )));
        }
    }
    let more = [
        Arc::new(ArrowField::new(SPLIT, DataType::Utf8, true)),
        Arc::new(ArrowField::new(
            REASONS,
            DataType::new_list(DataType::Utf8, true),
            true,
        )),
    ];
    let fields: Vec<_> = schema.fields().iter().cloned().chain(more).collect();
    Ok(Arc::new(ArrowSchema::new(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, FieldType};

    #[test]
    fn only_what_a_row_can_break_is_quarantined() {
        let mut often = Field::new("often", FieldType::Integer);
        often.min_fraction = 0.5;
        let schema = Schema::new([Field::new("needed", FieldType::Integer).required(), often]);
        let low = AnomalyKind::FeatureTypeLowFractionPresent;
        for (column, kind, wanted) in [
            ("needed", low, Some(low)),
            ("needed", AnomalyKind::FeatureTypeNotPresent, Some(low)),
            ("often", low, None),
            ("often", AnomalyKind::FeatureTypeNotPresent, None),
            (
                "needed",
                AnomalyKind::IntTypeBigInt,
                Some(AnomalyKind::IntTypeBigInt),
            ),
            ("needed", AnomalyKind::DistributionOutOfBounds, None),
            ("needed", AnomalyKind::FeatureTypeLowNumberPresent, None),
            ("often", AnomalyKind::ComparatorLInftyHigh, None),
            ("", AnomalyKind::DatasetLowNumExamples, None),
        ] {
            assert_eq!(
                rule_of_rows(&schema, column, kind),
                wanted,
                "{column} {kind}"
            );
        }
    }
}
