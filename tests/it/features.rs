//! Features as columns and as a matrix are the same.

use std::sync::Arc;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use fourfold::examples::Examples;
use fourfold::features::{Column, FeatureKind, Features, Takes};
use fourfold::model::{ClassWeights, Target, Weighting};
use fourfold::ndarray::{Array2, ArrayView2, Axis};
use fourfold::prelude::*;
use fourfold::statistics::StatisticsAccumulator;
use fourfold::training::Dataset;
use fourfold::transform::{FittedTransform, Roles};

/// Numbers with gaps, text with gaps, lists with gaps and repeats, and a label.
fn rows(n: usize) -> RecordBatch {
    let colours = ["red", "green", "blue", "grey", "pink"];
    let real = (0..n).map(|i| (i % 7 != 3).then_some((i * 37 % 101) as f64 - 50.0));
    let hour = (0..n).map(|i| (i * 5 % 24) as i64);
    let colour = (0..n).map(|i| (i % 9 != 4).then_some(colours[i * 3 % 5]));
    let mut tags = ListBuilder::new(StringBuilder::new());
    for i in 0..n {
        for j in 0..i % 4 {
            tags.values().append_value(colours[(i + j * j) % 5]);
        }
        tags.append(i % 11 != 0);
    }
    let label = (0..n).map(|i| if i * 13 % 10 < 4 { "yes" } else { "no" });
    let columns: [(&str, ArrayRef); 5] = [
        ("real", Arc::new(Float64Array::from_iter(real))),
        ("hour", Arc::new(Int64Array::from_iter_values(hour))),
        ("colour", Arc::new(StringArray::from_iter(colour))),
        ("tags", Arc::new(tags.finish())),
        ("label", Arc::new(StringArray::from_iter_values(label))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Every kind of feature.
fn fitted(rows: &RecordBatch) -> FittedTransform {
    let transform = Transform::new()
        .missing_indicator("real")
        .step_to(
            "real",
            "filled",
            fourfold::transform::ops::Impute { fill: Fill::Median },
        )
        .z_score("filled")
        .cyclic("hour", 24.0)
        .step_to(
            "colour",
            "hashed",
            fourfold::transform::ops::HashBuckets {
                n_buckets: 3,
                key: 0,
            },
        )
        .step_to(
            "colour",
            "coded",
            fourfold::transform::ops::TargetEncode::default(),
        )
        .one_hot("colour")
        .step_to(
            "tags",
            "counted",
            fourfold::transform::ops::HashBuckets {
                n_buckets: 2,
                key: 0,
            },
        )
        .multi_hot("tags");
    transform
        .fit_with(std::slice::from_ref(rows), Roles::label("label"))
        .unwrap()
}

fn bits(matrix: ArrayView2<'_, f32>) -> Vec<u32> {
    matrix.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn columns_expand_to_the_matrix() {
    let rows = rows(1_300);
    let transform = fitted(&rows);
    let matrix = transform.apply(&rows).unwrap();
    let columns = transform.apply_as(&rows, Takes::CODES).unwrap();
    assert_eq!(bits(columns.matrix()), bits(matrix.view()));
    assert_eq!(columns.names(), transform.features());
    for row in [0, 3, 511, 512, 1_299] {
        let alone = transform
            .apply_as(&rows.slice(row, 1), Takes::CODES)
            .unwrap();
        assert_eq!(
            bits(alone.matrix()),
            bits(matrix.slice_axis(Axis(0), (row..=row).into()))
        );
    }
    let training = transform.apply_training(&rows).unwrap();
    let columns = transform.apply_training_as(&rows, Takes::CODES).unwrap();
    assert_eq!(bits(columns.matrix()), bits(training.view()));
    assert_ne!(bits(training.view()), bits(matrix.view()), "folds matter");
}

#[test]
fn features_say_what_they_are() {
    let transform = fitted(&rows(200));
    let said: Vec<(&str, FeatureKind, usize, &str)> = transform
        .info()
        .iter()
        .map(|feature| {
            (
                feature.name.as_str(),
                feature.kind,
                feature.width,
                feature.raw[0].as_str(),
            )
        })
        .collect();
    let expected = [
        ("real_missing", FeatureKind::Number, 1, "real"),
        ("filled", FeatureKind::Number, 1, "real"),
        ("hour_sin", FeatureKind::Number, 1, "hour"),
        ("hour_cos", FeatureKind::Number, 1, "hour"),
        ("hashed", FeatureKind::Category, 3, "colour"),
        ("coded", FeatureKind::Number, 1, "colour"),
        ("colour", FeatureKind::Category, 6, "colour"),
        ("counted", FeatureKind::Sparse, 2, "tags"),
        ("tags", FeatureKind::Sparse, 6, "tags"),
    ];
    assert_eq!(said, expected);
    let features = transform.apply_as(&rows(5), Takes::CODES).unwrap();
    let sparse = features
        .columns()
        .into_iter()
        .filter_map(|column| match column {
            Column::Sparse { offsets, ids, .. } => Some((offsets, ids)),
            _ => None,
        });
    for (offsets, ids) in sparse {
        assert_eq!(offsets.len(), 6);
        assert!(offsets.windows(2).all(|ends| {
            ids[ends[0]..ends[1]]
                .windows(2)
                .all(|pair| pair[0] < pair[1])
        }));
    }
}

#[test]
fn what_is_missing_is_nan_for_those_who_take_it() {
    let rows = rows(20);
    let transform = Transform::new().number("real").one_hot("colour");
    let transform = transform.fit(std::slice::from_ref(&rows)).unwrap();
    for takes in [
        Takes::FINITE,
        Takes {
            missing: false,
            ..Takes::CODES
        },
    ] {
        let error = transform.apply_as(&rows, takes).unwrap_err();
        assert!(
            error.message().contains("`real`: is NULL in row 3"),
            "{error}"
        );
    }
    for takes in [Takes::MISSING, Takes::CODES] {
        let features = transform.apply_as(&rows, takes).unwrap();
        let gaps: Vec<usize> = (0..20)
            .filter(|row| features.matrix()[[*row, 0]].is_nan())
            .collect();
        assert_eq!(gaps, [3, 10, 17]);
    }
    let infinite: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0, f64::NAN]));
    let infinite = RecordBatch::try_from_iter([
        ("real", infinite),
        ("colour", Arc::new(StringArray::from(vec!["red"; 3])) as _),
    ])
    .unwrap();
    let features = transform.apply_as(&infinite, Takes::MISSING).unwrap();
    let column: Vec<bool> = features
        .matrix()
        .column(0)
        .iter()
        .map(|x| x.is_nan())
        .collect();
    assert_eq!(column, [true, false, true]);
}

#[test]
fn raw_rows_pass_through() {
    let rows = rows(4);
    let input = |name: &str, field_type| fourfold::transform::InputColumn::new(name, field_type);
    let text = fourfold::schema::FieldType::Text;
    let transform =
        FittedTransform::of_rows(vec![input("colour", text), input("label", text)]).unwrap();
    let features = transform.apply_as(&rows, Takes::ROWS).unwrap();
    assert_eq!((features.n_rows(), features.n_features()), (4, 0));
    let passed = features.rows().unwrap();
    assert_eq!((passed.num_columns(), passed.num_rows()), (2, 4));
    assert_eq!(passed.column_by_name("label"), rows.column_by_name("label"));
    assert!(Features::from(Array2::zeros((1, 1))).rows().is_err());
}

#[test]
fn a_table_has_the_rows_of_the_matrix() {
    let all = rows(900);
    let transform = Arc::new(fitted(&all));
    let target = Target::classification("label", ["no", "yes"]).unwrap();
    let batches = vec![
        all.slice(0, 10),
        all.slice(10, 0),
        all.slice(10, 700),
        all.slice(710, 190),
    ];
    let examples = Examples::from_batches(all.schema(), batches).unwrap();
    let mut statistics = StatisticsAccumulator::new(&all.schema());
    statistics.update(&all).unwrap();
    let statistics = statistics.finish();
    let label = statistics.column("label").unwrap();
    let weights = Weighting::new(Some(&ClassWeights::Balanced), &target, label).unwrap();
    let even = Dataset::new(examples, transform, Arc::new(target)).to_train();
    for data in [even.clone(), even.weighted(weights)] {
        let matrix = data.matrix().unwrap();
        for takes in [Takes::FINITE, Takes::CODES] {
            let table = data.table(takes).unwrap();
            assert_eq!(bits(table.features().matrix()), bits(matrix.features()));
            assert_eq!(table.labels(), matrix.labels());
            assert_eq!(table.weights(), matrix.weights());
            assert_eq!(table.classes().unwrap(), matrix.classes().unwrap());
        }
    }
}
