//! The messages about prepared data.

use arrow::datatypes::Schema as ArrowSchema;

use super::extract::Note;
use super::policy::Quarantined;
use super::text::{Remark, remarks_of};
use super::{Label, Split};
use crate::transform::Decision;
use crate::warning::Warning;

/// The warnings of a source about how it read its columns: kept in the metadata of the plan's schema, from where the data
/// pipeline takes it.
///
/// ```
/// use fourfold::arrow::datatypes::Schema;
///
/// assert!(fourfold::data::source_warnings(&Schema::empty()).is_empty());
/// ```
#[must_use]
pub fn source_warnings(schema: &ArrowSchema) -> Vec<Warning> {
    remarks_of(schema).iter().map(Remark::warning).collect()
}

/// Decisions of the columns that the source has left out. How it read the others is no part of decisions: these are the
/// same for the same rows, whatever files they are in.
pub(super) fn left_out(remarks: &[Remark]) -> Vec<Decision> {
    let left_out = remarks
        .iter()
        .filter(|remark| remark.code == Remark::LEFT_OUT);
    let decision = |remark: &Remark| {
        Some(Decision {
            column: remark.column.clone()?,
            action: "left out".to_owned(),
            reason: remark.message.clone(),
        })
    };
    left_out.filter_map(decision).collect()
}

/// A warning if rows of one group are in several splits, where another way of dividing would keep them together.
pub(super) fn parted_groups(split: &Split, group: Option<&str>) -> Option<Warning> {
    let group = group.filter(|group| split.is_by_hash() && *split.keys() != [*group])?;
    let message = "rows of one value are in several splits; a split by hash of this column alone keeps them together";
    Some(Warning::new("split", "groups_parted", message).of_column(group))
}

/// The warnings about rows that were left out, and those of the source about its columns.
pub(super) fn warnings(
    label: &Label,
    note: &Note,
    quarantined: Option<&Quarantined>,
) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = note.remarks.iter().map(Remark::warning).collect();
    let n_unlabelled = note.n_unlabelled;
    if n_unlabelled > 0 {
        let rows = if n_unlabelled == 1 { "row" } else { "rows" };
        let message = format!("{n_unlabelled} {rows} without a label left out");
        let warning = Warning::new("read", "rows_unlabelled", message);
        warnings.push(warning.of_column(label.name()));
    }
    if let Some(aside) = quarantined {
        let message = format!("{} rows that break the schema were set aside", aside.n_rows);
        warnings.push(Warning::new("validate", "rows_quarantined", message));
    }
    warnings
}
