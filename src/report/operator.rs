//! For operators: size and latency, how to serve and roll back, lineage and timings.

use std::fmt::Write;

use super::Kept;
use crate::page::svg::{bar, graph};
use crate::page::{Bytes, Cell, Facts, Seconds, Table, Text, section};
use crate::pipeline::RunRecord;
use crate::runs::{ArtifactId, Run};

pub(super) fn write(page: &mut String, run: &RunRecord, kept: Option<&Kept>) {
    page.push_str("<h2 id=\"operation\">Operation</h2>\n");
    section(page, "Model", &model(run, kept));
    section(page, "Serve and roll back", &serving(run, kept));
    section(page, "Lineage", &kept.map(lineage).unwrap_or_default());
    section(page, "Time", &timings(run, kept));
}

fn model(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut facts = Facts::default();
    let measured = run.measured.as_ref();
    let n_bytes = measured
        .map(|measured| measured.n_bytes)
        .or(kept.and_then(|kept| kept.n_bytes));
    facts.add("format", &run.model_format);
    if let Some(n_bytes) = n_bytes {
        facts.add("size on disk", Bytes(n_bytes));
    }
    if let Some(measured) = measured {
        facts
            .add("loads in", Seconds(measured.load_s))
            .add("median latency of one row", Seconds(measured.p50_s))
            .add("99th percentile", Seconds(measured.p99_s));
        if let Some(growth) = measured.memory_growth {
            facts.add("growth of memory in a burst", Bytes(growth));
        }
    }
    facts.add("features", run.features.len());
    let inputs = run
        .schema
        .fields
        .iter()
        .take(60)
        .map(|field| field.name.as_str());
    let inputs: Vec<&str> = inputs.filter(|name| *name != run.target.label()).collect();
    let more = match run.schema.fields.len() {
        n if n > 60 => format!(" and {} more", n - 60),
        _ => String::new(),
    };
    facts.add("takes", format!("{}{more}", inputs.join(", ")));
    let mut html = facts.to_string();
    if measured.is_some() {
        html.push_str("<p class=\"muted\">Measured in the trial before deployment, on the machine of the run.</p>");
    }
    html
}

fn serving(run: &RunRecord, kept: Option<&Kept>) -> String {
    let name = &run.name;
    let mut html = String::new();
    let mut facts = Facts::default();
    if let Some(deployed) = kept.and_then(|kept| kept.run.deployed.as_ref()) {
        let version = deployed
            .version
            .map_or_else(|| "of no number".to_owned(), |version| version.to_string());
        facts.add("deployed as version", version);
    }
    let code = |text: String| format!("<pre>{}</pre>", Text(text));
    facts
        .html(
            "serve",
            code("cargo run --example serve -- --models MODELS --http 127.0.0.1:8000 --admin same-port".to_owned()),
        )
        .html("ask", code(format!("curl -d '{{\"instances\": [{{..}}]}}' http://127.0.0.1:8000/v1/models/{name}:predict")))
        .html("roll back", code(format!("curl -X POST http://127.0.0.1:8000/v2/repository/models/{name}/rollback")));
    let _ = write!(html, "{facts}");
    let mut table = Table::new(format!("When which version of {name} was deployed"))
        .number("version")
        .text("from")
        .text("until")
        .text("model")
        .text("run")
        .most(50);
    for period in kept.iter().flat_map(|kept| kept.serving.iter().rev()) {
        table.row([
            Cell::Number(
                period
                    .version
                    .map_or_else(|| "–".to_owned(), |version| version.to_string()),
            ),
            Cell::text(period.from()),
            Cell::text(period.until().unwrap_or_else(|| "now".to_owned())),
            Cell::text(period.model.short()),
            Cell::text(&period.run),
        ]);
    }
    let _ = write!(html, "{table}");
    html
}

/// The graph of the stages, with their inputs and outputs.
fn lineage(kept: &Kept) -> String {
    let mut table = Table::new("Stages with their inputs and outputs")
        .text("stage")
        .text("stage type")
        .text("run")
        .text("inputs")
        .text("outputs")
        .most(100);
    let short = |ids: &[ArtifactId]| {
        let ids: Vec<String> = ids.iter().map(ArtifactId::short).collect();
        ids.join(", ")
    };
    let files: Vec<_> = kept
        .executions
        .iter()
        .flat_map(|execution| &execution.files)
        .collect();
    let mut steps = Vec::new();
    let mut edges = Vec::new();
    if !files.is_empty() {
        steps.push((
            format!("{} files", files.len()),
            Bytes(files.iter().map(|file| file.bytes).sum()).to_string(),
        ));
        edges.push((0, 1));
    }
    let first = steps.len();
    for (at, execution) in kept.executions.iter().enumerate() {
        table.row([
            Cell::name(&execution.stage),
            Cell::name(&execution.name),
            Cell::text(&execution.run),
            Cell::text(short(&execution.inputs)),
            Cell::text(short(&execution.outputs)),
        ]);
        let made = execution
            .outputs
            .last()
            .map(ArtifactId::short)
            .unwrap_or_default();
        // There is room for one word; the table has the rest.
        let name = execution.stage.chars().take(16).collect();
        steps.push((name, made));
        for (maker, earlier) in kept.executions[..at].iter().enumerate() {
            if execution
                .inputs
                .iter()
                .any(|input| earlier.outputs.contains(input))
            {
                edges.push((first + maker, first + at));
            }
        }
    }
    if let Some(deployed) = &kept.run.deployed {
        let maker = kept
            .executions
            .iter()
            .position(|execution| execution.outputs.contains(&deployed.model));
        edges.extend(maker.map(|maker| (first + maker, steps.len())));
        let version = deployed
            .version
            .map_or_else(String::new, |version| format!("version {version}"));
        steps.push(("deployed".to_owned(), version));
    }
    if kept.executions.is_empty() {
        return String::new();
    }
    let mut html = graph("lineage of the run", &steps, &edges).to_string();
    table.folded(&mut html, "As a table");
    let mut table = Table::new("Files")
        .text("file")
        .number("bytes")
        .text("digest")
        .most(100);
    for file in files {
        table.row([
            Cell::name(&file.path),
            Cell::count(file.bytes),
            Cell::html(format!("<code>{}</code>", Text(file.digest.as_str()))),
        ]);
    }
    table.folded(&mut html, "Input files");
    html
}

fn timings(run: &RunRecord, kept: Option<&Kept>) -> String {
    let most = run.timings_s.values().copied().fold(0.0, f64::max);
    let mut table = Table::new("Duration of each step")
        .text("step")
        .number("time")
        .text("drawn");
    for (step, seconds) in run.timings_s.iter().filter(|(_, seconds)| **seconds > 0.0) {
        table.row([
            Cell::text(step),
            Cell::Number(Seconds(*seconds).to_string()),
            Cell::html(bar(step, *seconds, most)),
        ]);
    }
    let mut html = table.to_string();
    if let Some(Run { seconds, .. }) = kept.map(|kept| &kept.run) {
        let _ = write!(html, "<p>The run took {}.", Seconds(*seconds));
        if !run.reused.is_empty() {
            let _ = write!(
                html,
                " Reused from earlier runs: {}.",
                Text(run.reused.join(", "))
            );
        }
        html.push_str("</p>");
    }
    html
}
