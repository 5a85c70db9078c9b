//! Boosted trees, round by round.
//!
//! Each round fits a tree (one an output) to the gradients of the loss and adds its answers to the scores (Friedman:
//! Greedy function approximation, 2001; Newton steps and regularization as in Chen and Guestrin: XGBoost, 2016; leaf-wise
//! growth and sets of categories as in Ke et al.: LightGBM, 2017).

use std::ops::ControlFlow;

use super::bins::{Bins, Expanded};
use super::grow::{Grower, Grown};
use super::histogram::{Pair, Tiles};
use super::random::{mix, some_of, unit};
use super::segments::Segments;
use super::split::Limits;
use super::{Forest, ForestBuilder, Node, Objective};
use crate::columns::Column;
use crate::parallel;

/// Rows to learn from or to judge by.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// The features.
    pub columns: &'a [Column<'a>],
    /// The labels `(n_rows)`: numbers, or classes from 0.
    pub labels: &'a [f64],
    /// The weights `(n_rows)`, finite and not negative, one of them above 0; `None` if all weigh 1.
    pub weights: Option<&'a [f64]>,
    /// Scores `(n_rows, n_outputs)` to begin with, such as an earlier forest's; `None` for the best constant.
    pub base: Option<&'a [f64]>,
}

/// The options of boosting.
#[derive(Clone, Debug)]
pub struct BoostOptions {
    /// The most rounds.
    pub rounds: usize,
    /// The factor of a tree's answers.
    pub learning_rate: f64,
    /// The most leaves of a tree, from 2.
    pub max_leaves: usize,
    /// The most splits between root and leaf.
    pub max_depth: usize,
    /// The fewest rows of a leaf. A row counts as much as it weighs; sums are estimated by shares of the Hessians.
    pub min_rows_leaf: usize,
    /// The least sum of Hessians of a leaf.
    pub min_hessian_leaf: f64,
    /// The L2 penalty of the answers.
    pub l2: f64,
    /// The most bins of a number, from 2 to 254.
    pub max_bins: usize,
    /// The share of rows that a round sees, above 0.
    pub row_fraction: f64,
    /// The share of features that a tree sees, above 0.
    pub feature_fraction: f64,
    /// For each feature, whether scores must rise (1) or fall (-1) with it; empty for no constraints.
    pub monotone: Vec<i8>,
    /// Groups of features that may stand together on a path; the others are one more group. Empty for no constraints.
    pub interactions: Vec<Vec<u32>>,
    /// Rounds without a lower loss on the tuning rows after which training ends.
    pub patience: Option<usize>,
    /// The seed of all randomness.
    pub seed: u64,
    /// The most threads. The forest is the same on any number.
    pub threads: usize,
}

impl Default for BoostOptions {
    /// LightGBM's.
    fn default() -> Self {
        BoostOptions {
            rounds: 100,
            learning_rate: 0.1,
            max_leaves: 31,
            max_depth: usize::MAX,
            min_rows_leaf: 20,
            min_hessian_leaf: 1e-3,
            l2: 0.0,
            max_bins: 254,
            row_fraction: 1.0,
            feature_fraction: 1.0,
            monotone: Vec::new(),
            interactions: Vec::new(),
            patience: None,
            seed: 0,
            threads: 1,
        }
    }
}

/// A round that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Rounds that have ended.
    pub done: usize,
    /// The mean loss on the tuning rows.
    pub loss: Option<f64>,
}

/// The result of boosting.
#[derive(Clone, Debug)]
pub struct Boosted {
    /// The trees of the rounds up to the one of the lowest loss on the tuning rows; of all rounds without such rows.
    pub forest: Forest,
    /// The constant scores that the trees add to: zeros where scores to begin with were given.
    pub base: Vec<f64>,
    /// The mean loss on the tuning rows after each round.
    pub curve: Vec<f64>,
    /// Rounds whose trees are kept.
    pub rounds: usize,
    /// Whether `watch` or `stop` ended training.
    pub was_stopped: bool,
}

