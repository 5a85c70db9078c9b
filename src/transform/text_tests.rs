//! Vocabularies, words and their weights, against the numbers of TensorFlow Transform's own tests.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, ListBuilder, RecordBatch,
    StringArray, StringBuilder,
};
use arrow::datatypes::Int64Type;

use super::fit::FitPass;
use super::ops::{FittedOp, Terms};
use super::value::Value;
use super::{FittedTransform, Roles, Transform};
use crate::accumulate::Accumulate;
use crate::schema::FieldType;

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn lists(rows: &[&[&str]]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        lists.append_value(row.iter().copied().map(Some));
    }
    Arc::new(lists.finish())
}

/// Fitted in two parts that are merged, saved and loaded.
#[track_caller]
fn fit_with(transform: &Transform, rows: &RecordBatch, roles: Roles<'_>) -> FittedTransform {
    let whole = transform
        .fit_with(std::slice::from_ref(rows), roles)
        .unwrap();
    let mut fitting = transform.fitting(&rows.schema(), roles).unwrap();
    while let Some(pass) = fitting.pass().unwrap() {
        let mut merged = pass.clone();
        let half = rows.num_rows() / 2;
        for (from, n) in [(0, half), (half, rows.num_rows() - half)] {
            let mut part = pass.clone();
            part.update(&rows.slice(from, n)).unwrap();
            merged
                .merge(FitPass::from_state(&part.state().unwrap()).unwrap())
                .unwrap();
        }
        fitting.absorb(merged).unwrap();
    }
    assert_eq!(fitting.finish().unwrap(), whole, "parts merge to the whole");
    let saved = serde_json::to_string(&whole).unwrap();
    let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded, whole, "{saved}");
    let configured = serde_json::to_string(transform).unwrap();
    let configured: Transform = serde_json::from_str(&configured).unwrap();
    assert_eq!(&configured, transform);
    loaded
}

#[track_caller]
fn fit(transform: &Transform, rows: &RecordBatch) -> FittedTransform {
    fit_with(transform, rows, Roles::default())
}

fn rows_of(fitted: &FittedTransform, rows: &RecordBatch) -> Vec<Vec<f32>> {
    let features = fitted.apply(rows).unwrap();
    features
        .rows()
        .into_iter()
        .map(|row| row.to_vec())
        .collect()
}

