use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::random::{mix, unit};
use super::*;
use crate::columns::MISSING_CODE;

/// Rows of two numbers (one with ties and NaN), a category and a sparse column of two ids.
struct Table {
    first: Vec<f32>,
    second: Vec<f32>,
    codes: Vec<u32>,
    offsets: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f32>,
    labels: Vec<f64>,
}

const N_FEATURES: usize = 5;

fn table(n: usize, seed: u64) -> Table {
    let mut table = Table {
        first: Vec::new(),
        second: Vec::new(),
        codes: Vec::new(),
        offsets: vec![0],
        ids: Vec::new(),
        values: Vec::new(),
        labels: Vec::new(),
    };
    for row in 0..n as u64 {
        let draw = |what: u64| unit(mix(seed, what), row);
        let first = draw(0) as f32 * 4.0 - 2.0;
        let tied = (draw(1) * 8.0).floor() as f32;
        let is_missing = draw(2) < 0.2;
        let code = (draw(3) * draw(4) * 40.0) as u32;
        let is_on = draw(5) < 0.3;
        table.first.push(first);
        table.second.push(if is_missing { f32::NAN } else { tied });
        table
            .codes
            .push(if draw(6) < 0.1 { MISSING_CODE } else { code });
        if is_on {
            table.ids.push(1);
            table.values.push(1.0 + draw(8) as f32);
        }
        table.offsets.push(table.ids.len());
        let effect = f64::from(code % 7) / 3.0 - 1.0;
        let score = f64::from(first)
            + effect
            + if is_missing {
                1.0
            } else {
                f64::from(tied) / 8.0
            }
            - if is_on { 1.5 } else { 0.0 };
        table.labels.push(f64::from(u8::from(
            draw(9) < 1.0 / (1.0 + (-1.5 * score).exp()),
        )));
    }
    table
}

impl Table {
    fn columns(&self) -> Vec<Column<'_>> {
        vec![
            Column::Numbers(&self.first),
            Column::Numbers(&self.second),
            Column::Codes {
                codes: &self.codes,
                n_categories: 40,
            },
            Column::Sparse {
                offsets: &self.offsets,
                ids: &self.ids,
                values: &self.values,
                width: 2,
            },
        ]
    }

    fn row(&self, row: usize) -> [f32; N_FEATURES] {
        let code = self.codes[row];
        let code = if code == MISSING_CODE {
            f32::NAN
        } else {
            code as f32
        };
        let (from, to) = (self.offsets[row], self.offsets[row + 1]);
        let on = if from < to { self.values[from] } else { 0.0 };
        [self.first[row], self.second[row], code, 0.0, on]
    }

    fn boosted(&self, objective: Objective, options: &BoostOptions) -> Boosted {
        boost(
            self.examples(&self.columns()),
            None,
            objective,
            options,
            &mut |_| ControlFlow::Continue(()),
            &|| false,
        )
    }

    fn examples<'a>(&'a self, columns: &'a [Column<'a>]) -> Examples<'a> {
        Examples {
            columns,
            labels: &self.labels,
            weights: None,
            base: None,
        }
    }

    fn loss(&self, boosted: &Boosted) -> f64 {
        let scores =
            boosted
                .forest
                .sums_of_columns(&self.columns(), self.labels.len(), &boosted.base, 1);
        Objective::Binary.loss(&scores, &self.labels, None, 1)
    }
}

fn small() -> BoostOptions {
    BoostOptions {
        rounds: 20,
        max_leaves: 8,
        ..BoostOptions::default()
    }
}

/// Down the nodes as they are told, the plainest way.
fn plain(nodes: &[Node], row: &[f32]) -> Vec<f64> {
    let mut at = 0;
    loop {
        match &nodes[at] {
            Node::Leaf { outputs, .. } => return outputs.clone(),
            Node::Split {
                feature,
                rule,
                children,
                ..
            } => {
                let value = row[*feature as usize];
                let below = match rule {
                    Rule::AtMost {
                        threshold,
                        missing_below,
                    } => {
                        if value.is_nan() {
                            *missing_below
                        } else {
                            value <= *threshold
                        }
                    }
                    Rule::OneOf { words } => {
                        !value.is_nan()
                            && words
                                .get(value as usize / 32)
                                .is_some_and(|word| word >> (value as usize % 32) & 1 == 1)
                    }
                };
                at = children[usize::from(!below)] as usize;
            }
        }
    }
}

