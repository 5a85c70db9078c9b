//! Reports of runs: HTML pages, and plots for terminals.
//!
//! [`html`] makes one self-contained page of a [`RunRecord`], [`of_run`] one of the records of a run in a [root](crate::runs),
//! with its history and lineage, and [`of_runs`] a comparison of two runs. Pages have no scripts and load nothing; they are
//! light or dark as the reader's system is, fit screens of 400 pixels and paper, and have a table behind every picture. The
//! sections are for four readers: product managers, data scientists, operators and developers.
//!
//! The names of files, columns and values are escaped and abbreviated, and long lists end with the number of entries that are
//! left out, so that a page stays small. [`Plots`] are curves and importances for a terminal.

mod change;
mod compare;
mod curves;
mod data;
mod developer;
mod errors;
mod gates;
mod groups;
mod kept;
mod manager;
mod operator;
mod plots;
mod search;
mod training;

use self::kept::Kept;
pub use self::plots::Plots;
use crate::error::Result;
use crate::metrics::MetricValue;
use crate::page::{FOOT, Text, head};
use crate::pipeline::RunRecord;
use crate::runs::Root;

/// The run as an HTML page.
///
/// ```
/// # fn page(run: &fourfold::pipeline::RunRecord) -> std::io::Result<()> {
/// std::fs::write("report.html", fourfold::report::html(run))
/// # }
/// ```
#[must_use]
pub fn html(run: &RunRecord) -> String {
    page(run, None)
}

/// A run in a root as an HTML page: the content of [`html`], and environment, artifacts, lineage, the differences from the
/// previous run, and the history of the metrics.
///
/// ```no_run
/// use fourfold::report;
/// use fourfold::runs::Root;
///
/// let root = Root::open("root")?;
/// let newest = root.runs()?.pop();
/// if let Some(run) = newest {
///     std::fs::write("report.html", report::of_run(&root, &run.id)?).unwrap();
/// }
/// # Ok::<(), fourfold::Error>(())
/// ```
///
/// # Errors
/// As [`Root::run`] and [`RunRecord::load`].
pub fn of_run(root: &Root, run: &str) -> Result<String> {
    let record = RunRecord::load(root, run)?;
    let kept = Kept::of(root, run)?;
    Ok(page(&record, Some(&kept)))
}

/// The comparison of two runs in a root as an HTML page; `before` is the first, `after` the second.
///
/// # Errors
/// As [`of_run`].
pub fn of_runs(root: &Root, before: &str, after: &str) -> Result<String> {
    compare::page(root, before, after)
}

fn page(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut page = head(format!("{}: model report", run.name), "");
    page.push_str("<header><h1>");
    page.push_str(&Text(&run.name).to_string());
    page.push_str("</h1><p class=\"lead\">");
    page.push_str(&Text(manager::sentence(run, kept)).to_string());
    page.push_str("</p>");
    page.push_str(NAV);
    page.push_str("</header>\n");
    manager::write(&mut page, run, kept);
    page.push_str("<h2 id=\"science\">Data science</h2>\n");
    curves::write(&mut page, run);
    training::write(&mut page, run, kept);
    errors::write(&mut page, run);
    data::write(&mut page, run);
    operator::write(&mut page, run, kept);
    developer::write(&mut page, run, kept);
    page.push_str(FOOT);
    page
}

const NAV: &str = "<nav aria-label=\"Sections\"><ul><li><a href=\"#product\">Product</a></li>\
    <li><a href=\"#science\">Data science</a></li><li><a href=\"#operation\">Operation</a></li>\
    <li><a href=\"#development\">Development</a></li></ul></nav>";

/// The main metric of a run: that of the first check, else the most usual one of the task.
fn main_metric(run: &RunRecord) -> Option<(&str, &MetricValue)> {
    const USUAL: [&str; 6] = ["auc", "auc_ovr", "accuracy", "rmse", "mae", "skill"];
    let judged = run.verdict.checks().iter();
    let judged = judged.filter_map(|check| check.name.split(' ').next());
    let mut names = judged.chain(USUAL);
    names.find_map(|name| {
        let (name, value) = run.metrics.overall.get_key_value(name)?;
        Some((name.as_str(), value))
    })
}
