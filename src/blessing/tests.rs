//! Files saved with a model, and models as earlier versions saved them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Candidate;
use crate::accumulate::Accumulate;
use crate::error::ErrorKind;
use crate::model::{LinearModel, Loaders, Model, ReferenceStatistics, Servable};
use crate::statistics::{Statistics, StatisticsAccumulator};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};

/// A model as version 0.1 saved it, before there were references. It is never rewritten.
const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/servable_v1");

/// The fixture's model with a reference of three passengers.
fn candidate() -> Candidate<LinearModel> {
    let servable = Servable::load(Path::new(V1), &Loaders::default()).unwrap();
    let model = LinearModel::load(&Path::new(V1).join("model"), &Loaders::default()).unwrap();
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![31, 40, 99]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let rows = RecordBatch::try_from_iter([("age", ages), ("id", ids)]).unwrap();
    let mut training = StatisticsAccumulator::new(&rows.schema());
    training.update(&rows).unwrap();
    let mut predictions = servable.target().distribution();
    let answers = servable.predict(&rows).unwrap();
    predictions
        .update(&answers.to_distribution().unwrap())
        .unwrap();
    let reference = ReferenceStatistics::new()
        .with_training(training.finish())
        .with_predictions(predictions.finish());
    Candidate::new(
        "late",
        model,
        (**servable.target()).clone(),
        servable.schema(),
        Arc::new(servable.transform().clone()),
        BTreeMap::new(),
    )
    .unwrap()
    .with_reference(&reference)
}

#[test]
fn a_model_of_version_0_1_loads_and_answers_as_it_did() {
    let servable = Servable::load(Path::new(V1), &Loaders::default()).unwrap();
    assert!(servable.reference().unwrap().is_none());
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![31, 99]));
    let rows = RecordBatch::try_from_iter([("age", ages)]).unwrap();
    let found = servable.predict(&rows).unwrap().outputs().clone();
    for (found, known) in found.iter().zip([0.506_249_676_287, 0.887_454_536_007]) {
        assert!((found - known).abs() < 1e-6, "{found}, not {known}");
    }
    assert_eq!(found.dim(), (2, 1));
}

#[test]
fn a_reference_is_saved_with_the_model_and_read_when_it_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    let candidate = candidate();
    candidate.save(&place).unwrap();
    let loaded = Servable::load(&place, &Loaders::default()).unwrap();
    let reference = loaded.reference().unwrap().unwrap();
    assert_eq!(Some(reference), candidate.servable().reference().unwrap());
    let names = |statistics: Option<&Statistics>| -> Vec<String> {
        let columns = &statistics.unwrap().columns;
        columns.iter().map(|column| column.name.clone()).collect()
    };
    // `id` is no input of the model.
    assert_eq!(names(reference.training()), ["age"]);
    assert_eq!(
        names(reference.predictions()),
        ["prediction_class", "prediction_probability"]
    );
}

#[test]
fn a_directory_that_is_gone_takes_the_reference_and_not_the_model_with_it() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    candidate().save(&place).unwrap();
    let (early, late) = (
        Servable::load(&place, &Loaders::default()).unwrap(),
        Servable::load(&place, &Loaders::default()).unwrap(),
    );
    early.reference().unwrap().unwrap();
    std::fs::remove_dir_all(&place).unwrap();
    assert!(early.reference().unwrap().is_some());
    assert_eq!(late.reference().unwrap_err().kind(), ErrorKind::NotFound);
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![31]));
    let rows = RecordBatch::try_from_iter([("age", ages)]).unwrap();
    late.predict(&rows).unwrap();
}

#[test]
fn a_changed_reference_is_found_when_the_model_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    candidate().save(&place).unwrap();
    let file = place.join("statistics.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("31", "32", 1)).unwrap();
    let error = Servable::load(&place, &Loaders::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
