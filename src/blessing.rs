//! The gate between training and serving: verdicts, and the token that only a passed one mints.
//!
//! A [`Candidate`] is a trained model with its transform and schema. A validator gives a [`Verdict`]. If and only
//! if every check of it passed, the pipeline turns the candidate into a [`Blessed`] one, and that is the only
//! thing a [`Server`](crate::serving::Server) takes. So this does not compile:
//!
//! ```compile_fail
//! use fourfold::blessing::{Blessed, Candidate};
//! use fourfold::model::LinearModel;
//! use fourfold::serving::{ModelRepository, Server};
//!
//! async fn deploy(unvalidated: Candidate<LinearModel>) {
//!     let _ = ModelRepository::at("models").deploy(unvalidated).await;
//! }
//! ```
//!
//! and its twin does, because a blessed model can only come out of a validated pipeline:
//!
//! ```
//! use fourfold::blessing::{Blessed, Candidate};
//! use fourfold::model::LinearModel;
//! use fourfold::serving::{ModelRepository, Server};
//!
//! async fn deploy(validated: Blessed<LinearModel>) {
//!     let _ = ModelRepository::at("models").deploy(validated).await;
//! }
//! ```
//!
//! Nor can the token be made by hand:
//!
//! ```compile_fail
//! use fourfold::blessing::{Blessed, Candidate, Verdict};
//! use fourfold::model::LinearModel;
//!
//! fn cheat(candidate: Candidate<LinearModel>, verdict: Verdict) -> Blessed<LinearModel> {
//!     Blessed { candidate, verdict }
//! }
//! ```
//!
//! Architecture invariant: [`Blessed`] has private fields, no `Deserialize`, no `Clone` and one constructor,
//! `Blessed::mint`, which is called in one place, the evaluation pipeline. Held by the doctests above, the
//! compile-fail tests, and `tests/it/tidy.rs`, which counts the callers.

mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use self::verdict::{Check, CheckOutcome, Verdict};
#[cfg(feature = "datafusion")]
pub(crate) use self::verdict::{POWER, Z, detectable_change};
use crate::error::{Error, Result};
use crate::model::{
    AnyModel, Label, Loaders, Manifest, Model, ReferenceStatistics, Servable, Target,
};
use crate::schema::Schema;
use crate::transform::FittedTransform;

/// The answer of a server about the model that is serving now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Serving {
    /// The server cannot tell: every check that needs to know fails.
    #[default]
    Unknown,
    /// There is none yet: this is the first deployment, and every comparison passes.
    None,
    /// This one.
    Model(Arc<Servable>),
}

/// A trained model with all it needs to be served, not validated yet.
#[derive(Debug)]
pub struct Candidate<M> {
    model: Arc<M>,
    servable: Arc<Servable>,
    loaders: Loaders,
}

impl<M: Model> Candidate<M> {
    /// Puts a trained model together with the transform and schema it was trained behind.
    ///
    /// # Errors
    /// As [`Servable::new`].
    pub fn new(
        name: &str,
        model: M,
        target: Target,
        schema: &Schema,
        transform: Arc<FittedTransform>,
        details: BTreeMap<String, serde_json::Value>,
    ) -> Result<Self> {
        let model = Arc::new(model);
        let manifest = Manifest {
            format_version: Manifest::FORMAT_VERSION,
            name: name.to_owned(),
            model_format: model.format().to_owned(),
            target,
            label: None,
            details,
        };
        let operations = transform.operations();
        let servable = Servable::new(manifest, schema, transform, Arc::clone(&model) as _)?;
        Ok(Candidate {
            model,
            servable: Arc::new(servable),
            loaders: Loaders::default().with::<M>().with_operations(&operations),
        })
    }

    /// Adds the loaders of an application: a model of models needs those of the models within it.
    #[must_use]
    pub fn with_loaders(mut self, loaders: &Loaders) -> Self {
        self.loaders = self.loaders.with_all(loaders);
        self
    }

    /// The loaders that it can be loaded with once it is saved: those of the application, of its own type, and the custom
    /// operations of its transform.
    #[must_use]
    pub fn loaders(&self) -> &Loaders {
        &self.loaders
    }

