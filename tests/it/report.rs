//! Runs as pages and as plots for a terminal.

use fourfold::evaluation::{Fair, WorstSlices};
use fourfold::metrics::{Parity, Slice};
use fourfold::pipeline::RunRecord;
use fourfold::prelude::*;
use fourfold::report::{self, Plots};
use fourfold::runs::{ModelCard, Root};
use fourfold::schema::Severity;
use fourfold::training::{Importance, Trial};

use crate::support::parcels;

/// A run with all that reports show.
fn run_in(dir: &std::path::Path, at_least: f64, rounds: usize) -> RunRecord {
    let evaluation = EvaluationPipeline::new((
        Thresholds::new()
            .at_least("auc", at_least)
            .no_worse_than_baseline("auc", 0.02),
        Fair::difference("road", Parity::Calibration, 0.9),
    ))
    .slice_by(["road"])
    .protected(["road"])
    .worst_slices(WorstSlices::default().columns(["road", "kilograms"]))
    .partial_dependence(["kilograms", "road"]);
    let card = ModelCard::new()
        .intended_use("tells of late <parcels>")
        .contact("parcels@example.com")
        .command("parcels train --rows 2000");
    let pipeline = Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .split(Split::by_hash(
                    ["id"],
                    [("train", 2), ("tune", 1), ("eval", 1)],
                )),
        )
        .train(GradientBoosting::default().rounds(rounds))
        .evaluate(evaluation)
        .serve(ModelRepository::at(dir.join("models")))
        .root(dir.join("root"))
        .card(card)
        .note("a <note>")
        .build()
        .unwrap();
    pipeline.run_blocking().unwrap().run().clone()
}

