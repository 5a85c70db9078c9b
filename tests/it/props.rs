//! Laws that hold for any input.

use std::collections::BTreeMap;
use std::sync::Arc;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use fourfold::arrow::compute::{concat_batches, take_record_batch};
use fourfold::data::Split;
use fourfold::fingerprint::Fingerprint;
use fourfold::schema::{AnomalyKind, Bounds, Counts, Domain, Field, FieldType, Schema, Severity};
use fourfold::statistics::distance::{Categories, Distance};
use fourfold::statistics::{Moments, QuantileSketch, Statistics, StatisticsAccumulator, TopValues};
use fourfold::transform::ops::{Bucketize, HashBuckets, SplitAt, SplitText, Terms, ToIds};
use fourfold::transform::{DatePart, Fill, FittedTransform, Transform};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::support::cases;

/// A row of every type that features are made of.
type Row = (
    Option<i64>,
    Option<f64>,
    Option<String>,
    Option<bool>,
    Option<i32>,
);

fn row(odd_floats: bool) -> impl Strategy<Value = Row> {
    let odd = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0)
    ];
    let float = prop_oneof![8 => -1e6..1e6, 1 => Just(0.0), u32::from(odd_floats) => odd];
    (
        weighted(0.9, -50_i64..50),
        weighted(0.9, float),
        weighted(0.9, "[a-c]{0,2}"),
        weighted(0.9, any::<bool>()),
        weighted(0.9, 0..20_000),
    )
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        (
            "whole",
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
        ),
        (
            "real",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1))),
        ),
        (
            "text",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.2.as_deref()),
            )),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3))),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.4))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// The batch in pieces; each cut is taken modulo the rows.
fn pieces(batch: &RecordBatch, cuts: &[usize]) -> Vec<RecordBatch> {
    let n = batch.num_rows();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (n + 1)).chain([0, n]).collect();
    ends.sort_unstable();
    ends.windows(2)
        .map(|ends| batch.slice(ends[0], ends[1] - ends[0]))
        .collect()
}

fn accumulated(batches: &[RecordBatch]) -> StatisticsAccumulator {
    let mut accumulator = StatisticsAccumulator::new(&batches[0].schema());
    batches
        .iter()
        .for_each(|batch| accumulator.update(batch).unwrap());
    accumulator
}

fn close(a: Option<f64>, b: Option<f64>, scale: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * scale,
        (a, b) => a == b,
    }
}

