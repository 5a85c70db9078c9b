//! Servables: transform, model and schema as one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};

use super::raw_rows::RawRows;
use super::reference::Reference;
use super::{
    Contributions, Label, Loaders, Model, Predict, Prediction, ReferenceStatistics, Target,
    load_json, save_json,
};
use crate::error::{Error, Result};
use crate::features::{Features, Takes};
use crate::schema::Schema;
use crate::store;
use crate::transform::FittedTransform;

const MANIFEST: &str = "manifest.json";
const SCHEMA: &str = "schema.json";
const TRANSFORM: &str = "transform.json";
const MODEL: &str = "model";

/// The description of a saved servable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "SavedManifest")]
pub struct Manifest {
    /// The version of this format.
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// The tag of the model's format, see [`Loaders`].
    pub model_format: String,
    /// The target.
    pub target: Target,
    /// The label's derivation from raw rows; models saved by older releases have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// More facts: metrics, the verdict, its origin.
    pub details: BTreeMap<String, serde_json::Value>,
}

/// A manifest as it is saved.
#[derive(Deserialize)]
struct SavedManifest {
    format_version: u32,
    name: String,
    model_format: String,
    target: Target,
    label: Option<Label>,
    /// The column of weights in manifests written before it was the target's.
    weight: Option<String>,
    #[serde(default)]
    details: BTreeMap<String, serde_json::Value>,
}

impl From<SavedManifest> for Manifest {
    fn from(saved: SavedManifest) -> Self {
        let target = match saved.weight {
            Some(column) => saved.target.with_weight(column),
            None => saved.target,
        };
        Manifest {
            format_version: saved.format_version,
            name: saved.name,
            model_format: saved.model_format,
            target,
            label: saved.label,
            details: saved.details,
        }
    }
}

impl Manifest {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The detail that names the artifact of a pipeline's root that a model is.
    pub(crate) const ARTIFACT: &'static str = "artifact";

    /// Loads the manifest of a directory.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let manifest: Manifest = load_json(dir, MANIFEST)?;
        if manifest.format_version == Manifest::FORMAT_VERSION {
            return Ok(manifest);
        }
        Err(Error::corrupt(format!(
            "`{}` is of format version {}, this build reads {}",
            dir.display(),
            manifest.format_version,
            Manifest::FORMAT_VERSION
        )))
    }

    /// The artifact of a pipeline's root that the model is, if it came out of one: `model/3f2a..`.
    #[must_use]
    pub fn artifact(&self) -> Option<&str> {
        self.details.get(Self::ARTIFACT)?.as_str()
    }
}

/// Raw rows in, predictions out: a model with the transform it was trained behind and the schema of its input. A model
/// that [takes](Takes::ROWS) raw rows, with preprocessing of its own, stands behind a transform without steps.
///
/// On disk it is a directory: `manifest.json`, `schema.json`, `transform.json`, `model/` with the model's own
/// files, `statistics.json` if there is a [reference](Servable::reference), and `SHA256SUMS`. Loading checks every digest.
#[derive(Clone, Debug)]
pub struct Servable {
    manifest: Manifest,
    schema: Arc<Schema>,
    transform: Arc<FittedTransform>,
    target: Arc<Target>,
    model: Arc<dyn Predict>,
    takes: Takes,
    extras: Arc<[String]>,
    #[cfg(feature = "http")]
    derived: std::sync::OnceLock<Arc<dyn std::any::Any + Send + Sync>>,
    raw_rows: Arc<RawRows>,
    reference: Reference,
    /// The fingerprint of the files that it was loaded from.
    #[cfg(feature = "datafusion")]
    saved: Option<crate::fingerprint::Fingerprint>,
}

