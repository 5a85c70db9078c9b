//! What is known of data: every kind of column, every option, merged and saved.

use std::path::Path;
use std::sync::Arc;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeListArray, Float32Array,
    Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch,
    StringArray, StringViewArray, StructArray, TimestampMillisecondArray, UInt8Array, UInt32Array,
};
use fourfold::arrow::buffer::OffsetBuffer;
use fourfold::arrow::compute::{cast, take_record_batch};
use fourfold::arrow::datatypes::{
    DataType, Field, Float64Type, Int8Type, Int32Type, Int64Type, Schema as ArrowSchema,
};
use fourfold::data::DataSource;
use fourfold::prelude::*;
use fourfold::schema::{FieldType, Schema};
use fourfold::statistics::{Statistics, StatisticsAccumulator, StatisticsOptions};

use crate::support::write_parquet;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn of(batch: &RecordBatch) -> Statistics {
    with(batch, &StatisticsOptions::new())
}

fn with(batch: &RecordBatch, options: &StatisticsOptions) -> Statistics {
    let mut accumulator = options.accumulator(&batch.schema()).unwrap();
    accumulator.update(batch).unwrap();
    accumulator.finish()
}

fn of_column(column: ArrayRef) -> Statistics {
    of(&batch(vec![("x", column)]))
}

fn lists(rows: Vec<Option<Vec<Option<f64>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn a_list_has_a_valency_and_the_statistics_of_its_items() {
    // TensorFlow Data Validation's own numbers, but for the median (the reference's 3.0 is a sketch's boundary).
    let values = |values: &[f64]| Some(values.iter().copied().map(Some).collect());
    let column = lists(vec![
        values(&[1.0, 2.0]),
        values(&[3.0, 4.0, 5.0]),
        values(&[1.0]),
        None,
    ]);
    let found = of_column(column);
    let x = found.column("x").unwrap();
    assert_eq!(
        (x.field_type, x.row_type()),
        (FieldType::Float, FieldType::Other)
    );
    assert_eq!((x.count, x.missing), (3, 1));
    let valency = x.valency.as_ref().unwrap();
    assert_eq!((valency.min, valency.max, valency.total), (1, 3, 6));
    close(valency.mean, 2.0);
    let numeric = x.numeric.as_ref().unwrap();
    close(numeric.mean.unwrap(), 2.666_666_66);
    close(numeric.std.unwrap(), 1.490_711_98);
    assert_eq!((numeric.min, numeric.max), (Some(1.0), Some(5.0)));
    assert_eq!(numeric.median(), Some(2.0));
    let total: f64 = numeric.histogram.buckets.iter().map(|b| b.count).sum();
    close(total, 6.0);

    // An empty list is present; what lies behind a row that is NULL is not looked at.
    let sizes = Arc::new(Field::new("item", DataType::Int64, true));
    let items: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(99), None]));
    let fixed = FixedSizeListArray::new(sizes, 2, items, Some(vec![true, false].into()));
    let found = of_column(Arc::new(fixed));
    let x = found.column("x").unwrap();
    assert_eq!((x.count, x.missing, x.distinct), (1, 1, 2));
    let found = of_column(lists(vec![Some(vec![]), None, Some(vec![None, Some(1.0)])]));
    let x = found.column("x").unwrap();
    assert_eq!((x.count, x.missing), (2, 1));
    let valency = x.valency.as_ref().unwrap();
    assert_eq!((valency.min, valency.max, valency.total), (0, 2, 2));
    assert_eq!(x.numeric.as_ref().unwrap().mean, Some(1.0));
}