#[test]
fn rows_and_columns_reach_the_same_leaves() {
    let table = table(3000, 1);
    let boosted = table.boosted(Objective::Binary, &small());
    let forest = &boosted.forest;
    assert_eq!((forest.n_features(), forest.n_trees()), (N_FEATURES, 20));
    let fresh = self::table(301, 2);
    let n = fresh.labels.len();
    let by_columns = forest.sums_of_columns(&fresh.columns(), n, &boosted.base, 2);
    let rows: Vec<f32> = (0..n).flat_map(|row| fresh.row(row)).collect();
    assert_eq!(by_columns, forest.sums_of_rows(&rows, n, &boosted.base, 1));
    let trees: Vec<Vec<Node>> = (0..forest.n_trees())
        .map(|tree| forest.tree(tree))
        .collect();
    for (row, score) in by_columns.iter().enumerate() {
        let mut one = boosted.base.clone();
        forest.add_row(&fresh.row(row), &mut one);
        let walked = trees.iter().fold(boosted.base[0], |sum, tree| {
            sum + plain(tree, &fresh.row(row))[0]
        });
        assert_eq!((one[0], walked), (*score, *score));
    }
    // Unknown categories go where missing ones go, whatever their code.
    let of = |code: f32| {
        let mut sums = boosted.base.clone();
        forest.add_row(&[0.3, 2.0, code, 0.0, 0.0], &mut sums);
        sums[0]
    };
    assert_eq!(
        [of(39.5e5), of(41.0), of(-3.0), of(f32::INFINITY)],
        [of(f32::NAN); 4]
    );
    assert_ne!(of(0.0), of(1.0));
}

#[test]
fn boosting_learns_and_the_bits_do_not_depend_on_threads() {
    let table = table(70_000, 3);
    let options = |threads| BoostOptions {
        row_fraction: 0.8,
        feature_fraction: 0.8,
        rounds: 8,
        max_leaves: 15,
        threads,
        ..BoostOptions::default()
    };
    let one = table.boosted(Objective::Binary, &options(1));
    let bytes = one.forest.to_bytes();
    for threads in [2, 5] {
        let other = table.boosted(Objective::Binary, &options(threads));
        assert!(other.forest.to_bytes() == bytes && other.base == one.base);
    }
    assert!(table.loss(&one) < 0.62);
    let sampled = table.boosted(
        Objective::Binary,
        &BoostOptions {
            seed: 1,
            ..options(2)
        },
    );
    assert!(sampled.forest.to_bytes() != bytes);
}

