//! Models for the tests of the protocols, and requests that are no requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, array};

use super::*;
use crate::error::{ErrorKind, Result};
use crate::model::{LinearModel, Link, Manifest, Predict, Servable, Target};
use crate::schema::{Counts, Field, FieldType, Schema};
use crate::serving::Predictor;
use crate::serving::requests::Exchange;
use crate::transform::ops::{Categories, ImputeNumber, Items, Linear};
use crate::transform::{FittedOp, FittedStep, FittedTransform, InputColumn};

fn predictor(
    name: &str,
    fields: Vec<Field>,
    inputs: Vec<InputColumn>,
    steps: Vec<FittedStep>,
    model: LinearModel,
    target: Target,
) -> Predictor {
    let manifest = Manifest {
        format_version: Manifest::FORMAT_VERSION,
        name: name.to_owned(),
        model_format: "test.linear.v1".to_owned(),
        target,
        label: None,
        details: BTreeMap::new(),
    };
    let transform = Arc::new(FittedTransform::new(inputs, steps).unwrap());
    let model: Arc<dyn Predict> = Arc::new(model);
    let servable = Servable::new(manifest, &Schema::new(fields), transform, model).unwrap();
    Predictor::new(3, Arc::new(servable))
}

fn step(input: &str, op: impl Into<FittedOp>) -> FittedStep {
    FittedStep::new(input, input, op)
}

/// A regression with one input: `x / 2 + 2`.
pub(super) fn half_plus_two() -> Predictor {
    let scale = Linear {
        offset: 0.0,
        scale: 1.0,
    };
    predictor(
        "half_plus_two",
        vec![Field::new("x", FieldType::Float).required()],
        vec![InputColumn::new("x", FieldType::Float)],
        vec![step("x", scale)],
        LinearModel::new(Link::Identity, &array![[0.5]], &array![2.0]).unwrap(),
        Target::regression("y"),
    )
}

/// A model that predicts whether a passenger is late: `age` (an integer, required), `fare`, `city` and `vip`.
pub(super) fn late() -> Predictor {
    people(
        "late",
        LinearModel::new(
            Link::Logistic,
            &array![[0.03, -0.01, 0.7, 0.2, 0.1, -0.3]],
            &array![-1.0],
        )
        .unwrap(),
        Target::classification("late", ["no", "yes"]).unwrap(),
    )
}

/// One of three meals, of the inputs of [`late`].
pub(super) fn meal() -> Predictor {
    let weights = Array2::from_shape_fn((3, 6), |(class, feature)| {
        (class as f64 - 1.0) * (feature as f64 - 1.5) / 50.0
    });
    people(
        "meal",
        LinearModel::new(Link::Softmax, &weights, &array![0.0, 0.1, 0.2]).unwrap(),
        Target::classification("meal", ["fish", "meat", "none"]).unwrap(),
    )
}

fn people(name: &str, model: LinearModel, target: Target) -> Predictor {
    let types = [
        ("age", FieldType::Integer),
        ("fare", FieldType::Float),
        ("city", FieldType::Text),
        ("vip", FieldType::Boolean),
    ];
    let fields = types.map(|(name, field_type)| match name {
        "age" => Field::new(name, field_type).required(),
        _ => Field::new(name, field_type),
    });
    let inputs = types.map(|(name, field_type)| InputColumn::new(name, field_type));
    let fill = || ImputeNumber { value: 0.5 };
    let cities = Categories {
        values: vec!["Rome".to_owned(), "Zürich".to_owned()].into(),
    };
    let steps = vec![
        step("age", fill()),
        step("fare", fill()),
        step("city", cities),
        step("vip", fill()),
    ];
    predictor(name, fields.to_vec(), inputs.to_vec(), steps, model, target)
}

/// A regression of lists of texts and of numbers, and of a field of a struct: a digit for each of `a`, `b`, other texts,
/// 1, 2, other numbers, and the fare.
pub(super) fn lists() -> Predictor {
    let items = |values: [&str; 2]| Items {
        values: values.map(str::to_owned).to_vec().into(),
    };
    let mut scores = Field::new("scores", FieldType::Integer);
    scores.list = Some(Counts::default());
    predictor(
        "lists",
        vec![
            Field::new("tags", FieldType::Other),
            scores,
            Field::new("trip.fare", FieldType::Float),
        ],
        vec![
            InputColumn::list("tags", FieldType::Text),
            InputColumn::list("scores", FieldType::Integer),
            InputColumn::new("trip.fare", FieldType::Float),
        ],
        vec![
            step("tags", items(["a", "b"])),
            step("scores", items(["1", "2"])),
            step("trip.fare", ImputeNumber { value: 0.5 }),
        ],
        LinearModel::new(
            Link::Identity,
            &array![[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]],
            &array![0.0],
        )
        .unwrap(),
        Target::regression("y"),
    )
}

