//! Several models, each behind a transform of its own.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array3, Axis};
use serde::{Deserialize, Serialize};

use super::wrapping::check_one_link;
use super::{
    AnyModel, Contributions, Link, Loaders, Model, Predict, load_json, load_model, save_json,
    save_model,
};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Features, Takes};
use crate::transform::FittedTransform;

/// The weighted mean of models, each behind a transform of its own: it takes [raw rows](Takes::ROWS), so that models that
/// take different features answer together.
#[derive(Clone, Debug)]
pub struct EnsembleModel {
    transforms: Vec<Arc<FittedTransform>>,
    members: Vec<Member>,
    total: f64,
    n_outputs: usize,
}

/// A model, with the place of its transform.
#[derive(Clone, Debug)]
struct Member {
    transform: usize,
    model: AnyModel,
    weight: f64,
}

const FILE: &str = "ensemble.json";
/// More would be no ensemble but a mistake in a file.
const MAX_MEMBERS: usize = 10_000;

/// The file beside the models and transforms.
#[derive(Serialize, Deserialize)]
struct Saved {
    n_transforms: usize,
    members: Vec<SavedMember>,
}

#[derive(Serialize, Deserialize)]
struct SavedMember {
    transform: usize,
    weight: f64,
}

impl EnsembleModel {
    /// The mean of models by their weights, each with its transform. Transforms that are shared are applied once.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is no model, if they differ in their outputs, if one does not
    /// fit its transform, or if the weights are not finite, at least 0 and not all 0.
    pub fn new(
        members: impl IntoIterator<Item = (Arc<FittedTransform>, AnyModel, f64)>,
    ) -> Result<Self> {
        let mut transforms: Vec<Arc<FittedTransform>> = Vec::new();
        let mut made = Vec::new();
        for (transform, model, weight) in members {
            let known = transforms
                .iter()
                .position(|known| Arc::ptr_eq(known, &transform));
            let at = known.unwrap_or_else(|| {
                transforms.push(transform);
                transforms.len() - 1
            });
            made.push(Member {
                transform: at,
                model,
                weight,
            });
        }
        EnsembleModel::of(transforms, made)
    }

    fn of(transforms: Vec<Arc<FittedTransform>>, members: Vec<Member>) -> Result<Self> {
        let n_outputs = members.first().map(|member| member.model.n_outputs());
        let n_outputs = n_outputs.ok_or_else(|| Error::model("an ensemble without a model"))?;
        for (at, member) in members.iter().enumerate() {
            let (features, outputs) = (member.model.n_features(), member.model.n_outputs());
            let wanted = transforms[member.transform].features().len();
            if (features, outputs) != (wanted, n_outputs) {
                return Err(Error::model(format!(
                    "model {at} of an ensemble takes {features} features and has {outputs} outputs, must be {wanted} and {n_outputs}"
                )));
            }
        }
        let total: f64 = members.iter().map(|member| member.weight).sum();
        let is_share = |member: &Member| member.weight >= 0.0 && member.weight.is_finite();
        if !(members.iter().all(is_share) && total > 0.0 && total.is_finite()) {
            return Err(Error::model(
                "weights of an ensemble must be finite, at least 0, and not all 0",
            ));
        }
        Ok(EnsembleModel {
            transforms,
            members,
            total,
            n_outputs,
        })
    }

    /// The models with their shares, whose sum is 1.
    #[must_use]
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&AnyModel, f64)> {
        let share = |member: &Member| member.weight / self.total;
        self.members
            .iter()
            .map(move |member| (&member.model, share(member)))
    }

    /// Calls `f` with each model and its features of raw rows. What a transform makes is made once in each form.
    fn for_each_member(
        &self,
        features: &Features,
        mut f: impl FnMut(&Member, &Features) -> Result<()>,
    ) -> Result<()> {
        let rows = features.rows()?;
        for (at, transform) in self.transforms.iter().enumerate() {
            let mut made: Vec<(Takes, Features)> = Vec::new();
            for member in self.members.iter().filter(|member| member.transform == at) {
                let takes = member.model.takes();
                if !made.iter().any(|(known, _)| *known == takes) {
                    made.push((takes, transform.apply_as(rows, takes)?));
                }
                if let Some((_, features)) = made.iter().find(|(known, _)| *known == takes) {
                    f(member, features)?;
                }
            }
        }
        Ok(())
    }

    /// The transforms that models stand behind.
    #[must_use]
    pub fn transforms(&self) -> &[Arc<FittedTransform>] {
        &self.transforms
    }
}

