//! Command line options: training.

use std::time::Duration;

use clap::ValueEnum;
use fourfold::prelude::*;
use fourfold::search::AutoTrainer;
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
    pub(crate) fn pipeline(&self) -> TrainingPipeline<AnyTrainer> {
        let trainer = match self.trainer {
            None => by_rows(),
            Some(Name::Auto) => AutoTrainer::default().budget(self.budget).erase(),
            Some(Name::Boosting) => GradientBoosting::default().erase(),
            Some(Name::Forest) => RandomForest::default().erase(),
            Some(Name::Logistic) => LogisticRegression::default().erase(),
            Some(Name::Linear) => LinearRegression::default().erase(),
            Some(Name::Tree) => DecisionTree::default().erase(),
            Some(Name::Constant) => Constant.erase(),
        };
        TrainingPipeline::new(trainer).seed(self.seed)
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
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    let time = number.ok().map(Duration::try_from_secs_f64);
    time.and_then(|time| time.ok())
        .ok_or_else(|| format!("`{text}` must be a number of seconds, such as 60s"))
}