/// Answers as a server does.
pub(super) fn answer<E: Exchange<Reply = Reply>>(
    predictor: &Predictor,
    mut exchange: E,
) -> Result<Reply> {
    let rows = exchange.rows(predictor)?;
    let prediction = predictor.predict(&rows)?;
    exchange.reply(predictor, &prediction)
}

/// A sequence of numbers that is the same in every run (xorshift).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n as u64)).unwrap()
    }

    /// Changes some bytes to others that mean something in a request.
    pub(super) fn mutate(&mut self, body: &mut Vec<u8>) {
        const ODD: &[u8] = b"\0\xff0129\"[]{},:-.eNnIb\\";
        for _ in 0..=self.below(4) {
            let at = self.below(body.len());
            match self.below(5) {
                0 => body[at] = ODD[self.below(ODD.len())],
                1 => body[at] ^= 1 << self.below(8),
                2 => {
                    body.remove(at);
                    body.push(b' ');
                }
                3 => {
                    let end = (at + self.below(40)).min(body.len());
                    let part = body[at..end].to_vec();
                    body.splice(at..at, part);
                }
                _ => body.truncate(at.max(1)),
            }
        }
    }
}

/// Mutated bodies are answered or refused as bad data, never anything else.
pub(super) fn try_mutated<E: Exchange<Reply = Reply>>(
    predictor: &Predictor,
    bodies: &[Vec<u8>],
    exchange: impl Fn(Vec<u8>, usize) -> E,
) {
    let mut numbers = Numbers(42);
    let (mut fine, mut refused) = (0, 0);
    for round in 0..20_000 {
        let which = round % bodies.len();
        let mut body = bodies[which].clone();
        if round >= bodies.len() {
            numbers.mutate(&mut body);
        }
        match answer(predictor, exchange(body.clone(), which)) {
            Ok(reply) => {
                let json = &reply.body[..reply.json_length.unwrap_or(reply.body.len())];
                let parsed = serde_json::from_slice::<serde_json::Value>(json);
                assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(json));
                fine += 1;
            }
            Err(error) => {
                let kind = error.kind();
                assert!(
                    round >= bodies.len()
                        && matches!(kind, ErrorKind::Data | ErrorKind::Unsupported),
                    "{error:?} {}",
                    String::from_utf8_lossy(&body)
                );
                refused += 1;
            }
        }
    }
    assert!(
        fine > 100 && refused > 5_000,
        "{fine} fine, {refused} refused"
    );
}

#[test]
fn numbers_that_are_not_finite_are_the_rows_fault() {
    let model = half_plus_two();
    let refused = |answered: Result<()>, number: &str| {
        let error = answered.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let expected = format!("feature `x`: is {number} in row 1");
        assert!(error.to_string().contains(&expected), "{error}");
    };
    for (json, number, shown) in [
        ("NaN", f64::NAN, "NaN"),
        ("-Infinity", f64::NEG_INFINITY, "-inf"),
        // Past the range of the single precision that features are of.
        ("1e39", 1e39, "1000000000000000000000000000000000000000"),
    ] {
        let body = format!(r#"{{"instances": [1, {json}]}}"#).into_bytes();
        let exchange = PredictExchange::new(body, PredictMethod::Predict);
        refused(answer(&model, exchange).map(drop), shown);
        let tensor = r#"{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}]}"#;
        let numbers = [1.0_f64.to_le_bytes(), number.to_le_bytes()].concat();
        let body = [tensor.as_bytes(), &numbers].concat();
        let exchange = InferExchange::new(body, Some(tensor.len()));
        refused(answer(&model, exchange).map(drop), shown);
        let tensor = InputTensor {
            name: "x",
            datatype: "FP64",
            shape: &[2],
            data: TensorData::Doubles(&[1.0, number]),
        };
        let rows = rows(&Plan::of(model.servable()), &[tensor], None).unwrap();
        refused(model.predict(&rows).map(drop), shown);
    }
}
