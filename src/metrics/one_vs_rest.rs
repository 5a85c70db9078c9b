//! Areas under the ROC curve of each class against the rest.

use fourfold_kernels::scores::{self, Bucket};
use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::binary::stored_buckets;
use super::estimate::Point;

/// The buckets of each class's probabilities, in which the class is positive and the rest is negative.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OneVsRest {
    classes: Vec<Class>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Class {
    #[serde(with = "stored_buckets")]
    buckets: Vec<Bucket>,
    /// Rows of the present batch, in their own order.
    #[serde(skip)]
    fresh: Vec<Bucket>,
}

impl OneVsRest {
    pub(super) fn new(n_classes: usize) -> Self {
        OneVsRest {
            classes: vec![Class::default(); n_classes],
        }
    }

    /// Takes in a row of a class; of none, if the target does not know it.
    pub(super) fn add(&mut self, class: u32, probabilities: ArrayView1<'_, f64>, weight: f64) {
        for ((at, of_class), p) in self.classes.iter_mut().enumerate().zip(probabilities) {
            let (negatives, positives) = match at == class as usize {
                true => (0.0, weight),
                false => (weight, 0.0),
            };
            of_class.fresh.push(Bucket {
                key: scores::key_of(*p),
                negatives,
                positives,
                negatives_squared: negatives * weight,
                positives_squared: positives * weight,
                predictions: weight * p,
            });
        }
    }

    pub(super) fn end_batch(&mut self) {
        for class in &mut self.classes {
            if class.fresh.is_empty() {
                continue;
            }
            let keys: Vec<u32> = class.fresh.iter().map(|row| row.key).collect();
            let mut sorted = Vec::new();
            for place in scores::order(&keys) {
                scores::push(&mut sorted, class.fresh[place as usize]);
            }
            class.fresh.clear();
            class.buckets = scores::merge(&class.buckets, &sorted);
        }
    }

    pub(super) fn merge(&mut self, other: &OneVsRest) {
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.buckets = scores::merge(&mine.buckets, &theirs.buckets);
        }
    }

    /// The area of each class; `None` where the class, or the rest, has no row.
    pub(super) fn areas(&self) -> Vec<Option<scores::Estimate>> {
        let classes = self.classes.iter();
        classes
            .map(|class| scores::delong(&class.buckets))
            .collect()
    }

    /// The mean of the areas. Its error is taken as the mean of theirs, which is the most that it can be: the interval is
    /// wide rather than narrow, as the areas of one set of rows depend on each other.
    pub(super) fn mean(&self, n: f64) -> Option<Point> {
        let areas: Vec<scores::Estimate> = self.areas().into_iter().flatten().collect();
        let k = areas.len() as f64;
        let value = areas.iter().map(|area| area.value).sum::<f64>() / k;
        let error = areas.iter().map(|area| area.variance.sqrt()).sum::<f64>() / k;
        (k > 0.0).then(|| Point::bounded(value, error * error, n))
    }
}
