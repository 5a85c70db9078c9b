//! Queries over the records of runs: `runs --root DIR [list | show RUN | lineage WHAT | compare A B | affected WHAT | serving PIPELINE |
//! report RUN | gc | compact | verify]`. In builds with the feature `sql`, `runs --root DIR --sql "select .."` queries the tables
//! `runs`, `executions`, `artifacts`, `edges`, `metrics` and `trials`; with `openlineage` and `mlflow`, `runs --root DIR
//! [openlineage RUN | mlflow RUN]` reports a run to other tools.
//!
//! ```sh
//! cargo run --example tabular -- --input houses.csv --label price --root root
//! cargo run --example runs -- --root root list
//! cargo run --example runs -- --root root lineage houses-price
//! cargo run --example runs --features sql -- --root root --sql "select name, value from metrics order by run desc"
//! ```
//!
//! The root consists of files alone: a copy of it on another machine gives the same answers.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "support/tracking.rs"]
mod tracking;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use fourfold::Result;
use fourfold::prelude::*;
use fourfold::report;
use fourfold::runs::{Execution, Keep, Lineage, Root, Run, ServingPeriod};
use serde::Serialize;

/// Queries the records of runs in a root.
#[derive(Parser)]
struct Args {
    /// The root of a pipeline.
    #[arg(long)]
    root: PathBuf,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// A query over `runs`, `executions`, `artifacts`, `edges`, `metrics` and `trials`.
    #[arg(long, conflicts_with = "what")]
    sql: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// All runs, the oldest first.
    List,
    /// One run, by its id or the beginning of it.
    Show { run: String },
    /// The lineage of something: of a run's model, a deployed model (`name` or `name:version`), or an artifact.
    Lineage { what: String },
    /// The differences between two runs.
    Compare { before: String, after: String },
    /// A run as an HTML page, or two beside each other.
    Report {
        run: String,
        after: Option<String>,
        /// The file to write; standard output by default.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// The artifacts, runs and deployments that an input file or an artifact affects, and those to roll back to.
    Affected { what: String },
    /// The times at which models of a pipeline were deployed, and the one that was blessed last.
    Serving { pipeline: String },
    /// The artifacts that no rule keeps; removes them with `--remove`.
    Gc {
        /// Keep those of the newest runs of each pipeline.
        #[arg(long, default_value_t = 10)]
        newest: usize,
        /// Keep those of the runs of the last days.
        #[arg(long, default_value_t = 0)]
        days: u64,
        /// Keep at most this number of bytes of these.
        #[arg(long)]
        at_most: Option<u64>,
        /// Remove the others.
        #[arg(long)]
        remove: bool,
    },
    /// Moves records that are older than some days into Parquet files, many to each.
    Compact {
        #[arg(long, default_value_t = 1)]
        days: u64,
    },
    /// Prints a run as events of OpenLineage, one a line, or posts them (feature `openlineage`).
    Openlineage {
        run: String,
        /// The namespace of the names of jobs and artifacts.
        #[arg(long, default_value = "fourfold")]
        namespace: String,
        /// The URL of a server to post the events to, with the token in OPENLINEAGE_API_KEY.
        #[arg(long, value_name = "URL")]
        post: Option<String>,
    },
    /// Logs a run to an MLflow tracking server (feature `mlflow`).
    Mlflow {
        run: String,
        /// The URL of the server, which is asked with the token in MLFLOW_TRACKING_TOKEN.
        #[arg(long, value_name = "URL")]
        server: String,
        /// The experiment; by default, the name of the pipeline.
        #[arg(long)]
        experiment: Option<String>,
    },
    /// Reads every artifact again and compares it with its digests.
    Verify,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = Root::open(&args.root)?;
    if !args.root.is_dir() {
        let message = format!("there is no root `{}`", args.root.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    if let Some(query) = args.sql {
        return answer(&root, &query, args.json);
    }
    match args.what.unwrap_or(What::List) {
        What::List => {
            let runs = root.runs()?;
            match args.json {
                true => json(&runs)?,
                false => runs.iter().for_each(line),
            }
        }
        What::Show { run } => {
            let run = root.run(&run)?;
            match args.json {
                true => json(&run)?,
                false => show(&run),
            }
        }
        What::Lineage { what } => {
            let lineage = root.lineage(&what)?;
            match args.json {
                true => json(&lineage)?,
                false => print_lineage(&lineage),
            }
        }
        What::Compare { before, after } => {
            let comparison = root.compare(&before, &after)?;
            if args.json {
                return json(&comparison);
            }
            for difference in comparison.configuration.iter().chain(&comparison.files) {
                let (before, after) = (&difference.before, &difference.after);
                println!("{}: {before} -> {after}", difference.path);
            }
            println!("other artifacts: {}", comparison.artifacts.join(", "));
            for metric in &comparison.metrics {
                let value = |found: Option<fourfold::metrics::MetricValue>| {
                    found.map_or("-".to_owned(), |found| format!("{:.4}", found.value))
                };
                let paired = metric
                    .paired
                    .map(|change| match (change.lower, change.upper) {
                        (Some(low), Some(high)) => {
                            format!("  {:+.4} ({low:+.4} to {high:+.4})", change.value)
                        }
                        _ => format!("  {:+.4}", change.value),
                    });
                println!(
                    "{:24} {:>10} -> {:>10}{}",
                    metric.name,
                    value(metric.before),
                    value(metric.after),
                    paired.unwrap_or_default()
                );
            }
        }
        What::Report { run, after, output } => {
            let page = match after {
                Some(after) => report::of_runs(&root, &run, &after)?,
                None => report::of_run(&root, &run)?,
            };
            match output {
                Some(path) => std::fs::write(&path, page).map_err(|error| {
                    let message = format!("`{}` cannot be written", path.display());
                    Error::new(ErrorKind::Io, message).with_source(error)
                })?,
                None => println!("{page}"),
            }
        }
        What::Affected { what } => {
            let affected = root.affected(&what)?;
            if args.json {
                return json(&affected);
            }
            println!("artifacts made of it:");
            for id in &affected.artifacts {
                println!("  {}", id.short());
            }
            println!("runs: {}", affected.runs.join(", "));
            for period in &affected.serving {
                println!("served: {}", in_words(period));
            }
            for period in &affected.roll_back_to {
                println!("roll back to: {}", in_words(period));
            }
        }
        What::Serving { pipeline } => {
            let periods = root.serving_periods(&pipeline)?;
            if args.json {
                return json(&periods);
            }
            for period in &periods {
                println!("{}", in_words(period));
            }
            if let Some(run) = root.latest_blessed(&pipeline)? {
                println!("blessed last: the model of {}", run.id);
            }
        }
        What::Gc {
            newest,
            days,
            at_most,
            remove,
        } => {
            let mut keep = Keep::default().newest(newest).days(days);
            if let Some(bytes) = at_most {
                keep = keep.at_most(bytes);
            }
            let collected = root.collect(&keep, !remove)?;
            if args.json {
                return json(&collected);
            }
            for id in &collected.artifacts {
                println!("{}", id.short());
            }
            println!(
                "{} artifacts of {} bytes {}; {} bytes stay",
                collected.artifacts.len(),
                collected.bytes,
                if remove {
                    "were removed"
                } else {
                    "would be removed (--remove does it)"
                },
                collected.kept_bytes
            );
        }
        What::Compact { days } => {
            let compacted = root.compact(Duration::from_secs(days * 86_400))?;
            println!(
                "{} executions and {} runs were moved",
                compacted.executions, compacted.runs
            );
        }
        What::Openlineage {
            run,
            namespace,
            post,
        } => {
            let events = tracking::events(&root, &run, &namespace)?;
            match post {
                Some(url) => tracking::post(&events, &url)?,
                None => events.iter().for_each(|event| println!("{event}")),
            }
        }
        What::Mlflow {
            run,
            server,
            experiment,
        } => {
            let id = tracking::log(&root, &run, &server, experiment)?;
            println!("logged as run {id}");
        }
        What::Verify => {
            let verified = root.verify()?;
            for (id, error) in &verified.damaged {
                println!("{}: {error:#}", id.short());
            }
            println!(
                "{} artifacts are whole, {} are damaged",
                verified.whole.len(),
                verified.damaged.len()
            );
            if !verified.damaged.is_empty() {
                let message = "artifacts are damaged; run the pipeline again without the cache";
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        }
    }
    Ok(())
}

/// Prints what a query has found.
#[cfg(feature = "sql")]
fn answer(root: &Root, query: &str, as_json: bool) -> Result<()> {
    use fourfold::arrow::json::LineDelimitedWriter;
    use fourfold::arrow::util::pretty::pretty_format_batches;

    let runtime = tokio::runtime::Runtime::new()?;
    let rows = runtime.block_on(root.sql(query))?;
    if as_json {
        let mut writer = LineDelimitedWriter::new(std::io::stdout().lock());
        writer.write_batches(&rows.iter().collect::<Vec<_>>())?;
        writer.finish()?;
    } else {
        println!("{}", pretty_format_batches(&rows)?);
    }
    Ok(())
}

#[cfg(not(feature = "sql"))]
fn answer(_root: &Root, _query: &str, _as_json: bool) -> Result<()> {
    let message = "this build answers no queries; build it with `--features sql`";
    Err(Error::new(ErrorKind::Unsupported, message))
}

fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Internal, "it cannot be written as JSON").with_source(error)
    })?;
    println!("{text}");
    Ok(())
}

