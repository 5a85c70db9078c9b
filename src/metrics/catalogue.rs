//! What is known of each metric before it is computed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, near_names};
use crate::model::Task;

/// Which values of a metric are better.
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
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) direction: Direction,
    /// The lowest and the highest value that it can have.
    pub(crate) range: (f64, f64),
    pub(crate) tasks: &'static [Task],
    /// How many rows it needs at least, and of which kind.
    pub(crate) needs: (u64, &'static str),
}

const INF: f64 = f64::INFINITY;
const SHARE: (f64, f64) = (0.0, 1.0);
const ALL: &[Task] = &[Task::Binary, Task::Multiclass, Task::Regression];
const BINARY: &[Task] = &[Task::Binary];
const CLASSES: &[Task] = &[Task::Binary, Task::Multiclass];
const MULTICLASS: &[Task] = &[Task::Multiclass];
const VALUES: &[Task] = &[Task::Regression];
const MEANS: &[Task] = &[Task::Binary, Task::Regression];
const ANY_ROW: (u64, &str) = (1, "row");
const BOTH: (u64, &str) = (2, "rows, one of each class");
const DIFFERENT: (u64, &str) = (2, "rows with different labels");

const fn known(
    name: &'static str,
    direction: Direction,
    range: (f64, f64),
    tasks: &'static [Task],
    needs: (u64, &'static str),
) -> Known {
    Known {
        name,
        direction,
        range,
        tasks,
        needs,
    }
}

static KNOWN: &[Known] = &[
    known(
        "example_count",
        Direction::Neither,
        (0.0, INF),
        ALL,
        ANY_ROW,
    ),
    known("skill", Direction::Higher, (-INF, 1.0), ALL, DIFFERENT),
    known("auc", Direction::Higher, SHARE, BINARY, BOTH),
    known("log_loss", Direction::Lower, (0.0, INF), CLASSES, ANY_ROW),
    known("accuracy", Direction::Higher, SHARE, CLASSES, ANY_ROW),
    known(
        "precision",
        Direction::Higher,
        SHARE,
        BINARY,
        (1, "row that is predicted as positive"),
    ),
    known(
        "recall",
        Direction::Higher,
        SHARE,
        BINARY,
        (1, "row of the positive class"),
    ),
    known(
        "f1",
        Direction::Higher,
        SHARE,
        BINARY,
        (1, "row that is positive or predicted so"),
    ),
    known("macro_f1", Direction::Higher, SHARE, MULTICLASS, ANY_ROW),
    known(
        "mean_label",
        Direction::Neither,
        (-INF, INF),
        MEANS,
        ANY_ROW,
    ),
    known(
        "mean_prediction",
        Direction::Neither,
        (-INF, INF),
        MEANS,
        ANY_ROW,
    ),
    known(
        "calibration",
        Direction::Neither,
        (-INF, INF),
        MEANS,
        (1, "row with a label above 0"),
    ),
    known("mae", Direction::Lower, (0.0, INF), VALUES, ANY_ROW),
    known("mse", Direction::Lower, (0.0, INF), VALUES, ANY_ROW),
    known("rmse", Direction::Lower, (0.0, INF), VALUES, ANY_ROW),
    known("r2", Direction::Higher, (-INF, 1.0), VALUES, DIFFERENT),
];

/// The metric of a name.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none, with the near ones.
pub(crate) fn find(name: &str) -> Result<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.name == name)
        .ok_or_else(|| {
            let near = near_names(name, KNOWN.iter().map(|known| known.name));
            Error::config(format!("there is no metric `{name}`{near}"))
        })
}

impl Known {
    /// That it is a metric of a task.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if not, with those that are.
    pub(crate) fn check_task(&self, task: Task) -> Result<()> {
        if self.tasks.contains(&task) {
            return Ok(());
        }
        let fitting = KNOWN.iter().filter(|known| known.tasks.contains(&task));
        let fitting: Vec<String> = fitting.map(|known| format!("`{}`", known.name)).collect();
        Err(Error::config(format!(
            "`{}` is no metric of a {task} task; these are: {}",
            self.name,
            fitting.join(", ")
        )))
    }
}
