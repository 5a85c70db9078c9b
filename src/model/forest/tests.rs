use ndarray::{Array2, Axis, array};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;

/// Trees of any shape: each node that is a split gets two new nodes.
fn tree(n_features: usize, n_outputs: usize, choices: &[(usize, f32, f64)]) -> TreeModel {
    let leaf = |at: usize| TreeNode::Leaf {
        outputs: (0..n_outputs)
            .map(|output| choices[at % choices.len()].2 + output as f64)
            .collect(),
    };
    let mut nodes = vec![leaf(0)];
    let mut at = 0;
    for (feature, threshold, _) in choices {
        let (below, above) = (nodes.len(), nodes.len() + 1);
        nodes[at] = TreeNode::Split {
            feature: feature % n_features,
            threshold: *threshold,
            below,
            above,
        };
        nodes.push(leaf(below));
        nodes.push(leaf(above));
        at += 1 + feature % (nodes.len() - at - 1);
    }
    TreeModel::new(n_features, n_outputs, nodes).unwrap()
}

/// The plainest way: down the nodes of each tree, sums in the order of the trees.
fn plain(trees: &[TreeModel], base: &[f64], features: &Array2<f32>) -> Array2<f64> {
    let mut sums = Array2::from_shape_fn((features.nrows(), base.len()), |(_, at)| base[at]);
    for (row, mut sums) in features.rows().into_iter().zip(sums.rows_mut()) {
        for tree in trees {
            let TreeNode::Leaf { outputs } = &tree.nodes()[tree.leaf_of(row)] else {
                panic!("a walk that ends at a split");
            };
            sums.iter_mut().zip(outputs).for_each(|(sum, x)| *sum += x);
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2_013),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_forest_is_its_trees_bit_by_bit(
        shapes in prop::collection::vec(
            prop::collection::vec((0_usize..7, -2.0_f32..2.0, -1.0_f64..1.0), 1..40),
            1..20,
        ),
        cells in prop::collection::vec(-2.5_f32..2.5, 5 * 150),
        n_outputs in 1_usize..4,
        n_rows in 0_usize..150,
    ) {
        let trees: Vec<TreeModel> = shapes.iter().map(|shape| tree(5, n_outputs, shape)).collect();
        let base: Vec<f64> = (0..n_outputs).map(|output| output as f64 * 0.3 - 0.1).collect();
        let features = Array2::from_shape_vec((n_rows, 5), cells[..5 * n_rows].to_vec()).unwrap();
        let combine = Combine::Sum { base: base.clone(), link: Link::Identity };
        let boosted = ForestModel::new(&trees, combine).unwrap();
        let all = boosted.predict(&features.view().into()).unwrap();
        prop_assert_eq!(&all, &plain(&trees, &base, &features));
        for row in 0..n_rows {
            let one = boosted.predict(&features.row(row).insert_axis(Axis(0)).into()).unwrap();
            prop_assert_eq!(one.row(0), all.row(row));
        }
        let bagged = ForestModel::new(&trees, Combine::Mean).unwrap();
        let mut means = plain(&trees, &vec![0.0; n_outputs], &features);
        means.mapv_inplace(|sum| sum / trees.len() as f64);
        prop_assert_eq!(bagged.predict(&features.view().into()).unwrap(), means);
        // A tree alone walks the same nodes.
        let zeros = vec![0.0; n_outputs];
        let alone = trees[0].predict(&features.view().into()).unwrap();
        prop_assert_eq!(alone, plain(&trees[..1], &zeros, &features));

        let dir = tempfile::tempdir().unwrap();
        boosted.save(dir.path()).unwrap();
        prop_assert_eq!(ForestModel::load(dir.path(), &Loaders::default()).unwrap(), boosted);
    }
}

#[test]
fn links_are_those_of_linear_models() {
    let trees = [tree(1, 2, &[(0, 0.0, 1.0)])];
    let sum = |link| {
        let base = vec![0.0, -1.0];
        let forest = ForestModel::new(&trees, Combine::Sum { base, link }).unwrap();
        forest.predict(&array![[1.0_f32]].into()).unwrap()
    };
    assert_eq!(sum(Link::Identity), array![[1.0, 1.0]]);
    assert_eq!(sum(Link::Softmax), array![[0.5, 0.5]]);
    let share = 1.0 / (1.0 + (-1.0_f64).exp());
    assert_eq!(sum(Link::Logistic), array![[share, share]]);
}

#[test]
fn features_of_another_width_or_layout() {
    let forest = ForestModel::new(&[tree(2, 1, &[(1, 0.0, 1.0)])], Combine::Mean).unwrap();
    assert!(forest.predict(&array![[1.0_f32]].into()).is_err());
    let columns = array![[1.0_f32, 1.0, 1.0], [-1.0, 1.0, -1.0]];
    let rows = columns.t().as_standard_layout().into_owned();
    assert_eq!(
        forest.predict(&columns.t().into()).unwrap(),
        forest.predict(&rows.view().into()).unwrap()
    );
}

#[test]
fn what_is_no_forest_is_refused() {
    let trees = [tree(2, 1, &[(1, 0.0, 1.0)]), tree(3, 1, &[(1, 0.0, 1.0)])];
    let error = ForestModel::new(&trees, Combine::Mean).unwrap_err();
    assert_eq!(
        error.message(),
        "tree 1 of a forest has 3 features and 1 outputs, the first has 2 and 1"
    );
    assert!(ForestModel::new(&[], Combine::Mean).is_err());
    for base in [vec![], vec![f64::NAN], vec![0.0, 0.0]] {
        let link = Link::Identity;
        assert!(ForestModel::new(&trees[..1], Combine::Sum { base, link }).is_err());
    }
}

#[test]
fn damaged_files_are_errors() {
    let good = json!({
        "n_features": 2,
        "n_outputs": 1,
        "combine": {"sum": {"base": [0.5], "link": "logistic"}},
        "trees": [{
            "features": [1, -1, -1],
            "thresholds": [0.5],
            "children": [[1, 2]],
            "outputs": [0.25, 0.75],
        }],
    });
    let load = |value: &Value| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(HEADER), value.to_string()).unwrap();
        ForestModel::load(dir.path(), &Loaders::default())
    };
    let model = load(&good).unwrap();
    assert_eq!((model.n_trees(), model.format()), (1, "fourfold.forest.v2"));
    // The bits of the release that wrote it.
    let outputs = model
        .predict(&array![[0.0_f32, 0.5], [0.0, 0.75]].into())
        .unwrap();
    let sigmoid = |score: f64| 1.0 / (1.0 + (-score).exp());
    assert_eq!(outputs, array![[sigmoid(0.75)], [sigmoid(1.25)]]);
    let bad = [
        ("/n_features", json!(1)),
        ("/n_outputs", json!(0)),
        ("/n_outputs", json!(3)),
        ("/combine", json!({"sum": {"base": [], "link": "logistic"}})),
        ("/combine", json!("product")),
        ("/trees", json!([])),
        ("/trees/0/features", json!([])),
        ("/trees/0/features", json!([2, -1, -1])),
        ("/trees/0/features", json!([1, 1, -1])),
        ("/trees/0/features", json!([-1, -1, -1])),
        ("/trees/0/features/0", json!(i64::MAX)),
        ("/trees/0/thresholds", json!([])),
        ("/trees/0/thresholds", json!([0.5, 0.5])),
        ("/trees/0/thresholds", json!([1e300])),
        ("/trees/0/children", json!([[0, 0]])),
        ("/trees/0/children", json!([[1, 3]])),
        ("/trees/0/children", json!([[1, u64::MAX]])),
        ("/trees/0/children", json!([])),
        ("/trees/0/outputs", json!([0.25])),
        ("/trees/0/outputs", json!([0.25, 0.5, 0.75])),
        ("/trees/0/outputs", json!([0.25, null])),
    ];
    for (place, value) in bad {
        let mut damaged = good.clone();
        *damaged.pointer_mut(place).unwrap() = value;
        let error = load(&damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged}: {error}");
    }
}

