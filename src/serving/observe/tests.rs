//! Fixtures of the observers' tests: a model, and requests that it has answered.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use crate::blessing::Candidate;
use crate::model::{LinearModel, Loaders, Model, ReferenceStatistics, Servable};
use crate::serving::Predictor;
use crate::serving::requests::Observer;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/servable_v1");

/// A model, under a name, that predicts whether a passenger (`age`, `fare`, `city`, ..) is late.
pub(super) fn servable(name: &str) -> Servable {
    let mut servable = Servable::load(Path::new(MODEL), &Loaders::default()).unwrap();
    if name != servable.manifest().name {
        servable = (**candidate(name).servable()).clone();
    }
    servable
}

pub(super) fn candidate(name: &str) -> Candidate<LinearModel> {
    let servable = Servable::load(Path::new(MODEL), &Loaders::default()).unwrap();
    Candidate::new(
        name,
        LinearModel::load(&Path::new(MODEL).join("model"), &Loaders::default()).unwrap(),
        (**servable.target()).clone(),
        servable.schema(),
        Arc::new(servable.transform().clone()),
        std::collections::BTreeMap::new(),
    )
    .unwrap()
}

pub(super) fn predictor(servable: Servable, version: u64) -> Predictor {
    Predictor::new(version, Arc::new(servable))
}

/// A servable with a reference, of rows and the answers to them.
pub(super) fn with_reference(servable: Servable, rows: &RecordBatch) -> Servable {
    use crate::accumulate::Accumulate;
    let rows = servable.schema().conform(rows).unwrap();
    let mut training = crate::statistics::StatisticsAccumulator::new(&rows.schema());
    training.update(&rows).unwrap();
    let mut predictions = servable.target().distribution();
    let answers = servable.predict(&rows).unwrap();
    predictions
        .update(&answers.to_distribution().unwrap())
        .unwrap();
    servable.with_reference(
        &ReferenceStatistics::new()
            .with_training(training.finish())
            .with_predictions(predictions.finish()),
    )
}

/// Passengers of these ages: one in five without a fare, of three cities.
pub(super) fn passengers(ages: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ages: Vec<i64> = ages.into_iter().collect();
    let fares = (0..ages.len()).map(|i| (i % 5 != 0).then_some((i % 37) as f64));
    let cities = (0..ages.len()).map(|i| ["Rome", "Zürich", "Oslo"][i % 3]);
    let columns: [(&str, ArrayRef); 3] = [
        ("fare", Arc::new(Float64Array::from_iter(fares))),
        ("age", Arc::new(Int64Array::from(ages.clone()))),
        ("city", Arc::new(StringArray::from_iter_values(cities))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// Answers rows and shows them to an observer.
pub(super) fn ask(
    observer: &dyn Observer,
    predictor: &Predictor,
    rows: &RecordBatch,
    id: Option<&str>,
) {
    predictor.predict_observed(rows, id, observer).unwrap();
}
