//! Suspicious properties of prepared data that only a person can judge: spellings of one category, and columns that
//! reveal the label.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, UInt64Type};
use arrow::util::display::array_value_to_string;

use crate::error::Result;
use crate::examples::Examples;
use crate::model::{Target, Task};
use crate::parallel::side_by_side;
use crate::schema::{FieldType, place_of};
use crate::statistics::{ColumnStatistics, Statistics};
use crate::warning::Warning;

/// Warnings of string values that differ only in case, accents, white space, hyphens, underscores or a full stop at the end,
/// with their counts.
pub(super) fn near_equal_spellings(statistics: &Statistics) -> Vec<Warning> {
    let texts = statistics
        .columns
        .iter()
        .filter(|column| column.field_type == FieldType::Text && !column.nested);
    texts.filter_map(spellings).collect()
}

fn spellings(column: &ColumnStatistics) -> Option<Warning> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let booleans = booleans(column);
    for (at, (value, n)) in column.top_values.iter().enumerate() {
        let key = match &booleans {
            Some(truths) => truths[at].to_string(),
            None => folded(value),
        };
        let place = *places.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(format!("`{value}` ({n})"));
    }
    let alike: Vec<String> = groups
        .into_iter()
        .filter(|(_, spellings)| spellings.len() > 1)
        .map(|(_, spellings)| spellings.join(", "))
        .collect();
    if alike.is_empty() {
        return None;
    }
    let shown = alike.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    let more = if alike.len() > 5 { "; .." } else { "" };
    let message = format!("nearly equal values count as different: {shown}{more}");
    Some(Warning::new("analyse", "near_equal_values", message).of_column(&column.name))
}

/// Words for true and for false, in lower case.
const TRUE: [&str; 6] = ["true", "t", "yes", "y", "1", "on"];
const FALSE: [&str; 6] = ["false", "f", "no", "n", "0", "off"];

/// What each value says, if all of a column are words for true and for false, of both.
fn booleans(column: &ColumnStatistics) -> Option<Vec<bool>> {
    let truth = |(value, _): &(String, u64)| {
        let word = value.trim().to_lowercase();
        let is_true = TRUE.contains(&word.as_str());
        (is_true || FALSE.contains(&word.as_str())).then_some(is_true)
    };
    let truths: Option<Vec<bool>> = column.top_values.iter().map(truth).collect();
    truths.filter(|truths| {
        column.top_values_exact && truths.contains(&true) && truths.contains(&false)
    })
}

/// A string by which nearly equal spellings are equal.
fn folded(value: &str) -> String {
    let words = value
        .trim()
        .trim_end_matches('.')
        .split(|char: char| char.is_whitespace() || char == '-' || char == '_')
        .filter(|word| !word.is_empty());
    let words: Vec<String> = words
        .map(|word| {
            word.to_lowercase()
                .chars()
                .filter_map(without_accent)
                .collect()
        })
        .collect();
    // `1 0` is not `10`.
    let has_digits = value.chars().any(char::is_numeric);
    words.join(if has_digits { " " } else { "" })
}

/// A lower-case letter of Latin-1 without its accent; none for a combining mark.
fn without_accent(char: char) -> Option<char> {
    Some(match char {
        '\u{300}'..='\u{36f}' => return None,
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        char => char,
    })
}

/// The maximum number of rows, and of values, that are examined.
const ROWS: usize = 10_000;
const VALUES: usize = 20_000_000;

/// With fewer rows much is by chance.
const ENOUGH: usize = 50;

/// The score above which a column is suspected to leak the label.
const TOO_GOOD: f64 = 0.99;

