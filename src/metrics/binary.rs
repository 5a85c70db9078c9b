//! Metrics of two classes.

use fourfold_kernels::scores::{self, Bucket};
use serde::{Deserialize, Serialize};

use super::estimate::{Mean, Point};
use super::{resampled, surprise};

/// The counted values of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// `None` for a class that is neither of the two.
    positive: Option<bool>,
    probability: f64,
    weight: f64,
    loss: f64,
    key: u32,
    /// Whether the prediction is positive.
    above: bool,
}

impl Row {
    pub(super) fn new(label: f64, probability: f64, weight: f64, threshold: f64) -> Self {
        let positive = (!label.is_nan()).then_some(label > 0.5);
        Row {
            positive,
            probability,
            weight,
            loss: surprise(match positive {
                Some(true) => probability,
                Some(false) => 1.0 - probability,
                // A class that training has not seen: a mistake, whatever the answer.
                None => 0.0,
            }),
            key: scores::key_of(probability),
            above: probability > threshold,
        }
    }

    pub(super) fn key(&self) -> u32 {
        self.key
    }

    /// The values of a paired comparison: log loss, squared error, whether the answer is right.
    pub(super) fn losses(&self) -> [f64; 3] {
        let squared = match self.positive {
            Some(positive) => (f64::from(positive) - self.probability).powi(2),
            None => 1.0,
        };
        [
            self.loss,
            squared,
            f64::from(self.positive == Some(self.above)),
        ]
    }
}

/// Weights of rows, and their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Weight {
    pub(super) w: f64,
    pub(super) w2: f64,
}

impl Weight {
    pub(super) fn add(&mut self, weight: f64) {
        self.w += weight;
        self.w2 += weight * weight;
    }

    pub(super) fn merge(&mut self, other: &Weight) {
        self.w += other.w;
        self.w2 += other.w2;
    }
}

/// Running sums. Memory is bounded by the buckets of probabilities, not by the rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Binary {
    rows: u64,
    /// The losses by class: negatives, positives, neither.
    losses: [Mean; 3],
    predictions: [Mean; 3],
    squares: Mean,
    /// True positives, false positives, true negatives, false negatives.
    confusion: [Weight; 4],
    /// Rows of neither class, answered as positive and as negative.
    neither: [Weight; 2],
    #[serde(with = "stored_buckets")]
    buckets: Vec<Bucket>,
    /// Buckets of the present batch.
    #[serde(skip)]
    fresh: Vec<Bucket>,
}

impl Binary {
    /// Takes in a row of a batch, in rising order of [keys](Row::key).
    pub(super) fn add(&mut self, row: &Row) {
        let Row {
            positive,
            probability,
            weight,
            loss,
            key,
            above,
        } = *row;
        self.rows += 1;
        let class = positive.map_or(2, usize::from);
        self.losses[class].add(loss, weight);
        self.predictions[class].add(probability, weight);
        self.squares.add(row.losses()[1], weight);
        let Some(positive) = positive else {
            self.neither[usize::from(!above)].add(weight);
            return;
        };
        let cell = match (positive, above) {
            (true, true) => 0,
            (false, true) => 1,
            (false, false) => 2,
            (true, false) => 3,
        };
        self.confusion[cell].add(weight);
        let (negatives, positives) = if positive {
            (0.0, weight)
        } else {
            (weight, 0.0)
        };
        scores::push(
            &mut self.fresh,
            Bucket {
                key,
                negatives,
                positives,
                negatives_squared: negatives * weight,
                positives_squared: positives * weight,
                predictions: weight * probability,
            },
        );
    }

    /// Ends a batch: the next may begin with low keys again.
    pub(super) fn end_batch(&mut self) {
        if self.buckets.is_empty() {
            self.buckets = std::mem::take(&mut self.fresh);
        } else if !self.fresh.is_empty() {
            self.buckets = scores::merge(&self.buckets, &self.fresh);
            self.fresh.clear();
        }
    }