/// Boosts trees on `train`, watching the loss on `tune`. `watch` is called after each round; `stop` is asked between
/// splits and ends training with what there is.
pub fn boost(
    train: Examples<'_>,
    tune: Option<Examples<'_>>,
    objective: Objective,
    options: &BoostOptions,
    watch: &mut dyn FnMut(Round) -> ControlFlow<()>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Boosted {
    let threads = options.threads;
    let n_rows = train.labels.len();
    let n_outputs = objective.n_outputs();
    let expanded = Expanded::new(train.columns);
    let n_features = expanded.n_features();
    let bins = Bins::learn(&expanded, n_rows, options.max_bins, threads);
    let columns = bins.apply(&expanded, n_rows, threads);
    drop(expanded);
    let n_bins: Vec<usize> = bins.features.iter().map(|feature| feature.n_bins).collect();
    let tiles = Tiles::new(&columns, &n_bins, n_rows, threads);
    let base = match train.base {
        Some(_) => vec![0.0; n_outputs],
        None => objective.initial(train.labels, train.weights),
    };
    let mut watched = tune.map(|tune| Watched::new(tune, &bins, &base, threads));
    let mut scores = scores(&train, &base);
    let monotone: Vec<i8> = match options.monotone.iter().all(|direction| *direction == 0) {
        true => Vec::new(),
        false => {
            let of = |feature: u32| {
                options
                    .monotone
                    .get(feature as usize)
                    .copied()
                    .unwrap_or_default()
            };
            bins.features.iter().map(|bins| of(bins.feature)).collect()
        }
    };
    let interactions = groups(&bins, &options.interactions);
    let weight = train
        .weights
        .map_or(n_rows as f64, |weights| weights.iter().sum());
    let grower = Grower {
        bins: &bins,
        columns: &columns,
        tiles: &tiles,
        limits: Limits {
            min_rows: options.min_rows_leaf as f64,
            min_hessian: options.min_hessian_leaf,
            l2: options.l2,
            min_category_rows: (weight / 20.0).min(100.0).max(options.min_rows_leaf as f64),
        },
        max_leaves: options.max_leaves,
        max_depth: options.max_depth,
        monotone: &monotone,
        interactions: &interactions,
        weights: train.weights,
        threads,
    };
    let mut gradients: Vec<Pair> = vec![[0.0; 2]; n_rows];
    let mut trees: Vec<Vec<Node>> = Vec::new();
    let mut curve = Vec::new();
    let first_loss = watched
        .as_ref()
        .map(|watched| watched.loss(objective, threads));
    let mut best = (0, first_loss.unwrap_or(f64::INFINITY));
    let mut was_stopped = false;
    'rounds: for round in 0..options.rounds {
        let totals = objective.totals(&scores, n_rows, threads);
        let seed = mix(options.seed, round as u64);
        let (drawn, others) = draw(n_rows, options.row_fraction, seed);
        let mut grew = false;
        for output in 0..n_outputs {
            let range = output * n_rows..(output + 1) * n_rows;
            let rows = (train.labels, train.weights);
            objective.gradients(
                output,
                &scores[range.clone()],
                &totals,
                rows,
                &mut gradients,
                threads,
            );
            let allowed = features(
                bins.features.len(),
                options.feature_fraction,
                mix(seed, output as u64),
            );
            let mut segments = Segments::new(drawn.clone());
            let Some(grown) = grower.grow(&mut segments, &gradients, &allowed, stop) else {
                was_stopped = true;
                trees.truncate(round * n_outputs);
                break 'rounds;
            };
            grew |= !grown.steps.is_empty();
            let scores = &mut scores[range];
            let leaves = leaves(
                &grown,
                &segments,
                &gradients,
                scores,
                &train,
                (objective, output),
                options,
            );
            trees.push(grown.nodes(&bins, &leaves));
            let values: Vec<f64> = leaves.iter().map(|(value, _)| *value).collect();
            segments.add(&values, scores, threads);
            if !others.is_empty() {
                replay(&grown, others.clone(), &columns, threads).add(&values, scores, threads);
            }
            if let Some(watched) = &mut watched {
                watched.add(output, &grown, &values, threads);
            }
        }
        let loss = watched
            .as_ref()
            .map(|watched| watched.loss(objective, threads));
        if let Some(loss) = loss {
            curve.push(loss);
            if loss < best.1 {
                best = (round + 1, loss);
            }
        }
        if watch(Round {
            done: round + 1,
            loss,
        })
        .is_break()
        {
            was_stopped = true;
            break;
        }
        let is_stale = loss.is_some()
            && options
                .patience
                .is_some_and(|rounds| round + 1 - best.0 >= rounds);
        // Other rows or features may still split.
        let is_done = !grew && options.row_fraction >= 1.0 && options.feature_fraction >= 1.0;
        if is_stale || is_done {
            break;
        }
    }
    let rounds = match watched {
        Some(_) => best.0,
        None => trees.len() / n_outputs,
    };
    let mut builder = ForestBuilder::new(n_features, n_outputs, 1);
    for tree in &trees[..rounds * n_outputs] {
        // A grown tree is one; an answer that is not finite comes of labels that are not.
        if builder.push(tree).is_err() {
            was_stopped = true;
            break;
        }
    }
    let forest = builder.finish();
    Boosted {
        rounds: forest.n_trees() / n_outputs,
        forest,
        base,
        curve,
        was_stopped,
    }
}