    /// Adds the statistics of the data it was trained on, and perhaps evaluated on, which are saved with it and which serving
    /// is compared with. The evaluation pipeline adds those of its answers.
    #[must_use]
    pub fn with_reference(mut self, reference: &ReferenceStatistics) -> Self {
        let servable = Arc::unwrap_or_clone(self.servable);
        self.servable = Arc::new(servable.with_reference(reference));
        self
    }

    /// Adds the rule of its label, which is saved with it, so that raw rows alone are enough to evaluate it.
    #[must_use]
    pub fn with_label(mut self, label: Label) -> Self {
        let servable = Arc::unwrap_or_clone(self.servable);
        self.servable = Arc::new(servable.with_label(label));
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model as it would be served: raw rows in, predictions out.
    #[must_use]
    pub fn servable(&self) -> &Arc<Servable> {
        &self.servable
    }

    /// Adds the artifact of a root that it is, so that a deployment leads back to the run that made it.
    #[cfg(feature = "datafusion")]
    pub(crate) fn with_origin(mut self, artifact: &str) -> Self {
        let servable = Arc::unwrap_or_clone(self.servable);
        self.servable = Arc::new(servable.with_detail(Manifest::ARTIFACT, artifact.into()));
        self
    }

    /// Loads one that was saved, with the model as the type that it is. It comes without a blessing.
    #[cfg(feature = "datafusion")]
    pub(crate) fn load_typed(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let (servable, model) = Servable::load_typed::<M>(dir, loaders)?;
        Ok(Candidate {
            model,
            servable: Arc::new(servable),
            loaders: loaders.clone(),
        })
    }

    /// Writes its files into a directory that is empty.
    #[cfg(feature = "datafusion")]
    pub(crate) fn write_into(&self, dir: &Path) -> Result<()> {
        self.servable
            .write_into(&*self.model, self.servable.manifest(), dir)
    }

    /// Saves it for a look, **not** for serving: without a blessing. The directory must not be there yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn save(&self, place: &Path) -> Result<()> {
        self.servable
            .save(&*self.model, self.servable.manifest(), place)
    }
}

impl Candidate<AnyModel> {
    /// Loads a saved model, to evaluate it again. It comes without its blessing.
    ///
    /// # Errors
    /// As [`Servable::load`].
    pub fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let servable = Servable::load(dir, loaders)?;
        let format = &servable.manifest().model_format;
        let model = loaders.load_any(format, &servable.model_dir(dir))?;
        let operations = servable.transform().operations();
        Ok(Candidate {
            model: Arc::new(model),
            servable: Arc::new(servable),
            loaders: loaders.clone().with_operations(&operations),
        })
    }
}

/// A candidate that has passed its validation: the one thing that can be deployed.
#[derive(Debug)]
#[must_use = "a blessed model is there to be deployed"]
pub struct Blessed<M> {
    candidate: Candidate<M>,
    verdict: Verdict,
}

impl<M: Model> Blessed<M> {
    /// Blesses a candidate if the verdict allows it, else gives it back.
    #[cfg_attr(
        not(any(feature = "datafusion", test)),
        expect(dead_code, reason = "only the pipelines bless")
    )]
    pub(crate) fn mint(
        candidate: Candidate<M>,
        verdict: Verdict,
    ) -> Result<Self, (Candidate<M>, Verdict)> {
        if verdict.is_blessed() {
            Ok(Blessed { candidate, verdict })
        } else {
            Err((candidate, verdict))
        }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.candidate.servable.manifest().name
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        self.candidate.model()
    }

    /// The model as it is served: raw rows in, predictions out.
    #[must_use]
    pub fn servable(&self) -> &Arc<Servable> {
        self.candidate.servable()
    }

    /// The loaders that it can be loaded with once it is saved, see [`Candidate::loaders`].
    #[must_use]
    pub fn loaders(&self) -> &Loaders {
        &self.candidate.loaders
    }

    /// The verdict that blessed it.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Saves the servable with its verdict, whole or not at all. The directory must not be there yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn save(&self, place: &Path) -> Result<()> {
        let mut manifest = self.servable().manifest().clone();
        let verdict = serde_json::to_value(&self.verdict).map_err(|error| {
            Error::internal("a verdict cannot be serialized").with_source(error)
        })?;
        manifest.details.insert("verdict".to_owned(), verdict);
        self.servable()
            .save(&*self.candidate.model, &manifest, place)
    }
}

#[cfg(test)]
mod tests;
