//! Models in a directory: where training leaves them and servers find them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Server;
use crate::blessing::Blessed;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loaders, Model, Servable};
use crate::stage::Stage;
use crate::store;
use crate::transform::{CustomOperation, Operations};

/// A directory of models: `<root>/<name>/<version>/`, versions counting up from 1.
///
/// As a server it pushes: a version is written aside and renamed to its place, so a server process that watches the
/// directory (a [`Manager`](super::Manager), or several, on other machines) sees it whole or not at all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelRepository {
    root: PathBuf,
    #[serde(skip)]
    operations: Operations,
}

/// A version in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedModel {
    /// The model's name.
    pub name: String,
    /// The version's number.
    pub version: u64,
    /// The version's directory.
    pub path: PathBuf,
}

impl ModelRepository {
    /// The repository at a directory, which is made when the first model is pushed.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        ModelRepository {
            root: root.into(),
            operations: Operations::new(),
        }
    }

    /// Says which code the name of a custom operation means, in the transforms of models that are compared with or
    /// served from here.
    #[must_use]
    pub fn with_operation<O: CustomOperation>(mut self) -> Self {
        self.operations = self.operations.with::<O>();
        self
    }

    /// The loaders for models of a type, with the custom operations that are known.
    pub(super) fn loaders<M: Model>(&self) -> Loaders {
        Loaders::default()
            .with::<M>()
            .with_operations(&self.operations)
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of the models, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the directory is not there.
    pub fn models(&self) -> Result<Vec<String>> {
        store::sub_directories(&self.root)
    }

    /// The versions of a model, rising.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the model is not there.
    pub fn versions(&self, name: &str) -> Result<Vec<u64>> {
        store::versions(&self.root.join(name))
    }

    /// The directory of a version.
    #[must_use]
    pub fn version_dir(&self, name: &str, version: u64) -> PathBuf {
        self.root.join(name).join(version.to_string())
    }

    /// Loads a version.
    ///
    /// # Errors
    /// As [`Servable::load`].
    pub fn load(&self, name: &str, version: u64, loaders: &Loaders) -> Result<Servable> {
        Servable::load(&self.version_dir(name, version), loaders)
    }

    /// Writes a blessed model as the next version.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written; nothing is changed then.
    pub fn push<M: Model>(&self, model: &Blessed<M>) -> Result<PushedModel> {
        let name = model.name();
        loop {
            let last = match self.versions(name) {
                Ok(versions) => versions.last().copied().unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
            let version = last.checked_add(1).ok_or_else(|| {
                Error::config(format!("model `{name}` has no version number left"))
            })?;
            let path = self.version_dir(name, version);
            match model.save(&path) {
                Ok(()) => {
                    return Ok(PushedModel {
                        name: name.to_owned(),
                        version,
                        path,
                    });
                }
                // Another process was faster: the next number is free.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Stage for ModelRepository {
    fn name(&self) -> &str {
        "model_repository"
    }

    fn check(&self) -> Result<()> {
        if self.root.is_file() {
            return Err(Error::config(format!(
                "`{}` is a file, a model repository is a directory",
                self.root.display()
            )));
        }
        Ok(())
    }
}

impl<M: Model> Server<M> for ModelRepository {
    type Endpoint = PushedModel;

    async fn deploy(&self, model: Blessed<M>) -> Result<PushedModel> {
        self.push(&model)
    }

    async fn serving(&self, name: &str) -> Result<Option<Arc<Servable>>> {
        let versions = match self.versions(name) {
            Ok(versions) => versions,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match versions.last() {
            Some(version) => {
                let loaders = self.loaders::<M>();
                Ok(Some(Arc::new(self.load(name, *version, &loaders)?)))
            }
            None => Ok(None),
        }
    }
}
