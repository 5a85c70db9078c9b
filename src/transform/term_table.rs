//! Counts of the terms of a column or of its lists, and of the rows that have them.

use serde::{Deserialize, Serialize};

use super::classes::Classes;
use super::learn::{Learn, Rows, learner_of};
use super::tally::{Entry, Tally};
use super::value::Value;
use crate::error::{Error, Result};
use crate::statistics::{expected_partial_mutual_information, partial_mutual_information};

/// The terms of a column, each with its number of occurrences and of rows of each class of the label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TermTable {
    by_label: bool,
    /// One without a name if the label is not looked at.
    classes: Classes,
    /// The number of rows of each class.
    rows: Vec<u64>,
    terms: Tally<Term>,
    /// A number for the row that is looked at, from 1.
    #[serde(skip)]
    row: u64,
}

/// A term.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Term {
    pub(super) count: u64,
    /// The number of rows with the term, of each class.
    rows: Vec<u64>,
    /// The row that it was last seen in.
    #[serde(skip)]
    last_row: u64,
}

impl Entry for Term {
    fn count(&self) -> u64 {
        self.count
    }
}

impl Term {
    /// The number of rows with the term.
    pub(super) fn n_rows(&self) -> u64 {
        self.rows.iter().sum()
    }
}

fn add(counts: &mut Vec<u64>, place: usize, n: u64) {
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    counts[place] += n;
}

impl TermTable {
    pub(super) fn new(capacity: usize, by_label: bool) -> Self {
        TermTable {
            by_label,
            classes: Classes::default(),
            rows: Vec::new(),
            terms: Tally::new(capacity),
            row: 0,
        }
    }

    /// The number of rows seen.
    pub(super) fn n_rows(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// The terms, the most frequent first.
    pub(super) fn terms(&self) -> Vec<(&str, &Term)> {
        self.terms.ranked()
    }

    /// The mutual information of a term's presence and the label, in bits, times the number of rows; `adjusted` subtracts
    /// what chance would give.
    pub(super) fn mutual_information(&self, term: &Term, adjusted: bool) -> f64 {
        let (n, x) = (self.n_rows(), term.n_rows());
        let of_class = |(place, y): (usize, &u64)| {
            let n_xy = term.rows.get(place).copied().unwrap_or_default();
            let share = partial_mutual_information(n_xy as f64, x as f64, *y as f64, n as f64);
            match adjusted {
                true => share - expected_partial_mutual_information(x, *y, n),
                false => share,
            }
        };
        self.rows.iter().enumerate().map(of_class).sum()
    }
}

impl Value {
    /// Calls `each` with the row and the string of every value, or of every item of lists, in order.
    pub(super) fn for_each_term(&self, mut each: impl FnMut(usize, Option<&str>)) -> Result<()> {
        let (mut row, mut at) = (0, 0);
        match self {
            Value::List(list) => list.items.tokens()?.for_each(|term| {
                while list.offsets.get(row + 1).is_some_and(|end| *end <= at) {
                    row += 1;
                }
                each(row, term);
                at += 1;
            }),
            value => value.tokens()?.for_each(|term| {
                each(row, term);
                row += 1;
            }),
        }
        Ok(())
    }

    /// The number of rows of terms.
    fn n_rows_of_terms(&self) -> Result<usize> {
        match self {
            Value::List(list) => Ok(list.offsets.len().saturating_sub(1)),
            value => Ok(value.tokens()?.len()),
        }
    }
}

impl TermTable {
    /// Counts the terms of rows, each of the class at a place, or of none that counts.
    fn count(
        &mut self,
        input: &Value,
        n_rows: usize,
        class_of: impl Fn(usize) -> Option<usize>,
    ) -> Result<()> {
        let before = self.row + 1;
        self.row += n_rows as u64;
        input.for_each_term(|row, term| {
            let (Some(term), Some(class)) = (term, class_of(row)) else {
                return;
            };
            let row = before + row as u64;
            self.terms.change(term, Term::default, |term| {
                term.count += 1;
                if term.last_row != row {
                    term.last_row = row;
                    add(&mut term.rows, class, 1);
                }
            });
        })
    }
}

impl Learn for TermTable {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let input = rows.input()?;
        if !self.by_label {
            let (class, n_rows) = (self.classes.place(""), input.n_rows_of_terms()?);
            if n_rows > 0 {
                add(&mut self.rows, class, n_rows as u64);
            }
            return self.count(input, n_rows, |_| Some(class));
        }
        let label = rows
            .label
            .ok_or_else(|| Error::internal("terms by label without a label"))?;
        let classes = self.classes.places(label)?;
        classes
            .iter()
            .flatten()
            .for_each(|place| add(&mut self.rows, *place, 1));
        self.count(input, classes.len(), |row| {
            classes.get(row).copied().flatten()
        })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let places = self.classes.merge(&other.classes)?;
        let merge_rows = |mine: &mut Vec<u64>, theirs: &[u64]| {
            let theirs = places.iter().zip(theirs);
            theirs.for_each(|(place, n)| add(mine, *place, *n));
        };
        merge_rows(&mut self.rows, &other.rows);
        self.terms.merge(other.terms, |mine, theirs| {
            let mut new = None;
            let term = match mine {
                Some(mine) => mine,
                None => new.insert(Term::default()),
            };
            term.count += theirs.count;
            merge_rows(&mut term.rows, &theirs.rows);
            new
        });
        Ok(())
    }

    learner_of!(TermTable);
}