    pub(super) fn merge(&mut self, other: &Binary) {
        self.rows += other.rows;
        for class in 0..3 {
            self.losses[class].merge(&other.losses[class]);
            self.predictions[class].merge(&other.predictions[class]);
        }
        self.squares.merge(&other.squares);
        for (mine, theirs) in self.confusion.iter_mut().zip(&other.confusion) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.neither.iter_mut().zip(&other.neither) {
            mine.merge(theirs);
        }
        self.buckets = scores::merge(&self.buckets, &other.buckets);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Weights by class and answer; a class that is neither of the two is the last.
    pub(super) fn cells(&self) -> [((usize, usize), f64); 6] {
        let [tp, fp, tn, missed] = self.confusion.map(|cell| cell.w);
        let [above, below] = self.neither.map(|cell| cell.w);
        [
            ((1, 1), tp),
            ((0, 1), fp),
            ((0, 0), tn),
            ((1, 0), missed),
            ((2, 1), above),
            ((2, 0), below),
        ]
    }

    fn all(&self, of: &[Mean; 3]) -> Mean {
        let mut all = of[0];
        all.merge(&of[1]);
        all.merge(&of[2]);
        all
    }

    /// The values of metrics; `None` for those that are not defined. Intervals that take resampling are had from `n_buckets`
    /// buckets.
    pub(super) fn values(
        &self,
        metrics: &[(&str, Vec<f64>)],
        n_buckets: usize,
    ) -> Vec<Option<Point>> {
        let metrics = metrics.iter();
        let statistics: Vec<_> = (metrics.clone())
            .map(|(name, args)| resampled::statistic(name, args))
            .collect();
        let asked: Vec<_> = statistics.iter().flatten().map(|of| &**of).collect();
        let mut resampled = resampled::points(&self.buckets, n_buckets, &asked).into_iter();
        let values = metrics.zip(&statistics);
        values
            .map(|((name, args), statistic)| match statistic {
                Some(_) => resampled.next().flatten(),
                None => self.value(name, args),
            })
            .collect()
    }

    fn value(&self, name: &str, args: &[f64]) -> Option<Point> {
        let [tp, fp, tn, negative_misses] = self.confusion;
        let counts = [tp.w, fp.w, tn.w, negative_misses.w];
        let positives = tp.w + negative_misses.w;
        let negatives = fp.w + tn.w;
        let known = positives + negatives;
        let all = self.all(&self.losses);
        let share_of = |hits: &Weight, others: &[Weight]| {
            let (mut w, mut w2) = (hits.w, hits.w2);
            others.iter().for_each(|other| {
                w += other.w;
                w2 += other.w2;
            });
            Some(Point::share(hits.w, w, w * w / w2))
        };
        let delta = |of: &dyn Fn(&[f64; 4]) -> f64| {
            let variance = (0..4).map(|cell| {
                let step = 1e-5 * counts[cell].max(1.0);
                let moved = |by: f64| {
                    let mut counts = counts;
                    counts[cell] += by;
                    of(&counts)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                self.confusion[cell].w2 * slope * slope
            });
            (of(&counts), variance.sum::<f64>())
        };
        match name {
            "example_count" => Some(Point::alone(self.rows as f64)),
            "log_loss" => Some(all.point()),
            "skill" => {
                let share = positives / known;
                let entropy = share * surprise(share) + (1.0 - share) * surprise(1.0 - share);
                let unknown = self.losses[2].weight();
                let constant = (known * entropy + unknown * surprise(0.0)) / all.weight();
                let loss = all.mean();
                // The influence of a row on 1 - loss / constant, by class (delta method).
                let slope = loss / constant * (surprise(share) - surprise(1.0 - share)) * known
                    / all.weight();
                let deviations = self.losses[1].deviations(loss + slope * (1.0 - share))
                    + self.losses[0].deviations(loss - slope * share)
                    + self.losses[2].deviations(loss);
                let variance = deviations / (constant * all.weight()).powi(2);
                (constant > 0.0).then(|| Point::normal(1.0 - loss / constant, variance, all.n()))
            }
            "auc" => {
                let found = scores::delong(&self.buckets)?;
                let (n, p) = (self.losses[0].n(), self.losses[1].n());
                Some(match found.variance {
                    variance if variance > 0.0 => Point::bounded(found.value, variance, n + p),
                    _ => Point::share(found.value * n.min(p), n.min(p), n.min(p)),
                })
            }
            "accuracy" => {
                let right = tp.w + tn.w;
                Some(Point::share(right, all.weight(), all.n()))
            }
            "precision" => share_of(&tp, &[fp, self.neither[0]]),
            "recall" => share_of(&tp, &[negative_misses]),
            "specificity" => share_of(&tn, &[fp]),
            "selection_rate" => {
                let above = tp.w + fp.w + self.neither[0].w;
                Some(Point::share(above, all.weight(), all.n()))
            }
            "false_positive_rate" => share_of(&fp, &[tn]),
            "f1" | "fbeta" => {
                let squared = args.first().map_or(1.0, |beta| beta * beta);
                let neither = self.neither[0].w;
                let (value, variance) = delta(&|[tp, fp, _, missed]| {
                    let hits = (1.0 + squared) * tp;
                    hits / (hits + squared * missed + fp + neither)
                });
                Some(Point::bounded(value, variance, all.n()))
            }
            "balanced_accuracy" => {
                let (value, variance) = delta(&|[tp, fp, tn, missed]| {
                    f64::midpoint(tp / (tp + missed), tn / (tn + fp))
                });
                Some(Point::bounded(value, variance, all.n()))
            }
            "mcc" => {
                let (value, variance) = delta(&|[tp, fp, tn, missed]| {
                    let product = (tp + fp) * (tp + missed) * (tn + fp) * (tn + missed);
                    (tp * tn - fp * missed) / product.sqrt()
                });
                Some(Point::normal(value, variance, all.n()))
            }
            "cost" => {
                let (of_fp, of_missed) = (*args.first()?, *args.get(1)?);
                let mean = (of_fp * fp.w + of_missed * negative_misses.w) / all.weight();
                let deviations = fp.w2 * (of_fp - mean).powi(2)
                    + negative_misses.w2 * (of_missed - mean).powi(2)
                    + (tp.w2 + tn.w2) * mean * mean;
                let variance = deviations / all.weight().powi(2);
                Some(Point::normal(mean, variance, all.n()))
            }
            "brier" => Some(self.squares.point()),
            "mean_label" => {
                let mut known = self.losses[0];
                known.merge(&self.losses[1]);
                Some(Point::share(positives, known.weight(), known.n()))
            }
            "mean_prediction" => Some(self.all(&self.predictions).point()),
            "calibration" => {
                let predicted = self.all(&self.predictions);
                let ratio = predicted.sum() / positives;
                let deviations = self.predictions[1].deviations(ratio)
                    + self.predictions[0].deviations(0.0)
                    + self.predictions[2].deviations(0.0);
                let variance = deviations / (positives * positives);
                Some(Point::normal(ratio, variance, predicted.n()))
            }
            "calibration_intercept" | "calibration_slope" => {
                let line = scores::calibration_line(&self.buckets)?;
                let found = match name {
                    "calibration_slope" => line.slope,
                    _ => line.intercept,
                };
                Some(Point::normal(found.value, found.variance, all.n()))
            }
            _ => None,
        }
    }
}

/// Buckets as plain numbers.
pub(super) mod stored_buckets {
    use super::Bucket;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Stored = (u32, [f64; 5]);

    pub(in super::super) fn serialize<S: Serializer>(
        buckets: &[Bucket],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = |bucket: &Bucket| -> Stored {
            let numbers = [
                bucket.negatives,
                bucket.positives,
                bucket.negatives_squared,
                bucket.positives_squared,
                bucket.predictions,
            ];
            (bucket.key, numbers)
        };
        let stored: Vec<Stored> = buckets.iter().map(stored).collect();
        stored.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bucket>, D::Error> {
        let stored: Vec<Stored> = Vec::deserialize(deserializer)?;
        Ok(stored
            .into_iter()
            .map(|(key, [n, p, n2, p2, predictions])| Bucket {
                key,
                negatives: n,
                positives: p,
                negatives_squared: n2,
                positives_squared: p2,
                predictions,
            })
            .collect())
    }
}