#[test]
fn what_is_nested_has_a_path() {
    let trip = StructArray::new(
        vec![
            Field::new("fare", DataType::Float64, true),
            Field::new("stops", DataType::new_list(DataType::Int64, true), true),
        ]
        .into(),
        vec![
            Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), None])),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1), Some(2)]),
                Some(vec![Some(7)]),
                None,
            ])),
        ],
        Some(vec![true, false, true].into()),
    );
    let rows = batch(vec![
        ("trip", Arc::new(trip)),
        ("n", floats(&[1.0, 2.0, 3.0])),
    ]);
    let found = of(&rows);
    let names: Vec<&str> = found
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["trip", "trip.fare", "trip.stops", "n"]);
    let trip = found.column("trip").unwrap();
    assert_eq!((trip.count, trip.missing, trip.nested), (2, 1, false));
    let fare = found.column("trip.fare").unwrap();
    // A field of a struct that is NULL is NULL.
    assert_eq!((fare.count, fare.missing, fare.nested), (1, 2, true));
    assert_eq!(fare.numeric.as_ref().unwrap().max, Some(1.0));
    let stops = found.column("trip.stops").unwrap();
    assert_eq!((stops.count, stops.valency.as_ref().unwrap().total), (1, 2));
    // The schema is one of columns.
    let schema = Schema::infer(&found);
    assert!(schema.field("trip.fare").is_err() && schema.field("n").is_ok());
    assert_eq!(schema.validate(&found), []);

    // A field without a mask of its own.
    let odd = StructArray::new(
        vec![Field::new("nothing", DataType::Null, true)].into(),
        vec![Arc::new(NullArray::new(2))],
        Some(vec![true, false].into()),
    );
    let found = of_column(Arc::new(odd));
    assert_eq!(found.column("x.nothing").unwrap().missing, 2);

    // Lists of structs, and lists of lists.
    let legs = StructArray::from(vec![(
        Arc::new(Field::new("miles", DataType::Float64, true)),
        floats(&[1.0, 2.0, 3.0]),
    )]);
    let item = Arc::new(Field::new("item", legs.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([2, 1]);
    let legs: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(legs), None));
    let found = of_column(Arc::clone(&legs));
    let miles = found.column("x.miles").unwrap();
    assert_eq!((miles.count, miles.nested), (3, true));
    assert_eq!(miles.numeric.as_ref().unwrap().mean, Some(2.0));
    let item = Arc::new(Field::new("item", legs.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([2]);
    let days: ArrayRef = Arc::new(ListArray::new(item, offsets, legs, None));
    let found = of_column(days);
    let names: Vec<&str> = found
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["x", "x.item", "x.item.miles"]);
    assert_eq!(
        found
            .column("x.item")
            .unwrap()
            .valency
            .as_ref()
            .unwrap()
            .max,
        2
    );
}

/// However a column is laid out, its statistics are the same.
#[test]
fn layouts_make_no_difference() {
    let words: Vec<Option<&str>> = (0..500)
        .map(|i| [Some("a"), Some("bb"), None, Some("ccc"), Some("a")][i * 7 % 5])
        .collect();
    let plain = of_column(Arc::new(StringArray::from(words.clone())));
    assert_eq!(
        plain.column("x").unwrap().top_values[0],
        ("a".to_owned(), 200)
    );
    let layouts: [ArrayRef; 4] = [
        Arc::new(LargeStringArray::from(words.clone())),
        Arc::new(StringViewArray::from(words.clone())),
        Arc::new(words.iter().copied().collect::<DictionaryArray<Int8Type>>()),
        Arc::new(
            words
                .iter()
                .copied()
                .collect::<DictionaryArray<Int32Type>>(),
        ),
    ];
    for layout in layouts {
        assert_eq!(
            of_column(Arc::clone(&layout)),
            plain,
            "{}",
            layout.data_type()
        );
    }
    let numbers: Vec<Option<i32>> = (0..300)
        .map(|i| (i % 11 > 0).then_some(i * 7 % 13))
        .collect();
    let numbers: ArrayRef = Arc::new(Int32Array::from(numbers));
    let whole = of_column(Arc::clone(&numbers));
    for to in [
        DataType::Int8,
        DataType::UInt64,
        DataType::UInt16,
        DataType::Int64,
    ] {
        assert_eq!(of_column(cast(&numbers, &to).unwrap()), whole, "{to}");
    }
    let real = of_column(cast(&numbers, &DataType::Float64).unwrap());
    for to in [
        DataType::Float32,
        DataType::Float16,
        DataType::Decimal128(9, 2),
    ] {
        assert_eq!(of_column(cast(&numbers, &to).unwrap()), real, "{to}");
    }
}

