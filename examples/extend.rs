//! Your own stages around existing ones: bagging around any trainer, a custom gate beside built-in ones in a file that a
//! product manager owns, and tests of both without a pipeline.
//!
//! ```sh
//! cargo run --example extend
//! cargo test --example extend
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use fourfold::Result;
use fourfold::evaluation::Gates;
use fourfold::model::{AnyModel, BaggedModel};
use fourfold::prelude::*;
use serde::{Deserialize, Serialize};

// 1. A trainer around any trainer: the mean of models, each of which is trained without one of `n` folds.

#[derive(Serialize)]
struct Bagging<T: Trainer> {
    #[serde(serialize_with = "fourfold::serialize_stage")]
    trainer: T,
    n: usize,
}

impl<T: Trainer> Stage for Bagging<T> {
    fn name(&self) -> &str {
        "bagging"
    }
}

impl<T: Trainer> Trainer for Bagging<T> {
    type Model = BaggedModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<BaggedModel>> {
        let models = (0..self.n).map(|k| {
            let parts = args.train().fold(k, self.n)?;
            let args = args
                .clone()
                .with_train(parts.train)
                .with_tune(parts.held_out);
            Ok(AnyModel::new(self.trainer.train(&args)?.into_model()))
        });
        Ok(BaggedModel::new(models.collect::<Result<_>>()?)?.into())
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}

// 2. A gate: the mean probability must not be far from the share of positives.

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Honest {
    at_most: f64,
}

impl Stage for Honest {
    fn name(&self) -> &str {
        "honest"
    }
}

impl<M: Model> Validator<M> for Honest {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let metrics = args.metrics();
        let gap = (metrics.metric("mean_prediction")? - metrics.metric("mean_label")?).abs();
        let message = format!(
            "the mean probability is {gap:.3} off, at most {} is allowed",
            self.at_most
        );
        Ok(Verdict::new().check(self.name(), gap <= self.at_most, message))
    }
}

// 3. The gates as a list, in a file or here.

const GATES: &str = r#"
    [[gates]]
    gate = "thresholds"
    thresholds = [{ metric = "auc", at_least = 0.6 }]

    [[gates]]
    gate = "honest"
    at_most = 0.05
"#;

fn main() -> Result<()> {
    let models = tempfile::tempdir().map_err(|error| Error::io("making a directory", error))?;
    let gates = Gates::default().with::<Honest>("honest").from_toml(GATES)?;
    let pipeline = Pipeline::builder("flights")
        .data(
            FileSource::parquet("examples/data/flights/2013-01.parquet")
                .label(Label::at_least("arr_delay", 15.0).named("late"))
                .transform(
                    Transform::new()
                        .z_score("distance")
                        .one_hot("hour")
                        .one_hot("carrier"),
                ),
        )
        .train(Bagging {
            trainer: LogisticRegression::default(),
            n: 3,
        })
        .evaluate(gates)
        .serve(ModelRepository::at(models.path()))
        .build()?;
    println!("{}", pipeline.run_blocking()?.run().verdict);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch};
    use fourfold::blessing::Candidate;
    use fourfold::examples::Examples;
    use fourfold::features::Takes;
    use fourfold::metrics::{Evaluation, MetricValue};
    use fourfold::model::{ConstantModel, Target};
    use fourfold::schema::Schema;
    use fourfold::training::{Constant, Dataset};
    use fourfold::transform::FittedTransform;

    use super::*;

    fn rows() -> RecordBatch {
        let column = |of: fn(f64) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(
                (0..60).map(|row| of(f64::from(row))),
            ))
        };
        RecordBatch::try_from_iter([("x", column(|row| row)), ("y", column(|row| 2.0 * row))])
            .unwrap()
    }

    #[test]
    fn a_trainer_alone() -> Result<()> {
        let transform = Transform::new().z_score("x").fit(&[rows()])?;
        let examples = Examples::from_batches(rows().schema(), vec![rows()])?;
        let train = Dataset::new(
            examples,
            Arc::new(transform),
            Arc::new(Target::regression("y")),
        );
        let bagging = Bagging {
            trainer: Constant,
            n: 3,
        };
        let bag = bagging.train(&TrainArgs::new(train.clone()))?.into_model();
        assert_eq!(bag.models().len(), 3);
        let mean = bag.predict(train.table(Takes::FINITE)?.features())?[(0, 0)];
        assert!(
            (mean - 59.0).abs() < 10.0,
            "the labels' mean is 59, the bag's {mean}"
        );
        Ok(())
    }

    #[test]
    fn a_validator_alone() -> Result<()> {
        let target = Target::classification("late", ["no", "yes"])?;
        let transform = Arc::new(FittedTransform::new(Vec::new(), Vec::new())?);
        let model = ConstantModel::new(0, vec![0.5]);
        let candidate = Candidate::new(
            "m",
            model,
            target,
            &Schema::new([]),
            transform,
            BTreeMap::new(),
        )?;
        let eval = Examples::from_batches(rows().schema(), vec![rows()])?;
        let of = |name: &str, value| (name.to_owned(), MetricValue::new(value, 60));
        for (mean_label, is_fine) in [(0.48, true), (0.2, false)] {
            let overall =
                BTreeMap::from([of("mean_prediction", 0.5), of("mean_label", mean_label)]);
            let metrics = Evaluation {
                overall,
                ..Evaluation::default()
            };
            let verdict =
                Honest { at_most: 0.05 }.validate(EvalArgs::new(&candidate, &eval, &metrics))?;
            assert_eq!(verdict.is_blessed(), is_fine);
        }
        Ok(())
    }

    #[test]
    fn a_gate_that_is_misspelled_is_an_error() {
        let gates = Gates::<BaggedModel>::default().with::<Honest>("honest");
        let error = gates
            .from_toml(&GATES.replace("at_most", "at_mots"))
            .map(drop)
            .unwrap_err();
        assert!(error.to_string().contains("at_mots"), "{error}");
    }
}
