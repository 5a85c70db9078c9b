//! The values of a column that a step knows, their order, and the treatment of all others.

use fourfold_kernels::hash::xxh64;
use serde::{Deserialize, Serialize};

use super::Vocabulary;
use crate::error::{Error, Result};
use crate::transform::learn::{Learner, Top};
use crate::transform::numbers::Few;
use crate::transform::term_table::TermTable;
use crate::transform::tokens::Tokens;
use crate::transform::value::NO_CATEGORY;

/// The values of a column, or the items of its lists, that a step knows: the most frequent ones, or those with the
/// most information about the label; and the number of features or ids that all others share.
///
/// ```
/// use fourfold::transform::Transform;
/// use fourfold::transform::ops::Terms;
///
/// let terms = Terms::top(1_000).min_count(2).oov(4).by_mutual_information();
/// let transform = Transform::new().vocabulary("carrier", terms);
/// assert!(transform.needs_label());
/// ```
///
/// Equal counts (or mutual informations) are ordered by value, from the smallest. (tf.Transform orders them by their
/// bytes from the largest.) Counts are exact for up to `20 * top_k` distinct values, at
/// least 2,048 and at most two million. Past that, all values with a share of more than one in `10 * top_k` (at least
/// 1,024, at most a million) are known, in any order of rows, and their counts are too low by at most that share. The
/// order by mutual information needs a label of at most 100 classes and counts rows: duplicates in the list of a row
/// count once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The largest number of terms; by default all, up to a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// The least number of occurrences of a term.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_count: u64,
    /// The number of ids or features that all other values share, by their hash.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_oov: usize,
    /// The order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: TermOrder,
}

