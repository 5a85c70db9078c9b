//! Vocabularies, against the numbers of TensorFlow Transform's own tests.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, RecordBatch, StringArray};

use super::text::{batch, fit, fit_with, lists, rows_of, texts, whole};
use crate::schema::FieldType;
use crate::transform::learn::{Learn, Rows};
use crate::transform::ops::{FittedOp, Terms};
use crate::transform::term_table::TermTable;
use crate::transform::value::Value;
use crate::transform::{Roles, Transform};

/// The terms of a vocabulary, in order.
#[track_caller]
fn terms(rows: &RecordBatch, column: &str, terms: Terms) -> Vec<String> {
    let transform = Transform::new().vocabulary(column, terms);
    let fitted = fit_with(
        &transform,
        rows,
        Roles {
            label: rows.column_by_name("label").map(|_| "label"),
        },
    );
    match &fitted.steps()[0].op {
        FittedOp::Vocabulary(ids) => ids.terms.values.values().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn terms_are_ordered_by_count_and_ties_by_value() {
    assert_eq!(
        terms(&batch([("x", whole(&[1, 2, 2, 3]))]), "x", Terms::all()),
        ["2", "1", "3"]
    );
    assert_eq!(
        terms(&batch([("x", whole(&[111, 2, 2, 3]))]), "x", Terms::top(2)),
        ["2", "111"]
    );
    let rows = batch([("x", texts(&["hi", "ho ho", "ho ho"]))]);
    assert_eq!(terms(&rows, "x", Terms::all()), ["ho ho", "hi"]);
}

#[test]
fn values_of_lists_become_ids_by_rank_and_frequency() {
    let rows = batch([(
        "x",
        lists(&[
            &["hello", "hello", "world"],
            &["hello", "goodbye", "world"],
            &["hello", "goodbye", "foo"],
        ]),
    )]);
    let ids = |terms| -> Vec<Vec<i64>> {
        let transform = Transform::new().vocabulary_or("x", terms, -99);
        let op = transform.steps()[0].op.operation();
        let mut learner = op.learner().unwrap();
        let value = Value::of(Arc::clone(rows.column(0)), FieldType::Text).unwrap();
        let seen = Rows {
            inputs: &[&value],
            label: None,
            folds: None,
        };
        learner.update(seen).unwrap();
        let op = op.fit(&learner).unwrap();
        let made = op.apply().apply(&[&value]).unwrap().to_array().unwrap();
        let made: &ListArray = made.as_list();
        made.iter()
            .map(|row| {
                let row = row.unwrap();
                let row = row.as_primitive::<arrow::datatypes::Float64Type>();
                row.iter().map(|id| id.unwrap() as i64).collect()
            })
            .collect()
    };
    // hello 4, goodbye and world 2, foo 1; the reference has world before goodbye.
    assert_eq!(ids(Terms::top(2)), [[0, 0, -99], [0, 1, -99], [0, 1, -99]]);
    assert_eq!(
        ids(Terms::all().min_count(2)),
        [[0, 0, 2], [0, 1, 2], [0, 1, -99]]
    );
    assert_eq!(ids(Terms::all().min_count(77)), [[-99; 3]; 3]);
}

#[test]
fn unknown_values_share_buckets_and_missing_ones_have_no_id() {
    let rows = batch([("x", texts(&["a", "a", "b", "b", "c"]))]);
    let fitted = fit(
        &Transform::new().vocabulary("x", Terms::top(2).oov(3)),
        &rows,
    );
    let some: Vec<String> = (0..40).map(|n| format!("new {n}")).collect();
    let some: Vec<&str> = some.iter().map(String::as_str).collect();
    let found: Vec<f32> = rows_of(&fitted, &batch([("x", texts(&some))])).concat();
    assert!(
        [2.0, 3.0, 4.0].iter().all(|id| found.contains(id)),
        "{found:?}"
    );
    assert!(found.iter().all(|id| (2.0..=4.0).contains(id)), "{found:?}");
    let missing: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let error = fitted
        .apply(&batch([("x", missing)]))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("feature `x`: is NULL in row 1"),
        "{error}"
    );
    // Ids are numbers for what follows.
    let chain = Transform::new().vocabulary("x", Terms::top(1)).one_hot("x");
    let fitted = fit(&chain, &rows);
    assert_eq!(fitted.features(), ["x=-1", "x=0", "x=<other>"]);
}

#[test]
fn one_hot_of_terms() {
    let rows = batch([("x", texts(&["a", "a", "b", "b", "c"]))]);
    let fitted = fit(
        &Transform::new().one_hot_of("x", Terms::all().min_count(2)),
        &rows,
    );
    assert_eq!(fitted.features(), ["x=a", "x=b"]);
    assert_eq!(
        rows_of(&fitted, &rows.slice(3, 2)),
        [[0.0, 1.0], [0.0, 0.0]]
    );
    let fitted = fit(
        &Transform::new().one_hot_of("x", Terms::top(1).oov(2)),
        &rows,
    );
    assert_eq!(fitted.features(), ["x=a", "x=<other 0>", "x=<other 1>"]);
    assert!(
        rows_of(&fitted, &rows)
            .iter()
            .all(|row| row.iter().sum::<f32>() == 1.0)
    );
    let none = Transform::new().one_hot_of("x", Terms::all().min_count(77));
    assert_eq!(
        none.fit(std::slice::from_ref(&rows))
            .unwrap_err()
            .to_string(),
        "transform of `x`: no value occurs at least 77 times in the training split, so there is no feature"
    );
}

fn informative() -> RecordBatch {
    let values = [("informative", 3), ("uninformative", 4), ("rare", 2)];
    let values: Vec<&str> = values
        .iter()
        .flat_map(|(value, n)| vec![*value; *n])
        .collect();
    batch([
        ("x", texts(&values)),
        ("label", whole(&[1, 1, 1, 0, 1, 1, 0, 0, 1])),
    ])
}

fn greetings() -> RecordBatch {
    let values = [("hello", 3), ("aaaaa", 4), ("goodbye", 5)];
    let values: Vec<&str> = values
        .iter()
        .flat_map(|(value, n)| vec![*value; *n])
        .collect();
    batch([
        ("x", texts(&values)),
        ("label", whole(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0])),
    ])
}