/// Columns each of which nearly tells the label alone: by the area under the ROC curve, by the share of the label's
/// variance, or as a copy. They are looked at in the first rows of each part of the training split.
///
/// # Errors
/// Those of reading the rows.
pub(super) fn leaking_columns(
    train: &Examples,
    target: &Target,
    columns: &[&str],
) -> Result<Vec<Warning>> {
    let parts = train.parts();
    let n_rows = ROWS.min(VALUES / columns.len().max(1)).max(ENOUGH);
    let of_part = n_rows.div_ceil(parts.len().max(1));
    let mut labels = Vec::new();
    let mut values: Vec<Vec<ArrayRef>> = vec![Vec::new(); columns.len()];
    let read: Vec<&str> = columns.iter().copied().chain([target.label()]).collect();
    for part in parts {
        let mut left = of_part;
        for batch in part.batches(&read) {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            if let Some(label) = batch.column_by_name(target.label()) {
                labels.extend(target.encode(label)?);
            }
            let mut next = 0;
            for (values, column) in values.iter_mut().zip(columns) {
                let place = place_of(batch.schema_ref().fields(), column, &mut next);
                values.extend(place.map(|place| Arc::clone(batch.column(place))));
            }
            if left == 0 {
                break;
            }
        }
    }
    let labels = Labels::new(labels, target);
    if !labels.are_enough() {
        return Ok(Vec::new());
    }
    let columns = columns.iter().zip(&values).collect();
    let warnings = side_by_side(0, columns, |(column, arrays)| {
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        if arrays.is_empty() {
            return Ok(None);
        }
        let array = arrow::compute::concat(&arrays)?;
        let Some(how) = labels.told_by(&array)? else {
            return Ok(None);
        };
        let message = format!(
            "it nearly tells `{}` alone: {how} of {} training rows; is it known before the label is?",
            target.label(),
            labels.values.len()
        );
        Ok(Some(
            Warning::new("analyse", "column_leaks", message).of_column(*column),
        ))
    })?;
    Ok(warnings.into_iter().flatten().collect())
}

/// The labels of the rows that are looked at.
struct Labels {
    values: Vec<f64>,
    task: Task,
    n_classes: usize,
}

impl Labels {
    fn new(values: Vec<f64>, target: &Target) -> Self {
        Labels {
            values,
            task: target.task(),
            n_classes: target.classes().len(),
        }
    }

    fn are_enough(&self) -> bool {
        if self.task == Task::Regression {
            return self.values.len() >= ENOUGH;
        }
        // The rarest class but one: a class of two rows can be predicted from anything.
        let mut counts = vec![0; self.n_classes.max(2)];
        for value in &self.values {
            if let Some(count) = counts.get_mut(*value as usize) {
                *count += 1;
            }
        }
        counts.sort_unstable();
        self.values.len() >= ENOUGH && counts[counts.len() - 2] >= 10
    }

    /// A description of how well a column alone predicts the labels, if it nearly does.
    fn told_by(&self, column: &ArrayRef) -> Result<Option<String>> {
        let missing: Vec<f64> = (0..column.len())
            .map(|row| f64::from(column.is_null(row)))
            .collect();
        let field_type = FieldType::of(column.data_type());
        let numbers = match field_type {
            FieldType::Text | FieldType::Other => None,
            _ => Some(numbers(column)?),
        };
        let codes = codes(column)?;
        let n_codes = codes.iter().max().map_or(0, |code| code + 1);
        let is_repeated = n_codes * 5 <= codes.len();
        match self.task {
            Task::Regression => {
                let scores = match (&numbers, is_repeated) {
                    (_, true) => self.by_codes(&codes, n_codes),
                    (Some(numbers), false) => self.all(numbers),
                    (None, false) => return Ok(None),
                };
                let linear = numbers.as_ref().map(|numbers| self.all(numbers));
                let ranks = linear.as_deref().map(ranks);
                let best = [Some(scores), linear].into_iter().flatten();
                let best = best.filter_map(|scores| r2(&scores)).fold(0.0, f64::max);
                if best > TOO_GOOD {
                    return Ok(Some(format!("R2 {best:.4}")));
                }
                // A function of the label that always rises or falls.
                let of_ranks = ranks.and_then(|ranks| r2(&ranks)).unwrap_or(0.0);
                Ok((of_ranks > TOO_GOOD).then(|| format!("R2 of the ranks {of_ranks:.4}")))
            }
            _ if self.n_classes > 2 => {
                if !is_repeated {
                    return Ok(None);
                }
                let (right, n) = self.copied(&codes, n_codes);
                let share = right as f64 / n.max(1) as f64;
                Ok((n > 0 && share > TOO_GOOD).then(|| format!("accuracy {share:.4}")))
            }
            _ => {
                let mut scores = Vec::new();
                if is_repeated {
                    scores.push(self.by_codes(&codes, n_codes));
                }
                scores.extend(numbers.as_ref().map(|numbers| self.all(numbers)));
                if column.null_count() > 0 {
                    scores.push(self.all(&missing));
                }
                let best = scores.iter().filter_map(|scores| auc(scores));
                let best = best.map(|auc| auc.max(1.0 - auc)).fold(0.0, f64::max);
                Ok((best > TOO_GOOD).then(|| format!("AUC {best:.4}")))
            }
        }
    }