#[test]
fn bytes_that_are_no_text_are_counted() {
    let values: Vec<Option<&[u8]>> = vec![Some(b"ab"), Some(b"\xff\xfe\xfd"), None, Some(b"ab")];
    let found = of_column(Arc::new(BinaryArray::from(values)));
    let x = found.column("x").unwrap();
    let text = x.text.as_ref().unwrap();
    assert_eq!((x.field_type, text.invalid_utf8), (FieldType::Other, 1));
    assert_eq!((text.min_bytes, text.max_bytes), (2, 3));
    assert_eq!((x.distinct, x.top_values_exact), (2, false));
    assert_eq!(x.top_values, [("ab".to_owned(), 2)]);
}

#[test]
fn times_have_a_range_in_microseconds() {
    let at = TimestampMillisecondArray::from(vec![Some(1_000), Some(3_000), None]);
    let found = of_column(Arc::new(at));
    let x = found.column("x").unwrap();
    let numeric = x.numeric.as_ref().unwrap();
    assert_eq!((numeric.min, numeric.max), (Some(1e6), Some(3e6)));
    assert_eq!(x.top_values[0].0, "1970-01-01T00:00:01Z");
}

#[test]
fn many_values_are_estimated_within_the_bounds() {
    let n = 300_000_i64;
    let values: Vec<i64> = (0..n).map(|i| i * 7_919 % n * 1_000_003).collect();
    let mut accumulator: Option<StatisticsAccumulator> = None;
    for chunk in values.chunks(8_192) {
        let key: ArrayRef = Arc::new(Int64Array::from(chunk.to_vec()));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(
            chunk.iter().map(|value| format!("k{value}")),
        ));
        // Half of the rows have one value, the others one each.
        let half = chunk
            .iter()
            .map(|value| if value % 2 == 0 { 7.0 } else { *value as f64 });
        let half: ArrayRef = Arc::new(Float64Array::from_iter_values(half));
        let often = chunk
            .iter()
            .map(|value| if value % 2 == 0 { 7 } else { *value });
        let often: ArrayRef = Arc::new(Int64Array::from_iter_values(often));
        let rows = batch(vec![
            ("key", key),
            ("text", text),
            ("half", half),
            ("often", often),
        ]);
        let accumulator =
            accumulator.get_or_insert_with(|| StatisticsAccumulator::new(&rows.schema()));
        accumulator.update(&rows).unwrap();
    }
    let found = accumulator.unwrap().finish();
    for name in ["key", "text"] {
        let column = found.column(name).unwrap();
        assert!(
            (column.distinct as f64 / n as f64 - 1.0).abs() < 0.025,
            "{}",
            column.distinct
        );
        // No value stands out.
        assert_eq!(
            (column.top_values.len(), column.top_values_exact),
            (0, false)
        );
    }
    let often = found.column("often").unwrap();
    let (value, count) = &often.top_values[0];
    assert_eq!(value, "7");
    assert!(
        *count <= 150_000 && *count >= 150_000 - n as u64 / 2_048,
        "{count}"
    );
    let key = found.column("key").unwrap().numeric.as_ref().unwrap();
    let span = (n - 1) as f64 * 1_000_003.0;
    assert_eq!((key.min, key.max), (Some(0.0), Some(span)));
    for (rank, value) in &key.quantiles {
        assert!(
            (value / span - rank).abs() < 0.005,
            "rank {rank}: {}",
            value / span
        );
    }
    for histogram in [&key.histogram, &key.quantile_histogram] {
        assert_eq!(histogram.buckets.len(), 10);
        for bucket in &histogram.buckets {
            assert!((bucket.count / n as f64 - 0.1).abs() < 0.01, "{bucket:?}");
        }
    }
    let half = found.column("half").unwrap().numeric.as_ref().unwrap();
    let (low, high) = (7.0, half.max.unwrap());
    assert!((half.median().unwrap() - low).abs() < high * 0.02);
    let sketch = found.quantile_sketch("key").unwrap();
    assert_eq!(sketch.count(), n as u64);
    assert!(found.quantile_sketch("text").is_none() && found.quantile_sketch("no").is_none());
}

