mod answers;
mod strict;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use ndarray::{Array1, Array2};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{ErrorKind, Result};
use crate::model::{LinearModel, Link, Manifest, Model, Prediction, Servable, Target, Task};
use crate::schema::{Counts, Domain, Field, FieldType, Schema};
use crate::serving::Predictor;
use crate::transform::ops::{Categories, Cyclic, ImputeNumber, Items, Linear, PartOfDate};
use crate::transform::{DatePart, FittedOp, FittedStep, FittedTransform, InputColumn};

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cabin {
    First,
    #[serde(rename = "2nd")]
    Second,
}

impl Cabin {
    fn text(self) -> &'static str {
        match self {
            Cabin::First => "first",
            Cabin::Second => "2nd",
        }
    }
}

/// A type that is written as a string, as the types of date libraries are.
#[derive(Clone, Debug)]
struct Day(i32);

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("2013-01-{:02}", self.0 + 1))
    }
}

const FIRST_DAY: i32 = 15_706;

#[derive(Clone, Debug, Serialize)]
struct Place {
    city: Option<String>,
    #[serde(rename = "height")]
    metres: f32,
}

#[derive(Clone, Debug, Serialize)]
struct Passenger {
    id: u64,
    age: u8,
    fare: Option<f64>,
    vip: Option<bool>,
    cabin: Option<Cabin>,
    deck: char,
    day: Option<Day>,
    at: Option<String>,
    #[serde(rename = "from")]
    place: Option<Place>,
    legs: Option<Vec<Option<i16>>>,
    note: (),
}

fn schema() -> Schema {
    let mut legs = Field::new("legs", FieldType::Integer);
    legs.list = Some(Counts::default());
    Schema::new([
        Field::new("age", FieldType::Integer)
            .required()
            .domain(Domain::Range {
                min: Some(0.0),
                max: Some(130.0),
            }),
        Field::new("fare", FieldType::Float),
        Field::new("vip", FieldType::Boolean),
        Field::new("cabin", FieldType::Text),
        Field::new("deck", FieldType::Text),
        Field::new("day", FieldType::Date),
        Field::new("at", FieldType::Timestamp),
        Field::new("from.city", FieldType::Text),
        Field::new("from.height", FieldType::Float),
        legs,
    ])
}

fn transform() -> FittedTransform {
    fn step(column: &str, op: impl Into<FittedOp>) -> FittedStep {
        FittedStep::new(column, column, op)
    }
    fn categories(values: &[&str]) -> Categories {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Categories {
            values: values.into(),
        }
    }
    let part = |part| PartOfDate { part };
    let fill = || ImputeNumber { value: 0.5 };
    let (offset, scale) = (40.0, 0.1);
    let legs: Vec<String> = (0..5).map(|leg| leg.to_string()).collect();
    let steps = vec![
        step("age", Linear { offset, scale }),
        step("fare", fill()),
        step("vip", fill()),
        step("cabin", categories(&["first", "2nd"])),
        step("deck", categories(&["A", "é"])),
        step("day", part(DatePart::Weekday)),
        step("day", fill()),
        step("day", Cyclic { period: 7.0 }),
        step("at", part(DatePart::Hour)),
        step("at", fill()),
        step("from.city", categories(&["Rome", "Zürich"])),
        step("from.height", fill()),
        step(
            "legs",
            Items {
                values: legs.into(),
            },
        ),
    ];
    let inputs = schema().fields.into_iter().map(|field| match field.list {
        Some(_) => InputColumn::list(field.name, field.field_type),
        None => InputColumn::new(field.name, field.field_type),
    });
    // Not in the order of the schema.
    let inputs: Vec<InputColumn> = inputs.rev().collect();
    FittedTransform::new(inputs, steps).unwrap()
}

fn predictor(target: Target) -> Predictor {
    let transform = Arc::new(transform());
    let n_features = transform.features().len();
    let weights = Array2::from_shape_fn((target.n_outputs(), n_features), |(output, feature)| {
        ((output * 7 + feature * 3) % 11) as f64 / 10.0 - 0.5
    });
    let link = match target.task() {
        Task::Regression => Link::Identity,
        Task::Binary => Link::Logistic,
        Task::Multiclass => Link::Softmax,
    };
    let model = LinearModel::new(link, &weights, &Array1::zeros(target.n_outputs())).unwrap();
    let manifest = Manifest {
        format_version: Manifest::FORMAT_VERSION,
        name: "passengers".to_owned(),
        model_format: LinearModel::FORMAT.to_owned(),
        target,
        label: None,
        details: BTreeMap::new(),
    };
    let servable = Servable::new(manifest, &schema(), transform, Arc::new(model)).unwrap();
    Predictor::new(3, Arc::new(servable))
}

fn regression() -> Predictor {
    predictor(Target::regression("price"))
}

