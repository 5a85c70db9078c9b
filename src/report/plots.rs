//! Plots for terminals.

use std::fmt::{self, Display};

use super::training::by_measure;
use crate::metrics::Details;
use crate::page::Number;
use crate::pipeline::RunRecord;
use crate::statistics::{ColumnStatistics, Statistics};
use crate::training::Importance;

/// The width of a plot in characters.
const WIDTH: usize = 40;
/// The height of a plot in lines.
const HEIGHT: usize = 12;
/// The number of bars that are shown.
const BARS: usize = 12;
/// The width of a name in characters.
const NAME: usize = 24;

/// Plots as lines of at most 90 characters: the ROC curve, calibration and importances of a run, or histograms of statistics
/// and the association of each column with the label. Plots without data are left out.
///
/// ```
/// # fn told(run: &fourfold::pipeline::RunRecord) {
/// print!("{}", fourfold::report::Plots::of_run(run));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plots<'a>(Of<'a>);

#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    Run(&'a RunRecord),
    Statistics(&'a Statistics),
}

impl<'a> Plots<'a> {
    /// The curves and importances of a run.
    #[must_use]
    pub fn of_run(run: &'a RunRecord) -> Self {
        Plots(Of::Run(run))
    }

    /// Histograms of numeric columns, and the association of each column with the label if there is one.
    #[must_use]
    pub fn of_statistics(statistics: &'a Statistics) -> Self {
        Plots(Of::Statistics(statistics))
    }
}

impl Display for Plots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Of::Run(run) => {
                roc(f, &run.metrics.details)?;
                calibration(f, &run.metrics.details)?;
                residuals(f, &run.metrics.details)?;
                importances(f, &run.training.importances)
            }
            Of::Statistics(statistics) => {
                histograms(f, statistics)?;
                associations(f, statistics)
            }
        }
    }
}

/// A name of fixed width, without the characters that terminals interpret.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let shown = self
            .0
            .chars()
            .map(|c| if c.is_control() || turns(c) { '?' } else { c });
        let mut name: String = shown.take(NAME + 1).collect();
        if let Some((at, _)) = name.char_indices().nth(NAME) {
            let last = name[..at]
                .char_indices()
                .next_back()
                .map_or(0, |(last, _)| last);
            name.truncate(last);
            name.push('…');
        }
        write!(f, "{name:NAME$}")
    }
}

/// The index of a share among `n` positions.
fn place(share: f64, n: usize) -> usize {
    ((share.clamp(0.0, 1.0) * (n - 1) as f64).round() as usize).min(n - 1)
}

fn roc(f: &mut fmt::Formatter<'_>, details: &Details) -> fmt::Result {
    if details.roc.is_empty() {
        return Ok(());
    }
    let mut grid = [[' '; WIDTH]; HEIGHT];
    let shares = (0..WIDTH).map(|column| column as f64 / (WIDTH - 1) as f64);
    for (column, share) in shares.enumerate() {
        grid[HEIGHT - 1 - place(share, HEIGHT)][column] = '·';
        // The line through the points at this rate, so that no column is empty.
        let after = details
            .roc
            .iter()
            .position(|point| point.false_positive_rate >= share);
        let (mut x0, mut y0) = (0.0, 0.0);
        if let Some(before) = after.and_then(|after| after.checked_sub(1)) {
            (x0, y0) = (
                details.roc[before].false_positive_rate,
                details.roc[before].true_positive_rate,
            );
        }
        let (x1, y1) = after.map_or((1.0, 1.0), |after| {
            (
                details.roc[after].false_positive_rate,
                details.roc[after].true_positive_rate,
            )
        });
        let height = if x1 > x0 {
            y0 + (y1 - y0) * (share - x0) / (x1 - x0)
        } else {
            y1
        };
        grid[HEIGHT - 1 - place(height, HEIGHT)][column] = '*';
    }
    writeln!(f, "ROC: true positive rate by false positive rate")?;
    for (at, line) in grid.iter().enumerate() {
        let tick = match at {
            0 => "1.0",
            at if at == HEIGHT - 1 => "0.0",
            _ => "   ",
        };
        let line: String = line.iter().collect();
        writeln!(f, "  {tick} |{}", line.trim_end())?;
    }
    writeln!(f, "      +{}", "-".repeat(WIDTH))?;
    writeln!(f, "       0.0{:>1$}", "1.0", WIDTH - 3)
}

