//! Steps of several columns, lists, and the rows of the table of missing and odd values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, LargeListArray, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::Int64Type;

use crate::accumulate::Accumulate;
use crate::error::Result;
use crate::transform::custom::Nothing;
use crate::transform::ops::{Bucketize, MinMax, ZScore};
use crate::transform::{CustomOperation, FittedTransform, Operations, Roles, Transform};

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn floats<const N: usize>(values: [f64; N]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts<const N: usize>(values: [Option<&str>; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// A fitted transform that is the same after saving and loading.
#[track_caller]
fn fit(transform: &Transform, rows: &RecordBatch) -> FittedTransform {
    let fitted = transform.fit(std::slice::from_ref(rows)).unwrap();
    let saved = serde_json::to_string(&fitted).unwrap();
    let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded, fitted, "{saved}");
    let configured = serde_json::to_string(transform).unwrap();
    let configured: Transform = serde_json::from_str(&configured).unwrap();
    assert_eq!(&configured, transform);
    loaded
}

#[track_caller]
fn column(fitted: &FittedTransform, rows: &RecordBatch) -> Vec<f32> {
    let features = fitted.apply(rows).unwrap();
    assert_eq!(features.ncols(), 1, "{:?}", fitted.features());
    features.column(0).to_vec()
}

#[track_caller]
fn refusal(transform: &Transform, rows: &RecordBatch) -> String {
    let error = transform.fit(std::slice::from_ref(rows)).unwrap_err();
    error.to_string()
}

#[test]
fn learners_of_one_kind_on_one_column_are_shared() {
    let rows = batch([("x", floats([1.0, 2.0, 3.0]))]);
    let transform = Transform::new()
        .step_to("x", "a", ZScore {})
        .step_to("x", "b", MinMax {})
        .step_to("x", "c", Bucketize { n_buckets: 2 })
        .robust_scale("x");
    let mut fitting = transform.fitting(&rows.schema(), Roles::default()).unwrap();
    let pass = fitting.pass().unwrap().unwrap();
    let learners = serde_json::to_value(&pass).unwrap();
    assert_eq!(
        learners["learners"].as_array().unwrap().len(),
        2,
        "{learners}"
    );
    fit(&transform, &rows);
}

#[test]
fn robust_scaling_of_a_constant_takes_the_median_away() {
    let rows = batch([("x", floats([7.0, 7.0]))]);
    let fitted = fit(&Transform::new().robust_scale("x"), &rows);
    assert_eq!(
        column(&fitted, &batch([("x", floats([7.0, 9.0]))])),
        [0.0, 2.0]
    );
}

#[test]
fn keys_that_training_has_not_seen_are_scaled_by_all_rows() {
    let keys = texts([Some("a"), Some("a"), Some("b"), Some("b"), None, Some("c")]);
    let rows = batch([
        ("x", floats([0.0, 10.0, 100.0, 100.0, 40.0, f64::NAN])),
        ("key", keys),
    ]);
    let fitted = fit(&Transform::new().min_max_per_key("x", "key"), &rows);
    let odd = texts([Some("a"), Some("b"), Some("never"), None, Some("c")]);
    let odd = batch([("x", floats([5.0, 101.0, 50.0, 25.0, 75.0])), ("key", odd)]);
    // `b` is constant; `c` had no finite number; the rest is scaled by 0 ..= 100.
    assert_eq!(column(&fitted, &odd), [0.5, 1.0, 0.5, 0.25, 0.75]);
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 2, 2, 3, 3]));
    let rows = batch([
        ("x", floats([0.0, 2.0, 10.0, 30.0, 5.0, 5.0])),
        ("key", whole),
    ]);
    let fitted = fit(&Transform::new().z_score_per_key("x", "key"), &rows);
    assert_eq!(column(&fitted, &rows), [-1.0, 1.0, -1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_key_column_of_floats_is_refused() {
    let rows = batch([("x", floats([1.0])), ("key", floats([0.5]))]);
    let refused = refusal(&Transform::new().z_score_per_key("x", "key"), &rows);
    assert_eq!(
        refused,
        "transform of `x`, `key`: this step takes text, whole numbers or booleans, the column is of type float; bucketize a column of floats first"
    );
}

#[test]
fn given_boundaries_learn_nothing() {
    let rows = batch([("x", floats([4.0, f64::NAN, 7.5, 10.0]))]);
    let fitted = fit(&Transform::new().bucketize_at("x", [2.0, 5.0, 8.0]), &rows);
    assert_eq!(column(&fitted, &rows), [1.0, 3.0, 2.0, 3.0]);
    let fitted = fit(&Transform::new().interpolate_at("x", [5.0, 10.0]), &rows);
    assert_eq!(column(&fitted, &rows), [0.0, 0.5, 0.5, 1.0]);
    for (boundaries, why) in [
        (
            vec![],
            "the number of boundaries of bucketize is 0, must be at least 1",
        ),
        (
            vec![1.0, 1.0],
            "the boundaries of bucketize go from 1 to 1, must increase",
        ),
        (
            vec![f64::INFINITY],
            "a boundary of bucketize is inf, must be finite",
        ),
    ] {
        let error = Transform::new()
            .bucketize_at("x", boundaries)
            .check()
            .unwrap_err();
        assert_eq!(error.to_string(), format!("transform of `x`: {why}"));
    }
}

#[test]
fn interpolation_spreads_evenly() {
    let values = [1.0, 2.0, 4.0, 8.0, 16.0];
    let rows = batch([("x", floats(values))]);
    let fitted = fit(&Transform::new().interpolate("x", 4), &rows);
    assert_eq!(column(&fitted, &rows), [0.0, 0.25, 0.5, 0.75, 1.0]);
    let constant = batch([("x", floats([3.0, 3.0]))]);
    let fitted = fit(&Transform::new().interpolate("x", 4), &constant);
    assert_eq!(column(&fitted, &constant), [0.5, 0.5]);
}

#[test]
fn powers_and_logarithms() {
    let rows = batch([("x", floats([1.0, 4.0]))]);
    assert_eq!(
        column(&fit(&Transform::new().power("x", 0.5), &rows), &rows),
        [1.0, 2.0]
    );
    let logs = column(&fit(&Transform::new().log("x"), &rows), &rows);
    assert_eq!(logs, [0.0, 4_f64.ln() as f32]);
    let error = Transform::new().power("x", 0.0).check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: the exponent of power is 0, must be finite and not 0"
    );
    let fitted = fit(&Transform::new().log("x"), &rows);
    let error = fitted
        .apply(&batch([("x", floats([1.0, 0.0]))]))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("feature `x`: is -inf in row 1"),
        "{error}"
    );
}