    /// Every finite score with its label, if most rows have one.
    fn all(&self, scores: &[f64]) -> Vec<(f64, f64)> {
        let finite: Vec<(f64, f64)> = scores
            .iter()
            .copied()
            .zip(self.values.iter().copied())
            .filter(|(score, label)| score.is_finite() && label.is_finite())
            .collect();
        if finite.len() * 2 < self.values.len() {
            return Vec::new();
        }
        finite
    }

    /// The mean label of each code in every other row as a score of the rows between.
    fn by_codes(&self, codes: &[usize], n_codes: usize) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); n_codes];
        for (code, label) in codes.iter().zip(&self.values).step_by(2) {
            sums[*code].0 += label;
            sums[*code].1 += 1.0;
        }
        let mean = self.values.iter().sum::<f64>() / self.values.len().max(1) as f64;
        let rest = codes.iter().zip(&self.values).skip(1).step_by(2);
        rest.map(|(code, label)| {
            let (sum, n) = sums[*code];
            (if n > 0.0 { sum / n } else { mean }, *label)
        })
        .collect()
    }

    /// Of every other row, how many have the label that rows of their code have most in the rows between; if that is
    /// worth more than the most frequent label.
    fn copied(&self, codes: &[usize], n_codes: usize) -> (usize, usize) {
        let mut counts = vec![vec![0_u32; self.n_classes]; n_codes];
        let mut of_all = vec![0_u32; self.n_classes];
        for (code, label) in codes.iter().zip(&self.values).step_by(2) {
            let class = (*label as usize).min(self.n_classes - 1);
            counts[*code][class] += 1;
            of_all[class] += 1;
        }
        let most = of_all.iter().copied().max().unwrap_or(0);
        if f64::from(most) > 0.98 * self.values.len() as f64 / 2.0 {
            return (0, 0);
        }
        let mut right = 0;
        let mut n = 0;
        for (code, label) in codes.iter().zip(&self.values).skip(1).step_by(2) {
            let best = counts[*code]
                .iter()
                .enumerate()
                .max_by_key(|(_, count)| **count);
            right += usize::from(best.is_some_and(|(class, _)| class == *label as usize));
            n += 1;
        }
        (right, n)
    }
}

fn numbers(column: &ArrayRef) -> Result<Vec<f64>> {
    let column = match column.data_type() {
        DataType::Boolean | DataType::Float64 | DataType::Int64 => Arc::clone(column),
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => cast(column, &DataType::Int64)?,
    };
    let column = cast(&column, &DataType::Float64)?;
    let values = column.as_primitive::<Float64Type>();
    Ok(values
        .iter()
        .map(|value| value.unwrap_or(f64::NAN))
        .collect())
}

