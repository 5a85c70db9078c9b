//! Loading the files of a version.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use super::FoundVersion;
use crate::error::Result;
use crate::model::{Loaders, Servable};

/// Loads one version: the extension point for models of other frameworks.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use std::sync::Arc;
/// # use arrow::array::{Float64Array, RecordBatch};
/// use fourfold::model::{ConstantModel, Manifest, Servable, Target};
/// use fourfold::schema::{Field, FieldType, Schema};
/// use fourfold::serving::lifecycle::{
///     Control, Found, FoundModel, FoundVersion, Loader, Source, SourceAdapter, Transition,
///     TransitionPolicy, VersionStatus,
/// };
/// use fourfold::serving::Manager;
/// use fourfold::transform::{FittedTransform, InputColumn};
/// use fourfold::{Error, Result};
/// # use fourfold::transform::{FittedStep, ops::ImputeNumber};
///
/// /// Files of another framework: a number, which is the answer.
/// #[derive(Debug)]
/// struct NumberLoader {
///     model: String,
///     version: FoundVersion,
/// }
///
/// impl Loader for NumberLoader {
///     fn estimate(&self) -> u64 {
///         1_000
///     }
///
///     fn load(&self) -> Result<Servable> {
///         let text = std::fs::read_to_string(self.version.path())
///             .map_err(|error| Error::new(fourfold::ErrorKind::Io, "reading the number").with_source(error))?;
///         let number = text.trim().parse().map_err(|_| Error::new(fourfold::ErrorKind::Corrupt, "no number"))?;
///         let manifest = Manifest {
///             format_version: Manifest::FORMAT_VERSION,
///             name: self.model.clone(),
///             model_format: "example.number.v1".to_owned(),
///             target: Target::regression("y"),
///             label: None,
///             details: BTreeMap::new(),
///         };
///         let schema = Schema::new([Field::new("x", FieldType::Float)]);
///         let inputs = vec![InputColumn::new("x", FieldType::Float)];
///         let steps = vec![FittedStep::new("x", "x", ImputeNumber { value: 0.0 })];
///         let transform = FittedTransform::new(inputs, steps)?;
///         let model = ConstantModel::new(1, vec![number]);
///         Servable::new(manifest, &schema, Arc::new(transform), Arc::new(model))
///     }
/// }
///
/// #[derive(Debug)]
/// struct Numbers;
///
/// impl SourceAdapter for Numbers {
///     fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>> {
///         Ok(Box::new(NumberLoader { model: model.to_owned(), version: version.clone() }))
///     }
/// }
///
/// /// One model whose versions are the files of a directory.
/// #[derive(Debug)]
/// struct Directory(std::path::PathBuf);
///
/// impl Source for Directory {
///     fn poll(&self) -> Result<Vec<FoundModel>> {
///         let there = (1..9).map(|version| (version, self.0.join(format!("{version}.txt"))));
///         let there = there.filter(|(_, path)| path.exists());
///         let versions = there.map(|(version, path)| FoundVersion::new(version, path)).collect();
///         Ok(vec![FoundModel::new("answer", Ok(Found::new(versions, Control::default())))])
///     }
/// }
///
/// /// Loads the oldest first, and unloads what is not wanted only when everything that is wanted answers.
/// #[derive(Debug)]
/// struct Careful;
///
/// impl TransitionPolicy for Careful {
///     fn next(&self, versions: &[VersionStatus]) -> Option<Transition> {
///         use fourfold::serving::lifecycle::State;
///         let mut wanted = versions.iter().filter(|status| status.is_wanted());
///         if let Some(new) = wanted.clone().find(|status| status.state() == State::Start) {
///             return Some(Transition::Load(new.version()));
///         }
///         let all_answer = wanted.all(|status| status.state() == State::Available);
///         let old = versions.iter().find(|status| !status.is_wanted() && status.state() == State::Available);
///         old.filter(|_| all_answer).map(|status| Transition::Unload(status.version()))
///     }
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// std::fs::write(dir.path().join("1.txt"), "42")?;
/// let manager = Manager::builder(Directory(dir.path().to_owned()))
///     .source_adapter(Numbers)
///     .transition(Careful)
///     .open()?;
/// let rows = RecordBatch::try_from_iter([("x", Arc::new(Float64Array::from(vec![0.5])) as _)])?;
/// assert_eq!(manager.get("answer", None)?.predict(&rows)?.outputs()[[0, 0]], 42.0);
///
/// // A file that is no number leaves the version that answers.
/// std::fs::write(dir.path().join("2.txt"), "forty-three")?;
/// manager.refresh()?;
/// assert_eq!(manager.get("answer", None)?.version(), 1);
/// assert!(manager.get("answer", 2).unwrap_err().to_string().ends_with("could not be loaded: no number"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A loader is made for one attempt and runs on one of the manager's loading threads, where it may block. A panic counts as a
/// failure.
pub trait Loader: Debug + Send {
    /// The memory that the version will take, in bytes; called before [`Loader::load`].
    fn estimate(&self) -> u64;

    /// Loads the version. What it returns is dropped on an unloading thread once the last request that holds it has ended.
    ///
    /// # Errors
    /// Any error is shown as the reason why the version does not answer, and loading is tried again.
    fn load(&self) -> Result<Servable>;
}

/// Makes the loader of a version.
pub trait SourceAdapter: Debug + Send + Sync + 'static {
    /// The loader of a version, whose files are at its path. Called on a loader thread.
    ///
    /// # Errors
    /// If there is no loader for it.
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>>;
}

/// Loads directories with [`Servable::load`], by the format tags of [`Loaders`]. It estimates memory as 1.2 times the size of
/// the files.
#[derive(Debug)]
pub struct ServableLoader {
    path: PathBuf,
    n_bytes: u64,
    loaders: Loaders,
}

impl ServableLoader {
    /// The loader of a version's directory.
    #[must_use]
    pub fn new(version: &FoundVersion, loaders: &Loaders) -> Self {
        ServableLoader {
            path: version.path().to_owned(),
            n_bytes: version.n_bytes(),
            loaders: loaders.clone(),
        }
    }
}

impl Loader for ServableLoader {
    fn estimate(&self) -> u64 {
        with_margin(match self.n_bytes {
            0 => size_of_dir(&self.path),
            n_bytes => n_bytes,
        })
    }

    fn load(&self) -> Result<Servable> {
        Servable::load(&self.path, &self.loaders)
    }
}

/// The estimated memory of files of a size.
pub(super) fn with_margin(n_bytes: u64) -> u64 {
    n_bytes.saturating_add(n_bytes / 5)
}

/// The size of the readable part of a directory.
fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_dir(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}