#[test]
fn text_has_the_length_of_its_characters() {
    let rows = batch([("t", texts([Some("Zürich"), Some("")]))]);
    let fitted = fit(&Transform::new().text_length("t"), &rows);
    assert_eq!(fitted.features(), ["t_length"]);
    assert_eq!(column(&fitted, &rows), [6.0, 0.0]);
    let error = fitted.apply(&batch([("t", texts([None]))])).unwrap_err();
    assert!(error.to_string().contains("is NULL in row 0"), "{error}");
}

#[test]
fn crosses_are_categories_of_their_own() {
    let month: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None]));
    let road = texts([Some("air"), Some("road"), Some("air"), Some("air")]);
    let rows = batch([("month", month), ("road", road)]);
    let transform = Transform::new()
        .cross(["month", "road"])
        .one_hot("month_X_road");
    let fitted = fit(&transform, &rows);
    let names = ["1_X_air", "1_X_road", "2_X_air", "<other>"];
    assert_eq!(
        fitted.features(),
        names.map(|name| format!("month_X_road={name}"))
    );
    let features = fitted.apply(&rows).unwrap();
    assert_eq!(features.row(1).to_vec(), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(features.row(3).to_vec(), [0.0; 4]);
    let hashed = fit(&Transform::new().cross_hash(["month", "road"], 8), &rows);
    assert_eq!(hashed.apply(&rows).unwrap().sum(), 3.0);
    let error = Transform::new().cross(["month"]).check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `month`: 1 inputs, must be at least 2"
    );
}

