//! A run as a page.

use fourfold::prelude::*;
use fourfold::report;

use crate::support::parcels;

#[test]
fn the_page_says_what_was_run_and_what_came_of_it() {
    let server = InProcess::new();
    let run = |gates: Thresholds| {
        Pipeline::builder("parcels")
            .data(
                BatchSource::new("parcels", vec![parcels(2_000)])
                    .label("late")
                    .split(Split::by_hash(["id"], [("train", 3), ("eval", 1)]))
                    .transform(Transform::new().z_score("kilograms").one_hot("road")),
            )
            .train(LogisticRegression::default())
            .evaluate(gates)
            .serve(server.clone())
            .build()
            .unwrap()
            .run_blocking()
            .unwrap()
    };
    let first = run(Thresholds::new().at_least("auc", 0.6));
    let record = first.run().clone();
    let page = report::html(&record);
    let ended = &record.setup.ended;
    assert!(
        ended.len() == 20 && ended.ends_with('Z') && ended.as_str() > "2026",
        "{ended}"
    );
    assert_eq!(record.setup.split, "by hash of id: 3 train, 1 eval");
    for part in [
        ended.as_str(),
        concat!(
            "<td>by fourfold</td><td>",
            env!("CARGO_PKG_VERSION"),
            "</td>"
        ),
        "<td>trainer</td><td>logistic_regression</td>",
        "<td>configuration</td><td>",
        "<td>split</td><td>by hash of id: 3 train, 1 eval</td>",
        "<b>yes</b> is the positive class",
        // What was configured became what it is, too.
        "z_score <span class=\"muted\">as it was configured</span>",
        "one_hot <span class=\"muted\">as it was configured</span>",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(!page.contains("Nothing was deployed") && !page.contains("served before"));

    // The same model again is no better: the change is 0, and the one that serves goes on.
    let gates = Thresholds::new()
        .at_least("auc", 0.999)
        .no_worse_than_baseline("auc", 0.01);
    let second = run(gates);
    assert!(!second.is_deployed());
    let page = report::html(second.run());
    for part in [
        "Nothing was deployed: what served before goes on serving.",
        "<th class=\"n\">serving</th><th class=\"n\">change</th>",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    // A record of before has no setup, and is read.
    let mut old = serde_json::to_value(&record).unwrap();
    old.as_object_mut().unwrap().remove("setup");
    let old: fourfold::pipeline::RunRecord = serde_json::from_value(old).unwrap();
    assert!(!report::html(&old).contains("run ended"));
}