/// The terms of a vocabulary, in order.
#[track_caller]
fn terms(rows: &RecordBatch, column: &str, terms: Terms) -> Vec<String> {
    let transform = Transform::new().vocabulary(column, terms);
    let fitted = fit_with(
        &transform,
        rows,
        Roles {
            label: rows.column_by_name("label").map(|_| "label"),
            weight: None,
        },
    );
    match &fitted.steps()[0].op {
        FittedOp::Vocabulary(ids) => ids.terms.values.values().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The lists that a chain of steps without learners makes of a text.
#[track_caller]
fn made(transform: Transform, column: ArrayRef) -> Vec<Option<Vec<String>>> {
    let value = Value::of(&column, FieldType::Text).unwrap();
    let mut value = value;
    for step in transform.steps() {
        let fitted = step.op.operation().fitted().unwrap();
        value = fitted.apply().apply(&[&value]).unwrap();
    }
    let array = value.to_array().unwrap();
    let list: &ListArray = array.as_list();
    list.iter()
        .map(|row| {
            Some(
                row?.as_string::<i32>()
                    .iter()
                    .flatten()
                    .map(str::to_owned)
                    .collect(),
            )
        })
        .collect()
}

fn owned(rows: &[&[&str]]) -> Vec<Option<Vec<String>>> {
    rows.iter()
        .map(|row| Some(row.iter().map(|item| (*item).to_owned()).collect()))
        .collect()
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
        let fitted = Transform::new().vocabulary_or("x", terms, -99);
        let op = match &fitted.steps()[0].op.operation() {
            op => {
                let mut learner = op.learner().unwrap();
                let value = Value::of(rows.column(0), FieldType::Text).unwrap();
                let inputs = super::learn::Rows {
                    inputs: &[&value],
                    label: None,
                    weight: None,
                    folds: None,
                };
                learner.update(inputs).unwrap();
                op.fit(&learner).unwrap()
            }
        };
        let value = Value::of(rows.column(0), FieldType::Text).unwrap();
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
    let mut table = super::term_table::TermTable::new(10, true);
    let value = Value::of(rows.column(0), FieldType::Text).unwrap();
    let label = Value::of(rows.column(1), FieldType::Integer).unwrap();
    let rows = super::learn::Rows {
        inputs: &[&value],
        label: Some(&label),
        weight: None,
        folds: None,
    };
    super::learn::Learn::update(&mut table, rows).unwrap();
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
        let Value::List(list) = Value::of(&column, FieldType::Text).unwrap() else {
            panic!()
        };
        let value = Value::List(list);
        let label = Value::of(&label, FieldType::Integer).unwrap();
        let mut table = super::term_table::TermTable::new(10, true);
        let rows = super::learn::Rows {
            inputs: &[&value],
            label: Some(&label),
            weight: None,
            folds: None,
        };
        super::learn::Learn::update(&mut table, rows).unwrap();
        let of = |name: &str| {
            table.mutual_information(
                table.terms().iter().find(|(n, _)| *n == name).unwrap().1,
                false,
            )
        };
        (of("a"), of("b"))
    };
    assert_eq!(of(once.clone()), of(twice));
    assert_eq!(of(once), (2.0, 0.0));
    let rows = batch([("x", texts(&["a"]))]);
    let transform = Transform::new().vocabulary("x", Terms::all().by_mutual_information());
    assert_eq!(
        transform.fit(&[rows]).unwrap_err().to_string(),
        "transform of `x`: it learns from the label, and there is none"
    );
}

#[test]
fn odd_terms_are_refused() {
    for (terms, why) in [
        (
            Terms::top(0),
            "`top_k` of the terms is 0, must be 1 to 1000000",
        ),
        (
            Terms::all().min_count(0),
            "`min_count` of the terms is 0, must be at least 1",
        ),
        (
            Terms::all().oov(1_000_001),
            "`n_oov` of the terms is 1000001, must be 0 to 1000000",
        ),
    ] {
        for transform in [
            Transform::new().vocabulary("x", terms),
            Transform::new().one_hot_of("x", terms),
            Transform::new().bag_of_words("x", terms),
            Transform::new().tf_idf("x", terms),
        ] {
            let error = transform.check().unwrap_err();
            assert_eq!(error.to_string(), format!("transform of `x`: {why}"));
        }
    }
    let error = Transform::new().n_grams("x", 2..=11).check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: the sizes of n_grams are 2 to 11, must be a range within 1 to 10"
    );
    let rows = batch([("x", texts(&["a b"]))]);
    let error = Transform::new()
        .bag_of_words("x", Terms::all())
        .fit(&[rows])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: this step takes a column of lists, the column is of type text"
    );
}

#[test]
fn text_splits_into_words() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![
        Some("The late, LATE flight to Zürich-Nord №7!"),
        Some(" \t--"),
        None,
        Some("ΟΔΟΣ İ 東京"),
    ]));
    let words = made(Transform::new().tokens("x"), text.clone());
    let mut expected = owned(&[
        &["the", "late", "late", "flight", "to", "zürich", "nord", "7"],
        &[],
        &[],
        &["οδος", "i\u{307}", "東京"],
    ]);
    expected[2] = None;
    assert_eq!(words, expected);
    let words = made(Transform::new().tokens_at_whitespace("x"), text);
    assert_eq!(words[0].as_ref().unwrap()[1], "late,");
    assert_eq!(words[2], None);
}

