use ndarray::array;

use super::*;

fn columns() -> Features {
    let mut layout = Layout::new();
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    layout.push(
        "x".into(),
        named(&["x"]),
        FeatureKind::Number,
        named(&["x"]),
    );
    layout.push(
        "c".into(),
        named(&["raw"]),
        FeatureKind::Category,
        named(&["c=a", "c=b", "c=<other>"]),
    );
    layout.push(
        "y".into(),
        named(&["y"]),
        FeatureKind::Number,
        named(&["y"]),
    );
    layout.push(
        "w".into(),
        named(&["text"]),
        FeatureKind::Sparse,
        named(&["w0", "w1"]),
    );
    let mut features = FeaturesMut::new(&Arc::new(layout), 3);
    for (block, codes) in [(0..2, vec![1, MISSING_CODE]), (2..3, vec![2])] {
        let n = block.len();
        let value = |row: usize| row as f32 + 0.5;
        for (cell, row) in features.numbers(0, n).iter_mut().zip(block.clone()) {
            *cell = value(row);
        }
        features.codes(1, n).copy_from_slice(&codes);
        features.numbers(2, n).fill(f32::NAN);
        for row in block {
            let ids = (0..row as u32).rev().map(|id| (id, 10.0 + id as f32));
            features.push_sparse(3, ids);
        }
        features.advance(n);
    }
    features.finish()
}

/// NaN as a number that compares.
fn shown(matrix: ArrayView2<'_, f32>) -> Array2<f32> {
    matrix.mapv(|x| if x.is_nan() { -1.0 } else { x })
}

#[test]
fn a_matrix_is_a_view_of_columns() {
    let features = columns();
    let expected = array![
        [0.5, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0],
        [1.5, 0.0, 0.0, 0.0, -1.0, 10.0, 0.0],
        [2.5, 0.0, 0.0, 1.0, -1.0, 10.0, 11.0]
    ];
    assert_eq!(shown(features.matrix()), expected);
    assert_eq!((features.n_rows(), features.n_features()), (3, 7));
    let widths: Vec<usize> = features.columns().iter().map(Column::width).collect();
    assert_eq!(widths, [1, 3, 1, 2]);
    assert_eq!(features.info()[1].raw, ["raw"]);
    assert_eq!(features.info()[3].first, 5);
}

#[test]
fn parts_make_a_whole() {
    let part = columns();
    let whole = Features::concat(&[&part, &part, &part]).unwrap();
    let expected = concatenate(Axis(0), &[part.matrix(); 3]).unwrap();
    assert_eq!(shown(whole.matrix()), shown(expected.view()));
    let other = Features::from(array![[1.0_f32]]);
    assert!(Features::concat(&[&part, &other]).is_err());
    assert!(Features::concat(&[]).is_err());
}

#[test]
fn columns_of_a_matrix_are_numbers() {
    let features = Features::from(array![[1.0_f32, 2.0], [3.0, 4.0]]);
    match features.columns()[..] {
        [Column::Numbers(a), Column::Numbers(b)] => {
            assert_eq!((a, b), (&[1.0, 3.0][..], &[2.0, 4.0][..]))
        }
        ref other => panic!("{other:?}"),
    }
    assert_eq!(Features::from(Array2::zeros((0, 2))).columns().len(), 2);
    assert!(features.rows().is_err());
}