/// Scores to begin with, output by output.
fn scores(examples: &Examples<'_>, base: &[f64]) -> Vec<f64> {
    let n_rows = examples.labels.len();
    let n_outputs = base.len();
    match examples.base {
        None => base
            .iter()
            .flat_map(|base| std::iter::repeat_n(*base, n_rows))
            .collect(),
        Some(given) => {
            let of = |output: usize| given.iter().skip(output).step_by(n_outputs).copied();
            (0..n_outputs).flat_map(of).collect()
        }
    }
}

/// The output of each leaf, times the learning rate, and its cover.
fn leaves(
    grown: &Grown,
    segments: &Segments,
    gradients: &[Pair],
    scores: &[f64],
    train: &Examples<'_>,
    (objective, class): (Objective, usize),
    options: &BoostOptions,
) -> Vec<(f64, f64)> {
    let all: Vec<usize> = (0..segments.n_leaves()).collect();
    parallel::map(&all, options.threads, |leaf| {
        let rows = segments.leaf(*leaf);
        let weight = |row: &u32| train.weights.map_or(1.0, |weights| weights[*row as usize]);
        let cover = match train.weights {
            None => rows.len() as f64,
            Some(_) => rows.iter().map(weight).sum(),
        };
        let mut sums = grown.leaves[*leaf];
        let [low, high] = sums.bounds;
        let output = if objective.renews() {
            let off = |row: &u32| train.labels[*row as usize] - scores[*row as usize];
            let mut residuals: Vec<(f64, f64)> =
                rows.iter().map(|row| (off(row), weight(row))).collect();
            objective.renewed(&mut residuals)
        } else {
            sums.sums = rows.iter().fold([0.0; 2], |sum, row| {
                let pair = gradients[*row as usize];
                [sum[0] + f64::from(pair[0]), sum[1] + f64::from(pair[1])]
            });
            let step = sums.output(options.l2);
            match objective.is_positive(class) {
                // What rounding left of the gradients of rows that are answered already is no step to take.
                _ if sums.sums[1] < options.min_hessian_leaf => 0.0,
                Some(is_positive) if step.abs() > FREE_STEP => {
                    let bound = of_shares(rows, gradients, train, is_positive);
                    step.clamp(-bound, bound)
                }
                _ => step,
            }
        };
        // A shorter step may not leave what monotone constraints allow.
        let output = output.max(low).min(high);
        (output * options.learning_rate, cover)
    })
}

/// The longest Newton step in log odds that is always taken.
const FREE_STEP: f64 = 4.0;