fn calibration(f: &mut fmt::Formatter<'_>, details: &Details) -> fmt::Result {
    if details.calibration.is_empty() {
        return Ok(());
    }
    writeln!(f, "calibration: predicted |, seen o, both *, from 0 to 1")?;
    for bin in &details.calibration {
        let mut line = [' '; WIDTH];
        let (predicted, seen) = (place(bin.prediction, WIDTH), place(bin.share.value, WIDTH));
        line[predicted] = '|';
        line[seen] = if seen == predicted { '*' } else { 'o' };
        let line: String = line.iter().collect();
        writeln!(
            f,
            "  {:.3} [{line}] {:.3} of {} rows",
            bin.prediction, bin.share.value, bin.share.support
        )?;
    }
    Ok(())
}

fn residuals(f: &mut fmt::Formatter<'_>, details: &Details) -> fmt::Result {
    let sizes = details
        .residuals
        .iter()
        .map(|decile| decile.residual.value.abs());
    let most = sizes.fold(0.0, f64::max);
    if details.residuals.is_empty() || !(most > 0.0 && most.is_finite()) {
        return Ok(());
    }
    writeln!(
        f,
        "residuals: label less prediction, by tenths of the predictions"
    )?;
    for decile in &details.residuals {
        let mut line = [' '; WIDTH + 1];
        line[WIDTH / 2] = '|';
        let at = place(0.5 + 0.5 * decile.residual.value / most, WIDTH + 1);
        line[at] = 'o';
        let line: String = line.iter().collect();
        writeln!(
            f,
            "  {:>10} [{line}] {}",
            Number(decile.prediction).to_string(),
            Number(decile.residual.value)
        )?;
    }
    Ok(())
}

fn importances(f: &mut fmt::Formatter<'_>, importances: &[Importance]) -> fmt::Result {
    let measures = by_measure(importances);
    let Some((measure, values)) = measures.first() else {
        return Ok(());
    };
    let bars = values.iter().map(|of| (of.feature.as_str(), of.value));
    bars_of(f, &format!("importance by {measure}"), bars.collect())
}

fn associations(f: &mut fmt::Formatter<'_>, statistics: &Statistics) -> fmt::Result {
    let bars = statistics.columns.iter().filter_map(|column| {
        let association = column.association.as_ref()?;
        Some((column.name.as_str(), association.mutual_information))
    });
    bars_of(
        f,
        "mutual information of each column with the label, in bits",
        bars.collect(),
    )
}

/// The largest values as bars, in descending order.
fn bars_of(f: &mut fmt::Formatter<'_>, title: &str, mut bars: Vec<(&str, f64)>) -> fmt::Result {
    bars.retain(|(_, value)| value.is_finite());
    // The sort is stable.
    bars.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = bars.first().map_or(0.0, |(_, value)| *value);
    if most <= 0.0 {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for (name, value) in bars.iter().take(BARS) {
        let bar = "#".repeat((value.max(0.0) / most * WIDTH as f64).round() as usize);
        writeln!(f, "  {} {bar} {}", Name(name), Number(*value))?;
    }
    match bars.len().saturating_sub(BARS) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

fn histograms(f: &mut fmt::Formatter<'_>, statistics: &Statistics) -> fmt::Result {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    fn line(column: &ColumnStatistics) -> Option<(&str, String, (f64, f64))> {
        let numeric = column.numeric.as_ref()?;
        let counts = numeric.histogram.buckets.iter().map(|bucket| bucket.count);
        let most = counts.clone().fold(0.0, f64::max);
        if !(column.field_type.is_numeric() && most > 0.0 && most.is_finite()) {
            return None;
        }
        let heights = counts.map(|count| HEIGHTS[place(count / most, HEIGHTS.len())]);
        let ends = numeric.min.zip(numeric.max)?;
        Some((column.name.as_str(), heights.collect::<String>(), ends))
    }
    let lines: Vec<_> = statistics.columns.iter().filter_map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "histograms")?;
    for (name, heights, (low, high)) in lines.iter().take(5 * BARS) {
        writeln!(
            f,
            "  {} {heights} {} to {}",
            Name(name),
            Number(*low),
            Number(*high)
        )?;
    }
    match lines.len().saturating_sub(5 * BARS) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_columns_and_obey_nobody() {
        assert_eq!(Name("a\u{1b}[31m").to_string(), format!("{:24}", "a?[31m"));
        let long = Name(&"é".repeat(30)).to_string();
        assert_eq!(long.chars().count(), 24);
        assert!(long.ends_with('…'));
        assert_eq!(
            (place(0.0, 40), place(1.0, 40), place(f64::NAN, 40)),
            (0, 39, 0)
        );
    }
}