#[test]
fn damaged_trees_are_errors() {
    let forest = ForestModel::new(&[tree(2, 1, &[(1, 0.0, 1.0)])], Combine::Mean).unwrap();
    let dir = tempfile::tempdir().unwrap();
    forest.save(dir.path()).unwrap();
    let load = || ForestModel::load(dir.path(), &Loaders::default());
    assert_eq!(load().unwrap(), forest);
    let bytes = std::fs::read(dir.path().join(TREES)).unwrap();
    for n in 0..bytes.len() {
        std::fs::write(dir.path().join(TREES), &bytes[..n]).unwrap();
        assert_eq!(load().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    std::fs::write(dir.path().join(TREES), bytes).unwrap();
    let header = |header: Value| {
        std::fs::write(dir.path().join(HEADER), header.to_string()).unwrap();
        load().map(|_| ()).map_err(|error| error.kind())
    };
    let good = json!({"n_features": 2, "combine": "mean", "columns": null});
    assert_eq!(header(good.clone()), Ok(()));
    let columns =
        json!({"n_features": 4, "combine": "mean", "columns": ["number", {"category": 3}]});
    assert_eq!(header(columns), Ok(()));
    for (place, value) in [
        ("/n_features", json!(3)),
        ("/n_features", json!(-1)),
        ("/combine", json!({"sum": {"base": [], "link": "log"}})),
        ("/columns", json!(["number"])),
        ("/columns", json!(["number", {"sparse": u32::MAX}])),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        assert_eq!(header(bad.clone()), Err(ErrorKind::Corrupt), "{bad}");
    }
}