/// The order of terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TermOrder {
    /// Order by the number of occurrences.
    #[default]
    Count,
    /// Order by mutual information with the label.
    MutualInformation,
    /// Order by mutual information less its expected value for independent terms, so rare terms gain nothing by chance.
    AdjustedMutualInformation,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(n: &u64) -> bool {
    *n == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Terms {
    fn default() -> Self {
        Terms::all()
    }
}

/// A term that was chosen.
pub(super) struct Chosen {
    pub(super) value: String,
    /// The number of rows that have it; 0 if only counts were learned.
    pub(super) n_rows: u64,
}

impl Terms {
    /// The largest number of terms.
    pub const MAX: usize = 1_000_000;

    /// All values (of more than a million the most frequent million).
    #[must_use]
    pub fn all() -> Self {
        Terms {
            top_k: None,
            min_count: 1,
            n_oov: 0,
            order: TermOrder::Count,
        }
    }

    /// The first `k` values.
    #[must_use]
    pub fn top(k: usize) -> Self {
        Terms {
            top_k: Some(k),
            ..Terms::all()
        }
    }

    /// Keeps only values that occur at least `n` times.
    #[must_use]
    pub fn min_count(mut self, n: u64) -> Self {
        self.min_count = n;
        self
    }

    /// Adds `n` ids or features after those of the terms for all other values, chosen by the hash of the value (XXH64).
    /// By default these have no feature, and the default id.
    #[must_use]
    pub fn oov(mut self, n: usize) -> Self {
        self.n_oov = n;
        self
    }

    /// Orders by mutual information with the label.
    #[must_use]
    pub fn by_mutual_information(mut self) -> Self {
        self.order = TermOrder::MutualInformation;
        self
    }

    /// Orders by mutual information with the label, less what chance would give.
    #[must_use]
    pub fn by_adjusted_mutual_information(mut self) -> Self {
        self.order = TermOrder::AdjustedMutualInformation;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let range = |what: &str, n: usize, low: usize| {
            if (low..=Self::MAX).contains(&n) {
                return Ok(());
            }
            Err(Error::config(format!(
                "`{what}` of the terms is {n}, must be {low} to {}",
                Self::MAX
            )))
        };
        range("top_k", self.top_k.unwrap_or(Self::MAX), 1)?;
        range("n_oov", self.n_oov, 0)?;
        match self.min_count {
            0 => Err(Error::config(
                "`min_count` of the terms is 0, must be at least 1",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn needs_label(&self) -> bool {
        self.order != TermOrder::Count
    }

    fn limit(&self) -> usize {
        self.top_k.unwrap_or(Self::MAX).min(Self::MAX)
    }

    fn capacity(&self) -> usize {
        self.limit().saturating_mul(10).clamp(1_024, Self::MAX)
    }

    /// The learner.
    pub(super) fn learner(&self) -> Learner {
        match self.order {
            TermOrder::Count => Top::new(self.capacity()).into(),
            _ => self.row_learner(),
        }
    }

    /// The learner where the numbers of rows matter.
    pub(super) fn row_learner(&self) -> Learner {
        TermTable::new(self.capacity(), self.needs_label()).into()
    }

    /// The terms, in order.
    pub(super) fn choose(&self, learned: &Learner) -> Result<Vec<Chosen>> {
        if let Ok(top) = learned.get::<Top>() {
            let top = top.top(self.limit()).into_iter();
            let frequent = top.take_while(|(_, count)| *count >= self.min_count);
            return Ok(frequent
                .map(|(value, _)| Chosen { value, n_rows: 0 })
                .collect());
        }
        let table: &TermTable = learned.get()?;
        let mut terms = table.terms();
        terms.retain(|(_, term)| term.count >= self.min_count);
        if self.needs_label() {
            let adjusted = self.order == TermOrder::AdjustedMutualInformation;
            let score = |(value, term)| (table.mutual_information(term, adjusted), value, term);
            let mut scored: Vec<_> = terms.into_iter().map(score).collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
            terms = scored
                .into_iter()
                .map(|(_, value, term)| (value, term))
                .collect();
        }
        terms.truncate(self.limit());
        let chosen = |(value, term): (&str, &crate::transform::term_table::Term)| Chosen {
            value: value.to_owned(),
            n_rows: term.n_rows(),
        };
        Ok(terms.into_iter().map(chosen).collect())
    }

    /// The terms, of a step that makes a feature of each.
    pub(super) fn features(&self, learned: &Learner) -> Result<Vec<Chosen>> {
        let chosen = self.choose(learned)?;
        if chosen.is_empty() && self.n_oov == 0 {
            return Err(Error::data(format!(
                "no value occurs at least {} times in the training split, so there is no feature",
                self.min_count
            )));
        }
        Ok(chosen)
    }

    /// The fitted form.
    pub(super) fn known(&self, chosen: Vec<Chosen>) -> KnownTerms {
        let values: Vec<String> = chosen.into_iter().map(|chosen| chosen.value).collect();
        KnownTerms {
            values: values.into(),
            n_oov: self.n_oov,
        }
    }
}

/// The terms that a step knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownTerms {
    /// The terms by their ids.
    pub values: Vocabulary,
    /// The number of ids after them that all others share.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "super::read_size"
    )]
    pub n_oov: usize,
}

/// The id of a value that is neither missing nor a term, and has no bucket.
pub(super) const UNKNOWN: u32 = NO_CATEGORY - 1;

impl KnownTerms {
    /// The number of ids.
    #[must_use]
    pub fn n_ids(&self) -> usize {
        self.values.len() + self.n_oov
    }

    /// The id of every value: of its term or of the bucket of its hash; [`UNKNOWN`] for one that has neither,
    /// [`NO_CATEGORY`] for none.
    pub(super) fn ids(&self, tokens: &Tokens<'_>) -> Few<u32> {
        let mut ids = tokens.ids(&self.values, UNKNOWN);
        if self.n_oov > 0 && ids.contains(&UNKNOWN) {
            let first = self.values.len() as u64;
            let mut at = ids.iter_mut();
            tokens.for_each(|text| {
                if let (Some(id), Some(text)) = (at.next(), text)
                    && *id == UNKNOWN
                {
                    *id = (first + xxh64(0, text.as_bytes()) % self.n_oov as u64) as u32;
                }
            });
        }
        ids
    }

    /// A feature for each id.
    pub(super) fn feature_names(&self, column: &str) -> Vec<String> {
        let values = self.values.values().iter();
        let mut names: Vec<String> = values.map(|value| format!("{column}={value}")).collect();
        match self.n_oov {
            1 => names.push(format!("{column}=<other>")),
            n => names.extend((0..n).map(|bucket| format!("{column}=<other {bucket}>"))),
        }
        names
    }
}