fn information(rows: &RecordBatch, adjusted: bool) -> Vec<(String, f64)> {
    let mut table = TermTable::new(10, true);
    let value = Value::of(Arc::clone(rows.column(0)), FieldType::Text).unwrap();
    let label = Value::of(Arc::clone(rows.column(1)), FieldType::Integer).unwrap();
    let rows = Rows {
        inputs: &[&value],
        label: Some(&label),
        folds: None,
    };
    Learn::update(&mut table, rows).unwrap();
    let of =
        |(value, term): (&str, &_)| (value.to_owned(), table.mutual_information(term, adjusted));
    table.terms().into_iter().map(of).collect()
}

#[track_caller]
fn near(found: &[(String, f64)], expected: &[(&str, f64)]) {
    assert_eq!(found.len(), expected.len());
    for (value, expected) in expected {
        let (_, found) = found.iter().find(|(found, _)| found == value).unwrap();
        // The reference computes in single precision.
        assert!(
            (found - expected).abs() < 2e-4,
            "{value}: {found}, not {expected}"
        );
    }
}

#[test]
fn terms_are_ordered_by_mutual_information() {
    let expected = [
        ("informative", 1.754_826_4),
        ("uninformative", 0.339_85),
        ("rare", 0.169_925),
    ];
    near(&information(&informative(), false), &expected);
    let by = |rows: &RecordBatch, terms_of: Terms| terms(rows, "x", terms_of);
    assert_eq!(
        by(&informative(), Terms::all()),
        ["uninformative", "informative", "rare"]
    );
    assert_eq!(
        by(&informative(), Terms::all().by_mutual_information()),
        ["informative", "uninformative", "rare"]
    );
    let expected = [
        ("goodbye", 1.975_322_4),
        ("aaaaa", 1.660_070_7),
        ("hello", 1.245_053_1),
    ];
    near(&information(&greetings(), false), &expected);
    let expected = [
        ("goodbye", 1.407_079_4),
        ("aaaaa", 0.998_744_8),
        ("hello", 0.501_717_8),
    ];
    near(&information(&greetings(), true), &expected);
    let best = Terms::top(1).by_adjusted_mutual_information();
    assert_eq!(by(&greetings(), best), ["goodbye"]);
}

#[test]
fn mutual_information_counts_rows_of_lists_and_needs_a_label() {
    let once = lists(&[&["a", "b"], &["a"], &["b"], &[]]);
    let twice = lists(&[&["a", "b", "a", "a"], &["a", "a"], &["b"], &[]]);
    let label = whole(&[1, 1, 0, 0]);
    let of = |column: ArrayRef| {
        let Value::List(list) = Value::of(column, FieldType::Text).unwrap() else {
            panic!()
        };
        let value = Value::List(list);
        let label = Value::of(Arc::clone(&label), FieldType::Integer).unwrap();
        let mut table = TermTable::new(10, true);
        let rows = Rows {
            inputs: &[&value],
            label: Some(&label),
            folds: None,
        };
        Learn::update(&mut table, rows).unwrap();
        let of = |name: &str| {
            table.mutual_information(
                table.terms().iter().find(|(n, _)| *n == name).unwrap().1,
                false,
            )
        };
        (of("a"), of("b"))
    };
    assert_eq!(of(ArrayRef::clone(&once)), of(twice));
    assert_eq!(of(once), (2.0, 0.0));
    let rows = batch([("x", texts(&["a"]))]);
    let transform = Transform::new().vocabulary("x", Terms::all().by_mutual_information());
    assert_eq!(
        transform.fit(&[rows]).unwrap_err().to_string(),
        "transform of `x`: it learns from the label, and there is none"
    );
}

#[test]
fn a_label_of_too_many_values_is_no_class() {
    let label: ArrayRef = Arc::new(Float64Array::from_iter_values((0..200).map(f64::from)));
    let values: Vec<&str> = (0..200).map(|_| "a").collect();
    let rows = batch([("x", texts(&values)), ("label", label)]);
    assert!(!rows.column(0).is_empty());
    let transform = Transform::new().vocabulary("x", Terms::all().by_mutual_information());
    let error = transform
        .fit_with(&[rows], Roles::label("label"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: the label has more than 100 distinct values, must be classes"
    );
}
