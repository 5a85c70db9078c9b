//! The facts about a training, as an artifact.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::{Servable, Target, load_json, save_json};
use crate::runs::Artifact;
use crate::training::TrainingRecord;
use crate::transform::{Decision, FittedPlan};
use crate::warning::Warning;

/// The facts about a training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TrainFacts {
    /// The target, with the threshold that training chose.
    pub(super) target: Target,
    pub(super) features: Vec<String>,
    pub(super) model_format: String,
    pub(super) decisions: Vec<Decision>,
    pub(super) warnings: Vec<Warning>,
    pub(super) training: TrainingRecord,
}

impl Artifact for TrainFacts {
    const KIND: &'static str = "training";
    const VERSION: u32 = 1;

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "training.json", self)
    }

    fn load(dir: &Path) -> Result<Self> {
        load_json(dir, "training.json")
    }
}

impl TrainFacts {
    pub(super) fn of(
        servable: &Servable,
        fitted: &FittedPlan,
        mut training: TrainingRecord,
    ) -> Self {
        let mut warnings = fitted.warnings();
        warnings.append(&mut training.warnings);
        TrainFacts {
            target: servable.manifest().target.clone(),
            features: features_of(servable),
            model_format: servable.manifest().model_format.clone(),
            decisions: fitted.decisions().to_vec(),
            warnings,
            training,
        }
    }
}

/// The names of the features; for a model that takes raw rows, the names of the columns that it reads.
fn features_of(servable: &Servable) -> Vec<String> {
    let transform = servable.transform();
    match transform.features() {
        [] => transform
            .inputs()
            .iter()
            .map(|input| input.name.clone())
            .collect(),
        features => features.to_vec(),
    }
}
