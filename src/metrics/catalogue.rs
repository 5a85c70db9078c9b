//! The catalogue of metrics: names, directions, ranges and tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::error::{Error, Result, near_names};
use crate::model::Task;

/// The direction in which a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher ones.
    Higher,
    /// Lower ones.
    Lower,
    /// Neither: a count, a mean, a ratio that should be near something.
    Neither,
}

/// A metric of this crate.
#[derive(Debug)]
struct Known {
    name: &'static str,
    direction: Direction,
    /// The lowest and the highest value that it can have.
    range: (f64, f64),
    tasks: &'static [Task],
    /// The minimum number of rows, and their kind.
    needs: (u64, &'static str),
    /// Its parameters, each with its range; without any it is computed unasked.
    parameters: &'static [(&'static str, f64, f64)],
}

const INF: f64 = f64::INFINITY;
const SHARE: (f64, f64) = (0.0, 1.0);
const ANY: (f64, f64) = (-INF, INF);
const POSITIVE: (f64, f64) = (0.0, INF);
const UP_TO_ONE: (f64, f64) = (-INF, 1.0);
const AROUND_ZERO: (f64, f64) = (-1.0, 1.0);
const ALL: &[Task] = &[Task::Binary, Task::Multiclass, Task::Regression];
const BINARY: &[Task] = &[Task::Binary];
const CLASSES: &[Task] = &[Task::Binary, Task::Multiclass];
const MULTICLASS: &[Task] = &[Task::Multiclass];
const VALUES: &[Task] = &[Task::Regression];
const MEANS: &[Task] = &[Task::Binary, Task::Regression];
const ONE: (u64, &str) = (1, "row");
const BOTH: (u64, &str) = (2, "rows, one of each class");
const DIFFERENT: (u64, &str) = (2, "rows with different labels");
const OF_POSITIVES: (u64, &str) = (1, "row of the positive class");
const ANSWERED: (u64, &str) = (1, "row that is answered as positive");
const NO_ZERO: (u64, &str) = (1, "row, and no label that is 0");
const WITH_INTERVALS: (u64, &str) = (1, "row, and a model that answers intervals");
const ABOVE: (u64, &str) = (1, "row, and no label or prediction of -1 or less");

use Direction::{Higher, Lower, Neither};

macro_rules! known {
    ($($name:literal $direction:ident $range:ident $tasks:ident $needs:ident $([$($parameter:tt)*])?;)*) => {
        &[$(Known {
            name: $name,
            direction: $direction,
            range: $range,
            tasks: $tasks,
            needs: $needs,
            parameters: &[$($($parameter)*)?],
        }),*]
    };
}