#[test]
fn half_the_weight_twice_is_the_row_once() {
    let once = table(4000, 4);
    let weights: Vec<f64> = (0..4000).map(|row| 0.5 + unit(9, row)).collect();
    let twice = |rows: &[f32]| [rows, rows].concat();
    let (first, second) = (twice(&once.first), twice(&once.second));
    let codes = [once.codes.as_slice(), &once.codes].concat();
    let labels = [once.labels.as_slice(), &once.labels].concat();
    let halves: Vec<f64> = weights
        .iter()
        .chain(&weights)
        .map(|weight| weight / 2.0)
        .collect();
    let columns = once.columns();
    let doubled = [
        Column::Numbers(&first),
        Column::Numbers(&second),
        Column::Codes {
            codes: &codes,
            n_categories: 40,
        },
    ];
    let train = |columns: &[Column<'_>], labels: &[f64], weights: &[f64]| {
        let examples = Examples {
            columns,
            labels,
            weights: Some(weights),
            base: None,
        };
        boost(
            examples,
            None,
            Objective::Binary,
            &small(),
            &mut |_| ControlFlow::Continue(()),
            &|| false,
        )
    };
    let one = train(&columns[..3], &once.labels, &weights);
    let two = train(&doubled, &labels, &halves);
    let scores = |boosted: &Boosted| {
        boosted
            .forest
            .sums_of_columns(&columns[..3], 4000, &boosted.base, 1)
    };
    for (a, b) in scores(&one).into_iter().zip(scores(&two)) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn continuing_is_training_on() {
    let table = table(5000, 5);
    let whole = table.boosted(Objective::Binary, &small());
    let half = table.boosted(
        Objective::Binary,
        &BoostOptions {
            rounds: 10,
            ..small()
        },
    );
    let columns = table.columns();
    let margins = half.forest.sums_of_columns(&columns, 5000, &half.base, 1);
    let examples = Examples {
        base: Some(&margins),
        ..table.examples(&columns)
    };
    let more = boost(
        examples,
        None,
        Objective::Binary,
        &BoostOptions {
            rounds: 10,
            ..small()
        },
        &mut |_| ControlFlow::Continue(()),
        &|| false,
    );
    assert_eq!(more.base, [0.0]);
    assert_eq!(more.forest.n_trees(), 10);
    for tree in 0..10 {
        assert_eq!(more.forest.tree(tree), whole.forest.tree(10 + tree));
        assert_eq!(half.forest.tree(tree), whole.forest.tree(tree));
    }
}

#[test]
fn training_stops_early_and_when_it_is_told() {
    let (train, tune) = (table(800, 6), table(800, 7));
    let (columns, tune_columns) = (train.columns(), tune.columns());
    let options = BoostOptions {
        rounds: 500,
        learning_rate: 0.5,
        patience: Some(5),
        ..small()
    };
    let tuned = Some(tune.examples(&tune_columns));
    let go_on = &mut |_| ControlFlow::Continue(());
    let boosted = boost(
        train.examples(&columns),
        tuned,
        Objective::Binary,
        &options,
        go_on,
        &|| false,
    );
    assert_eq!(boosted.curve.len(), boosted.rounds + 5);
    assert_eq!(boosted.forest.n_trees(), boosted.rounds);
    let least = boosted.curve.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(boosted.curve[boosted.rounds - 1], least);
    assert!((tune.loss(&boosted) - least).abs() < 1e-12);
    assert!(!boosted.was_stopped);

    let until_2 = &mut |round: Round| {
        if round.done == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let boosted = boost(
        train.examples(&columns),
        tuned,
        Objective::Binary,
        &options,
        until_2,
        &|| false,
    );
    assert_eq!(
        (boosted.rounds, boosted.curve.len(), boosted.was_stopped),
        (2, 2, true)
    );

    // In the middle of a tree: the tree is left out.
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) == 10;
    let go_on = &mut |_| ControlFlow::Continue(());
    let boosted = boost(
        train.examples(&columns),
        None,
        Objective::Binary,
        &options,
        go_on,
        &stop,
    );
    assert_eq!((boosted.rounds, boosted.was_stopped), (1, true));
}

#[test]
fn constraints_hold() {
    let table = table(5000, 8);
    let options = BoostOptions {
        monotone: vec![1, 0, 0, 0, 0],
        interactions: vec![vec![0, 1]],
        ..small()
    };
    let boosted = table.boosted(Objective::Binary, &options);
    let free = table.boosted(Objective::Binary, &small());
    let falls = |boosted: &Boosted| {
        (0..200)
            .filter(|row| {
                let mut scores = Vec::new();
                for at in -40..40 {
                    let mut features = table.row(*row);
                    features[0] = at as f32 / 20.0;
                    let mut sums = vec![0.0];
                    boosted.forest.add_row(&features, &mut sums);
                    scores.push(sums[0]);
                }
                scores.windows(2).any(|pair| pair[1] < pair[0] - 1e-12)
            })
            .count()
    };
    assert_eq!(falls(&boosted), 0);
    assert!(falls(&free) > 0);
    // Trees look at features 0 and 1, or at the others.
    let mixed = |boosted: &Boosted| {
        (0..boosted.forest.n_trees())
            .filter(|tree| {
                let nodes = boosted.forest.tree(*tree);
                let is_low = |at: u32| match &nodes[at as usize] {
                    Node::Split { feature, .. } => Some(*feature < 2),
                    Node::Leaf { .. } => None,
                };
                nodes.iter().enumerate().any(|(at, node)| match node {
                    Node::Split { children, .. } => {
                        let mine = is_low(at as u32);
                        children
                            .iter()
                            .any(|child| is_low(*child).is_some_and(|low| Some(low) != mine))
                    }
                    Node::Leaf { .. } => false,
                })
            })
            .count()
    };
    assert_eq!(mixed(&boosted), 0);
    assert!(mixed(&free) > 0);
    assert!(table.loss(&boosted) < 0.6);
}

#[test]
fn few_or_equal_rows_make_constants() {
    let numbers = [1.0, 1.0, 1.0];
    let missing = [f32::NAN; 3];
    let codes = [MISSING_CODE; 3];
    let columns = [
        Column::Numbers(&numbers),
        Column::Numbers(&missing),
        Column::Codes {
            codes: &codes,
            n_categories: 0,
        },
    ];
    let examples = Examples {
        columns: &columns,
        labels: &[1.0, 2.0, 3.0],
        weights: None,
        base: None,
    };
    let options = BoostOptions {
        min_rows_leaf: 1,
        ..BoostOptions::default()
    };
    let boosted = boost(
        examples,
        None,
        Objective::Squared,
        &options,
        &mut |_| ControlFlow::Continue(()),
        &|| false,
    );
    let score = boosted
        .forest
        .sums_of_columns(&columns, 3, &boosted.base, 1);
    assert_eq!(score, [2.0; 3]);
    // One number, present or missing, is a split.
    let numbers = [1.0, f32::NAN, 1.0, f32::NAN];
    let columns = [Column::Numbers(&numbers)];
    let labels = [0.0, 8.0, 0.0, 8.0];
    let examples = Examples {
        columns: &columns,
        labels: &labels,
        weights: None,
        base: None,
    };
    let options = BoostOptions {
        rounds: 200,
        ..options
    };
    let boosted = boost(
        examples,
        None,
        Objective::Squared,
        &options,
        &mut |_| ControlFlow::Continue(()),
        &|| false,
    );
    let scores = boosted
        .forest
        .sums_of_columns(&columns, 4, &boosted.base, 1);
    assert!(
        scores
            .iter()
            .zip(labels)
            .all(|(score, label)| (score - label).abs() < 1e-3)
    );
}

#[test]
fn classes_are_learned_together() {
    let table = table(4000, 10);
    let labels: Vec<f64> = table
        .first
        .iter()
        .map(|x| f64::from(x.floor()) + 2.0)
        .collect();
    let columns = table.columns();
    let examples = Examples {
        labels: &labels,
        ..table.examples(&columns)
    };
    let objective = Objective::Classes(4);
    let boosted = boost(
        examples,
        None,
        objective,
        &small(),
        &mut |_| ControlFlow::Continue(()),
        &|| false,
    );
    assert_eq!(
        (boosted.forest.n_outputs(), boosted.forest.n_trees()),
        (4, 80)
    );
    let scores = boosted
        .forest
        .sums_of_columns(&columns, 4000, &boosted.base, 2);
    let right = scores.chunks(4).zip(&labels).filter(|(scores, label)| {
        let best = (0..4).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        best == Some(**label as usize)
    });
    assert!(right.count() > 3900);
}

#[test]
fn stored_forests_come_back_and_damage_is_found() {
    let table = table(2000, 11);
    let forest = table.boosted(Objective::Binary, &small()).forest;
    let bytes = forest.to_bytes();
    assert_eq!(Forest::from_bytes(&bytes).unwrap(), forest);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(Forest::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(Forest::from_bytes(&bytes[..at]).is_err());
    }
    // Lies with a right checksum: never a panic, never a walk that does not end.
    for at in 0..bytes.len() - 8 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut lie = bytes[..bytes.len() - 8].to_vec();
            lie[at] = value;
            let sum = bytes::checksum(&lie);
            lie.extend(sum.to_le_bytes());
            if let Ok(forest) = Forest::from_bytes(&lie)
                && forest.n_features() < 1 << 20
            {
                let row = vec![0.5; forest.n_features()];
                forest.add_row(&row, &mut vec![0.0; forest.n_outputs()]);
            }
        }
    }
    let empty = ForestBuilder::new(3, 2, 2).finish();
    assert_eq!(Forest::from_bytes(&empty.to_bytes()).unwrap(), empty);
    assert_eq!(
        empty.sums_of_rows(&[0.0; 6], 2, &[1.0, 2.0], 2),
        [1.0, 2.0, 1.0, 2.0]
    );
}