impl Predict for EnsembleModel {
    fn n_features(&self) -> usize {
        0
    }

    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn takes(&self) -> Takes {
        Takes::ROWS
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let mut sum = Array2::zeros((features.n_rows(), self.n_outputs));
        self.for_each_member(features, |member, features| {
            sum.scaled_add(member.weight, &member.model.predict(features)?);
            Ok(())
        })?;
        sum /= self.total;
        Ok(sum)
    }

    /// The link of the models.
    fn link(&self) -> Link {
        self.members[0].model.link()
    }

    /// The weighted mean of the models' contributions, for each raw column. Added up, they are the weighted mean of the
    /// models' outputs before their link: the prediction itself where the link is the identity.
    ///
    /// # Errors
    /// Those of the models; [`ErrorKind::Unsupported`] if their links differ, or if a feature is made of several raw
    /// columns, among which its contribution cannot be divided.
    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        check_one_link(self.members.iter().map(|member| &member.model))?;
        let schema = features.rows()?.schema();
        let n_columns = schema.fields().len();
        let mut sum = Array3::zeros((features.n_rows(), self.n_outputs, n_columns + 1));
        self.for_each_member(features, |member, features| {
            let found = Contributions::of(features, &member.model.contributions(features)?)?;
            // The base is the last in both.
            let columns = found.names().len() - 1;
            for (from, name) in found.names().iter().enumerate() {
                let to = match from == columns {
                    true => n_columns,
                    false => schema.index_of(name).map_err(|_| {
                        Error::new(
                            ErrorKind::Unsupported,
                            format!(
                                "a feature is made of `{name}`, no single raw column, and the models of an ensemble \
                                 share nothing but these"
                            ),
                        )
                    })?,
                };
                let own = found.values().index_axis(Axis(2), from);
                sum.index_axis_mut(Axis(2), to)
                    .scaled_add(member.weight, &own);
            }
            Ok(())
        })?;
        sum /= self.total;
        Ok(sum)
    }
}

impl Model for EnsembleModel {
    const FORMAT: &'static str = "fourfold.ensemble.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        let members = self.members.iter().map(|member| SavedMember {
            transform: member.transform,
            weight: member.weight,
        });
        let saved = Saved {
            n_transforms: self.transforms.len(),
            members: members.collect(),
        };
        save_json(dir, FILE, &saved)?;
        for (at, transform) in self.transforms.iter().enumerate() {
            save_json(dir, &format!("transform-{at}.json"), &**transform)?;
        }
        let mut members = self.members.iter().enumerate();
        members.try_for_each(|(at, member)| save_model(dir, &format!("model-{at}"), &member.model))
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let saved: Saved = load_json(dir, FILE)?;
        let n = saved.members.len();
        let is_within = |member: &SavedMember| member.transform < saved.n_transforms;
        if n > MAX_MEMBERS || saved.n_transforms > n || !saved.members.iter().all(is_within) {
            return Err(Error::corrupt(format!(
                "`{FILE}` lists {n} models and {} transforms, at most {MAX_MEMBERS} models are allowed, each with a transform",
                saved.n_transforms
            )));
        }
        let transforms = (0..saved.n_transforms).map(|at| {
            let transform: FittedTransform = load_json(dir, &format!("transform-{at}.json"))?;
            Ok(Arc::new(transform.with_operations(loaders.operations())?))
        });
        let transforms = transforms.collect::<Result<Vec<_>>>()?;
        let members = saved.members.into_iter().enumerate().map(|(at, member)| {
            Ok(Member {
                transform: member.transform,
                weight: member.weight,
                model: load_model(dir, &format!("model-{at}"), loaders)?,
            })
        });
        EnsembleModel::of(transforms, members.collect::<Result<_>>()?).map_err(|error| {
            Error::corrupt("models that do not form an ensemble").with_source(error)
        })
    }
}