#[test]
fn pairs_move_together() {
    // TensorFlow Data Validation's own numbers.
    let rows = batch(vec![
        ("a", floats(&[1.0, 3.0, 5.0, 6.0, 10.0, f64::NAN])),
        ("b", Arc::new(Int64Array::from(vec![2, 4, 6, 14, 16, 1]))),
        (
            "c",
            Arc::new(Float32Array::from(vec![
                Some(5.0),
                Some(3.0),
                Some(7.0),
                Some(-1.0),
                Some(0.0),
                None,
            ])),
        ),
        ("t", texts(&["x"; 6])),
    ]);
    let found = with(&rows, &Statistics::options().all_pairs());
    let expected = [
        ("a", "b", 15.6, 0.923_145),
        ("a", "c", -5.4, -0.594_766_02),
        ("b", "c", -13.52, -0.810_702_98),
    ];
    assert_eq!(found.pairs.len(), 3);
    for (pair, (a, b, covariance, correlation)) in found.pairs.iter().zip(expected) {
        assert_eq!((pair.a.as_str(), pair.b.as_str(), pair.count), (a, b, 5));
        close(pair.covariance, covariance);
        close(pair.correlation.unwrap(), correlation);
    }
    let listed = with(&rows, &Statistics::options().pairs([("b", "c")]));
    assert_eq!(listed.pairs, found.pairs[2..]);
}

#[test]
fn a_label_is_told_of() {
    // TensorFlow Data Validation's lift.
    let rows = batch(vec![
        ("x", texts(&["a", "a", "b", "a"])),
        ("y", texts(&["cat", "dog", "cat", "dog"])),
        ("same", Arc::new(Int64Array::from(vec![1, 2, 1, 2]))),
        ("nothing", Arc::new(BooleanArray::from(vec![true; 4]))),
    ]);
    let found = with(&rows, &Statistics::options().label("y"));
    let x = found.column("x").unwrap().association.as_ref().unwrap();
    let lifts: Vec<(&str, &str, f64, u64, u64)> = x
        .lift
        .iter()
        .map(|lift| {
            let rounded = (lift.lift * 1e6).round() / 1e6;
            (
                lift.label.as_str(),
                lift.value.as_str(),
                rounded,
                lift.value_count,
                lift.both_count,
            )
        })
        .collect();
    assert_eq!(
        lifts,
        [
            ("cat", "b", 2.0, 1, 1),
            ("cat", "a", 0.666_667, 3, 1),
            ("dog", "a", 1.333_333, 3, 2),
            ("dog", "b", 0.0, 1, 0),
        ]
    );
    // H(y) - H(y | x) = 1 - 3/4 H(1/3)
    close(x.mutual_information, 1.0 - 0.75 * 0.918_295_834);
    let bits = |name: &str| {
        let column = found.column(name).unwrap();
        column
            .association
            .as_ref()
            .map(|association| association.mutual_information)
    };
    assert_eq!(
        (bits("same"), bits("nothing"), bits("y")),
        (Some(1.0), Some(0.0), None)
    );

    // Numbers are cut into buckets, and so is a label of numbers.
    let numbers: Vec<f64> = (0..5_000).map(f64::from).collect();
    let rows = batch(vec![("x", floats(&numbers)), ("y", floats(&numbers))]);
    let options = Statistics::options().label("y").label_boundaries([2_500.0]);
    let found = with(&rows, &options);
    let x = found.column("x").unwrap().association.as_ref().unwrap();
    assert!(
        (x.mutual_information - 1.0).abs() < 0.02,
        "{}",
        x.mutual_information
    );
    assert_eq!(x.lift[0].label, "(-inf, 2500)");
    close(x.lift[0].lift, 2.0);
}

