//! All four stages written by a user: plain structs that implement a trait each, in one file.
//!
//! ```sh
//! cargo run --example custom_stages
//! ```
//!
//! A thermometer drifts with the temperature of its box. The model learns the correction from two hundred measurements.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch};
use fourfold::blessing::Blessed;
use fourfold::datafusion::prelude::DataFrame;
use fourfold::features::Features;
use fourfold::model::{Servable, load_json, save_json};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use serde::{Deserialize, Serialize};

// 1. A data source reads raw rows. Its fields are its configuration.

#[derive(Serialize)]
struct Thermometer {
    n_measurements: u32,
}

impl Stage for Thermometer {
    fn name(&self) -> &str {
        "thermometer"
    }

    fn check(&self) -> Result<()> {
        if self.n_measurements < 20 {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "`n_measurements` is {}, must be at least 20",
                    self.n_measurements
                ),
            ));
        }
        Ok(())
    }
}

impl DataSource for Thermometer {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let boxes = || (0..self.n_measurements).map(|i| 10.0 + f64::from(i % 50));
        let noise = |i: usize| ((i * 37) % 11) as f64 / 100.0;
        let drift = boxes()
            .enumerate()
            .map(|(i, celsius)| 0.25 * celsius - 4.0 + noise(i));
        let celsius: ArrayRef = Arc::new(Float64Array::from_iter_values(boxes()));
        let drift: ArrayRef = Arc::new(Float64Array::from_iter_values(drift));
        let batch = RecordBatch::try_from_iter([("box_celsius", celsius), ("drift", drift)])?;
        Ok(engine.session().read_batch(batch)?)
    }
}

// 2. A trainer makes a model; the model predicts, and can be saved and loaded.

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    slope: f64,
    intercept: f64,
}

impl Predict for Line {
    fn n_features(&self) -> usize {
        1
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        Ok(features
            .matrix()
            .map(|x| self.slope * f64::from(*x) + self.intercept))
    }
}

impl Model for Line {
    const FORMAT: &'static str = "example.line.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "line.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "line.json")
    }
}

/// Least squares with one feature.
#[derive(Serialize)]
struct LeastSquares;

impl Stage for LeastSquares {
    fn name(&self) -> &str {
        "least_squares"
    }
}

impl Trainer for LeastSquares {
    type Model = Line;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Line>> {
        let matrix = args.train().matrix()?;
        let x = matrix.features().column(0).mapv(f64::from);
        let y = matrix.labels();
        let (x_mean, y_mean) = (x.mean().unwrap_or_default(), y.mean().unwrap_or_default());
        let x = x - x_mean;
        let slope = x.dot(&(&y - y_mean)) / x.dot(&x);
        Ok(Line {
            slope,
            intercept: y_mean - slope * x_mean,
        }
        .into())
    }
}

// 3. A validator judges the candidate. Without its blessing nothing can be deployed: that would not compile.

#[derive(Serialize)]
struct WarmsUp {
    max_mae: f64,
}

impl Stage for WarmsUp {
    fn name(&self) -> &str {
        "warms_up"
    }
}

impl Validator<Line> for WarmsUp {
    fn validate(&self, args: EvalArgs<'_, Line>) -> Result<Verdict> {
        let slope = args.candidate().model().slope;
        let mae = args.metrics().metric("mae")?;
        Ok(Verdict::new()
            .check(
                "slope",
                slope > 0.0,
                format!("the slope is {slope:.3}, must be above 0"),
            )
            .check(
                "mae",
                mae <= self.max_mae,
                format!(
                    "the mean error is {mae:.3} degrees, must be at most {}",
                    self.max_mae
                ),
            ))
    }
}

// 4. A server takes a blessed model, of any type here, and returns an endpoint.

#[derive(Serialize)]
struct Directory(PathBuf);

impl Stage for Directory {
    fn name(&self) -> &str {
        "directory"
    }
}

impl<M: Model> Server<M> for Directory {
    type Endpoint = PathBuf;

    async fn deploy(&self, model: Blessed<M>) -> Result<PathBuf> {
        let place = self.0.join(model.name());
        model.save(&place)?;
        Ok(place)
    }
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;

    // The four stages, composed. Without one of them, or with a validator of another model, this does not compile.
    let pipeline = Pipeline::builder("thermometer")
        .data(
            Thermometer {
                n_measurements: 200,
            }
            .label("drift")
            .transform(Transform::new().z_score("box_celsius")),
        )
        .train(LeastSquares)
        .evaluate(WarmsUp { max_mae: 0.1 })
        .serve(Directory(dir.path().to_owned()))
        .build()?;

    let (place, run) = match pipeline.run_blocking()? {
        Outcome::Deployed { endpoint, run } => (endpoint, run),
        Outcome::Rejected { run } => {
            println!("{}", run.verdict);
            return Ok(());
        }
    };
    for check in run.verdict.checks() {
        println!("passed: {}", check.message);
    }

    // Another program loads the model by its format tag, from a registry that knows it.
    let loaders = Loaders::default().with::<Line>();
    let servable = Servable::load(&place, &loaders)?;
    let celsius: ArrayRef = Arc::new(Float64Array::from(vec![30.0]));
    let prediction = servable.predict(&RecordBatch::try_from_iter([("box_celsius", celsius)])?)?;
    let drift = prediction.outputs()[[0, 0]];
    println!("at 30 degrees in the box it drifts by {drift:.2} degrees");
    assert!((drift - 3.55).abs() < 0.05);

    // A registry that does not know it says so.
    match Servable::load(&place, &Loaders::default()) {
        Ok(_) => println!("`Line` is known already"),
        Err(error) => println!("without its loader: {error:#}"),
    }
    Ok(())
}
