//! Contributions beside those of PyPI's shap: numbers by `scripts/shap_reference.py`.

use super::*;

/// A node, breadth first: feature, threshold and the place of the first child; or output and cover.
enum At {
    Split(u32, f64, u32),
    Leaf(f64, f32),
}
use At::{Leaf, Split};

const TREES: [&[At]; 4] = [
    &[
        Split(0, 0.39843750000000006, 1),
        Leaf(-0.15728155339805827, 103.0),
        Split(0, 0.7890625000000001, 3),
        Split(3, 0.10156250000000001, 5),
        Leaf(0.19393939393939397, 198.0),
        Split(2, 0.08593750000000001, 7),
        Leaf(0.15555555555555556, 45.0),
        Leaf(0.1999999999999998, 13.0),
        Split(1, 0.5390625000000001, 9),
        Leaf(0.04444444444444445, 18.0),
        Leaf(-0.18260869565217389, 23.0),
    ],
    &[
        Split(0, 0.39843750000000006, 1),
        Leaf(-0.1424631663053686, 103.0),
        Split(0, 0.7890625000000001, 3),
        Split(3, 0.10156250000000001, 5),
        Leaf(0.17625301879775634, 198.0),
        Split(2, 0.08593750000000001, 7),
        Leaf(0.14088010070654008, 45.0),
        Leaf(0.18187308119005752, 13.0),
        Split(1, 0.5390625000000001, 9),
        Leaf(0.04002048337982871, 18.0),
        Leaf(-0.1657727177124434, 23.0),
    ],
    &[
        Split(0, 0.6171875000000001, 1),
        Split(0, 0.30468750000000006, 3),
        Split(0, 0.7890625000000001, 5),
        Leaf(-0.16374498812851856, 79.0),
        Split(2, 0.19531250000000003, 7),
        Leaf(0.09814520561740767, 44.0),
        Leaf(0.16278951307708414, 198.0),
        Leaf(0.12342492525149301, 33.0),
        Split(3, 0.11718750000000001, 9),
        Leaf(-0.14461562016712898, 29.0),
        Leaf(0.02734970383552737, 17.0),
    ],
    &[
        Split(0, 0.49218750000000006, 1),
        Split(0, 0.30468750000000006, 3),
        Split(0, 0.7890625000000001, 5),
        Leaf(-0.15222819827465878, 79.0),
        Split(2, 0.16406250000000003, 7),
        Split(1, 0.5390625000000001, 9),
        Leaf(0.1521839343884831, 198.0),
        Leaf(0.14201339344088712, 16.0),
        Leaf(-0.0854061918788662, 32.0),
        Leaf(0.15131700245098828, 36.0),
        Leaf(-0.019862369883489037, 39.0),
    ],
];

/// Rows, with what each feature contributes and the mean.
const ROWS: [([f32; 4], [f64; 5]); 4] = [
    (
        [0.34375, 0.375, 0.375, 0.125],
        [
            -0.618601408839,
            0.0172988432579,
            -0.0822049965335,
            0.0744230978076,
            0.25128325656,
        ],
    ),
    (
        [0.40625, 0.203125, 0.109375, 0.09375],
        [
            -0.0612300324803,
            0.121593919933,
            0.122491761447,
            -0.0842356589437,
            0.25128325656,
        ],
    ),
    (
        [1.40625, 0.953125, 0.171875, 0.15625],
        [
            0.41706583844,
            -0.0147104317298,
            -0.00123533359855,
            0.0327625305308,
            0.25128325656,
        ],
    ),
    (
        [0.59375, 0.734375, 0.21875, 0.0],
        [
            -0.303658341772,
            -0.13741571501,
            -0.146782250866,
            -0.176286352327,
            0.25128325656,
        ],
    ),
];

#[test]
fn contributions_are_those_of_shap() {
    let mut builder = ForestBuilder::new(4, 1, 1);
    for tree in TREES {
        let nodes: Vec<Node> = (tree.iter())
            .map(|at| match at {
                Split(feature, threshold, first) => Node::Split {
                    feature: *feature,
                    rule: Rule::AtMost {
                        threshold: *threshold as f32,
                        missing_below: false,
                    },
                    children: [*first, first + 1],
                    gain: 0.0,
                },
                Leaf(output, cover) => Node::Leaf {
                    outputs: vec![*output],
                    cover: *cover,
                },
            })
            .collect();
        builder.push(&nodes).unwrap();
    }
    let forest = builder.finish();
    for (row, expected) in ROWS {
        let mut found = vec![0.0; 5];
        forest.add_contributions(&row, &mut found).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            // Covers are single, shares of them too.
            assert!(
                (found - expected).abs() < 1e-6,
                "{found}, must be {expected}"
            );
        }
    }
}