#[test]
fn slices_are_the_statistics_of_their_rows() {
    let rows = batch(vec![
        ("x", floats(&[1.0, 2.0, 3.0, 4.0])),
        (
            "who",
            Arc::new(StringArray::from(vec![
                Some("a"),
                Some("b"),
                Some("a"),
                None,
            ])),
        ),
        ("n", Arc::new(UInt8Array::from(vec![7, 7, 8, 8]))),
    ]);
    let options = Statistics::options()
        .slice_by(["who", "n"])
        .slice_by_all(["who", "n"]);
    let found = with(&rows, &options);
    let names: Vec<&str> = found
        .slices
        .iter()
        .map(|slice| slice.slice.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "n=7",
            "n=8",
            "who=a",
            "who=a, n=7",
            "who=a, n=8",
            "who=b",
            "who=b, n=7"
        ]
    );
    let part = take_record_batch(&rows, &UInt32Array::from(vec![0, 2])).unwrap();
    assert_eq!(found.slices[2].statistics, of(&part));
}

#[test]
fn rows_count_by_their_weight() {
    let rows = batch(vec![
        (
            "x",
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                Some(2.0),
                None,
                Some(f64::NAN),
            ])),
        ),
        ("t", texts(&["a", "b", "a", "c"])),
        (
            "l",
            lists(vec![
                Some(vec![Some(5.0), Some(7.0)]),
                None,
                Some(vec![]),
                None,
            ]),
        ),
        ("w", floats(&[1.0, 3.0, 0.5, 2.0])),
    ]);
    let found = with(&rows, &Statistics::options().weight("w"));
    let x = found.column("x").unwrap().weighted.as_ref().unwrap();
    assert_eq!((x.count, x.missing), (6.0, 0.5));
    assert_eq!((x.mean, x.median), (Some(1.75), Some(2.0)));
    close(x.std.unwrap(), 0.1875_f64.sqrt());
    let t = found.column("t").unwrap().weighted.as_ref().unwrap();
    let top: Vec<(&str, f64)> = t
        .top_values
        .iter()
        .map(|(value, n)| (value.as_str(), *n))
        .collect();
    assert_eq!(top, [("b", 3.0), ("c", 2.0), ("a", 1.5)]);
    // Every item has its row's weight.
    let l = found.column("l").unwrap().weighted.as_ref().unwrap();
    assert_eq!((l.count, l.missing, l.mean), (2.0, 5.0, Some(6.0)));
    assert_eq!(of(&rows).column("x").unwrap().weighted, None);
}

#[test]
fn options_that_do_not_fit_are_named() {
    let rows = batch(vec![
        ("fare", floats(&[1.0, -2.0])),
        ("kind", texts(&["a", "b"])),
        ("tags", lists(vec![None, None])),
    ]);
    let error = |options: StatisticsOptions| options.accumulator(&rows.schema()).unwrap_err();
    let cases = [
        (
            Statistics::options().weight("fair"),
            "statistics: there is no weight column `fair`; did you mean `fare`?",
        ),
        (
            Statistics::options().weight("kind"),
            "statistics: weight column `kind` is of type Utf8, must be a number",
        ),
        (
            Statistics::options().slice_by(["tags"]),
            "statistics: slice column `tags` is of type List(Float64), must be a single value per row",
        ),
        (
            Statistics::options().label("kind").label_boundaries([1.0]),
            "statistics: label column `kind` is of type Utf8, must be a number",
        ),
        (
            Statistics::options()
                .label("fare")
                .label_boundaries([2.0, 1.0]),
            "statistics: label boundaries are [2.0, 1.0], must be increasing",
        ),
    ];
    for (options, message) in cases {
        let error = error(options);
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Config, message)
        );
    }

    let update = |options: &StatisticsOptions, rows: &RecordBatch| {
        options
            .accumulator(&rows.schema())
            .unwrap()
            .update(rows)
            .unwrap_err()
    };
    let found = update(&Statistics::options().weight("fare"), &rows);
    assert_eq!(
        found.message(),
        "weight column `fare` is -2 in a row, must be a finite number of at least 0"
    );
    let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..101));
    let many = batch(vec![("id", many)]);
    let found = update(&Statistics::options().slice_by(["id"]), &many);
    assert_eq!(
        found.message(),
        "slicing by `id` makes more than 100 slices; slice by columns with fewer values"
    );
    let found = update(&Statistics::options().label("id"), &many);
    assert_eq!(
        found.message(),
        "label `id` has more than 100 values; cut it by label boundaries"
    );
}

