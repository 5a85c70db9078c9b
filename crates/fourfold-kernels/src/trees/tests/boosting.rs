//! Boosting.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

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
    let scores = |boosted: &Boosted| sums(&boosted.forest, &columns[..3], 4000, &boosted.base, 1);
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
    let margins = sums(&half.forest, &columns, 5000, &half.base, 1);
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

    // A stop in the middle of a tree leaves the tree out.
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
    // Steps are shortened by shares and numbers of rows: more where there are fewer.
    let labels = table.first.iter().enumerate();
    let rare = labels.map(|(row, first)| match first {
        1.97.. => 1.0,
        1.6.. if row % 60 != 0 => 1.0,
        _ => 0.0,
    });
    let rare: Vec<f64> = rare.collect();
    let columns = table.columns();
    let examples = Examples {
        labels: &rare,
        ..table.examples(&columns)
    };
    let (watch, stop) = (&mut |_| ControlFlow::Continue(()), &|| false);
    let rare = boost(examples, None, Objective::Binary, &options, watch, stop);
    assert_eq!(falls(&rare), 0);
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
    let score = sums(&boosted.forest, &columns, 3, &boosted.base, 1);
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
    let scores = sums(&boosted.forest, &columns, 4, &boosted.base, 1);
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
    let scores = sums(&boosted.forest, &columns, 4000, &boosted.base, 2);
    let right = scores.chunks(4).zip(&labels).filter(|(scores, label)| {
        let best = (0..4).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        best == Some(**label as usize)
    });
    assert!(right.count() > 3900);
}