/// Equal values as equal numbers, from 0 on. NULL is a value.
fn codes(column: &ArrayRef) -> Result<Vec<usize>> {
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    let mut next = |key: Option<String>| {
        let n = places.len();
        *places.entry(key).or_insert(n)
    };
    let keys = match column.data_type() {
        // Much faster than by text.
        DataType::Int64 | DataType::Float64 => Some(column.to_data()),
        _ => None,
    };
    if let Some(data) = keys {
        let bits = data.into_builder().data_type(DataType::UInt64).build()?;
        let bits = arrow::array::make_array(bits);
        let bits = bits.as_primitive::<UInt64Type>();
        let mut places: HashMap<Option<u64>, usize> = HashMap::new();
        return Ok(bits
            .iter()
            .map(|key| {
                let n = places.len();
                *places.entry(key).or_insert(n)
            })
            .collect());
    }
    (0..column.len())
        .map(|row| match column.is_null(row) {
            true => Ok(next(None)),
            false => Ok(next(Some(array_value_to_string(column, row)?))),
        })
        .collect()
}

/// The area under the ROC curve of scores with labels 0 and 1; ties count half.
fn auc(scores: &[(f64, f64)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positive = sorted.iter().filter(|(_, label)| *label > 0.5).count() as f64;
    let negative = sorted.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let up = tied.iter().filter(|(_, label)| *label > 0.5).count() as f64;
        let down = tied.len() as f64 - up;
        wins += up * (below + down / 2.0);
        below += down;
    }
    Some(wins / (positive * negative))
}

/// Pairs with both values replaced by their ranks; ties have the mean of theirs.
fn ranks(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let first: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let second: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    ranks_of(&first)
        .into_iter()
        .zip(ranks_of(&second))
        .collect()
}

fn ranks_of(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut below = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = below as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|at| ranks[*at] = rank);
        below += tied.len();
    }
    ranks
}

/// The squared correlation.
fn r2(scores: &[(f64, f64)]) -> Option<f64> {
    let n = scores.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| scores.iter().map(of).sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in scores {
        aa += (a - mean_a) * (a - mean_a);
        bb += (b - mean_b) * (b - mean_b);
        ab += (a - mean_a) * (b - mean_b);
    }
    (aa > 0.0 && bb > 0.0)
        .then(|| ab * ab / (aa * bb))
        .filter(|r2| r2.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_folded() {
        for (a, b, alike) in [
            ("New York", "new-york", true),
            ("New  York", "NewYork ", true),
            ("<=50K", "<=50K.", true),
            ("Café", "Cafe\u{301}", true),
            ("Café", "CAFE", true),
            ("A+", "A-", false),
            ("1 0", "10", false),
            ("room 1-2", "Room 1_2", true),
            ("C", "C#", false),
            ("", "x", false),
        ] {
            assert_eq!(folded(a) == folded(b), alike, "{a} {b}");
        }
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(
            auc(&[(0.1, 0.0), (0.4, 0.0), (0.35, 1.0), (0.8, 1.0)]),
            Some(0.75)
        );
        assert_eq!(auc(&[(1.0, 0.0), (1.0, 1.0)]), Some(0.5));
        assert_eq!(auc(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn ranks_are_the_means_of_ties() {
        let pairs = [(10.0, 1.0), (-5.0, 9.0), (10.0, 4.0), (20.0, 4.0)];
        let expected = [(1.5, 0.0), (0.0, 3.0), (1.5, 1.5), (3.0, 1.5)];
        assert_eq!(ranks(&pairs), expected);
        let cubes: Vec<(f64, f64)> = (0..50).map(f64::from).map(|x| (x.powi(7), x)).collect();
        assert!(r2(&cubes).unwrap() < 0.9);
        assert_eq!(r2(&ranks(&cubes)), Some(1.0));
    }

    #[test]
    fn r2_is_that_of_a_line() {
        assert_eq!(r2(&[(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]), Some(1.0));
        assert_eq!(r2(&[(1.0, 2.0), (1.0, 4.0)]), None);
        let found = r2(&[(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0)]).unwrap();
        assert!((found - 0.36).abs() < 1e-12, "{found}");
    }
}