#[test]
fn nodes_that_are_no_tree_are_refused() {
    let leaf = |output: f64| Node::Leaf {
        outputs: vec![output],
        cover: 1.0,
    };
    let split = |feature: u32, threshold: f32, children: [u32; 2]| Node::Split {
        feature,
        rule: Rule::AtMost {
            threshold,
            missing_below: true,
        },
        children,
        gain: 1.0,
    };
    let push = |nodes: &[Node]| {
        ForestBuilder::new(2, 1, 1)
            .push(nodes)
            .map_err(|error| error.to_string())
    };
    assert_eq!(push(&[split(0, 1.0, [1, 2]), leaf(0.0), leaf(1.0)]), Ok(()));
    for (nodes, reason) in [
        (vec![], "a tree without a node"),
        (
            vec![split(0, 1.0, [0, 1]), leaf(0.0)],
            "node 0 leads to 0, which makes no tree",
        ),
        (
            vec![split(0, 1.0, [1, 1]), leaf(0.0)],
            "node 0 leads to 1, which makes no tree",
        ),
        (
            vec![split(0, 1.0, [1, 7]), leaf(0.0)],
            "node 0 leads to 7, which makes no tree",
        ),
        (
            vec![split(2, 1.0, [1, 2]), leaf(0.0), leaf(1.0)],
            "a split by feature 2 of 2",
        ),
        (
            vec![split(0, f32::NAN, [1, 2]), leaf(0.0), leaf(1.0)],
            "a threshold of NaN",
        ),
        (vec![leaf(f64::NAN)], "an output of NaN"),
        (
            vec![Node::Leaf {
                outputs: vec![],
                cover: 0.0,
            }],
            "a leaf of 0 outputs, must have 1",
        ),
    ] {
        assert_eq!(push(&nodes), Err(reason.to_owned()));
    }
    // What was refused leaves nothing behind.
    let mut builder = ForestBuilder::new(2, 1, 1);
    assert!(
        builder
            .push(&[split(0, 1.0, [1, 2]), leaf(0.0), leaf(f64::NAN)])
            .is_err()
    );
    builder.push(&[leaf(3.0)]).unwrap();
    assert_eq!(builder.finish().n_nodes(), 1);
}

