//! The label by category and fold.

use serde::{Deserialize, Serialize};

use super::classes::Classes;
use super::learn::{Learn, Rows, learner_of};
use super::tally::{Entry, Tally};
use super::value::Value;
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// Rows, and the sum of the label over them: one sum of a label that is a number, else one a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, Vec<f64>)", into = "(u64, Vec<f64>)")]
pub struct LabelSums {
    pub(super) n_rows: u64,
    pub(super) sums: Vec<f64>,
}

impl From<(u64, Vec<f64>)> for LabelSums {
    fn from((n_rows, sums): (u64, Vec<f64>)) -> Self {
        LabelSums { n_rows, sums }
    }
}

impl From<LabelSums> for (u64, Vec<f64>) {
    fn from(sums: LabelSums) -> Self {
        (sums.n_rows, sums.sums)
    }
}

impl LabelSums {
    fn add_sum(&mut self, place: usize, sum: f64) {
        if self.sums.len() <= place {
            self.sums.resize(place + 1, 0.0);
        }
        self.sums[place] += sum;
    }

    /// Takes in other rows, whose sums have these places here.
    fn merge(&mut self, other: &LabelSums, places: &[usize]) {
        self.n_rows += other.n_rows;
        let sums = other.sums.iter().enumerate();
        // A label that is a number has one sum and no classes.
        sums.for_each(|(place, sum)| {
            self.add_sum(places.get(place).copied().unwrap_or(place), *sum)
        });
    }

    /// The same with the sums of some classes, in their order.
    fn select(&self, places: &[usize]) -> LabelSums {
        let sum = |place: &usize| self.sums.get(*place).copied().unwrap_or_default();
        LabelSums {
            n_rows: self.n_rows,
            sums: places.iter().map(sum).collect(),
        }
    }
}

/// The label of one category, by fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Category(Vec<LabelSums>);

impl Entry for Category {
    fn count(&self) -> u64 {
        self.0.iter().map(|fold| fold.n_rows).sum()
    }
}

/// The label of all rows and of those of each category, by fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TargetTable {
    by_class: bool,
    classes: Classes,
    all: Vec<LabelSums>,
    categories: Tally<Category>,
}

/// The means learned, of the classes that become features.
pub(super) struct LearnedTarget {
    /// The classes; empty for a label that is a number.
    pub(super) classes: Vec<String>,
    pub(super) all: Vec<LabelSums>,
    /// The most frequent first.
    pub(super) categories: Vec<(String, Vec<LabelSums>)>,
}

impl TargetTable {
    /// A label that is text is always taken `by_class`.
    pub(super) fn new(n_folds: usize, capacity: usize, by_class: bool) -> Self {
        TargetTable {
            by_class,
            classes: Classes::default(),
            all: vec![LabelSums::default(); n_folds],
            categories: Tally::new(capacity),
        }
    }

    /// The means of the `n` most frequent categories. Of two classes the second alone is kept, since its
    /// share says all.
    pub(super) fn learned(&self, n: usize) -> LearnedTarget {
        let mut places = self.classes.sorted();
        let classes: Vec<String> = match places.len() {
            0 => {
                places = vec![0];
                Vec::new()
            }
            len => {
                places.drain(..usize::from(len == 2));
                let names = self.classes.names();
                places
                    .iter()
                    .filter_map(|place| names.get(*place).cloned())
                    .collect()
            }
        };
        let select = |folds: &[LabelSums]| folds.iter().map(|fold| fold.select(&places)).collect();
        let ranked = self.categories.ranked().into_iter().take(n);
        LearnedTarget {
            classes,
            all: select(&self.all),
            categories: ranked
                .map(|(name, category)| (name.to_owned(), select(&category.0)))
                .collect(),
        }
    }
}

impl Learn for TargetTable {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let (Some(label), Some(folds)) = (rows.label, rows.folds) else {
            return Err(Error::internal("target encoding without a label or folds"));
        };
        let by_class = self.by_class || matches!(label, Value::Raw(_, FieldType::Text));
        let labels: Vec<Option<(usize, f64)>> = if by_class {
            let places = self.classes.places(label)?.into_iter();
            places.map(|place| Some((place?, 1.0))).collect()
        } else {
            let numbers = label.numbers().map_err(|_| {
                Error::config(format!(
                    "the label is {}, must be a number, a boolean or text",
                    label.kind()
                ))
            })?;
            let numbers = numbers.iter();
            numbers
                .map(|number| Some((0, number.filter(|number| number.is_finite())?)))
                .collect()
        };
        let n_folds = self.all.len();
        let mut labels = labels.into_iter().zip(folds);
        rows.input()?.tokens()?.for_each(|category| {
            let Some((Some((place, number)), hash)) = labels.next() else {
                return;
            };
            let fold = (hash % n_folds as u64) as usize;
            let add = |folds: &mut Vec<LabelSums>| {
                if let Some(sums) = folds.get_mut(fold) {
                    sums.n_rows += 1;
                    sums.add_sum(place, number);
                }
            };
            add(&mut self.all);
            if let Some(category) = category {
                let new = || Category(vec![LabelSums::default(); n_folds]);
                self.categories
                    .change(category, new, |category| add(&mut category.0));
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let places = self.classes.merge(&other.classes)?;
        let merge = |mine: &mut [LabelSums], theirs: &[LabelSums]| {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(mine, theirs)| mine.merge(theirs, &places));
        };
        merge(&mut self.all, &other.all);
        let n_folds = self.all.len();
        self.categories.merge(other.categories, |mine, theirs| {
            let mut new = None;
            let category = match mine {
                Some(mine) => mine,
                None => new.insert(Category(vec![LabelSums::default(); n_folds])),
            };
            merge(&mut category.0, &theirs.0);
            new
        });
        Ok(())
    }

    learner_of!(TargetTable);
}