/// The text of a page: without its style sheet, its pictures and its tags, a line for each part that has one.
fn text(page: &str) -> String {
    let (_, body) = page.split_once("<body>").unwrap();
    let mut out = String::new();
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with("<svg") {
            rest = rest[at..].split_once("</svg>").unwrap().1;
            continue;
        }
        let (tag, after) = rest[at..].split_once('>').unwrap();
        let inline = [
            "span", "/span", "bdi", "/bdi", "b", "/b", "i", "/i", "code", "/code",
        ];
        let name = tag[1..].split(' ').next().unwrap();
        out.push_str(match name {
            "/td" | "/th" | "/dt" => " | ",
            name if inline.contains(&name) => "",
            _ => "\n",
        });
        rest = after;
    }
    out.push_str(rest);
    let out = out
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let lines = out.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every element is closed where it must be, and no name has become one.
#[track_caller]
fn check_elements(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    let mut ids = std::collections::BTreeSet::new();
    while let Some(at) = rest.find('<') {
        let (tag, after) = rest[at + 1..].split_once('>').expect("a tag ends");
        if !tag.starts_with('!') {
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap();
            let void = ["meta", "link", "rect", "path", "circle"].contains(&name);
            assert_ne!(name, "script");
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "in {:.80}", rest);
            } else if !void {
                open.push(name);
            }
            if let Some((_, id)) = tag.split_once(" id=\"") {
                assert!(
                    ids.insert(id.split('"').next().unwrap()),
                    "an id twice: {tag}"
                );
            }
            if tag.starts_with("svg ") {
                assert!(tag.contains("role=\"img\" aria-label=\""), "{tag}");
            }
            for number in ["NaN", "inf\"", "inf "] {
                assert!(
                    !(name == "path" || name == "rect") || !tag.contains(number),
                    "{tag}"
                );
            }
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
    for foreign in ["http-equiv", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

/// What differs from run to run and from machine to machine.
fn settled(mut run: RunRecord) -> RunRecord {
    run.timings_s
        .values_mut()
        .for_each(|seconds| *seconds = 1.0);
    run.id = None;
    run.measured = None;
    run.setup.ended = "2026-11-27T16:05:12Z".to_owned();
    run.warnings
        .retain(|warning| warning.code != "kernels_not_optimized");
    run
}

#[test]
fn a_page_says_the_same_of_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let run = settled(run_in(dir.path(), 0.6, 20));
    let page = report::html(&run);
    check_elements(&page);
    let fingerprint = run.data_fingerprint.as_str();
    let text = text(&page).replace(fingerprint, "(fingerprint)");
    let text = text.replace(env!("CARGO_PKG_VERSION"), "(version)");
    insta::assert_snapshot!("page", text);
    insta::assert_snapshot!("plots", Plots::of_run(&run).to_string());
}

#[test]
fn runs_on_record_have_pages() {
    let dir = tempfile::tempdir().unwrap();
    let record = run_in(dir.path(), 0.6, 20);
    let root = Root::open(dir.path().join("root")).unwrap();
    let id = record.id.clone().unwrap();
    // What is read back is what was told, but for how the times are counted and what is not kept.
    let mut loaded = RunRecord::load(&root, &id).unwrap();
    loaded.timings_s = record.timings_s.clone();
    loaded.setup = record.setup.clone();
    loaded.detectable = record.detectable.clone();
    assert_eq!(loaded, record);

    let page = report::of_run(&root, &id).unwrap();
    check_elements(&page);
    let measured = record.measured.unwrap();
    assert!(measured.n_bytes > 1_000 && measured.p99_s >= measured.p50_s);
    for part in [
        "Blessed, and deployed as version 1: ",
        "tells of late &lt;parcels&gt;",
        "parcels train --rows 2000",
        "a &lt;note&gt;",
        "Not given by the application: limits, data, licence.",
        "99th percentile",
        "rollback",
        "There is no previous version to compare with.",
        id.as_str(),
    ] {
        assert!(page.contains(part), "no {part}");
    }

    // A second one that is not good enough: why, beside the first one.
    let second = run_in(dir.path(), 0.999, 5);
    assert!(!second.verdict.is_blessed());
    let second = second.id.unwrap();
    let page = report::of_run(&root, &second).unwrap();
    check_elements(&page);
    for part in [
        "Rejected, so the previous version goes on serving: ",
        "Possible causes:",
        "train.rounds",
        "auc from run to run",
        "The rows whose answers changed most",
        "serving",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    let page = report::of_runs(&root, &id, &second).unwrap();
    check_elements(&page);
    for part in ["train.rounds", "ROC", "auc by slice", "20", "5"] {
        assert!(page.contains(part), "no {part}");
    }
    assert_eq!(
        report::of_run(&root, "nobody").unwrap_err().kind(),
        ErrorKind::NotFound
    );

    // What was collected is named.
    std::fs::remove_dir_all(dir.path().join("root/artifacts/evaluation")).unwrap();
    let error = report::of_run(&root, &id).unwrap_err();
    assert!(
        error.to_string().contains("artifact evaluation/"),
        "{error}"
    );
}

/// As wide as they come: 300 columns, 500 slices, hundreds of trials and anomalies, under names of any characters.
#[test]
fn a_page_stays_small_and_names_are_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = settled(run_in(dir.path(), 0.6, 20));
    let name = |at: usize| match at % 5 {
        0 => format!("<script>alert({at})</script>"),
        1 => format!("\"quoted\" & 'quoted' {at}"),
        2 => format!("\u{202e}turned\u{0}\u{1b}[31m {at}"),
        3 => format!("{at} {}", "long".repeat(20_000)),
        _ => format!("日本 {at}"),
    };
    run.name = name(0);
    let numbers = run.statistics.column("kilograms").unwrap().clone();
    let texts = run.statistics.column("road").unwrap().clone();
    run.statistics.columns = (0..300)
        .map(|at| {
            let mut column = if at % 2 == 0 {
                numbers.clone()
            } else {
                texts.clone()
            };
            column.name = name(at);
            column
        })
        .collect();
    let decision = run.decisions[0].clone();
    run.decisions = (0..300)
        .map(|at| {
            let mut decision = decision.clone();
            decision.column = name(at);
            decision.reason = name(at + 1);
            decision
        })
        .collect();
    let slice = run.metrics.slices[0].clone();
    run.metrics.slices = (0..500)
        .map(|at| {
            let mut slice = slice.clone();
            slice.slice = Slice::of(name(at), name(at + 1));
            slice
        })
        .collect();
    run.training.importances = (0..300)
        .map(|at| Importance {
            feature: name(at),
            measure: "gain".to_owned(),
            value: at as f64,
        })
        .collect();
    run.training.trials = (0..500)
        .map(|at| {
            Trial::new(
                serde_json::json!({"name": name(at), "configuration": {"x": name(at)}}),
                "log_loss",
                0.5,
            )
        })
        .collect();
    let rows = (0..300).map(|at| (name(at), Some(name(at + 1)))).collect();
    run.mistakes
        .iter_mut()
        .for_each(|mistake| mistake.row.clone_from(&rows));
    let effect = run.effects[0].clone();
    run.effects = (0..60)
        .map(|at| {
            let mut effect = effect.clone();
            effect.column = name(at);
            effect
        })
        .collect();
    run.metrics.unseen_classes = (0..100).map(|at| (name(at), 1)).collect();
    let page = report::html(&run);
    check_elements(&page);
    assert!(page.len() < 5 << 20, "{} bytes", page.len());
    assert!(page.contains("&lt;script&gt;alert(0)") && page.contains("日本"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{0}') && !page.contains('\u{1b}'));

    let plots = format!(
        "{}{}",
        Plots::of_run(&run),
        Plots::of_statistics(&run.statistics)
    );
    assert!(!plots.contains('\u{1b}') && !plots.contains('\u{202e}'));
    assert!(
        plots.lines().all(|line| line.chars().count() <= 90),
        "{plots}"
    );
}

/// Values, classes and records of before.
#[test]
fn what_is_not_there_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_in(dir.path(), 0.6, 20);
    let mut old = serde_json::to_value(&run).unwrap();
    for field in [
        "setup",
        "card",
        "measured",
        "mistakes",
        "effects",
        "training",
        "detectable",
        "worst_slices",
    ] {
        old.as_object_mut().unwrap().remove(field);
    }
    let mut old: RunRecord = serde_json::from_value(old).unwrap();
    let page = report::html(&old);
    check_elements(&page);
    for part in [
        "Partial dependence",
        "Worst predictions",
        "Learning curves",
        "99th percentile",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    old.metrics = Default::default();
    old.verdict = Default::default();
    old.statistics = Default::default();
    let page = report::html(&old);
    check_elements(&page);
    assert!(page.contains("nothing was checked"));
    assert_eq!(Plots::of_run(&old).to_string(), "");

    // Errors of the schema are among the causes.
    let mut odd = run.clone();
    odd.verdict = Verdict::new().check("auc", false, "it is worse");
    let mut anomalies = odd.anomalies.values().flatten().cloned();
    if let Some(mut anomaly) = anomalies.next() {
        anomaly.severity = Severity::Error;
        odd.anomalies.insert("eval".to_owned(), vec![anomaly]);
        assert!(report::html(&odd).contains("Possible causes:"));
    }
}

#[test]
fn a_regression_has_residuals() {
    let pipeline = Pipeline::builder("weights")
        .data(BatchSource::new("parcels", vec![parcels(1_000)]).label("kilograms"))
        .train(GradientBoosting::default())
        .evaluate(Thresholds::new().at_most("rmse", 1e6))
        .serve(InProcess::new())
        .build()
        .unwrap();
    let outcome = pipeline.run_blocking().unwrap();
    let page = report::html(outcome.run());
    check_elements(&page);
    assert!(page.contains("Residuals: label less prediction") && !page.contains("ROC"));
    assert!(
        Plots::of_run(outcome.run())
            .to_string()
            .contains("residuals")
    );
}

#[test]
fn a_record_is_told_at_a_terminal_and_to_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let run = |at_least: f64| {
        let pipeline = Pipeline::builder("parcels")
            .data(
                BatchSource::new("parcels", vec![parcels(2_000)])
                    .label("late")
                    .split(Split::by_hash(["id"], [("train", 3), ("eval", 1)]))
                    .transform(Transform::new().z_score("kilograms").one_hot("road")),
            )
            .train(LogisticRegression::default())
            .evaluate(Thresholds::new().at_least("auc", at_least))
            .serve(ModelRepository::at(dir.path()))
            .build()
            .unwrap();
        pipeline.run_blocking().unwrap().run().clone()
    };
    let record = run(0.6);
    let text = record.to_string();
    let skill = format!(
        "\n  skill            {:.4}\n",
        record.metrics.metric("skill").unwrap()
    );
    for part in [
        "label: `late`, task: binary\nclasses: `no`, `yes` (positive)\ncolumns, 4 features of them:\n",
        "  kilograms: z_score (as configured)\n",
        skill.as_str(),
        "\npassed: auc is ",
        "\nblessed",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let summary = record.summary();
    assert_eq!(
        (&summary["rows"], &summary["features"]),
        (&2_000.into(), &4.into())
    );
    assert_eq!(
        (&summary["task"], &summary["verdict"]),
        (&"binary".into(), &"blessed".into())
    );
    assert_eq!(
        summary["metrics"]["skill"],
        record.metrics.metric("skill").unwrap()
    );
    assert!(summary["timings_s"]["train"].is_number(), "{summary}");
    let rejected = run(0.999);
    let summary = rejected.summary();
    assert_eq!(summary["verdict"], "rejected");
    assert_eq!(summary["reasons"][0], rejected.verdict.reasons()[0]);
}