fn classes<const N: usize>(names: [&str; N]) -> Predictor {
    predictor(Target::classification("class", names).unwrap())
}

/// The same rows, made by hand as Arrow columns.
fn batch(rows: &[Passenger]) -> RecordBatch {
    let city = |row: &Passenger| row.place.as_ref().and_then(|place| place.city.clone());
    let metres = |row: &Passenger| row.place.as_ref().map(|place| f64::from(place.metres));
    let from: ArrayRef = Arc::new(StructArray::from(
        RecordBatch::try_from_iter([
            (
                "city",
                Arc::new(rows.iter().map(city).collect::<StringArray>()) as ArrayRef,
            ),
            (
                "height",
                Arc::new(rows.iter().map(metres).collect::<Float64Array>()),
            ),
        ])
        .unwrap(),
    ));
    let legs = rows.iter().map(|row| {
        let legs = row.legs.as_ref()?.iter();
        Some(legs.map(|leg| leg.map(i64::from)).collect::<Vec<_>>())
    });
    let day = |row: &Passenger| row.day.as_ref().map(|day| FIRST_DAY + day.0);
    let at = |row: &Passenger| {
        let hour: i64 = row.at.as_ref()?[11..13].parse().unwrap();
        Some((i64::from(FIRST_DAY) * 24 + hour) * 3_600_000_000)
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "legs",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(legs)),
        ),
        (
            "age",
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|row| row.age.into()),
            )),
        ),
        (
            "fare",
            Arc::new(rows.iter().map(|row| row.fare).collect::<Float64Array>()),
        ),
        (
            "vip",
            Arc::new(rows.iter().map(|row| row.vip).collect::<BooleanArray>()),
        ),
        (
            "cabin",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.cabin.map(Cabin::text)),
            )),
        ),
        (
            "deck",
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| row.deck.to_string()),
            )),
        ),
        (
            "day",
            Arc::new(rows.iter().map(day).collect::<Date32Array>()),
        ),
        (
            "at",
            Arc::new(
                rows.iter()
                    .map(at)
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        ("from", from),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn passenger() -> impl Strategy<Value = Passenger> {
    let number = prop_oneof![-1e3..1e3, Just(f64::NAN), Just(-0.0)];
    let cabin = prop_oneof![Just(Cabin::First), Just(Cabin::Second)];
    let city = prop_oneof![
        Just("Rome".to_owned()),
        Just("Zürich".to_owned()),
        ".{0,9}".prop_map(String::from)
    ];
    let place = (prop::option::of(city), -100.0_f32..100.0)
        .prop_map(|(city, metres)| Place { city, metres });
    let legs = prop::collection::vec(prop::option::of(0_i16..8), 0..4);
    (
        (
            any::<u64>(),
            0_u8..=130,
            prop::option::of(number),
            any::<Option<bool>>(),
        ),
        (
            prop::option::of(cabin),
            prop_oneof![Just('A'), Just('é'), any::<char>()],
        ),
        (prop::option::of(0..28), prop::option::of(0..24)),
        (prop::option::of(place), prop::option::of(legs)),
    )
        .prop_map(
            |((id, age, fare, vip), (cabin, deck), (day, hour), (place, legs))| Passenger {
                id,
                age,
                fare,
                vip,
                cabin,
                deck,
                day: day.map(Day),
                at: hour.map(|hour: i32| format!("2013-01-01T{hour:02}:00:00Z")),
                place,
                legs,
                note: (),
            },
        )
}

fn bits(prediction: &Prediction) -> Vec<u64> {
    prediction.outputs().iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2_013),
        ..ProptestConfig::default()
    })]

    #[test]
    fn typed_rows_and_arrow_rows_give_the_same_bits(
        rows in prop::collection::vec(passenger(), 1..20),
    ) {
        let predictor = classes(["no", "yes"]);
        let expected = predictor.predict(&batch(&rows)).unwrap();
        let lenient = predictor.typed::<Passenger, f64>().unwrap().lenient();
        let shares: Vec<f64> = lenient.predict_all(&rows).unwrap();
        prop_assert_eq!(shares.iter().map(|share| share.to_bits()).collect::<Vec<_>>(), bits(&expected));
        for (at, row) in rows.iter().enumerate() {
            let one: f64 = lenient.predict(row).unwrap();
            prop_assert_eq!(one.to_bits(), shares[at].to_bits());
            prop_assert_eq!(one.to_bits(), bits(&expected)[at]);
            // NaN is no JSON.
            if row.fare.is_none_or(f64::is_finite) {
                let map = serde_json::to_value(row).unwrap();
                let by_map = predictor.typed::<Value, f64>().unwrap().lenient();
                let by_map = by_map.predict(&map).unwrap();
                prop_assert_eq!(one.to_bits(), by_map.to_bits());
            }
        }
    }
}

