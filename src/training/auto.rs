//! A trainer for any task.

use serde::{Deserialize, Serialize};

use super::linear_rows::TAKES;
use super::{
    Capabilities, LinearRegression, LogisticRegression, TrainArgs, Trained, Trainer, WarmStart,
};
use crate::error::Result;
use crate::model::{LinearModel, Task};
use crate::stage::Stage;

/// The linear model of the task: [`LogisticRegression`] for classes, [`LinearRegression`] for numbers. For programs
/// that do not know their label before they see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    classes: LogisticRegression,
    numbers: LinearRegression,
}

impl Linear {
    /// Both with their defaults.
    #[must_use]
    pub fn new() -> Self {
        Linear::default()
    }

    /// The trainer of classes.
    #[must_use]
    pub fn classes(mut self, trainer: LogisticRegression) -> Self {
        self.classes = trainer;
        self
    }

    /// The trainer of numbers.
    #[must_use]
    pub fn numbers(mut self, trainer: LinearRegression) -> Self {
        self.numbers = trainer;
        self
    }
}

impl Stage for Linear {
    fn name(&self) -> &str {
        "linear"
    }

    fn check(&self) -> Result<()> {
        self.classes.check()?;
        self.numbers.check()
    }
}

impl Trainer for Linear {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        match args.target().task() {
            Task::Regression => self.numbers.train(args),
            Task::Binary | Task::Multiclass => self.classes.train(args),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::from(TAKES).warm_start(WarmStart::ByName)
    }
}
