//! Random forests and single trees.

use super::*;

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
        let shares: Vec<f64> = sums(&one.forest, &fresh.columns(), 2000, &[0.0], 1)
            .iter()
            .map(|sum| sum / 20.0)
            .collect();
        let on_fresh = brier(&shares, &fresh.labels);
        assert!(on_fresh < 0.19, "{on_fresh}");
        assert!((brier(&oob, &table.labels) - on_fresh).abs() < 0.02);
        // Two classes are the same trees, told as two shares.
        let classes = grow(2, Outcome::Classes(2)).forest;
        let shares = sums(&classes, &columns, 4000, &[0.0; 2], 1);
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
    let shares = sums(&forest, &columns, 6, &[0.0; 3], 1);
    for (shares, label) in shares.chunks(3).zip(labels) {
        assert_eq!(shares[label as usize], 1.0);
    }
    let forest = grow(Outcome::Mean, &options);
    assert_eq!(sums(&forest, &columns, 6, &[0.0], 1), labels);
    // Shallow and smoothed: the root's counts, each class once more.
    let forest = grow(
        Outcome::Classes(3),
        &BagOptions {
            max_depth: 0,
            smoothing: 1.0,
            ..options
        },
    );
    assert_eq!(sums(&forest, &columns, 1, &[0.0; 3], 1), [1.0 / 3.0; 3]);
}