#[test]
fn n_grams_come_word_by_word() {
    let rows = texts(&["a late flight", "one", ""]);
    let grams = made(
        Transform::new().tokens("x").n_grams("x", 1..=2),
        rows.clone(),
    );
    let expected = owned(&[
        &["a", "a late", "late", "late flight", "flight"],
        &["one"],
        &[],
    ]);
    assert_eq!(grams, expected);
    let grams = made(Transform::new().tokens("x").n_grams("x", 2..=3), rows);
    assert_eq!(
        grams,
        owned(&[&["a late", "a late flight", "late flight"], &[], &[]])
    );
}

#[test]
fn the_first_of_equal_words_stays() {
    let rows = texts(&["b a b c a", "x"]);
    let words = made(Transform::new().tokens("x").deduplicate("x"), rows);
    assert_eq!(words, owned(&[&["b", "a", "c"], &["x"]]));
}

#[test]
fn words_are_counted() {
    let rows = batch([("x", texts(&["to be or not to be", "be!", ""]))]);
    let transform = Transform::new()
        .word_count("x")
        .tokens("x")
        .bag_of_words("x", Terms::top(2).oov(1));
    let fitted = fit(&transform, &rows);
    assert_eq!(fitted.features(), ["x_words", "x=be", "x=to", "x=<other>"]);
    assert_eq!(
        rows_of(&fitted, &rows),
        [[6.0, 2.0, 2.0, 2.0], [1.0, 1.0, 0.0, 0.0], [0.0; 4]]
    );
    let of_lists = batch([("x", lists(&[&["a b", "c"], &[]]))]);
    let fitted = fit(&Transform::new().word_count("x").drop("x"), &of_lists);
    assert_eq!(rows_of(&fitted, &of_lists), [[2.0], [0.0]]);
}

#[test]
fn terms_are_weighted_by_how_few_rows_have_them() {
    // The reference's test: ids 0, 1, 1 / none / 1, 2 over three rows.
    let column = [
        Some(vec![Some(0), Some(1), Some(1)]),
        Some(vec![]),
        Some(vec![Some(1), Some(2)]),
    ];
    let column: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(column));
    let rows = batch([("x", column)]);
    let fitted = fit(&Transform::new().tf_idf("x", Terms::all()), &rows);
    assert_eq!(fitted.features(), ["x=1", "x=0", "x=2"]);
    // Its numbers leave out the 1 + of the weight, which adds the term's share.
    let of = |share: f64, number: f64| share + number;
    let expected = [
        [
            of(2.0 / 3.0, 0.191_788_06),
            of(1.0 / 3.0, 0.231_049_06),
            0.0,
        ],
        [0.0; 3],
        [of(0.5, 0.143_841_04), 0.0, of(0.5, 0.346_573_59)],
    ];
    for (found, expected) in rows_of(&fitted, &rows)
        .iter()
        .flatten()
        .zip(expected.concat())
    {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found}, not {expected}"
        );
    }
    // Unknown items count in a row's length; a NULL item and a NULL list do not.
    let odd = [Some(vec![Some(0), Some(9), None]), None];
    let odd: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(odd));
    let found = rows_of(&fitted, &batch([("x", odd)]));
    let expected = 0.5 * (1.0 + 2_f64.ln());
    assert_eq!(found, [[0.0, expected as f32, 0.0], [0.0; 3]]);
}

#[test]
fn lists_are_hashed_to_counts() {
    let rows = batch([("x", texts(&["a b a", ""]))]);
    let of = |key| {
        let fitted = fit(
            &Transform::new().tokens("x").hash_with_key("x", 8, key),
            &rows,
        );
        assert_eq!(fitted.features().len(), 8);
        rows_of(&fitted, &rows)
    };
    let found = of(0);
    assert_eq!(found[0].iter().sum::<f32>(), 3.0);
    assert_eq!(found[1], [0.0; 8]);
    assert!((1..20).any(|key| of(key) != found));
    // A word has the bucket that it has as a value.
    let word = batch([("x", texts(&["a"]))]);
    let as_value = fit(&Transform::new().hash("x", 8), &word);
    let as_word = fit(&Transform::new().tokens("x").hash("x", 8), &word);
    assert_eq!(rows_of(&as_value, &word), rows_of(&as_word, &word));
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
