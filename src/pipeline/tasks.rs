//! The tasks of the first stages.

use super::Pipeline;
use super::session::{blocking, identity};
use crate::blessing::Serving;
use crate::data::{DataSource, EXAMPLES, PREPARED, SCHEMA, STATISTICS};
use crate::engine::Engine;
use crate::error::Result;
use crate::evaluation::Validator;
use crate::fingerprint::Fingerprint;
use crate::runs::{InputFile, Outputs, Root, Task};
use crate::serving::Server;
use crate::training::Trainer;

impl<S, T, V, R> Pipeline<S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// The task of the extraction, and its files.
    pub(super) async fn extract_task(
        &self,
        engine: &Engine,
        root: &Root,
    ) -> Result<(Task, Option<Vec<InputFile>>)> {
        let task = self.data.extract_task(engine)?;
        let (files, snapshot) = self.data.look(engine).await?;
        let task = match (&files, snapshot) {
            (Some(files), _) => {
                let (root, files) = (root.clone(), files.clone());
                let name = self.data.source().name();
                let used = blocking(move || root.digests_of(&files)).await;
                let used = used.map_err(|error| error.in_stage(name))?;
                task.snapshot(Fingerprint::of(&used)?, used)
            }
            (None, Some(snapshot)) => task.snapshot(snapshot, Vec::new()),
            (None, None) => task.snapshot(Fingerprint::unique()?, Vec::new()),
        };
        Ok((task, files))
    }

    /// The task of the training.
    pub(super) fn train_task(
        &self,
        data: &Outputs,
        serving: Option<&Result<Serving>>,
    ) -> Result<Task> {
        let inputs = [EXAMPLES, STATISTICS, SCHEMA, PREPARED].map(|kind| data.get(kind));
        let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
        let task = Task::of_stage("train", self.training.trainer())?;
        let task = task.seed(self.training.configured_seed()).inputs(inputs);
        Ok(match serving {
            Some(serving) => task.serving(identity(serving)),
            None => task,
        })
    }
}
