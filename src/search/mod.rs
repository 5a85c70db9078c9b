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
//! Every trial is in the [record](crate::training::TrainingRecord::trials) of the training.

mod auto;
mod domain;
mod folds;
mod history;
mod judge;
mod portfolio;
mod selection;
mod space;
mod tpe;
mod trials;
mod tune;

pub use self::auto::AutoTrainer;
pub use self::domain::Domain;
pub use self::folds::Validation;
pub use self::space::{Space, Trainers};
pub use self::tune::{Halving, Strategy, Tune};
