//! The automatic trainer on one table, for `benches/peers/auto.py` to put beside others:
//! `cargo bench -p fourfold-benches --bench auto -- TABLE.csv LABEL PART SECONDS METRIC ANSWERS.csv`.
//!
//! It learns from the rows whose column `PART` is `train`, and writes the label and the outputs of the rows where it is
//! `test`, by columns that are the classes (the second of two alone) or `value`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::io::Write;
use std::time::Duration;

use fourfold::data::TRAIN;
use fourfold::engine::Engine;
use fourfold::features::Takes;
use fourfold::pipeline::dataset;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::search::AutoTrainer;
use fourfold::training::{TrainArgs, TrainingPipeline};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [table, label, part, seconds, metric, answers] = &arguments[..] else {
        // As `cargo bench` runs all of them.
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    let data = FileSource::csv(table)
        .label(label.as_str())
        .split(Split::by_column(part, [("train", TRAIN), ("test", "eval")]));
    let place = tempfile::tempdir().unwrap();
    let prepared = runtime
        .block_on(data.run(&engine, place.path(), &Progress::default()))
        .unwrap();
    let fitted = runtime
        .block_on(prepared.fit(Takes::CODES, &engine))
        .unwrap();
    let [train, test] = [TRAIN, "eval"].map(|split| dataset(&prepared, split, &fitted).unwrap());
    let budget = Duration::from_secs_f64(seconds.parse().unwrap());
    let trainer = AutoTrainer::default().budget(budget).metric(metric);
    let training = TrainingPipeline::new(trainer);
    let trained = training
        .run(TrainArgs::new(train), &Progress::default())
        .unwrap();
    let test = test.with_transform(trained.fitted().unwrap().clone());
    let rows = test.table(Takes::ROWS).unwrap();
    let outputs = trained.model().predict(rows.features()).unwrap();
    let names = match test.target().classes() {
        [] => vec!["value".to_owned()],
        [_, positive] => vec![positive.clone()],
        classes => classes.to_vec(),
    };
    let mut out = std::io::BufWriter::new(std::fs::File::create(answers).unwrap());
    writeln!(out, "label,{}", names.join(",")).unwrap();
    for (label, outputs) in rows.labels().iter().zip(outputs.rows()) {
        let outputs: Vec<String> = outputs.iter().map(f64::to_string).collect();
        writeln!(out, "{label},{}", outputs.join(",")).unwrap();
    }
    for warning in &trained.record().warnings {
        eprintln!("{warning}");
    }
}
