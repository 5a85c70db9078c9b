//! Adapters of versions, by the tag of their format.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{FoundVersion, Loader, ServableLoader, SourceAdapter};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loaders, load_json};

/// Routes versions to adapters by the tag of their model's format, which is read from their manifest. The tags of
/// [`Loaders`] go to a [`ServableLoader`].
#[derive(Clone, Debug, Default)]
pub struct Router {
    adapters: BTreeMap<String, Arc<dyn SourceAdapter>>,
    loaders: Loaders,
}

/// The fields of a manifest that routing needs.
#[derive(Deserialize)]
struct Tagged {
    model_format: String,
}

impl Router {
    /// A router to the loaders of a registry.
    #[must_use]
    pub fn new(loaders: Loaders) -> Self {
        Router {
            adapters: BTreeMap::new(),
            loaders,
        }
    }

    /// Adds the adapter of a tag; it takes precedence over the [`Loaders`].
    #[must_use]
    pub fn with(mut self, tag: impl Into<String>, adapter: Arc<dyn SourceAdapter>) -> Self {
        self.adapters.insert(tag.into(), adapter);
        self
    }

    pub(super) fn set_loaders(&mut self, loaders: Loaders) {
        self.loaders = loaders;
    }
}

impl SourceAdapter for Router {
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>> {
        // A manifest that cannot be read is for the loader to report, which checks the digests first.
        if let Ok(Tagged { model_format }) = load_json(version.path(), "manifest.json") {
            if let Some(adapter) = self.adapters.get(&model_format) {
                return adapter.adapt(model, version);
            }
            let mut known: Vec<&str> = self.loaders.formats().collect();
            if !known.contains(&model_format.as_str()) {
                known.extend(self.adapters.keys().map(String::as_str));
                known.sort_unstable();
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "no loader for models of format `{model_format}`; known are {}. Add yours with `Loaders::with` \
                         or `ManagerBuilder::adapter`",
                        known.join(", ")
                    ),
                ));
            }
        }
        Ok(Box::new(ServableLoader::new(version, &self.loaders)))
    }
}