static KNOWN: &[Known] = known! {
    "example_count" Neither POSITIVE ALL ONE;
    "skill" Higher UP_TO_ONE ALL DIFFERENT;
    "auc" Higher SHARE BINARY BOTH;
    "pr_auc" Higher SHARE BINARY OF_POSITIVES;
    "average_precision" Higher SHARE BINARY OF_POSITIVES;
    "log_loss" Lower POSITIVE CLASSES ONE;
    "brier" Lower POSITIVE CLASSES ONE;
    "accuracy" Higher SHARE CLASSES ONE;
    "balanced_accuracy" Higher SHARE CLASSES BOTH;
    "precision" Higher SHARE BINARY ANSWERED;
    "recall" Higher SHARE BINARY OF_POSITIVES;
    "specificity" Higher SHARE BINARY BOTH;
    "false_positive_rate" Lower SHARE BINARY BOTH;
    "selection_rate" Neither SHARE BINARY ONE;
    "f1" Higher SHARE BINARY OF_POSITIVES;
    "fbeta" Higher SHARE BINARY OF_POSITIVES [("beta", 0.0, 1e6)];
    "mcc" Higher AROUND_ZERO CLASSES DIFFERENT;
    "ks" Higher SHARE BINARY BOTH;
    "precision_at_recall" Higher SHARE BINARY OF_POSITIVES [("recall", 0.0, 1.0)];
    "recall_at_precision" Higher SHARE BINARY OF_POSITIVES [("precision", 0.0, 1.0)];
    "cost" Lower ANY BINARY ONE [("false positive's cost", -1e300, 1e300), ("false negative's cost", -1e300, 1e300)];
    "calibration_intercept" Neither ANY BINARY BOTH;
    "calibration_slope" Neither ANY BINARY BOTH;
    "calibration_error" Lower SHARE BINARY ONE;
    "auc_ovr" Higher SHARE MULTICLASS BOTH;
    "macro_f1" Higher SHARE MULTICLASS ONE;
    "weighted_f1" Higher SHARE MULTICLASS ONE;
    "macro_precision" Higher SHARE MULTICLASS ONE;
    "macro_recall" Higher SHARE MULTICLASS ONE;
    "top_k_accuracy" Higher SHARE MULTICLASS ONE [("k", 1.0, 100.0)];
    "mean_label" Neither ANY MEANS ONE;
    "mean_prediction" Neither ANY MEANS ONE;
    "calibration" Neither ANY MEANS ONE;
    "mae" Lower POSITIVE VALUES ONE;
    "mse" Lower POSITIVE VALUES ONE;
    "rmse" Lower POSITIVE VALUES ONE;
    "mape" Lower POSITIVE VALUES NO_ZERO;
    "smape" Lower POSITIVE VALUES ONE;
    "msle" Lower POSITIVE VALUES ABOVE;
    "median_absolute_error" Lower POSITIVE VALUES ONE;
    "pinball" Lower POSITIVE VALUES ONE [("quantile", 0.0, 1.0)];
    "r2" Higher UP_TO_ONE VALUES DIFFERENT;
    "interval_coverage" Neither SHARE VALUES WITH_INTERVALS;
    "interval_width" Lower POSITIVE VALUES WITH_INTERVALS;
};

/// The metrics that can be requested: those of this crate, and those of the application.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    own: Vec<Arc<dyn Metric>>,
}

/// The properties of a metric that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) direction: Direction,
    pub(crate) range: (f64, f64),
    pub(crate) needs: (u64, &'a str),
    tasks: &'a [Task],
}

/// `pinball(0.9)` as `pinball` and 0.9.
pub(super) fn parse(name: &str) -> Option<(&str, Vec<f64>)> {
    let Some((base, rest)) = name.split_once('(') else {
        return Some((name, Vec::new()));
    };
    let numbers = rest.strip_suffix(')')?.split(',');
    let numbers = numbers.map(|number| number.trim().parse::<f64>().ok().filter(|x| x.is_finite()));
    Some((base, numbers.collect::<Option<_>>()?))
}

/// The names that are computed for a task unasked, in the order of the table.
pub(super) fn unasked(task: Task) -> impl Iterator<Item = &'static str> {
    let known = KNOWN.iter();
    let known =
        known.filter(move |known| known.tasks.contains(&task) && known.parameters.is_empty());
    known.map(|known| known.name)
}

impl Catalogue {
    /// The metrics of this crate.
    #[must_use]
    pub fn new() -> Self {
        Catalogue::default()
    }