/// Takes out what sums of floats are in, which may differ in the last bits; they must be close.
fn assert_equal_but_for_rounding(mut one: Statistics, mut other: Statistics) {
    for (a, b) in one.columns.iter_mut().zip(&mut other.columns) {
        if let (Some(a), Some(b)) = (&mut a.numeric, &mut b.numeric) {
            let scale = a.max.unwrap_or(0.0).abs().max(a.min.unwrap_or(0.0).abs());
            assert!(close(a.mean, b.mean, scale), "{:?} {:?}", a.mean, b.mean);
            assert!(close(a.std, b.std, scale), "{:?} {:?}", a.std, b.std);
            (a.mean, a.std) = (b.mean, b.std);
        }
    }
    assert_eq!(one, other);
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_split_depends_on_what_rows_there_are_alone(
        rows in vec(row(true), 1..120),
        order in any::<prop::sample::Index>(),
        by_key in any::<bool>(),
    ) {
        let weights = [("train", 3), ("eval", 2), ("test", 1)];
        let split = if by_key { Split::by_hash(["text", "whole"], weights) } else { Split::by_row(weights) };
        let whole = batch(&rows);
        let places = split.assign(&whole).unwrap();
        prop_assert_eq!(places.len(), rows.len());
        prop_assert!(places.iter().all(|place| *place < 3));

        let start = order.index(rows.len());
        let turned: Vec<u32> = (0..rows.len()).rev().map(|i| ((i + start) % rows.len()) as u32).collect();
        let moved = take_record_batch(&whole, &UInt32Array::from(turned.clone())).unwrap();
        let moved_places = split.assign(&moved).unwrap();
        let longer = concat_batches(&whole.schema(), [&moved, &whole]).unwrap();
        let longer_places = split.assign(&longer).unwrap();
        if by_key {
            let expected: Vec<usize> = turned.iter().map(|row| places[*row as usize]).collect();
            prop_assert_eq!(moved_places, expected);
            prop_assert_eq!(&longer_places[rows.len()..], places.as_slice());
        } else {
            // Equal rows cannot be told apart: how many of each content are in which split is what counts.
            let content = |order: &mut dyn Iterator<Item = usize>, places: &[usize]| {
                let mut all: Vec<String> = order
                    .zip(places)
                    .map(|(row, place)| format!("{:?} {place}", whole.slice(row, 1).columns()))
                    .collect();
                all.sort_unstable();
                all
            };
            let turned = || turned.iter().map(|row| *row as usize);
            let before = content(&mut (0..rows.len()), &places);
            prop_assert_eq!(&content(&mut turned(), &moved_places), &before);
            let mut after = content(&mut turned().chain(0..rows.len()), &longer_places);
            for row in before {
                let at = after.binary_search(&row);
                prop_assert!(at.is_ok(), "{} has moved", row);
                at.map(|at| after.remove(at)).unwrap();
            }
        }
    }

    #[test]
    fn statistics_of_merged_parts_are_those_of_the_whole(rows in vec(row(true), 0..300), cuts in vec(any::<usize>(), 0..6)) {
        let whole = batch(&rows);
        let mut merged = StatisticsAccumulator::new(&whole.schema());
        for piece in pieces(&whole, &cuts) {
            merged.merge(accumulated(&[piece])).unwrap();
        }
        let expected = accumulated(std::slice::from_ref(&whole)).finish();
        assert_equal_but_for_rounding(merged.finish(), expected.clone());

        // Batches of other sizes do not matter at all.
        prop_assert_eq!(accumulated(&[vec![whole.slice(0, 0)], pieces(&whole, &cuts)].concat()).finish(), expected.clone());

        // Against counting by hand.
        let column = |name| expected.column(name).unwrap();
        let real: Vec<f64> = rows.iter().filter_map(|row| row.1).collect();
        prop_assert_eq!(column("real").count, real.len() as u64);
        prop_assert_eq!(column("real").missing, (rows.len() - real.len()) as u64);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        rows.iter().filter_map(|row| row.2.as_deref()).for_each(|text| *counts.entry(text).or_default() += 1);
        prop_assert_eq!(column("text").distinct, counts.len() as u64);
        prop_assert!(column("text").top_values_exact);
        let found: BTreeMap<&str, u64> = column("text").top_values.iter().map(|(text, n)| (text.as_str(), *n)).collect();
        prop_assert_eq!(found, counts);
        let mut whole: Vec<i64> = rows.iter().filter_map(|row| row.0).collect();
        whole.sort_unstable();
        let numeric = column("whole").numeric.as_ref().unwrap();
        prop_assert_eq!(numeric.min, whole.first().map(|min| *min as f64));
        prop_assert_eq!(numeric.max, whole.last().map(|max| *max as f64));
        let median = whole.len().div_ceil(2).checked_sub(1).map(|middle| whole[middle] as f64);
        prop_assert_eq!(numeric.median(), median);
    }

    #[test]
    fn days_that_were_saved_merge_into_the_whole(rows in vec(row(true), 0..300), cut in any::<prop::sample::Index>()) {
        let whole = batch(&rows);
        let cut = cut.index(rows.len() + 1);
        let saved = [whole.slice(0, cut), whole.slice(cut, rows.len() - cut)].map(|day| {
            let day = accumulated(&[day]).finish();
            let loaded = Statistics::from_json(&day.to_json().unwrap()).unwrap();
            assert_eq!(loaded, day);
            loaded
        });
        let merged = saved[0].merge(&saved[1]).unwrap();
        assert_equal_but_for_rounding(merged, accumulated(&[whole]).finish());
    }

    #[test]
    fn an_accumulator_travels_without_a_change(rows in vec(row(true), 0..200), more in vec(row(true), 0..50)) {
        let (rows, more) = (batch(&rows), batch(&more));
        let mut sent = accumulated(std::slice::from_ref(&rows));
        let state = sent.state().unwrap();
        let mut received = StatisticsAccumulator::from_state(&state).unwrap();
        prop_assert_eq!(received.finish(), sent.finish());
        sent.update(&more).unwrap();
        received.update(&more).unwrap();
        prop_assert_eq!(received.finish(), sent.finish());
        // Parts are merged in the order of their bytes.
        prop_assert!(accumulated(&[rows]).state().unwrap() == state);
    }

    #[test]
    fn moments_are_those_of_the_definition(values in vec(-1e6..1e6, 1..300), cut in any::<prop::sample::Index>()) {
        let of = |values: &[f64]| {
            let mut moments = Moments::default();
            values.iter().for_each(|value| moments.update(*value));
            moments
        };
        let (left, right) = values.split_at(cut.index(values.len()));
        let mut moments = of(left);
        moments.merge(&of(right));
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        prop_assert!(close(moments.mean(), Some(mean), 1e6));
        prop_assert!(close(moments.variance(), Some(variance), 1e12));
        prop_assert_eq!(moments.count(), values.len() as u64);
        prop_assert_eq!(moments.min(), values.iter().copied().reduce(f64::min));
        prop_assert_eq!(moments.max(), values.iter().copied().reduce(f64::max));
    }

    #[test]
    fn counts_of_top_values_are_too_low_by_the_error_at_most(
        parts in vec(vec(0_i64..60, 0..300), 1..5),
        capacity in 1_usize..12,
    ) {
        let mut top = TopValues::<i64>::new(capacity);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for part in &parts {
            let mut mine = TopValues::<i64>::new(capacity);
            for value in part {
                mine.add(value, 1);
                *counts.entry(*value).or_default() += 1;
            }
            top.merge(mine);
        }
        let held: BTreeMap<i64, u64> = top.top(usize::MAX).into_iter().collect();
        let n: u64 = counts.values().sum();
        prop_assert!(held.len() <= 2 * capacity);
        prop_assert!(top.error() <= n / capacity as u64, "{} of {n}", top.error());
        for (value, count) in counts {
            let found = held.get(&value).copied().unwrap_or_default();
            prop_assert!(found <= count && count <= found + top.error(), "{value}: {found} of {count}");
        }
    }

    #[test]
    fn a_fingerprint_sees_every_field_and_not_their_order(
        fields in prop::collection::btree_map("[a-z]{1,6}", value(), 1..8),
        at in any::<prop::sample::Index>(),
    ) {
        let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
        let fingerprint = |fields: &[(String, Value)]| Fingerprint::of(&json_in_order(fields)).unwrap();
        let original = fingerprint(&fields);
        fields.reverse();
        prop_assert_eq!(&fingerprint(&fields), &original);
        let at = at.index(fields.len());
        fields.rotate_left(at);
        prop_assert_eq!(&fingerprint(&fields), &original);

        let mut changed = fields.clone();
        changed[at].1 = json!({"was": changed[at].1});
        prop_assert_ne!(&fingerprint(&changed), &original);
        let mut renamed = fields.clone();
        renamed[at].0.push('_');
        prop_assert_ne!(&fingerprint(&renamed), &original);
        fields.remove(at);
        prop_assert_ne!(&fingerprint(&fields), &original);
    }

    #[test]
    fn a_schema_is_the_same_after_json_and_toml_and_differs_in_nothing(fields in vec(field(), 0..6)) {
        let schema = Schema::new(fields);
        let json = serde_json::to_string_pretty(&schema).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Schema>(&json).unwrap(), &schema);
        let toml = schema.to_toml().unwrap();
        prop_assert_eq!(&toml::from_str::<Schema>(&toml).unwrap(), &schema);
        prop_assert!(schema.diff(&schema).is_empty());
    }

    #[test]
    fn a_schema_that_is_updated_takes_what_it_did_not(before in vec(row(true), 1..60), after in vec(row(true), 1..60)) {
        let (before, after) = (batch(&before), batch(&after));
        let statistics = |rows| accumulated(std::slice::from_ref(rows)).finish();
        let schema = Schema::infer(&statistics(&before));
        let updated = schema.update(&statistics(&after)).unwrap();
        prop_assert_eq!(updated.validate(&statistics(&after)), []);
        prop_assert_eq!(updated.version, u64::from(updated != schema));
        prop_assert!(schema.diff(&updated).is_empty() || updated.version == 1);
        updated.check().unwrap();
        // What a data set has no anomalies in has no rows that break anything.
        let rows = updated.check_rows(&after, 3);
        prop_assert!(rows.is_valid(), "{}", rows);
    }

    #[test]
    fn a_divergence_is_symmetric_within_bounds_and_nothing_between_equals(a in counts(), b in counts()) {
        let (a, b) = (Categories::new(a), Categories::new(b));
        let distance = |distance: Distance, a, b| distance.of_categories(a, b).unwrap();
        for measure in [Distance::JensenShannonDivergence, Distance::InfinityNorm, Distance::NormalizedAbsDifference] {
            let there = distance(measure, &a, &b);
            prop_assert!((0.0..=1.0).contains(&there), "{}", there);
            prop_assert!((there - distance(measure, &b, &a)).abs() < 1e-12);
            prop_assert_eq!(distance(measure, &a, &a), 0.0);
        }
    }

    #[test]
    fn a_divergence_of_numbers_is_symmetric_and_nothing_between_equals(a in numbers(), b in numbers()) {
        let (a, b) = (statistics_of(&a), statistics_of(&b));
        for measure in [Distance::JensenShannonDivergence, Distance::KolmogorovSmirnov] {
            let there = measure.of_numbers(&a, &b, "x").unwrap();
            prop_assert!((0.0..=1.0).contains(&there), "{}", there);
            prop_assert!((there - measure.of_numbers(&b, &a, "x").unwrap()).abs() < 1e-12);
            prop_assert_eq!(measure.of_numbers(&a, &a, "x").unwrap(), 0.0);
        }
    }

    #[test]
    fn a_schema_that_was_inferred_takes_the_rows_it_was_inferred_from(rows in vec(row(true), 1..100)) {
        let rows = batch(&rows);
        let statistics = accumulated(std::slice::from_ref(&rows)).finish();
        let schema = Schema::infer(&statistics);
        prop_assert_eq!(schema.validate(&statistics), []);
        let conforming = schema.conform(&rows).unwrap();
        prop_assert_eq!(conforming.columns(), rows.columns());
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn features_are_the_same_after_saving_and_row_by_row(rows in vec(row(true), 1..80), others in vec(row(true), 1..40)) {
        // There is something to learn from in every column.
        let full = (Some(1), Some(2.5), Some("a".to_owned()), Some(true), Some(15_000));
        let train = batch(&[vec![full], rows].concat());
        let fitted = transform().fit(std::slice::from_ref(&train)).unwrap();
        let saved = serde_json::to_string(&fitted).unwrap();
        let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(&loaded, &fitted);
        for rows in [train, batch(&others)] {
            let features = bits(&fitted, &rows);
            prop_assert_eq!(&bits(&loaded, &rows), &features);
            let one_by_one: Vec<u32> = (0..rows.num_rows()).flat_map(|row| bits(&fitted, &rows.slice(row, 1))).collect();
            prop_assert_eq!(&one_by_one, &features);
        }
    }

    #[test]
    fn ranks_are_off_by_half_a_percent_at_most(
        seed in any::<u64>(),
        n in 1_usize..30_000,
        n_parts in 1_usize..9,
        distinct in 1_u64..100_000,
    ) {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % distinct) as f64
        };
        let mut values: Vec<f64> = (0..n).map(|_| next()).collect();
        let mut sketch = QuantileSketch::default();
        for part in values.chunks(n.div_ceil(n_parts)) {
            let mut mine = QuantileSketch::default();
            part.iter().for_each(|value| mine.update(*value));
            sketch.merge(&mine);
        }
        values.sort_by(f64::total_cmp);
        let slack = if n < QuantileSketch::K { 0.0 } else { 0.005 * n as f64 };
        for percent in 0..=100 {
            let rank = f64::from(percent) / 100.0;
            let found = sketch.quantiles(&[rank])[0];
            let below = values.partition_point(|value| *value < found) as f64;
            let upto = values.partition_point(|value| *value <= found) as f64;
            let wanted = (rank * n as f64).ceil().max(1.0);
            prop_assert!(below < wanted + slack && upto >= wanted - slack, "rank {rank} of {n}: {below} to {upto}");
        }
    }
}