#[test]
fn errors_name_the_field_and_the_row() {
    let predictor = regression();
    let good = json!({"age": 40, "deck": "A"});
    let message = |odd: Value| {
        let rows = [good.clone(), good.clone(), odd];
        let error = predictor.predict_rows::<_, f64>(&rows).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        error.message().to_owned()
    };
    let cases = [
        (
            json!({"deck": "A"}),
            "field `age` is NULL in row 2, but required",
        ),
        (
            json!({"age": null}),
            "field `age` is NULL in row 2, but required",
        ),
        (
            json!({"age": 131}),
            "field `age` is 131 in row 2, must be from 0 to 130",
        ),
        (
            json!({"age": 0.5}),
            "field `age` is 0.5 in row 2, must be a whole number",
        ),
        (
            json!({"age": "old"}),
            "field `age` is `old` in row 2, must be of type integer",
        ),
        (
            json!({"age": u64::MAX}),
            "field `age` is 18446744073709551615 in row 2, must be of type integer",
        ),
        (
            json!({"age": 1, "fare": true}),
            "field `fare` is true in row 2, must be of type float",
        ),
        (
            json!({"age": 1, "deck": 7}),
            "field `deck` is 7 in row 2, must be of type text",
        ),
        (
            json!({"age": 1, "deck": ["A"]}),
            "field `deck` is a list in row 2, must be of type text",
        ),
        (
            json!({"age": 1, "deck": {"level": 1}}),
            "field `deck` is a struct in row 2, must be of type text",
        ),
        (
            json!({"age": 1, "legs": 7}),
            "field `legs` is 7 in row 2, must be of type list of integer",
        ),
        (
            json!({"age": 1, "legs": [1, "two"]}),
            "field `legs` is `two` in row 2, must be of type list of integer",
        ),
        (
            json!({"age": 1, "legs": [[1]]}),
            "field `legs` is a list in a list in row 2, must be of type list of integer",
        ),
        (
            json!({"age": 1, "day": "tomorrow"}),
            "field `day` is `tomorrow` in row 2, must be a date written as ISO 8601, such as 2013-01-31",
        ),
        (
            json!({"age": 1, "from": {"city": 7}}),
            "field `from.city` is 7 in row 2, must be of type text",
        ),
        (
            json!({"age": 1, "from": {"city": "Rome"}, "from.city": "Oslo"}),
            "duplicate field `from.city` in row 2",
        ),
        (json!(7), "row 2 is a number, must be a struct or a map"),
        (json!(null), "row 2 is nothing, must be a struct or a map"),
        (json!([1, 2]), "row 2 is a list, must be a struct or a map"),
    ];
    for (row, expected) in cases {
        assert_eq!(message(row), expected);
    }
}

#[test]
fn what_is_not_asked_for_is_left_out_where_that_is_wanted() {
    let predictor = regression();
    let plain: f64 = predictor
        .predict_row(&json!({"age": 40, "deck": "A"}))
        .unwrap();
    let more = json!({
        "label": {"deep": [1, {"a": []}]},
        "age": 40.0,
        "from": 7,
        "deck": "A",
        "fare": null,
        "legs": null,
        "zzz": [1, 2],
    });
    let lenient = predictor.typed::<Value, f64>().unwrap().lenient();
    let same = lenient.predict(&more).unwrap();
    assert_eq!(plain.to_bits(), same.to_bits());
    let nothing: Vec<f64> = predictor.predict_rows::<Passenger, _>(&[]).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn long_texts_are_texts() {
    let predictor = regression();
    let of = |city: String| {
        let row = json!({"from": {"city": city}, "age": 40, "cabin": "2nd", "deck": "A"});
        let one: f64 = predictor.predict_row(&row).unwrap();
        let many: Vec<f64> = predictor.predict_rows(&[row.clone(), row]).unwrap();
        assert_eq!(many, [one, one]);
        one
    };
    assert_eq!(of("Bern".to_owned()), of("é".repeat(100_000)));
    assert_ne!(of("Bern".to_owned()), of("Rome".to_owned()));
}

#[test]
fn whole_floats_are_whole_numbers_and_whole_numbers_floats() {
    let predictor = regression();
    let of = |row: Value| predictor.predict_row::<_, f64>(&row).unwrap();
    assert_eq!(
        of(json!({"age": 40, "fare": 7})).to_bits(),
        of(json!({"age": 40.0, "fare": 7.0})).to_bits()
    );
}

#[test]
fn a_row_of_its_own_serializer_may_fail() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the lock is poisoned"))
        }
    }
    let error = regression().predict_row::<_, f64>(&Fails).unwrap_err();
    assert_eq!(
        error.message(),
        "row 0 cannot be serialized: the lock is poisoned"
    );
}
