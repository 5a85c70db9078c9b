//! A user's own operation, from the pipeline to a server that loads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fourfold::Result;
use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{
    ArrayRef, AsArray, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use fourfold::arrow::datatypes::Float64Type;
use fourfold::model::Servable;
use fourfold::prelude::*;
use fourfold::serving::PushedModel;
use fourfold::transform::{CustomOperation, Operations};
use serde::{Deserialize, Serialize};

use crate::support::parcels;

/// Each text becomes the share of the label's positive class among the training rows of that text.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ShareOf {
    class: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counts {
    class: String,
    counts: BTreeMap<String, (u64, u64)>,
}

impl Accumulate for Counts {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let texts = batch.column(0).as_string::<i32>();
        let labels = batch.column(1).as_string::<i32>();
        for (text, label) in texts.iter().zip(labels) {
            let (hits, all) = self
                .counts
                .entry(text.unwrap_or_default().to_owned())
                .or_default();
            *hits += u64::from(label == Some(&self.class));
            *all += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        for (text, (hits, all)) in other.counts {
            let mine = self.counts.entry(text).or_default();
            *mine = (mine.0 + hits, mine.1 + all);
        }
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Shares {
    shares: BTreeMap<String, f64>,
    other: f64,
}

impl CustomOperation for ShareOf {
    const NAME: &'static str = "parcels.share_of.v1";
    const NEEDS_LABEL: bool = true;
    type Learned = Counts;
    type Fitted = Shares;

    fn check(&self) -> Result<()> {
        if self.class.is_empty() {
            let text = "`class` is empty, must be a class of the label";
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(())
    }

    fn learner(&self) -> Counts {
        Counts {
            class: self.class.clone(),
            counts: BTreeMap::new(),
        }
    }

    fn fit(&self, learned: Counts) -> Result<Shares> {
        let sum = |which: fn(&(u64, u64)) -> u64| learned.counts.values().map(which).sum::<u64>();
        let share = |(hits, all): (u64, u64)| hits as f64 / all as f64;
        Ok(Shares {
            other: share((sum(|counts| counts.0), sum(|counts| counts.1))),
            shares: learned
                .counts
                .into_iter()
                .map(|(text, counts)| (text, share(counts)))
                .collect(),
        })
    }

    fn apply(fitted: &Shares, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let texts = inputs[0].as_string::<i32>().iter();
        let shares = texts.map(|text| {
            let share = fitted.shares.get(text.unwrap_or_default());
            *share.unwrap_or(&fitted.other)
        });
        Ok(vec![Arc::new(Float64Array::from_iter_values(shares))])
    }
}

fn run(repository: ModelRepository, class: &str) -> Result<Outcome<PushedModel>> {
    let share = ShareOf {
        class: class.to_owned(),
    };
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .transform(Transform::new().z_score("kilograms").custom(
                    ["road"],
                    ["road_late"],
                    share,
                )),
        )
        .train(LogisticRegression::default())
        .evaluate(
            Thresholds::new()
                .at_least("auc", 0.7)
                .no_worse_than_baseline("auc", 0.01),
        )
        .serve(repository)
        .build()?
        .run_blocking()
}

#[test]
fn it_is_fitted_on_the_label_saved_loaded_and_served() {
    let root = tempfile::tempdir().unwrap();
    let repository = || ModelRepository::at(root.path()).with_operation::<ShareOf>();
    let outcome = run(repository(), "yes").unwrap();
    let place = outcome.endpoint().expect("blessed").path;
    // The second run loads the first's model, as its baseline.
    assert!(run(repository(), "yes").unwrap().is_deployed());

    let error = Servable::load(&place, &Loaders::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "operation `parcels.share_of.v1` is not registered; none is; register it with `Operations::with`"
    );

    let loaders = Loaders::default().with_operation::<ShareOf>();
    let servable = Servable::load(&place, &loaders).unwrap();
    let rows = parcels(50);
    let features = servable.features(&rows).unwrap();
    assert_eq!(servable.transform().features(), ["kilograms", "road_late"]);
    // Parcels by air are late by chance only, those by road if they are heavy.
    let road = rows.column_by_name("road").unwrap().as_string::<i32>();
    for (row, road) in road.iter().enumerate() {
        let share = features.matrix()[[row, 1]];
        let expected = if road == Some("air") {
            0.0..0.12
        } else {
            0.3..0.5
        };
        assert!(expected.contains(&share), "{road:?}: {share}");
    }

    let manager = Manager::open(ModelRepository::at(root.path()), loaders).unwrap();
    let served = manager.get("parcels", None).unwrap();
    assert_eq!(
        served.predict(&rows).unwrap(),
        servable.predict(&rows).unwrap()
    );
    let names: Vec<String> = servable
        .transform()
        .operations()
        .names()
        .map(str::to_owned)
        .collect();
    assert_eq!(names, ["parcels.share_of.v1"]);
    assert_eq!(Operations::new().names().count(), 0);
}

#[test]
fn its_own_check_is_heard_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let error = run(ModelRepository::at(root.path()), "").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("transform of `road`: `class` is empty, must be a class of the label"),
        "{error}"
    );
}

#[test]
fn lists_reach_the_model_in_training_and_serving() {
    let parcels = parcels(2_000);
    let mut stops = ListBuilder::new(StringBuilder::new());
    let kilograms = parcels.column(1).as_primitive::<Float64Type>();
    for (row, kilograms) in kilograms.values().iter().enumerate() {
        if row % 50 != 7 {
            if *kilograms > 60.0 {
                stops.values().append_value("scales");
            }
            stops.values().append_value(["a", "b", "c"][row % 3]);
        }
        stops.append(row % 50 != 7);
    }
    let late: ArrayRef = Arc::new(StringArray::from_iter_values(
        kilograms
            .values()
            .iter()
            .map(|x| if *x > 60.0 { "yes" } else { "no" }),
    ));
    let stops: ArrayRef = Arc::new(stops.finish());
    // Rows that are equal go to one split, and there are few different lists.
    let columns = [
        ("id", Arc::clone(parcels.column(0)), true),
        ("stops", stops, true),
        ("late", late, true),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let root = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("stops")
        .data(
            BatchSource::new("stops", vec![rows.clone()])
                .label("late")
                .transform(Transform::new().multi_hot("stops")),
        )
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.9))
        .serve(ModelRepository::at(root.path()))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let reasons = outcome.run().verdict.reasons().join("; ");
    let place = outcome.endpoint().expect(&reasons).path;
    let servable = Servable::load(&place, &Loaders::default()).unwrap();
    let features = servable.features(&rows.slice(0, 8)).unwrap();
    assert_eq!(features.n_features(), 5);
    assert_eq!(features.matrix().row(7).to_vec(), [0.0; 5]);
    assert_eq!(
        features.matrix().row(0).sum(),
        if kilograms.value(0) > 60.0 { 2.0 } else { 1.0 }
    );
}