/// Days of different sizes, with many values and few, odd numbers, nesting and NULL.
fn day(day: i64, n: i64) -> RecordBatch {
    let number = |i: i64| (i * 7_919 + day * 104_729) % 1_000_003;
    let real = (0..n).map(|i| match i % 97 {
        0 => None,
        1 => Some(f64::INFINITY),
        2 => Some(f64::NAN),
        _ => Some(number(i) as f64 / 7.0),
    });
    let items = (0..n)
        .map(|i| (i % 5 > 0).then(|| (0..i % 5 - 1).map(|k| Some(k as f64)).collect::<Vec<_>>()));
    batch(vec![
        (
            "key",
            Arc::new(Int64Array::from_iter_values((0..n).map(number))),
        ),
        ("real", Arc::new(Float64Array::from_iter(real))),
        (
            "kind",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| format!("k{}", number(i) % 9)),
            )),
        ),
        ("items", lists(items.collect())),
        (
            "weight",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| (i % 4) as f64),
            )),
        ),
        (
            "late",
            Arc::new(BooleanArray::from_iter(
                (0..n).map(|i| Some(number(i) % 3 == 0)),
            )),
        ),
    ])
}

fn everything() -> StatisticsOptions {
    Statistics::options()
        .weight("weight")
        .label("late")
        .slice_by(["kind"])
        .all_pairs()
}

#[test]
fn days_merge_into_months_after_they_were_saved() {
    let days = [day(1, 900), day(2, 20_000), day(3, 1), day(4, 9_000)];
    let dir = tempfile::tempdir().unwrap();
    let mut month: Option<Statistics> = None;
    let mut whole = everything().accumulator(&days[0].schema()).unwrap();
    for (i, rows) in days.iter().enumerate() {
        whole.update(rows).unwrap();
        let path = dir.path().join(format!("{i}.json"));
        let today = with(rows, &everything());
        today.save(&path).unwrap();
        let loaded = Statistics::load(&path).unwrap();
        assert_eq!(loaded, today);
        month = Some(match month {
            None => loaded,
            Some(month) => month.merge(&loaded).unwrap(),
        });
    }
    let (month, whole) = (month.unwrap(), whole.finish());
    assert_eq!(month.n_rows, whole.n_rows);
    assert_eq!(month.slices.len(), 9);
    let slices = month.slices.iter().zip(&whole.slices);
    let pairs = slices.map(|(a, b)| (&a.statistics, &b.statistics));
    for (month, whole) in pairs.chain([(&month, &whole)]) {
        for (a, b) in month.columns.iter().zip(&whole.columns) {
            assert_eq!((&a.name, a.count, a.missing), (&b.name, b.count, b.missing));
            assert_eq!((&a.text, a.distinct), (&b.text, b.distinct));
            assert_eq!(a.valency, b.valency);
            let (weight, expected) = (a.weighted.as_ref().unwrap(), b.weighted.as_ref().unwrap());
            close(weight.count, expected.count);
            if let (Some(a), Some(b)) = (&a.numeric, &b.numeric) {
                assert_eq!(
                    (a.min, a.max, a.zeros, a.nan),
                    (b.min, b.max, b.zeros, b.nan)
                );
                let scale = b.max.unwrap().abs().max(1.0);
                close(a.mean.unwrap() / scale, b.mean.unwrap() / scale);
                close(a.std.unwrap() / scale, b.std.unwrap() / scale);
                for ((rank, a), (_, b)) in a.quantiles.iter().zip(&b.quantiles) {
                    assert!((a - b).abs() <= scale * 0.011, "rank {rank}: {a} {b}");
                }
            }
        }
        assert_eq!(
            month.column("kind").unwrap().top_values,
            whole.column("kind").unwrap().top_values
        );
    }
    for (a, b) in month.pairs.iter().zip(&whole.pairs) {
        assert_eq!(a.count, b.count);
        close(a.correlation.unwrap(), b.correlation.unwrap());
    }
    let bits = |statistics: &Statistics| {
        statistics
            .column("kind")
            .unwrap()
            .association
            .as_ref()
            .unwrap()
            .mutual_information
    };
    close(bits(&month), bits(&whole));
    assert!(month.quantile_sketch("real").is_some());

    let bare = month.without_sketches();
    assert_eq!(bare, month);
    assert!(bare.quantile_sketch("real").is_none());
    assert!(bare.to_json().unwrap().len() * 3 < month.to_json().unwrap().len());
    assert_eq!(
        bare.merge(&month).unwrap_err().message(),
        "statistics without their sketches cannot be merged"
    );
    let other = of(&days[0]);
    assert_eq!(
        month.merge(&other).unwrap_err().message(),
        "statistics of different columns or options cannot be merged"
    );
}