/// The mean output of a tree with only some features known.
fn with_known(nodes: &[Node], covers: &[f64], at: usize, row: &[f32], known: u32) -> f64 {
    match &nodes[at] {
        Node::Leaf { outputs, .. } => outputs[0],
        Node::Split {
            feature, children, ..
        } => {
            let [below, above] = children.map(|child| child as usize);
            let go = |at: usize| with_known(nodes, covers, at, row, known);
            if known >> feature & 1 == 0 {
                let share = covers[below] / covers[at];
                return share * go(below) + (1.0 - share) * go(above);
            }
            let mut one = nodes[at..=at].to_vec();
            if let Node::Split { children, .. } = &mut one[0] {
                *children = [1, 2];
            }
            let leaf = |output: f64| Node::Leaf {
                outputs: vec![output],
                cover: 1.0,
            };
            one.extend([leaf(0.0), leaf(1.0)]);
            if plain(&one, row)[0] == 0.0 {
                go(below)
            } else {
                go(above)
            }
        }
    }
}

fn covers(nodes: &[Node]) -> Vec<f64> {
    let mut covers = vec![0.0; nodes.len()];
    for at in (0..nodes.len()).rev() {
        covers[at] = match &nodes[at] {
            Node::Leaf { cover, .. } => f64::from(*cover),
            Node::Split { children, .. } => {
                covers[children[0] as usize] + covers[children[1] as usize]
            }
        };
    }
    covers
}

#[test]
fn contributions_are_shapley_values() {
    let table = table(2000, 12);
    let boosted = table.boosted(
        Objective::Binary,
        &BoostOptions {
            rounds: 5,
            max_leaves: 20,
            ..small()
        },
    );
    let forest = &boosted.forest;
    let trees: Vec<(Vec<Node>, Vec<f64>)> = (0..forest.n_trees())
        .map(|tree| forest.tree(tree))
        .map(|nodes| (nodes.clone(), covers(&nodes)))
        .collect();
    for row in 0..40 {
        let row = table.row(row);
        let mut found = vec![0.0; N_FEATURES + 1];
        forest.add_contributions(&row, &mut found).unwrap();
        let value = |known: u32| -> f64 {
            trees
                .iter()
                .map(|(nodes, covers)| with_known(nodes, covers, 0, &row, known))
                .sum()
        };
        for (feature, found) in found[..N_FEATURES].iter().enumerate() {
            let mut exact = 0.0;
            for others in (0..1_u32 << N_FEATURES).filter(|set| set >> feature & 1 == 0) {
                let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
                let n = others.count_ones();
                let weight = factorial(n) * factorial(N_FEATURES as u32 - n - 1)
                    / factorial(N_FEATURES as u32);
                exact += weight * (value(others | 1 << feature) - value(others));
            }
            assert!((found - exact).abs() < 1e-6, "{feature}: {found} {exact}");
        }
        let mut sums = vec![0.0];
        forest.add_row(&row, &mut sums);
        assert!((found.iter().sum::<f64>() - sums[0]).abs() < 1e-6);
    }
    let importances = forest.importances();
    assert_eq!(
        importances.iter().map(|(splits, _)| splits).sum::<u64>(),
        5 * 19
    );
    assert!(importances[0].1 > importances[1].1 && importances[3] == (0, 0.0));
}

