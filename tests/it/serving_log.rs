//! The loop closes: what is served is logged, and the log is a source of the data pipeline; and what is served is held
//! against what was saved with the model.

use std::path::Path;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use fourfold::arrow::compute::{cast, concat_batches, filter_record_batch, is_not_null};
use fourfold::arrow::datatypes::{DataType, Float64Type, TimeUnit};
use fourfold::data::TRAIN;
use fourfold::model::{Loaders, Prediction};
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::serving::observe::{DriftMonitor, DriftOptions, RequestLog, RequestLogOptions};
use fourfold::serving::{Manager, Predictor};
use fourfold::statistics::StatisticsAccumulator;
use fourfold::training::Linear;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::JANUARY;

/// A model of late flights, pushed by the pipeline, as a server loads it; and the run that made it.
async fn served(models: &Path) -> (Predictor, fourfold::pipeline::RunRecord) {
    let outcome = Pipeline::builder("late")
        .data(
            FileSource::parquet(JANUARY)
                .label(Label::at_least("arr_delay", 15.0).named("late"))
                .exclude(["dep_time", "dep_delay", "arr_time", "air_time"]),
        )
        .train(Linear::default())
        .evaluate(Thresholds::new().better_than_constant())
        .serve(ModelRepository::at(models))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert!(outcome.is_deployed(), "{}", outcome.run().verdict);
    let run = outcome.run().clone();
    let manager = Manager::open(ModelRepository::at(models), Loaders::default()).unwrap();
    (manager.get("late", None).unwrap(), run)
}

fn january() -> RecordBatch {
    let file = std::fs::File::open(JANUARY).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = std::sync::Arc::clone(reader.schema());
    let rows: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &rows).unwrap();
    // Those that have arrived: the others are in no split, and the model asks for a tail number.
    let has_arrived = is_not_null(rows.column_by_name("arr_delay").unwrap()).unwrap();
    filter_record_batch(&rows, &has_arrived).unwrap()
}

/// Asks in requests of 500 rows, each with an id.
fn ask(model: &Predictor, rows: &RecordBatch, observer: &dyn fourfold::serving::observe::Observer) {
    for from in (0..rows.num_rows()).step_by(500) {
        let these = rows.slice(from, 500.min(rows.num_rows() - from));
        let id = format!("request {from:06}");
        model.predict_observed(&these, Some(&id), observer).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_a_source_with_the_same_rows_and_the_same_answers() {
    let (models, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (model, _) = served(models.path()).await;
    let options = RequestLogOptions::default()
        .max_file_rows(5_000)
        .max_queued_bytes(1 << 30);
    let log = RequestLog::open(dir.path(), options).unwrap();
    let rows = january().slice(0, 12_000);
    ask(&model, &rows, &log);
    // One more is being written when the log is read: nobody sees it.
    log.flush();
    assert_eq!((log.counts().logged_rows, log.counts().files), (12_000, 3));
    let day = std::fs::read_dir(dir.path().join("late"))
        .unwrap()
        .next()
        .unwrap();
    std::fs::write(day.unwrap().path().join(".half.parquet"), "half").unwrap();

    let source = FileSource::parquet(dir.path().join("late"));
    let engine = Engine::new().unwrap();
    let read = source.read(&engine).await.unwrap().collect().await.unwrap();
    let read = concat_batches(&read[0].schema(), &read).unwrap();
    assert_eq!(read.num_rows(), 12_000);
    let column = |name: &str| -> &ArrayRef { read.column_by_name(name).unwrap() };
    assert_eq!(column("requested_on").data_type(), &DataType::Date32);
    assert!(matches!(
        column("requested_at").data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_))
    ));
    // Asked again with the logged rows, the model answers with the logged bits.
    let again = model.predict(&read).unwrap();
    let logged = column("prediction_probability").as_primitive::<Float64Type>();
    assert_eq!(again.outputs().column(0).to_vec(), logged.values().to_vec());
    // And these are the answers that were given; files are read side by side, in any order.
    let sorted = |prediction: &Prediction| {
        let mut answers = prediction.outputs().column(0).to_vec();
        answers.sort_unstable_by(f64::total_cmp);
        answers
    };
    assert_eq!(sorted(&model.predict(&rows).unwrap()), sorted(&again));

    // Statistics of the log, and a data pipeline over it: the answers are the label that is there.
    let mut statistics = StatisticsAccumulator::new(&read.schema());
    statistics.update(&read).unwrap();
    let statistics = statistics.finish();
    assert_eq!(statistics.column("request_id").unwrap().distinct, 24);
    let prepared = source
        .label(Label::column("prediction_class"))
        .transform(Transform::new().z_score("distance").one_hot("carrier"))
        .run(&engine, &dir.path().join("examples"), &Progress::default())
        .await
        .unwrap();
    let n_rows: usize = prepared.splits().values().map(|split| split.n_rows()).sum();
    assert_eq!(n_rows, 12_000);
    assert!(
        prepared.statistics()[TRAIN]
            .column("carrier")
            .unwrap()
            .distinct
            > 10
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_is_held_against_the_statistics_saved_with_the_model() {
    let models = tempfile::tempdir().unwrap();
    let (model, run) = served(models.path()).await;
    let file = models.path().join("late/1/statistics.json");
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < 400_000, "{size} bytes");
    let reference = model.servable().reference().unwrap().unwrap();
    assert_eq!(reference.training().unwrap().n_rows, run.rows["train"]);
    assert_eq!(reference.predictions().unwrap().n_rows, run.rows["eval"]);
    let inputs = model.servable().transform().inputs().len();
    assert_eq!(reference.training().unwrap().columns.len(), inputs);

    // Room for all rows: what is asked while the queue is full is not watched.
    let options = DriftOptions::default()
        .window_rows(1_000_000)
        .max_queued_bytes(1 << 30);
    let monitor = DriftMonitor::start(options, |_| ()).unwrap();
    // The month that it was trained on.
    ask(&model, &january(), &monitor);
    monitor.flush();
    let report = monitor.report("late").unwrap();
    assert!(report.has_enough_rows && !report.has_drifted(), "{report}");
    assert!(report.anomalies.is_empty(), "{report}");
    assert!(report.skew.len() > inputs && report.predictions.len() > 1);

    // The flights of one carrier.
    let rows = january();
    let carriers = rows.column_by_name("carrier").unwrap();
    let carriers = cast(carriers, &DataType::Utf8).unwrap();
    let is_united = carriers
        .as_string::<i32>()
        .iter()
        .map(|carrier| Some(carrier == Some("UA")));
    let united = filter_record_batch(&rows, &BooleanArray::from_iter(is_united)).unwrap();
    ask(&model, &united, &monitor);
    monitor.flush();
    let report = monitor.report("late").unwrap();
    assert!(report.has_drifted());
    let of_carrier = report
        .anomalies
        .iter()
        .find(|anomaly| anomaly.column == "carrier");
    let text = of_carrier.unwrap().to_string();
    assert!(
        text.contains("the L-infinity distance to the data in serving is 0."),
        "{text}"
    );
}