/// The longest step of a leaf in log odds: the one from the mean prediction of its rows to the share of positive ones. A
/// Newton step from a prediction near 0 or 1 is of the order of `1 / p` where `ln(1 / p)` is meant, and a few of those on
/// rare classes make the loss grow without a bound.
fn of_shares(
    rows: &[u32],
    gradients: &[Pair],
    train: &Examples<'_>,
    is_positive: impl Fn(f64) -> bool,
) -> f64 {
    let (mut weights, mut positive, mut off) = (0.0, 0.0, 0.0);
    for row in rows.iter().map(|row| *row as usize) {
        let weight = train.weights.map_or(1.0, |weights| weights[row]);
        weights += weight;
        positive += weight * f64::from(u8::from(is_positive(train.labels[row])));
        off += f64::from(gradients[row][0]);
    }
    let n_rows = rows.len() as f64;
    let share = (positive / weights * n_rows + 0.5) / (n_rows + 1.0);
    let predicted = ((positive + off) / weights).clamp(1e-12, 1.0 - 1e-12);
    let log_odds = |share: f64| (share / (1.0 - share)).ln();
    let step = (log_odds(share) - log_odds(predicted)).abs();
    if step > FREE_STEP { step } else { FREE_STEP }
}

/// Other rows of the same bins, in the leaves of a grown tree.
fn replay(grown: &Grown, rows: Vec<u32>, columns: &[Vec<u8>], threads: usize) -> Segments {
    let mut segments = Segments::new(rows);
    for step in &grown.steps {
        segments.split(step.leaf, &columns[step.feature], &step.below, threads);
    }
    segments
}

/// The rows of a round, and the others.
fn draw(n_rows: usize, fraction: f64, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let all = 0..n_rows as u32;
    if fraction >= 1.0 {
        return (all.collect(), Vec::new());
    }
    let (drawn, others): (Vec<u32>, Vec<u32>) =
        all.partition(|row| unit(seed, u64::from(*row)) < fraction);
    if drawn.is_empty() {
        (others, drawn)
    } else {
        (drawn, others)
    }
}

/// The features that a tree may look at: at least one.
fn features(n: usize, fraction: f64, seed: u64) -> Vec<bool> {
    if fraction >= 1.0 {
        return vec![true; n];
    }
    let mut allowed = vec![false; n];
    let wanted = ((n as f64 * fraction).round() as usize).max(1);
    some_of(seed, wanted, n)
        .into_iter()
        .for_each(|feature| allowed[feature] = true);
    allowed
}

/// Groups of features that may stand together; those in none are one more.
fn groups(bins: &Bins, groups: &[Vec<u32>]) -> Vec<Vec<bool>> {
    if groups.is_empty() {
        return Vec::new();
    }
    let is_in = |group: &Vec<u32>, feature: u32| group.contains(&feature);
    let of = |group: &Vec<u32>| {
        bins.features
            .iter()
            .map(|bins| is_in(group, bins.feature))
            .collect()
    };
    let mut all: Vec<Vec<bool>> = groups.iter().map(of).collect();
    let is_free = |feature: u32| !groups.iter().any(|group| is_in(group, feature));
    all.push(
        bins.features
            .iter()
            .map(|bins| is_free(bins.feature))
            .collect(),
    );
    all
}

/// The tuning rows during training.
struct Watched<'a> {
    examples: Examples<'a>,
    columns: Vec<Vec<u8>>,
    scores: Vec<f64>,
}

impl<'a> Watched<'a> {
    fn new(examples: Examples<'a>, bins: &Bins, base: &[f64], threads: usize) -> Self {
        let expanded = Expanded::new(examples.columns);
        Watched {
            columns: bins.apply(&expanded, examples.labels.len(), threads),
            scores: scores(&examples, base),
            examples,
        }
    }

    fn add(&mut self, output: usize, grown: &Grown, values: &[f64], threads: usize) {
        let n_rows = self.examples.labels.len();
        let segments = replay(grown, (0..n_rows as u32).collect(), &self.columns, threads);
        segments.add(
            values,
            &mut self.scores[output * n_rows..(output + 1) * n_rows],
            threads,
        );
    }

    fn loss(&self, objective: Objective, threads: usize) -> f64 {
        objective.loss(
            &self.scores,
            self.examples.labels,
            self.examples.weights,
            threads,
        )
    }
}
