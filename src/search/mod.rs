//! Search: the best model that a time can buy, the same one every time.
//!
//! A [`Space`] says what may be tried: trainers, ranges of their parameters, transforms. [`Tune`] tries, and is a
//! [`Trainer`](crate::training::Trainer) itself. [`AutoTrainer`] needs no space: it finds a model for the table at hand.
//!
//! ```
//! use fourfold::search::{Space, Tune};
//! use fourfold::training::{GradientBoosting, LogisticRegression, TrainingPipeline};
//!
//! let boosting = Space::of(GradientBoosting::default().patience(20)).log("learning_rate", 0.02, 0.3);
//! let linear = Space::of(LogisticRegression::default()).log("alpha", 0.01, 100.0);
//! let training = TrainingPipeline::new(Tune::over(boosting.or(linear)).trials(30));
//! assert!(training.check().is_ok());
//! ```
//!
//! A space may come from a file of TOML or JSON ([`Space::load`]), and vary the transform, too ([`Space::behind`]).
//!
//! # The same result every time
//!
//! Trials run in batches of a fixed size, and what is tried next depends on whole batches only: equal arguments give equal
//! models on any number of threads. A budget of time decides only how many batches run. Two things depend on the machine
//! beside: a limit of the [time for a row](Tune::max_row_time), and which trials fail for memory, where the engine has a
//! limit that a single trial exceeds. Trials that fit one by one but not side by side wait for each other.
//!
//! # Records
//!
//! Every trial is in the [record](crate::training::TrainingRecord::trials) of the training: its parameters, value,
//! standard error, duration, and the reason if it failed, was stopped or is infeasible. In a pipeline with a root, each is
//! an execution of its own, so a search that was stopped continues with those that have ended. During the search, each
//! batch is reported as [`Event::Message`](crate::progress::Event::Message), a line a trial.
//!
//! # Importance of parameters
//!
//! [`parameter_importances`](crate::training::TrainingRecord::parameter_importances) say how much of the spread of the
//! trials' values a parameter explains on its own, as `trainer.parameter`, by functional analysis of variance over a forest
//! (Hutter, Hoos and Leyton-Brown, ICML 2014) of the trials that can be compared; `trainer` is the share that is between
//! trainers. Fewer than 8 trials of a trainer give none. The values are estimates from the places that were tried: those
//! of a random search cover the space, TPE looks closer where it is good.

mod auto;
mod calibration;
mod domain;
mod ensemble;
mod file;
mod folds;
mod history;
mod importance;
mod judge;
mod limits;
mod portfolio;
mod schedule;
mod selection;
mod space;
mod tpe;
mod trials;
mod tune;
mod whole;

pub use self::auto::AutoTrainer;
pub use self::domain::Domain;
pub use self::file::Trainers;
pub use self::folds::Validation;
pub use self::space::Space;
pub use self::tune::{Halving, Strategy, Tune};