#[test]
fn a_day_without_a_value_merges_with_any() {
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 3]));
    let (nothing, some) = (of_column(nothing), of_column(floats(&[1.0, 2.0])));
    let expected = of_column(Arc::new(Float64Array::from(vec![
        Some(1.0),
        Some(2.0),
        None,
        None,
        None,
    ])));
    assert_eq!(some.merge(&nothing).unwrap(), expected);
    assert_eq!(nothing.merge(&some).unwrap(), expected);
    assert_eq!(
        some.merge(&of_column(texts(&["a"]))).unwrap_err().message(),
        "statistics of different columns cannot be merged: `x` has another type or position in the other"
    );
}

#[test]
fn any_number_of_threads_gives_the_same_sketches() {
    let dir = tempfile::tempdir().unwrap();
    for file in 0..4 {
        let path = dir.path().join(format!("{file}.parquet"));
        write_parquet(&path, &[day(file, 5_000 + 1_000 * file)]);
    }
    let run = |threads: usize| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let engine = Engine::new().unwrap();
            let rows = FileSource::parquet(dir.path()).read(&engine).await.unwrap();
            let accumulator = everything().accumulator(rows.schema().as_arrow()).unwrap();
            let found = engine.accumulate(rows, accumulator).await.unwrap().finish();
            assert_eq!(found.n_rows, 26_000);
            found.to_json().unwrap()
        })
    };
    let one = run(1);
    assert!(run(3) == one && run(2) == one);
}

#[test]
fn damaged_files_are_refused() {
    let text = of(&day(1, 50)).to_json().unwrap();
    let sketches = text
        .split("\"sketches\": \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let cases = [
        ("{}".to_owned(), "not the JSON of statistics"),
        (
            text.replace("\"format_version\": 1", "\"format_version\": 2"),
            "statistics are of format version 2, must be 1",
        ),
        (text.replace(sketches, "AAAA"), "not the JSON of statistics"),
        (
            text.replace(sketches, &sketches[4..]),
            "not the JSON of statistics",
        ),
        (text.replace(sketches, "?"), "not the JSON of statistics"),
    ];
    for (text, message) in cases {
        let error = Statistics::from_json(&text).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Corrupt, message)
        );
    }
    assert_eq!(
        Statistics::load("no/such.json").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// A file that version 1 has written: of counts, of sketches, weighted, and by label. It is never written again.
#[test]
fn statistics_of_the_first_format_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/statistics_1.json");
    let rows = |number: i64, n: i64| day(number, n).project(&[0, 2, 3, 5]).unwrap();
    let options = Statistics::options().label("late");
    let found = Statistics::load(&path).unwrap();
    let now = with(&rows(1, 4_500), &options);
    assert_eq!(found, now);
    assert_eq!(
        found.quantile_sketch("key").unwrap(),
        now.quantile_sketch("key").unwrap()
    );
    let more = with(&rows(2, 100), &options);
    assert_eq!(found.merge(&more).unwrap(), now.merge(&more).unwrap());
}

