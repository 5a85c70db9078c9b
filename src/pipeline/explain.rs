//! The plan of a run.

use super::{Pipeline, blocking_runtime};
use crate::data::{DataSource, EXAMPLES};
use crate::error::{Error, Result};
use crate::evaluation::{EVALUATION, PREDICTIONS, Validator};
use crate::runs::{ArtifactId, Explanation, OnRecord, Outputs, Root, Task};
use crate::serving::Server;
use crate::training::Trainer;

use super::session::{blocking, identity};

impl<S, T, V, R> Pipeline<S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Plans a run: for each stage, whether its recorded outputs are reused, it runs, or it runs unless the output of another
    /// stage is unchanged; with the reason and the duration of its last execution. No stage runs, but the source is listed, and
    /// files that have changed are hashed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the pipeline has no root; those of the source and the server.
    pub async fn explain(&self) -> Result<Explanation> {
        let root = self.root.as_ref().ok_or_else(|| {
            Error::config("a pipeline without a root records nothing; call `.root(dir)`")
        })?;
        let created = root.clone();
        blocking(move || created.create()).await?;
        let engine = self.engine()?;
        let mut said = Explanation::default();
        let name = &self.name;
        let with_inputs = |known: &Option<Outputs>, kinds: &[&str]| -> Option<Vec<ArtifactId>> {
            let known = known.as_ref()?;
            let ids = kinds.iter().map(|kind| known.get(kind).ok().cloned());
            ids.collect()
        };

        let (task, _) = self.extract_task(&engine, root).await?;
        let stage = ("extract", self.data.source().name());
        let examples = said.add(
            stage,
            Some(&task),
            self.on_record(root, stage.0, Some(&task)).await?,
            |_| true,
        );

        let task = match with_inputs(&examples, &[EXAMPLES]) {
            Some(inputs) => Some(self.data.prepare_task(&engine, &inputs[0])?),
            None => None,
        };
        let stage = ("prepare", "data_pipeline");
        let data = said.add(
            stage,
            task.as_ref(),
            self.on_record(root, stage.0, task.as_ref()).await?,
            |_| true,
        );

        let trainer = self.training.trainer();
        let serving = match trainer.capabilities().warm_start.is_some() {
            true => {
                let loaders = self.all_loaders();
                Some(self.serving.server().serving(name, &loaders).await)
            }
            false => None,
        };
        let task = match &data {
            Some(data) => Some(self.train_task(data, serving.as_ref())?),
            None => None,
        };
        let stage = ("train", trainer.name());
        let starts = task.as_ref().and_then(|task| task.serving.clone());
        let trained = said.add(
            stage,
            task.as_ref(),
            self.on_record(root, stage.0, task.as_ref()).await?,
            |found| {
                let made = found.output("model").map(ArtifactId::to_string);
                found.serving == starts || made == starts
            },
        );

        let examples = with_inputs(&data, &[EXAMPLES]);
        let model = with_inputs(&trained, &["model"]);
        let known = examples.zip(model).map(|(examples, model)| {
            let first = |mut ids: Vec<ArtifactId>| ids.swap_remove(0);
            (first(examples), first(model))
        });
        let server = self.serving.server();
        let (mut task, mut already) = (None, false);
        if let Some((examples, model)) = &known {
            let deployed = server.deployed(name, &model.to_string()).await;
            already = deployed
                .map_err(|error| error.in_stage(server.name()))?
                .is_some();
            let evaluate = self.evaluation.evaluate_task::<T::Model>(model, examples)?;
            let is_own = self.evaluation.baseline_dir().is_none();
            let serving = match already && is_own {
                true => model.to_string(),
                false => identity(&self.compared_with(&self.all_loaders()).await),
            };
            task = Some(match is_own && serving == model.to_string() {
                true => evaluate,
                false => evaluate.serving(serving),
            });
        }
        let compared = task.as_ref().and_then(|task| task.serving.clone());
        let stage = ("evaluate", "evaluation_pipeline");
        let found = said.add(
            stage,
            task.as_ref(),
            self.on_record(root, stage.0, task.as_ref()).await?,
            |found| compared.is_none() || found.serving == compared,
        );

        let found = with_inputs(&found, &[EVALUATION, PREDICTIONS]);
        let task = match (found, &known) {
            (Some(found), Some((examples, model))) => {
                let inputs = [&found[0], &found[1], model, examples];
                Some(self.evaluation.verdict_task::<T::Model>(&inputs)?)
            }
            _ => None,
        };
        let stage = ("verdict", self.evaluation.validator_name::<T::Model>());
        said.add(
            stage,
            task.as_ref(),
            self.on_record(root, stage.0, task.as_ref()).await?,
            |_| true,
        );

        let task = match &known {
            Some((_, model)) => Some(Task::of_stage("deploy", server)?.inputs([model])),
            None => None,
        };
        let stage = ("deploy", server.name());
        said.add(
            stage,
            task.as_ref(),
            self.on_record(root, stage.0, task.as_ref()).await?,
            |_| already,
        );
        Ok(said)
    }

    /// As [`Pipeline::explain`], for applications without a runtime.
    ///
    /// # Errors
    /// As [`Pipeline::explain`] and [`Pipeline::run_blocking`].
    pub fn explain_blocking(&self) -> Result<Explanation> {
        blocking_runtime()?.block_on(self.explain())
    }

    /// The records of a stage; without the cache, no outputs may be used.
    async fn on_record(
        &self,
        root: &Root,
        stage: &'static str,
        task: Option<&Task>,
    ) -> Result<OnRecord> {
        let (root, name) = (root.clone(), self.name.clone());
        let task = task.filter(|_| self.cache).cloned();
        blocking(move || root.on_record(&name, stage, task.as_ref())).await
    }
}