impl Servable {
    /// Puts the parts together. Of the schema, what the transform reads is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the model takes another number of features than the
    /// transform makes, has another number of outputs than the target, or an [extra](Predict::extras) of a name that is
    /// taken; [`ErrorKind::Data`](crate::ErrorKind::Data)
    /// if the schema lacks a column that the transform reads.
    pub fn new(
        manifest: Manifest,
        schema: &Schema,
        transform: Arc<FittedTransform>,
        model: Arc<dyn Predict>,
    ) -> Result<Self> {
        let known = schema;
        let schema = known.project(transform.inputs().iter().map(|input| input.name.as_str()));
        if schema.fields.len() < transform.inputs().len() {
            let inputs = transform.inputs().iter();
            inputs
                .map(|input| known.field(&input.name))
                .collect::<Result<Vec<_>>>()?;
        }
        let (made, taken) = (transform.features().len(), model.n_features());
        if made != taken {
            return Err(Error::model(format!(
                "the model takes {taken} features, the transform makes {made}"
            )));
        }
        let (wanted, given) = (manifest.target.n_outputs(), model.n_outputs());
        if wanted != given {
            return Err(Error::model(format!(
                "the model has {given} outputs, a {} target of label `{}` has {wanted}",
                manifest.target.task(),
                manifest.target.label()
            )));
        }
        Ok(Servable {
            raw_rows: Arc::new(RawRows::new(&schema, &transform)?),
            target: Arc::new(manifest.target.clone()),
            manifest,
            schema: Arc::new(schema),
            transform,
            takes: model.takes(),
            extras: extras_of(&*model)?,
            model,
            #[cfg(feature = "http")]
            derived: std::sync::OnceLock::new(),
            reference: Reference::None,
            #[cfg(feature = "datafusion")]
            saved: None,
        })
    }