fn transform() -> Transform {
    Transform::new()
        .missing_indicator("real")
        .impute("real", Fill::Median)
        .step_to("real", "bucket", Bucketize { n_buckets: 4 })
        .one_hot("bucket")
        .clip("real", 0.05, 0.95)
        .z_score("real")
        .impute("whole", Fill::Mean)
        .min_max("whole")
        .step_to(
            "text",
            "text_hash",
            HashBuckets {
                n_buckets: 5,
                key: 0,
            },
        )
        .step_to(
            "text",
            "words",
            SplitText {
                at: SplitAt::NonAlphanumeric,
                lower_case: true,
            },
        )
        .n_grams("words", 1..=2)
        .tf_idf("words", Terms::top(5).oov(2))
        .impute("text", Fill::Mode)
        .step_to(
            "text",
            "text_id",
            ToIds {
                terms: Terms::top(3).oov(2),
                default_id: -1,
            },
        )
        .one_hot_top("text", 4)
        .one_hot("flag")
        .date_part("day", DatePart::Month)
        .impute("day_month", Fill::Median)
        .cyclic("day_month", 12.0)
}

fn bits(transform: &FittedTransform, rows: &RecordBatch) -> Vec<u32> {
    transform
        .apply(rows)
        .unwrap()
        .iter()
        .map(|value| value.to_bits())
        .collect()
}

