//! Walks, bytes, contributions.

use super::*;

#[test]
fn rows_and_columns_reach_the_same_leaves() {
    let table = table(3000, 1);
    let boosted = table.boosted(Objective::Binary, &small());
    let forest = &boosted.forest;
    assert_eq!((forest.n_features(), forest.n_trees()), (N_FEATURES, 20));
    let fresh = super::table(301, 2);
    let n = fresh.labels.len();
    let by_columns = sums(forest, &fresh.columns(), n, &boosted.base, 2);
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
fn sets_that_are_too_large_for_a_table_are_asked() {
    let leaf = |output: f64| Node::Leaf {
        outputs: vec![output],
        cover: 1.0,
    };
    let split = |feature: u32, words: Vec<u32>, children: [u32; 2]| Node::Split {
        feature,
        rule: Rule::OneOf { words },
        children,
        gain: 1.0,
    };
    // A table of two million categories is too large, one of 64 is not.
    let mut large = vec![0; 1 << 16];
    (large[0], large[(1 << 16) - 1]) = (0b100, 1 << 31);
    let mut builder = ForestBuilder::new(2, 1, 1);
    for (words, by) in [(large, 1.0), (vec![0b110], 10.0), (vec![0, 1], 100.0)] {
        let nodes = [
            split(0, words.clone(), [1, 2]),
            split(1, vec![0b1], [3, 4]),
            leaf(0.0),
            leaf(by),
            leaf(2.0 * by),
        ];
        builder.push(&nodes).unwrap();
    }
    let forest = builder.finish();
    assert_eq!(Forest::from_bytes(&forest.to_bytes()).unwrap(), forest);
    let last = ((1_u32 << 21) - 1) as f32;
    for (category, sum) in [
        (0.0, 0.0),
        (1.0, 10.0),
        (2.0, 11.0),
        (32.0, 100.0),
        (last, 1.0),
        (f32::NAN, 0.0),
        (-1.0, 0.0),
        (f32::INFINITY, 0.0),
    ] {
        for (other, factor) in [(0.0, 1.0), (1.0, 2.0), (f32::NAN, 2.0)] {
            let row = [category, other];
            let mut sums = vec![0.0];
            forest.add_row(&row, &mut sums);
            assert_eq!(sums, [factor * sum], "{row:?}");
            assert_eq!(
                forest.sums_of_rows(&row.repeat(20), 20, &[0.0], 1),
                [sums[0]; 20]
            );
        }
    }
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
    // A refused tree leaves nothing behind.
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