#[test]
fn lists_are_multi_hot_in_every_layout() {
    let lists = [
        Some(vec![Some(1), Some(2), Some(2)]),
        None,
        Some(vec![Some(2), None]),
        Some(vec![]),
    ];
    let small: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
        lists.clone(),
    ));
    let large: ArrayRef = Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(
        lists,
    ));
    let rows = batch([("stops", small)]);
    let fitted = fit(&Transform::new().multi_hot_top("stops", 1), &rows);
    assert_eq!(fitted.features(), ["stops=2", "stops=<other>"]);
    let expected = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]];
    for rows in [rows, batch([("stops", large)])] {
        let features = fitted.apply(&rows).unwrap();
        let found: Vec<Vec<f32>> = features
            .rows()
            .into_iter()
            .map(|row| row.to_vec())
            .collect();
        assert_eq!(found, expected);
        let second = fitted.apply(&rows.slice(2, 1)).unwrap();
        assert_eq!(second.row(0).to_vec(), expected[2]);
    }
    let scalar = batch([("stops", texts([Some("2")]))]);
    let error = fitted.apply(&scalar).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `stops` is of type text, the transform was fitted on lists of integer"
    );
    let refused = refusal(&Transform::new().multi_hot("stops"), &scalar);
    assert_eq!(
        refused,
        "transform of `stops`: this step takes a column of lists, the column is of type text"
    );
}

#[test]
fn many_rows_are_as_few_rows() {
    let n = 3_001;
    let numbers = (0..n).map(|i| (i % 9 != 0).then_some(f64::from(i % 100)));
    let keys = (0..n).map(|i| (i % 7 != 0).then(|| format!("k{}", i % 30)));
    let lists = (0..n).map(|i| (i % 5 != 0).then(|| vec![Some(i64::from(i % 3)); i as usize % 4]));
    let rows = batch([
        ("x", Arc::new(Float64Array::from_iter(numbers))),
        ("key", Arc::new(StringArray::from_iter(keys))),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
        ),
    ]);
    let transform = Transform::new()
        .cross_hash(["key", "l"], 4)
        .one_hot("key")
        .multi_hot("l");
    assert!(refusal(&transform, &rows).contains("the column is of lists of integer"));
    let transform = Transform::new()
        .impute("x", crate::transform::Fill::Median)
        .z_score_per_key("x", "key")
        .one_hot("key")
        .multi_hot("l");
    let fitted = fit(&transform, &rows);
    let all = fitted.apply(&rows).unwrap();
    for row in (0..n as usize).step_by(97) {
        let one = fitted.apply(&rows.slice(row, 1)).unwrap();
        assert_eq!(one.row(0), all.row(row));
    }
    let fitted = fit(&Transform::new().number("x"), &rows);
    let error = fitted.apply(&rows.slice(1, 3_000)).unwrap_err();
    assert!(error.to_string().contains("is NULL in row 8 "), "{error}");
}

/// Sum and difference of two numbers.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct SumAndDifference;

impl CustomOperation for SumAndDifference {
    const NAME: &'static str = "test.sum_and_difference.v1";
    type Learned = Nothing;
    type Fitted = ();

    fn learner(&self) -> Nothing {
        Nothing
    }

    fn fit(&self, _learned: Nothing) -> Result<()> {
        Ok(())
    }

    fn apply((): &(), inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        use arrow::compute::kernels::numeric::{add, sub};
        Ok(vec![
            add(&inputs[0], &inputs[1])?,
            sub(&inputs[0], &inputs[1])?,
        ])
    }
}

/// The mean of the label.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct MeanLabel;

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Sum(f64, u64);

impl Accumulate for Sum {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        use arrow::array::AsArray;
        assert_eq!(batch.num_columns(), 2);
        let label = batch
            .column(1)
            .as_primitive::<arrow::datatypes::Float64Type>();
        label.iter().flatten().for_each(|value| self.0 += value);
        self.1 += batch.num_rows() as u64;
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        *self = Sum(self.0 + other.0, self.1 + other.1);
        Ok(())
    }
}

impl CustomOperation for MeanLabel {
    const NAME: &'static str = "test.mean_label.v1";
    const NEEDS_LABEL: bool = true;
    type Learned = Sum;
    type Fitted = f64;