    /// Adds a metric; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, metric: Arc<dyn Metric>) -> Self {
        self.own.retain(|known| known.name() != metric.name());
        self.own.push(metric);
        self
    }

    /// The metrics of the application.
    #[must_use]
    pub fn own(&self) -> &[Arc<dyn Metric>] {
        &self.own
    }

    /// The direction in which a metric is better; `None` if it is not known.
    #[must_use]
    pub fn direction(&self, name: &str) -> Option<Direction> {
        self.find(name).ok().map(|found| found.direction)
    }

    /// Returns true if a metric is computed only on request: one with parameters. All others always are.
    pub(crate) fn is_computed_when_asked(name: &str) -> bool {
        name.contains('(')
    }

    /// Checks that the application's metrics do not have the names of this crate's.
    pub(crate) fn check(&self) -> Result<()> {
        let ours: BTreeSet<&str> = KNOWN.iter().map(|known| known.name).collect();
        match self.own.iter().find(|metric| {
            ours.contains(metric.name())
                || metric.name().contains(['(', ')'])
                || metric.name().is_empty()
        }) {
            Some(metric) => Err(Error::config(format!(
                "`{}` cannot be the name of a metric: it must differ from this crate's and have no parentheses",
                metric.name()
            ))),
            None => Ok(()),
        }
    }

    /// The metric of a name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none, with the near ones, or if its parameters are not
    /// those that it takes.
    pub(crate) fn find<'a>(&'a self, name: &'a str) -> Result<Described<'a>> {
        if let Some(metric) = self.own.iter().find(|metric| metric.name() == name) {
            return Ok(Described {
                direction: metric.direction(),
                range: metric.range(),
                needs: ONE,
                tasks: metric.tasks(),
            });
        }
        let parsed = parse(name);
        let base = parsed.as_ref().map_or(name, |(base, _)| base);
        let Some(known) = KNOWN.iter().find(|known| known.name == base) else {
            let names = KNOWN.iter().map(|known| known.name);
            let own = self.own.iter().map(|metric| metric.name());
            let near = near_names(base, names.chain(own));
            return Err(Error::config(format!("there is no metric `{name}`{near}")));
        };
        let args = parsed.map(|(_, args)| args).unwrap_or_default();
        let fits = args.len() == known.parameters.len()
            && (known.parameters.iter().zip(&args))
                .all(|((_, low, high), arg)| (low..=high).contains(&arg));
        if !fits {
            let wanted = known.parameters.iter().map(|(name, low, high)| {
                if high.abs() < 1e3 {
                    format!("{name} from {low} to {high}")
                } else {
                    (*name).to_owned()
                }
            });
            let wanted: Vec<String> = wanted.collect();
            let wanted = match wanted.is_empty() {
                true => "no parameters".to_owned(),
                false => format!("`{base}({})`", wanted.join(", ")),
            };
            return Err(Error::config(format!("metric `{name}` takes {wanted}")));
        }
        Ok(Described {
            direction: known.direction,
            range: known.range,
            needs: known.needs,
            tasks: known.tasks,
        })
    }

    /// Checks that a metric is one of a task.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if not, with those that are.
    pub(crate) fn check_task(&self, name: &str, task: Task) -> Result<()> {
        if self.find(name)?.tasks.contains(&task) {
            return Ok(());
        }
        let ours = KNOWN.iter().map(|known| (known.name, known.tasks));
        let own = self
            .own
            .iter()
            .map(|metric| (metric.name(), metric.tasks()));
        let fitting = ours.chain(own).filter(|(_, tasks)| tasks.contains(&task));
        let fitting: Vec<String> = fitting.map(|(name, _)| format!("`{name}`")).collect();
        Err(Error::config(format!(
            "`{name}` is not a metric of a {task} task; these are: {}",
            fitting.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked() {
        let catalogue = Catalogue::new();
        let refused = |name: &str| catalogue.find(name).unwrap_err().message().to_owned();
        assert_eq!(catalogue.find("pinball(0.9)").unwrap().direction, Lower);
        assert_eq!(catalogue.find("cost(1, 5)").unwrap().direction, Lower);
        assert_eq!(
            refused("pinball(1.5)"),
            "metric `pinball(1.5)` takes `pinball(quantile from 0 to 1)`"
        );
        assert_eq!(
            refused("cost"),
            "metric `cost` takes `cost(false positive's cost, false negative's cost)`"
        );
        assert_eq!(refused("auc(1)"), "metric `auc(1)` takes no parameters");
        assert_eq!(
            refused("auk"),
            "there is no metric `auk`; did you mean `auc`?"
        );
        assert!(refused("pinball(a)").starts_with("there is no metric `pinball(a)`"));
    }
}