#[test]
fn an_empty_data_set_has_statistics_too() {
    let schema = ArrowSchema::new(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("nothing", DataType::Null, true),
    ]);
    let mut accumulator = StatisticsAccumulator::new(&schema);
    accumulator
        .update(&RecordBatch::new_empty(Arc::new(schema)))
        .unwrap();
    let found = accumulator.finish();
    assert_eq!((found.n_rows, found.columns.len()), (0, 3));
    assert_eq!(
        found.column("x").unwrap().numeric.as_ref().unwrap().mean,
        None
    );
    let loaded = Statistics::from_json(&found.to_json().unwrap()).unwrap();
    assert_eq!(loaded.merge(&found).unwrap(), found);
}

#[test]
fn a_slicing_asked_for_twice_counts_rows_once() {
    let rows = batch(vec![("kind", texts(&["a", "b", "a"]))]);
    let options = Statistics::options().slice_by(["kind", "kind"]);
    let found = with(&rows, &options.slice_by_all(["kind"]));
    let n_rows: Vec<u64> = (found.slices.iter())
        .map(|slice| slice.statistics.n_rows)
        .collect();
    assert_eq!(n_rows, [2, 1]);
}

#[test]
fn dictionaries_of_bytes_are_what_their_values_are() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"ab", b"cd", b"ab", b"ef"]));
    for values in [
        DataType::Binary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(2),
    ] {
        let plain = cast(&bytes, &values).unwrap();
        let keys = Int32Array::from(vec![Some(0), Some(1), None, Some(2), Some(0)]);
        let keys = DictionaryArray::<Int32Type>::try_new(keys, plain).unwrap();
        // A dictionary that is longer than the rows too.
        let column: ArrayRef = Arc::new(keys);
        for column in [column.slice(1, 3), column] {
            let direct = cast(&column, &values).unwrap();
            let (found, expected) = (of_column(column), of_column(direct));
            let (found, expected) = (found.column("x").unwrap(), expected.column("x").unwrap());
            assert_eq!(found.top_values, expected.top_values, "{values}");
            assert_eq!(found.distinct, expected.distinct, "{values}");
            assert!(found.distinct >= 2, "{values}");
        }
    }
}

#[test]
fn bytes_count_by_their_weight() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![
        Some(b"ab"),
        Some(b"\xff\xfe"),
        None,
        Some(b"ab"),
    ]));
    let options = Statistics::options().weight("w");
    for data_type in [
        DataType::Binary,
        DataType::LargeBinary,
        DataType::FixedSizeBinary(2),
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary)),
    ] {
        let column = cast(&bytes, &data_type).unwrap();
        let rows = batch(vec![("b", column), ("w", floats(&[1.0, 2.0, 4.0, 8.0]))]);
        let found = with(&rows, &options);
        let found = found.column("b").unwrap().weighted.as_ref().unwrap();
        assert_eq!((found.count, found.missing), (11.0, 4.0), "{data_type}");
        assert_eq!(found.top_values, [("ab".to_owned(), 9.0)], "{data_type}");
    }
}

#[test]
fn weights_whose_sum_may_be_infinite_are_refused() {
    let rows = batch(vec![
        ("x", floats(&[1.0, 2.0])),
        ("w", floats(&[1e308, 1e308])),
    ]);
    let mut accumulator = (Statistics::options().weight("w"))
        .accumulator(&rows.schema())
        .unwrap();
    let error = accumulator.update(&rows).unwrap_err();
    assert_eq!(
        error.message(),
        "weight column `w` is 1e308 in a row, must be at most 1e280"
    );
}
