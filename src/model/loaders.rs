//! The registry of the code that loads saved models.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::any::Saved;
use super::{
    AnyModel, BaggedModel, CalibratedModel, ConformalModel, ConformalSetsModel, ConstantModel,
    EnsembleModel, ForestModel, LinearModel, Model, Predict, TreeModel,
};
use crate::error::{Error, ErrorKind, Result};
use crate::transform::{CustomOperation, Operations};

type Loader = Arc<dyn Fn(&Path, &Loaders) -> Result<Arc<dyn Saved>> + Send + Sync>;

/// The loaders by format tag: an explicit registry, nothing registers itself before `main`.
///
/// The default knows this crate's models; [`Loaders::with`] adds yours.
#[derive(Clone)]
pub struct Loaders {
    models: BTreeMap<String, Loader>,
    operations: Operations,
}

impl Loaders {
    /// No loader at all.
    #[must_use]
    pub fn empty() -> Self {
        Loaders {
            models: BTreeMap::new(),
            operations: Operations::new(),
        }
    }

    /// Adds the loader of a model type; one of the same tag is replaced.
    #[must_use]
    pub fn with<M: Model>(mut self) -> Self {
        let load: Loader = Arc::new(|dir, loaders| Ok(Arc::new(M::load(dir, loaders)?)));
        self.models.insert(M::FORMAT.to_owned(), load);
        self
    }

    /// Adds the loader of a model type under the tag of an older format, which it still reads.
    fn with_old<M: Model>(mut self, tag: &str) -> Self {
        let load: Loader = Arc::new(|dir, loaders| Ok(Arc::new(M::load(dir, loaders)?)));
        self.models.insert(tag.to_owned(), load);
        self
    }

    /// Adds a custom operation, for the transforms of models that use it.
    #[must_use]
    pub fn with_operation<O: CustomOperation>(mut self) -> Self {
        self.operations = self.operations.with::<O>();
        self
    }

    /// Adds all custom operations of a registry.
    #[must_use]
    pub fn with_operations(mut self, operations: &Operations) -> Self {
        self.operations = self.operations.with_all(operations);
        self
    }

    /// Adds all that another registry has; of the same tag, its loader is taken.
    #[must_use]
    pub fn with_all(mut self, other: &Loaders) -> Self {
        let others = other.models.iter();
        self.models
            .extend(others.map(|(tag, loader)| (tag.clone(), Arc::clone(loader))));
        self.with_operations(&other.operations)
    }

    /// The custom operations that are known.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The tags that can be loaded, sorted.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Loads a model of a format from its directory.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if no loader has the tag, with the known ones; and what the loader reports.
    pub fn load(&self, format: &str, dir: &Path) -> Result<Arc<dyn Predict>> {
        let model: Arc<dyn Predict> = self.load_saved(format, dir)?;
        Ok(model)
    }

    /// As [`Loaders::load`], of a model that can be saved again.
    ///
    /// # Errors
    /// As [`Loaders::load`].
    pub fn load_any(&self, format: &str, dir: &Path) -> Result<AnyModel> {
        Ok(AnyModel::of(self.load_saved(format, dir)?))
    }

    fn load_saved(&self, format: &str, dir: &Path) -> Result<Arc<dyn Saved>> {
        let loader = self.models.get(format).ok_or_else(|| {
            let known: Vec<&str> = self.formats().collect();
            Error::new(
                ErrorKind::Unsupported,
                format!(
                    "no loader for models of format `{format}`; known are {}. Add yours with `Loaders::with`",
                    known.join(", ")
                ),
            )
        })?;
        loader(dir, self)
    }
}

impl Default for Loaders {
    fn default() -> Self {
        Loaders::empty()
            .with::<BaggedModel>()
            .with::<CalibratedModel>()
            .with::<ConformalModel>()
            .with::<ConformalSetsModel>()
            .with::<ConstantModel>()
            .with::<EnsembleModel>()
            .with::<ForestModel>()
            .with_old::<ForestModel>(ForestModel::OLD_FORMAT)
            .with::<LinearModel>()
            .with::<TreeModel>()
    }
}

impl fmt::Debug for Loaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaders")
            .field("models", &self.models.keys())
            .field("operations", &self.operations)
            .finish()
    }
}
