//! The terms of lists as features: their counts, their weights.

use serde::{Deserialize, Serialize};

use super::terms::{KnownTerms, Terms, UNKNOWN};
use super::{Apply, FittedOp, Operation, Vocabulary, only};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::term_table::TermTable;
use crate::transform::value::{List, NO_CATEGORY, Sparse, Value};

/// The number of occurrences of each term in the row's list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BagOfWords {
    /// The terms that become features.
    #[serde(flatten)]
    pub terms: Terms,
}

/// The tf-idf weight of each term in the row's list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TfIdf {
    /// The terms that become features.
    #[serde(flatten)]
    pub terms: Terms,
}

impl Transform {
    /// One feature for each term of a column of lists (words, n-grams, whole numbers, booleans): how often it is in
    /// the row's list. (tf.Transform's `bag_of_words` makes the list of distinct n-grams; that is
    /// [`Transform::n_grams`] with [`Transform::deduplicate`].)
    ///
    /// A matrix of features takes four bytes a cell whether it is zero or not, 2 GB for a million rows of 500 terms:
    /// limit the terms with [`Terms::top`], or hash them ([`Transform::hash`] takes lists too). Only rows that are
    /// being computed are sparse.
    #[must_use]
    pub fn bag_of_words(self, column: impl Into<String>, terms: Terms) -> Self {
        self.step(column, BagOfWords { terms })
    }

    /// One feature for each term of a column of lists, as [`Transform::bag_of_words`], with its TF-IDF weight: the
    /// term's share of the row's items (all of them, known or not) times `1 + ln((N + 1) / (df + 1))`, where `df` of
    /// the `N` training rows have the term. Empty rows are rows, and all zeros.
    ///
    /// This is tf.Transform's `tfidf` with `smooth`, and scikit-learn's idf. A bucket of other terms has the weight
    /// of a term that no training row had.
    #[must_use]
    pub fn tf_idf(self, column: impl Into<String>, terms: Terms) -> Self {
        self.step(column, TfIdf { terms })
    }
}

impl Operation for BagOfWords {
    fn check(&self) -> Result<()> {
        self.terms.check()
    }

    fn needs_label(&self) -> bool {
        self.terms.needs_label()
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.terms.learner())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let terms = self.terms.known(self.terms.features(learned)?);
        Ok(TermCounts { terms }.into())
    }
}

impl Operation for TfIdf {
    fn check(&self) -> Result<()> {
        self.terms.check()
    }

    fn needs_label(&self) -> bool {
        self.terms.needs_label()
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.terms.row_learner())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let chosen = self.terms.features(learned)?;
        let n_rows = learned.get::<TermTable>()?.n_rows() as f64;
        let idf = |df: u64| 1.0 + ((n_rows + 1.0) / (df as f64 + 1.0)).ln();
        let weights = chosen.iter().map(|term| idf(term.n_rows)).collect();
        let weight_of_others = idf(0);
        let terms = self.terms.known(chosen);
        Ok(TermWeights::new(terms, weights, weight_of_others)?.into())
    }
}

/// The features of each row: for its known items, `value(id, how often, of how many)`.
pub(super) fn features(
    list: &List,
    ids: &[u32],
    width: usize,
    value: impl Fn(u32, usize, usize) -> f64,
) -> Value {
    let mut offsets = Vec::with_capacity(list.offsets.len());
    let mut known = Vec::new();
    let mut values = Vec::new();
    let mut row = Vec::new();
    offsets.push(0);
    for ends in list.offsets.windows(2) {
        row.clear();
        let items = ids.get(ends[0]..ends[1]).unwrap_or_default().iter();
        row.extend(items.filter(|id| **id != NO_CATEGORY));
        row.sort_unstable();
        for same in row.chunk_by(|a, b| a == b) {
            if let Some(id) = same.first().filter(|id| **id != UNKNOWN) {
                known.push(*id);
                values.push(value(*id, same.len(), row.len()));
            }
        }
        offsets.push(known.len());
    }
    Value::Sparse(Box::new(Sparse {
        offsets,
        ids: known.into(),
        values: Some(values),
        width,
    }))
}

/// The number of occurrences of each term in the row's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermCounts {
    /// The terms.
    #[serde(flatten)]
    pub terms: KnownTerms,
}

impl Apply for TermCounts {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let list = only(inputs)?.list()?;
        let ids = self.terms.ids(&list.items.tokens()?);
        let count = |_, count: usize, _| count as f64;
        Ok(features(list, &ids, self.terms.n_ids(), count))
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        self.terms.feature_names(column)
    }
}

/// The tf-idf weight of each term in the row's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredWeights", into = "StoredWeights")]
pub struct TermWeights {
    terms: KnownTerms,
    weights: Vec<f64>,
    weight_of_others: f64,
}

/// Readable: each term with its weight.
#[derive(Serialize, Deserialize)]
struct StoredWeights {
    weights: Vec<(String, f64)>,
    #[serde(
        default,
        skip_serializing_if = "super::terms::is_zero",
        deserialize_with = "super::read_size"
    )]
    n_oov: usize,
    weight_of_others: f64,
}

impl TryFrom<StoredWeights> for TermWeights {
    type Error = Error;

    fn try_from(stored: StoredWeights) -> Result<Self> {
        let (values, weights): (Vec<String>, Vec<f64>) = stored.weights.into_iter().unzip();
        let values = Vocabulary::from(values);
        let n_oov = stored.n_oov;
        TermWeights::new(
            KnownTerms { values, n_oov },
            weights,
            stored.weight_of_others,
        )
    }
}

impl From<TermWeights> for StoredWeights {
    fn from(terms: TermWeights) -> Self {
        let values = Vec::<String>::from(terms.terms.values).into_iter();
        StoredWeights {
            weights: values.zip(terms.weights).collect(),
            n_oov: terms.terms.n_oov,
            weight_of_others: terms.weight_of_others,
        }
    }
}

impl TermWeights {
    fn new(terms: KnownTerms, weights: Vec<f64>, weight_of_others: f64) -> Result<Self> {
        if terms.values.len() != weights.len() {
            return Err(Error::corrupt("as many weights as terms are needed"));
        }
        Ok(TermWeights {
            terms,
            weights,
            weight_of_others,
        })
    }
}

impl Apply for TermWeights {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let list = only(inputs)?.list()?;
        let ids = self.terms.ids(&list.items.tokens()?);
        let weight = |id: u32, count: usize, of: usize| {
            let idf = self
                .weights
                .get(id as usize)
                .unwrap_or(&self.weight_of_others);
            count as f64 / of as f64 * idf
        };
        Ok(features(list, &ids, self.terms.n_ids(), weight))
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        self.terms.feature_names(column)
    }
}