    fn learner(&self) -> Sum {
        Sum::default()
    }

    fn fit(&self, Sum(sum, n): Sum) -> Result<f64> {
        Ok(sum / n as f64)
    }

    fn apply(mean: &f64, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Float64Array::from(vec![
            *mean;
            inputs[0].len()
        ]))])
    }
}

#[test]
fn an_operation_of_ones_own_writes_several_columns() {
    let rows = batch([("a", floats([5.0, 7.0])), ("b", floats([1.0, 2.0]))]);
    let transform = Transform::new()
        .custom(["a", "b"], ["sum", "difference"], SumAndDifference)
        .z_score("sum");
    let fitted = transform.fit(std::slice::from_ref(&rows)).unwrap();
    assert_eq!(fitted.features(), ["sum", "difference"]);
    let features = fitted.apply(&rows).unwrap();
    assert_eq!(features.row(1).to_vec(), [1.0, 5.0]);

    let saved = serde_json::to_string(&fitted).unwrap();
    let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
    let error = loaded.apply(&rows).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `a`, `b`: the operation `test.sum_and_difference.v1` was loaded without its code; register it with `FittedTransform::with_operations`"
    );
    let error = loaded
        .clone()
        .with_operations(&Operations::new().with::<MeanLabel>())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "operation `test.sum_and_difference.v1` is not registered; registered are test.mean_label.v1; register it with `Operations::with`"
    );
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    let loaded = loaded.with_operations(&fitted.operations()).unwrap();
    assert_eq!(loaded.apply(&rows).unwrap(), features);

    // The same applies to a configuration file.
    let configured = serde_json::to_string(&transform).unwrap();
    let configured: Transform = serde_json::from_str(&configured).unwrap();
    assert!(refusal(&configured, &rows).contains("was loaded without its code"));
    let configured = configured.with_operations(&fitted.operations()).unwrap();
    assert_eq!(configured.fit(std::slice::from_ref(&rows)).unwrap(), fitted);

    let one = Transform::new().custom(["a", "b"], ["sum"], SumAndDifference);
    assert_eq!(
        refusal(&one, &rows),
        "transform of `a`, `b`: the operation `test.sum_and_difference.v1` made 2 columns, the step has 1 output"
    );
}

#[test]
fn a_pass_sees_the_label_where_a_step_needs_it() {
    let rows = batch([("a", floats([5.0, 7.0])), ("y", floats([1.0, 2.0]))]);
    let transform = Transform::new()
        .custom(["a"], ["mean"], MeanLabel)
        .number("a");
    assert!(transform.needs_label() && !Transform::new().number("a").needs_label());
    assert_eq!(
        refusal(&transform, &rows),
        "transform of `a`: it learns from the label, and there is none"
    );
    let fitting = transform
        .fitting(&rows.schema(), Roles::label("y"))
        .unwrap();
    assert_eq!(fitting.columns(), ["a", "y"]);
    let parts = [rows.slice(0, 1), rows.slice(1, 1)];
    let fitted = transform.fit_with(&parts, Roles::label("y")).unwrap();
    assert_eq!(fitted.inputs().len(), 1);
    let features = fitted.apply(&batch([("a", floats([9.0]))])).unwrap();
    assert_eq!(features.row(0).to_vec(), [1.5, 9.0]);

    // A part that was read from bytes merges into one that has its code.
    let mut fitting = transform
        .fitting(&rows.schema(), Roles::label("y"))
        .unwrap();
    let mut whole = fitting.pass().unwrap().unwrap();
    let mut part = whole.clone();
    part.update(&rows).unwrap();
    let travelled = crate::transform::FitPass::from_state(&part.state().unwrap()).unwrap();
    whole.merge(travelled).unwrap();
    fitting.absorb(whole).unwrap();
    assert_eq!(fitting.finish().unwrap(), fitted);
}

#[test]
fn a_transform_that_reads_its_label_is_refused() {
    let rows = batch([("y", floats([1.0]))]);
    let error = Transform::new()
        .number("y")
        .fit_with(&[rows], Roles::label("y"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the transform reads the label `y`; a feature must be known before the label is"
    );
}