fn line(run: &Run) {
    let version = run.deployed.as_ref().and_then(|deployed| deployed.version);
    println!(
        "{}  {:16} {:9} {:>8.2} s  {}{}",
        run.id,
        run.pipeline,
        run.state.to_string(),
        run.seconds,
        run.verdict.as_deref().unwrap_or("-"),
        version.map_or(String::new(), |version| format!(", version {version}"))
    );
}

fn show(run: &Run) {
    line(run);
    println!("started   {} on {}", run.started(), run.environment.host);
    for stage in &run.stages {
        let how = if stage.reused {
            "reused from"
        } else {
            "ran as"
        };
        println!("{:9} {how} {}", stage.stage, stage.execution);
        for output in &stage.outputs {
            println!("          {}", output.short());
        }
    }
    for (name, value) in &run.metrics {
        println!("{name:24} {:.4}", value.value);
    }
    for (name, value) in &run.tags {
        println!("tag       {name}: {value}");
    }
    for note in &run.notes {
        println!("note      {note}");
    }
    if let Some(error) = &run.error {
        println!("error     {error}");
    }
}

fn print_lineage(lineage: &Lineage) {
    println!("{}", lineage.of);
    for step in &lineage.steps {
        println!("{}", step_in_words(step));
        println!("          with {}", step.configuration);
        for file in &step.files {
            println!(
                "          {} ({} bytes, {})",
                file.path,
                file.bytes,
                file.digest.short()
            );
        }
    }
    println!("runs: {}", lineage.runs.join(", "));
    for period in &lineage.serving {
        println!("served: {}", in_words(period));
    }
}

fn step_in_words(step: &Execution) -> String {
    let seed = step
        .seed
        .map_or(String::new(), |seed| format!(", seed {seed}"));
    let code = step.environment.code_version.as_deref();
    let code = code.map_or(String::new(), |code| format!(", code {code}"));
    format!(
        "{:9} {} version {}{seed}, on {} by fourfold {}{code}",
        step.stage,
        step.name,
        step.version,
        step.started(),
        step.environment.crate_version
    )
}

fn in_words(period: &ServingPeriod) -> String {
    let until = period.until();
    format!(
        "{}{} from {} {} ({}, run {})",
        period.pipeline,
        period
            .version
            .map_or(String::new(), |version| format!(":{version}")),
        period.from(),
        until.map_or("until now".to_owned(), |until| format!("until {until}")),
        period.model.short(),
        period.run
    )
}
