//! The next month of flights, from scratch and from the model of the month before.

use std::path::Path;
use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use fourfold::arrow::compute::{cast, concat_batches, filter_record_batch, is_not_null};
use fourfold::arrow::datatypes::{DataType, Float64Type};
use fourfold::examples::Examples;
use fourfold::model::{Predict, Target};
use fourfold::prelude::Transform;
use fourfold::training::{
    Dataset, GradientBoosting, LogisticRegression, TrainArgs, Trained, Trainer,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A month of flights with what is known before take-off, and whether they arrive late.
fn flights(month: u32) -> RecordBatch {
    let path = format!("examples/data/flights/2013-{month:02}.parquet");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let delay = cast(all.column_by_name("arr_delay").unwrap(), &DataType::Float64).unwrap();
    let known = is_not_null(&delay).unwrap();
    let delay = delay.as_primitive::<Float64Type>();
    let late = delay.iter().map(|delay| {
        if delay.unwrap_or(0.0) >= 15.0 {
            "yes"
        } else {
            "no"
        }
    });
    let late: ArrayRef = Arc::new(StringArray::from_iter_values(late));
    let column = |name: &'static str| (name, Arc::clone(all.column_by_name(name).unwrap()));
    let columns = ["carrier", "origin", "dest", "hour", "distance", "dep_delay"].map(column);
    let rows = RecordBatch::try_from_iter(columns.into_iter().chain([("late", late)])).unwrap();
    filter_record_batch(&rows, &known).unwrap()
}

fn dataset(rows: &RecordBatch, like: Option<&Dataset>) -> Dataset {
    let examples = Examples::from_batches(rows.schema(), vec![rows.clone()]).unwrap();
    if let Some(like) = like {
        return like.clone().with_examples(examples);
    }
    let transform = Transform::new()
        .z_score("distance")
        .z_score("dep_delay")
        .one_hot("hour")
        .one_hot("carrier")
        .one_hot("origin")
        .one_hot("dest");
    let transform = transform.fit(std::slice::from_ref(rows)).unwrap();
    let target = Target::classification("late", ["no", "yes"]).unwrap();
    Dataset::new(examples, Arc::new(transform), Arc::new(target))
}

/// The losses by iteration.
fn curve<M>(trained: &Trained<M>) -> Vec<f64> {
    let points = trained.record().curve.iter();
    points.map(|point| point.value).collect()
}

/// In which iteration a loss is reached; 0 is before the first.
fn reached(losses: &[f64], wanted: f64) -> usize {
    let found = losses.iter().position(|loss| *loss <= wanted);
    found.expect("the loss is reached") + 1
}

#[test]
fn the_next_month_of_a_linear_model_takes_few_iterations() {
    let (january, february) = (dataset(&flights(1), None), dataset(&flights(2), None));
    // Some destinations are new, some are gone.
    assert_ne!(january.feature_names(), february.feature_names());
    let trainer = LogisticRegression::default().tolerance(1e-6);
    let names = january.feature_names().to_vec();
    let before = trainer
        .train(&TrainArgs::new(january))
        .unwrap()
        .into_model();
    let args = TrainArgs::new(february);
    let cold = trainer.train(&args).unwrap();
    let warm = args.with_warm_start_of(Arc::new(before), names);
    let warm = trainer.train(&warm).unwrap();
    assert!(
        warm.record()
            .warnings
            .iter()
            .any(|it| it.code == "warm_start_by_name")
    );
    let (cold, warm) = (curve(&cold), curve(&warm));
    // What training gains, but for a hundredth.
    let last = cold[cold.len() - 1];
    let wanted = last + 1e-2 * (cold[0] - last);
    let (cold, warm) = (reached(&cold, wanted), reached(&warm, wanted));
    assert!(3 * warm <= cold, "{warm} iterations, {cold} from scratch");
}

#[test]
fn the_next_month_of_boosted_trees_takes_few_rounds() {
    let (january, february) = (dataset(&flights(1), None), dataset(&flights(2), None));
    let rows = flights(2);
    let n = rows.num_rows() / 5 * 4;
    let tune = dataset(&rows.slice(n, rows.num_rows() - n), Some(&february));
    let february = dataset(&rows.slice(0, n), Some(&february));
    let names = january.feature_names().to_vec();
    let trainer = GradientBoosting::default().rounds(60);
    let before = trainer
        .train(&TrainArgs::new(january))
        .unwrap()
        .into_model();
    let args = TrainArgs::new(february).with_tune(tune);
    let cold = trainer.train(&args).unwrap();
    let warm = args.with_warm_start_of(Arc::new(before), names);
    let warm = trainer.train(&warm).unwrap();
    let codes: Vec<&str> = warm
        .record()
        .warnings
        .iter()
        .map(|it| it.code.as_str())
        .collect();
    assert_eq!(codes, ["warm_start_by_name"]);
    assert_eq!(warm.model().n_features(), cold.model().n_features());
    let wanted = curve(&cold).into_iter().fold(f64::INFINITY, f64::min);
    let (cold, warm) = (
        reached(&curve(&cold), wanted),
        reached(&curve(&warm), wanted),
    );
    assert!(3 * warm <= cold, "{warm} rounds, {cold} from scratch");
}