/// A value of a configuration, which may be a tree.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z]{1,3}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Serializes a map in the given order, which `serde_json` would sort.
fn json_in_order(fields: &[(String, Value)]) -> impl Serialize {
    struct InOrder(Vec<(String, Value)>);
    impl Serialize for InOrder {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    InOrder(fields.to_vec())
}

fn counts() -> impl Strategy<Value = BTreeMap<String, f64>> {
    prop::collection::btree_map("[a-e]", 0.001..1e6, 1..5)
}

/// Numbers with those that are not finite among them.
fn numbers() -> impl Strategy<Value = Vec<f64>> {
    let odd = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]);
    vec(prop_oneof![4 => -1e6..1e6, 1 => odd], 1..50)
}

fn statistics_of(values: &[f64]) -> Statistics {
    let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    accumulated(std::slice::from_ref(&batch)).finish()
}

fn field() -> impl Strategy<Value = Field> {
    let types = [
        FieldType::Boolean,
        FieldType::Integer,
        FieldType::Float,
        FieldType::Text,
        FieldType::Date,
        FieldType::Timestamp,
        FieldType::Other,
    ];
    let bound = || weighted(0.7, -1e12..1e12);
    let domain = prop_oneof![
        vec(".{0,5}", 0..5).prop_map(Domain::Values),
        (bound(), bound()).prop_map(|(min, max)| Domain::Range { min, max }),
        (bound(), bound()).prop_map(|(min, max)| Domain::FloatText { min, max }),
        (weighted(0.5, ".{0,5}"), weighted(0.5, ".{0,5}"))
            .prop_map(|(from, to)| Domain::Times { from, to }),
        weighted(0.5, ".{0,5}").prop_map(|true_value| Domain::Boolean {
            true_value,
            false_value: None
        }),
    ];
    let counts = || {
        (
            weighted(0.5, 0..1_000_000_u64),
            weighted(0.5, 0..1_000_000_u64),
        )
            .prop_map(|(min, max)| Counts { min, max })
    };
    let kind = prop::sample::select(AnomalyKind::ALL);
    let severity = || prop_oneof![Just(Severity::Warning), Just(Severity::Error)];
    let limits = (
        weighted(0.3, counts()),
        counts(),
        (bound(), bound()).prop_map(|(min, max)| Bounds { min, max }),
        weighted(0.5, 0.0..1.0),
    );
    let rules = (
        vec("[a-z]{1,5}", 0..3),
        any::<bool>(),
        weighted(0.5, severity()),
        prop::collection::btree_map(kind, severity(), 0..3),
    );
    (
        ".{0,8}",
        prop::sample::select(types.to_vec()),
        0.0..=1.0,
        weighted(0.5, domain),
        limits,
        rules,
    )
        .prop_map(|(name, field_type, min_fraction, domain, limits, rules)| {
            let mut field = Field::new(name, field_type);
            field.min_fraction = min_fraction;
            field.domain = domain;
            field.list = limits.0;
            field.unique = limits.1;
            field.distribution.mean = limits.2;
            field
                .distribution
                .shares
                .insert("a.b c".to_owned(), limits.2);
            field.drift.jensen_shannon_divergence = limits.3;
            field.in_environment = rules.0;
            field.strict = rules.1;
            field.severity = rules.2;
            field.severities = rules.3;
            field
        })
}
