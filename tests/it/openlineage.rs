//! Runs as events that other tools take in.

use fourfold::prelude::*;
use fourfold::runs::Root;
use serde_json::Value;

use crate::support::{parcels, write_csv};

/// What `spec/OpenLineage.json` (2-0-2) asks of an event: the required fields and their forms.
#[track_caller]
fn check(event: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(["START", "COMPLETE", "ABORT", "FAIL"].contains(&text(&event["eventType"]).as_str()));
    let time = text(&event["eventTime"]);
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.contains('T'),
        "{time}"
    );
    for uri in [&event["producer"], &event["schemaURL"]] {
        assert!(text(uri).starts_with("https://"), "{uri}");
    }
    let uuid = text(&event["run"]["runId"]);
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
    assert!(
        uuid.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    );
    let named =
        |of: &Value| assert!(!text(&of["namespace"]).is_empty() && !text(&of["name"]).is_empty());
    named(&event["job"]);
    let mut facets = vec![&event["run"]["facets"], &event["job"]["facets"]];
    for dataset in ["inputs", "outputs"]
        .iter()
        .flat_map(|side| event[side].as_array().unwrap())
    {
        named(dataset);
        facets.push(&dataset["facets"]);
    }
    for facet in facets
        .iter()
        .flat_map(|facets| facets.as_object().unwrap().values())
    {
        for uri in [&facet["_producer"], &facet["_schemaURL"]] {
            assert!(text(uri).starts_with("https://"), "{facet}");
        }
    }
}

#[test]
fn a_run_is_events_that_name_what_was_read_and_made() {
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("rows.csv");
    write_csv(&rows, &parcels(400));
    let pipeline = |fails: bool| {
        let data = FileSource::csv(&rows).label("late");
        let pipeline = Pipeline::builder("parcels").data(data).train_with(
            "may_fail",
            1,
            move |args: &TrainArgs| match fails {
                true => Err(Error::new(ErrorKind::Data, "no luck")),
                false => Ok(DecisionTree::default().train(args)?.into_model()),
            },
        );
        let pipeline = pipeline
            .evaluate(Thresholds::new().at_least("skill", -9.0))
            .serve(InProcess::new());
        pipeline.root(dir.path().join("root")).build().unwrap()
    };
    assert!(pipeline(true).run_blocking().is_err());
    assert!(pipeline(false).run_blocking().unwrap().is_deployed());
    let root = Root::open(dir.path().join("root")).unwrap();
    let history = root.history().unwrap();
    let of = |at: usize| {
        history
            .openlineage(&history.runs()[at].id, "tests")
            .unwrap()
    };
    let (failed, done) = (of(0), of(1));
    failed.iter().chain(&done).for_each(check);
    let job = |job: &str| {
        done.iter()
            .filter(move |event| event["job"]["name"] == job)
            .collect::<Vec<_>>()
    };
    let ends: Vec<_> = job("parcels")
        .iter()
        .map(|event| event["eventType"].clone())
        .collect();
    assert_eq!(ends, ["START", "COMPLETE"]);
    let train = job("parcels.train");
    assert_eq!(train[0]["run"]["runId"], train[1]["run"]["runId"]);
    assert_eq!(
        train[1]["run"]["facets"]["parent"]["run"]["runId"],
        job("parcels")[0]["run"]["runId"]
    );
    let made = &train[1]["outputs"][0];
    assert!(made["name"].as_str().unwrap().starts_with("model/"));
    assert_eq!(
        job("parcels")[1]["outputs"][0],
        *made,
        "it is what was deployed"
    );
    // The rows were read by the run that failed.
    assert!(job("parcels.extract").is_empty());
    let read = failed
        .iter()
        .find(|event| event["job"]["name"] == "parcels.extract")
        .unwrap();
    assert_eq!(read["inputs"][0]["namespace"], "file");
    assert!(
        read["inputs"][0]["name"]
            .as_str()
            .unwrap()
            .ends_with("rows.csv")
    );
    let last = failed
        .iter()
        .filter(|event| event["eventType"] == "FAIL")
        .collect::<Vec<_>>();
    assert_eq!(last.len(), 2);
    let message = last[0]["run"]["facets"]["errorMessage"]["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("no luck"), "{message}");
    assert_eq!(
        history.openlineage("none", "tests").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
