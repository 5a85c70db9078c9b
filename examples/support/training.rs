//! Command line options: training.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use fourfold::prelude::*;
use fourfold::search::{AutoTrainer, Space, Strategy, Trainers, Tune, Validation};
use fourfold::training::{AnyTrainer, ByRows, Constant};

/// The options of training.
#[derive(Debug, clap::Args)]
pub(crate) struct Training {
    /// The trainer; by default a short search for 20 to 2,000 rows, and boosting for others.
    #[arg(long, value_enum)]
    trainer: Option<Name>,
    /// The seconds that `--trainer auto` may take, such as 60 or 60s.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    budget: Duration,
    /// The metric that a search chooses by, such as auc; by default, log_loss or rmse.
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Search a space of trainers, parameters and transforms in a file of TOML or JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "trainer")]
    space: Option<PathBuf>,
    /// The number of trials of a search; by default 20, or as many as the budget of `--trainer auto` allows.
    #[arg(long, value_name = "N")]
    trials: Option<usize>,
    /// Try each configuration of `--space` once, with one value of each range, instead of searching.
    #[arg(long, requires = "space")]
    grid: bool,
    /// Compare trials of `--space` by this number of folds instead of rows held out.
    #[arg(long, value_name = "N", requires = "space")]
    folds: Option<usize>,
    /// The cost of a positive row predicted as negative, where the other mistake costs 1: chooses the decision threshold
    /// of `--trainer auto`.
    #[arg(long, value_name = "COST")]
    false_negative: Option<f64>,
    /// The milliseconds that the model of `--trainer auto` may take for one raw row, such as 1 or 1ms.
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    max_row_time: Option<Duration>,
    /// The most threads that training may keep busy; by default, all. The model does not depend on it.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// The seed of all randomness.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// A search over all of these, and an ensemble of the best.
    Auto,
    /// Boosted trees.
    Boosting,
    /// A random forest.
    Forest,
    /// Logistic regression (classes).
    Logistic,
    /// Linear regression (numbers).
    Linear,
    /// A decision tree.
    Tree,
    /// A constant: the mean, or the shares of the classes.
    Constant,
}

impl Training {
    /// The pipeline that trains; its trainer is erased, so that it is compiled once and not for each trainer.
    pub(crate) fn pipeline(&self) -> fourfold::Result<TrainingPipeline<AnyTrainer>> {
        let trainer = match (&self.space, self.trainer) {
            (Some(file), _) => self.search(file)?,
            (None, None) => by_rows(),
            (None, Some(Name::Auto)) => self.auto(),
            (None, Some(Name::Boosting)) => GradientBoosting::default().erase(),
            (None, Some(Name::Forest)) => RandomForest::default().erase(),
            (None, Some(Name::Logistic)) => LogisticRegression::default().erase(),
            (None, Some(Name::Linear)) => LinearRegression::default().erase(),
            (None, Some(Name::Tree)) => DecisionTree::default().erase(),
            (None, Some(Name::Constant)) => Constant.erase(),
        };
        Ok(TrainingPipeline::new(trainer)
            .seed(self.seed)
            .threads(self.threads))
    }

    fn auto(&self) -> AnyTrainer {
        let mut auto = AutoTrainer::default().budget(self.budget);
        if let Some(metric) = &self.metric {
            auto = auto.metric(metric);
        }
        if let Some(n) = self.trials {
            auto = auto.trials(n);
        }
        if let Some(cost) = self.false_negative {
            auto = auto.false_negative(cost);
        }
        if let Some(time) = self.max_row_time {
            auto = auto.max_row_time(time);
        }
        auto.erase()
    }

    fn search(&self, file: &Path) -> fourfold::Result<AnyTrainer> {
        let mut tune = Tune::over(Space::load(file, &Trainers::default())?);
        if let Some(metric) = &self.metric {
            tune = tune.metric(metric);
        }
        if let Some(n) = self.trials {
            tune = tune.trials(n);
        }
        if let Some(n) = self.folds {
            tune = tune.validation(Validation::Folds(n));
        }
        if self.grid {
            tune = tune.strategy(Strategy::Grid(1));
        }
        Ok(tune.erase())
    }
}

/// Of a few hundred rows a search takes a second: one batch of trials, which depends on no clock. Its folds need some rows
/// each.
fn by_rows() -> AnyTrainer {
    let search = AutoTrainer::default().trials(4);
    let larger = ByRows::up_to(2_000, search, GradientBoosting::default());
    ByRows::up_to(20, GradientBoosting::default(), larger).erase()
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, "s", 1.0)
        .ok_or_else(|| format!("`{text}` must be a number of seconds, such as 60s"))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, "ms", 1e-3)
        .ok_or_else(|| format!("`{text}` must be a number of milliseconds, such as 1ms"))
}

fn duration(text: &str, unit: &str, seconds: f64) -> Option<Duration> {
    let number: f64 = text.strip_suffix(unit).unwrap_or(text).parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}