fn forest_options() -> BagOptions {
    BagOptions {
        trees: 20,
        max_depth: 30,
        min_rows_leaf: 2,
        features_per_split: 2,
        bootstrap: true,
        random_cuts: false,
        smoothing: 0.0,
        max_bins: 254,
        out_of_bag: true,
        seed: 3,
        threads: 1,
    }
}

#[test]
fn forests_learn_and_the_bits_do_not_depend_on_threads() {
    let (table, fresh) = (table(4000, 13), table(2000, 14));
    let columns = table.columns();
    for random_cuts in [false, true] {
        let options = BagOptions {
            random_cuts,
            ..forest_options()
        };
        let grow = |threads, outcome| {
            let options = BagOptions {
                threads,
                ..options.clone()
            };
            bag(
                table.examples(&columns),
                outcome,
                &options,
                &mut |_| ControlFlow::Continue(()),
                &|| false,
            )
            .unwrap()
        };
        let one = grow(1, Outcome::Binary);
        let two = grow(3, Outcome::Binary);
        assert!(one.forest.to_bytes() == two.forest.to_bytes());
        let (oob, same) = (one.out_of_bag.unwrap(), two.out_of_bag.unwrap());
        assert!(
            oob.iter()
                .zip(&same)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        let brier = |shares: &[f64], labels: &[f64]| {
            shares
                .iter()
                .zip(labels)
                .map(|(share, label)| (share - label).powi(2))
                .sum::<f64>()
                / labels.len() as f64
        };
        let shares: Vec<f64> = one
            .forest
            .sums_of_columns(&fresh.columns(), 2000, &[0.0], 1)
            .iter()
            .map(|sum| sum / 20.0)
            .collect();
        let on_fresh = brier(&shares, &fresh.labels);
        assert!(on_fresh < 0.19, "{on_fresh}");
        assert!((brier(&oob, &table.labels) - on_fresh).abs() < 0.02);
        // Two classes are the same trees, told as two shares.
        let classes = grow(2, Outcome::Classes(2)).forest;
        let shares = classes.sums_of_columns(&columns, 4000, &[0.0; 2], 1);
        assert!(
            shares
                .chunks(2)
                .all(|pair| (pair[0] + pair[1] - 20.0).abs() < 1e-9)
        );
    }
}

#[test]
fn a_tree_ends_in_pure_leaves() {
    let first = [1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN];
    let columns = [Column::Numbers(&first)];
    let labels = [0.0, 2.0, 2.0, 1.0, 1.0, 0.0];
    let examples = Examples {
        columns: &columns,
        labels: &labels,
        weights: None,
        base: None,
    };
    let options = BagOptions {
        trees: 1,
        min_rows_leaf: 1,
        bootstrap: false,
        features_per_split: 1,
        ..forest_options()
    };
    let grow = |outcome, options: &BagOptions| {
        bag(
            examples,
            outcome,
            options,
            &mut |_| ControlFlow::Continue(()),
            &|| false,
        )
        .unwrap()
        .forest
    };
    let forest = grow(Outcome::Classes(3), &options);
    let shares = forest.sums_of_columns(&columns, 6, &[0.0; 3], 1);
    for (shares, label) in shares.chunks(3).zip(labels) {
        assert_eq!(shares[label as usize], 1.0);
    }
    let forest = grow(Outcome::Mean, &options);
    assert_eq!(forest.sums_of_columns(&columns, 6, &[0.0], 1), labels);
    // Shallow and smoothed: the root's counts, each class once more.
    let forest = grow(
        Outcome::Classes(3),
        &BagOptions {
            max_depth: 0,
            smoothing: 1.0,
            ..options
        },
    );
    assert_eq!(
        forest.sums_of_columns(&columns, 1, &[0.0; 3], 1),
        [1.0 / 3.0; 3]
    );
}