    /// Loads a saved servable.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is none;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a digest is wrong, naming the file;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if no loader has the model's format, or a custom
    /// operation of its transform.
    pub fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        store::verify_dir(dir)?;
        let manifest = Manifest::load(dir)?;
        let model = loaders.load(&manifest.model_format, &dir.join(MODEL))?;
        Servable::assemble(dir, manifest, model, loaders)
    }

    /// Loads a saved servable whose model is of a known type, and the model.
    ///
    /// # Errors
    /// As [`Servable::load`]; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the model is of another format.
    #[cfg(feature = "datafusion")]
    pub(crate) fn load_typed<M: Model>(dir: &Path, loaders: &Loaders) -> Result<(Self, Arc<M>)> {
        store::verify_dir(dir)?;
        let manifest = Manifest::load(dir)?;
        let model = Arc::new(M::load(&dir.join(MODEL), loaders)?);
        if manifest.model_format != model.format() {
            return Err(Error::corrupt(format!(
                "`{}` says that its model is of format `{}`, and it is of `{}`",
                dir.display(),
                manifest.model_format,
                model.format()
            )));
        }
        let servable = Servable::assemble(dir, manifest, Arc::clone(&model) as _, loaders)?;
        Ok((servable, model))
    }

    fn assemble(
        dir: &Path,
        manifest: Manifest,
        model: Arc<dyn Predict>,
        loaders: &Loaders,
    ) -> Result<Self> {
        let schema: Schema = load_json(dir, SCHEMA)?;
        let transform: FittedTransform = load_json(dir, TRANSFORM)?;
        let transform = transform.with_operations(loaders.operations())?;
        let mut servable = Servable::new(manifest, &schema, Arc::new(transform), model)?;
        servable.reference = Reference::saved(dir);
        #[cfg(feature = "datafusion")]
        {
            let sums = store::read_sums(dir)?;
            servable.saved = Some(crate::fingerprint::Fingerprint::of_bytes(sums));
        }
        Ok(servable)
    }

    /// The directory of the model's own files, in a servable that is saved in a directory.
    pub(crate) fn model_dir(&self, dir: &Path) -> std::path::PathBuf {
        dir.join(MODEL)
    }

    /// The identity under which it is recorded: its artifact, or the files that it was loaded from; otherwise a unique
    /// one.
    #[cfg(feature = "datafusion")]
    pub(crate) fn identity(&self) -> String {
        match (self.manifest.artifact(), &self.saved) {
            (Some(artifact), _) => artifact.to_owned(),
            (None, Some(saved)) => format!("files/{saved}"),
            (None, None) => match crate::fingerprint::Fingerprint::unique() {
                Ok(unlike_any) => format!("unsaved/{unlike_any}"),
                Err(error) => format!("unsaved: {error}"),
            },
        }
    }

    /// With more that is known of it.
    #[cfg(feature = "datafusion")]
    pub(crate) fn with_detail(mut self, name: &str, value: serde_json::Value) -> Self {
        self.manifest.details.insert(name.to_owned(), value);
        self
    }

    /// With the rule by which its label is made.
    pub(crate) fn with_label(mut self, label: Label) -> Self {
        self.manifest.label = Some(label);
        self
    }

    /// With the statistics that serving is compared with: of the columns that it reads, in brief.
    #[must_use]
    pub fn with_reference(mut self, reference: &ReferenceStatistics) -> Self {
        let inputs = self.transform.inputs().iter();
        let reference = reference.compact(inputs.map(|input| input.name.as_str()));
        self.reference = Reference::Here(Arc::new(reference));
        self
    }

    /// The statistics of what it was trained and evaluated on; `None` if they were not saved with it. Those of a
    /// loaded servable are read from its directory when they are first requested: not where a request waits.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the directory was removed since it was loaded;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the file was changed.
    pub fn reference(&self) -> Result<Option<&ReferenceStatistics>> {
        self.reference.get()
    }

    /// Saves it with the model it was made from, whole or not at all.
    pub(crate) fn save<M: Model>(
        &self,
        model: &M,
        manifest: &Manifest,
        place: &Path,
    ) -> Result<()> {
        store::write_dir(place, |dir| self.write_into(model, manifest, dir))
    }

    /// Writes its files into a directory that is empty.
    pub(crate) fn write_into<M: Model>(
        &self,
        model: &M,
        manifest: &Manifest,
        dir: &Path,
    ) -> Result<()> {
        save_json(dir, MANIFEST, manifest)?;
        save_json(dir, SCHEMA, &*self.schema)?;
        save_json(dir, TRANSFORM, &*self.transform)?;
        if let Some(reference) = self.reference()? {
            save_json(dir, Reference::FILE, reference)?;
        }
        let model_dir = dir.join(MODEL);
        std::fs::create_dir(&model_dir)
            .map_err(|error| Error::io(format!("writing `{}`", model_dir.display()), error))?;
        model.save(&model_dir)
    }

    /// Its description.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The schema of the raw rows it takes.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The schema, to be kept beyond the servable.
    #[cfg(feature = "http")]
    pub(crate) fn shared_schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The reference, to be kept beyond the servable.
    #[cfg(feature = "http")]
    pub(crate) fn shared_reference(&self) -> &Reference {
        &self.reference
    }

    /// The transform from raw rows to features.
    #[must_use]
    pub fn transform(&self) -> &FittedTransform {
        &self.transform
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn Predict> {
        &self.model
    }

    /// A value that serving derives from it once and keeps with it. There is only one; if a value of another type is
    /// requested, it is computed again.
    #[cfg(feature = "http")]
    pub(crate) fn derived<T: std::any::Any + Send + Sync>(
        &self,
        make: fn(&Servable) -> T,
    ) -> Arc<T> {
        let kept = self.derived.get_or_init(|| Arc::new(make(self)));
        Arc::clone(kept)
            .downcast()
            .unwrap_or_else(|_| Arc::new(make(self)))
    }

    /// The features of raw rows, in the form that the model [takes](Predict::takes).
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the rows break the schema, naming field and row.
    pub fn features(&self, rows: &RecordBatch) -> Result<Features> {
        let columns = self.raw_rows.of_batch(rows);
        self.transform
            .apply_columns(columns, rows.num_rows(), self.takes)
    }

    /// The predictions for raw rows.
    ///
    /// # Errors
    /// As [`Servable::features`]; [`ErrorKind::Model`](crate::ErrorKind::Model) if the model fails, or answers
    /// with something that is not a finite number, or that is no probability where the target has classes.
    pub fn predict(&self, rows: &RecordBatch) -> Result<Prediction> {
        self.answer(&self.features(rows)?)
    }

    /// The contribution of each raw column to the predictions for raw rows.
    ///
    /// # Errors
    /// As [`Servable::features`]; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the model does not say.
    pub fn contributions(&self, rows: &RecordBatch) -> Result<Contributions> {
        let features = self.features(rows)?;
        let values = self.model.contributions(&features)?;
        Contributions::of(&features, &values)
    }

    /// The predictions for columns that come in the order of [`RawRows::columns`].
    ///
    /// # Errors
    /// As [`Servable::predict`].
    pub(crate) fn predict_columns(
        &self,
        columns: impl ExactSizeIterator<Item = Result<ArrayRef>>,
        n_rows: usize,
    ) -> Result<Prediction> {
        let columns = self.raw_rows.conform(columns);
        self.answer(&self.transform.apply_columns(columns, n_rows, self.takes)?)
    }

    /// The columns of raw rows.
    pub(crate) fn raw_rows(&self) -> &RawRows {
        &self.raw_rows
    }

    /// The predictions for features that [`Servable::features`] has made, of one batch of rows or of several.
    pub(crate) fn answer(&self, features: &Features) -> Result<Prediction> {
        let answered = match self.extras.is_empty() {
            true => self.model.predict(features).map(|outputs| (outputs, None)),
            false => {
                let answered = self.model.predict_with_extras(features);
                answered.map(|(outputs, extras)| (outputs, Some(extras)))
            }
        };
        let (outputs, extras) = answered.map_err(|error| {
            // The rows were fine: whatever a model reports is not the client's fault.
            Error::model(format!("the model failed: {error}")).with_source(error)
        })?;
        let wanted = (features.n_rows(), self.target.n_outputs());
        if outputs.dim() != wanted {
            return Err(Error::model(format!(
                "the model answered with shape {:?}, must be {wanted:?}",
                outputs.dim()
            )));
        }
        self.target.check_outputs(outputs.view())?;
        let prediction = Prediction::new(Arc::clone(&self.target), outputs);
        let Some(extras) = extras else {
            return Ok(prediction);
        };
        let wanted = (features.n_rows(), self.extras.len());
        if extras.dim() != wanted {
            return Err(Error::model(format!(
                "the model answered with extras of shape {:?}, must be {wanted:?}",
                extras.dim()
            )));
        }
        if let Some(((row, at), value)) = extras.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(Error::model(format!(
                "the model answered {value} as `{}` for row {row}",
                self.extras[at]
            )));
        }
        Ok(prediction.with_extras(Arc::clone(&self.extras), extras))
    }

    /// The names of what it answers with beside the outputs of its target.
    pub(crate) fn extras(&self) -> &[String] {
        &self.extras
    }
}

/// The names of a model's extras, none of which is that of another column of answers.
fn extras_of(model: &dyn Predict) -> Result<Arc<[String]>> {
    const TAKEN: [&str; 8] = [
        "value",
        "class",
        "probability",
        "probabilities",
        "contributions",
        "contribution_names",
        "model_version",
        "",
    ];
    let names = model.extras();
    for (at, name) in names.iter().enumerate() {
        if TAKEN.contains(&name.as_str()) || names[..at].contains(name) {
            return Err(Error::model(format!(
                "the model has an extra `{name}`, a name that is taken"
            )));
        }
    }
    Ok(names.into())
}
