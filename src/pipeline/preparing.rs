//! The stages of the data pipeline.

use std::sync::Arc;

use super::session::{Session, blocking};
use crate::data::{DataFacts, DataSource, EVAL, EXAMPLES, Extracted, PreparedData};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::runs::{InputFile, Outputs, Root};
use crate::serving::Server;
use crate::store::Scratch;
use crate::training::Trainer;

/// The data of a run, loaded as far as it is needed.
pub(super) struct Data {
    pub(super) facts: DataFacts,
    pub(super) outputs: Outputs,
    prepared: Option<PreparedData>,
    /// Without a root, examples live during the run.
    _scratch: Option<Scratch>,
}

impl<S, T, V, R> Session<'_, S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Extracts and prepares.
    pub(super) async fn data(&self) -> Result<Data> {
        let data = &self.pipeline.data;
        let Some(run) = &self.kept else {
            let scratch = Scratch::new()?;
            let prepare = data.run(&self.engine, scratch.path(), &self.progress);
            let prepared = self.unless_cancelled("prepare", Box::pin(prepare)).await?;
            self.note(&["extract", "prepare"]);
            return Ok(Data {
                facts: DataFacts::of(&prepared),
                outputs: Outputs::default(),
                prepared: Some(prepared),
                _scratch: Some(scratch),
            });
        };
        let root = run.root();
        data.check()?;
        let (task, files) = self.pipeline.extract_task(&self.engine, root).await?;
        let mut extracted = None;
        let outputs = match self.known(run, &task, |_| true).await? {
            Some(found) => run.reused(&found),
            None => {
                let extract = self.extract(root, files);
                let (made, outputs) = self.execute(run, &task, Box::pin(extract)).await?;
                extracted = Some(made);
                outputs
            }
        };
        let examples = outputs.get(EXAMPLES)?.clone();
        let task = data.prepare_task(&self.engine, &examples)?;
        if let Some(found) = self.known(run, &task, |_| true).await? {
            let outputs = run.reused(&found);
            let (root, kept) = (root.clone(), outputs.clone());
            return Ok(Data {
                facts: blocking(move || DataFacts::load(&root, &kept.0)).await?,
                outputs,
                prepared: None,
                _scratch: None,
            });
        }
        let prepare = async {
            let extracted = match extracted {
                Some(extracted) => extracted,
                None => {
                    let (data, root) = (Arc::clone(data), root.clone());
                    blocking(move || data.reopen(&root, &examples)).await?
                }
            };
            let prepared = data.prepare_in(root, extracted, &self.engine, &self.progress);
            let mut prepared = prepared.await?;
            let (data, root) = (Arc::clone(data), root.clone());
            blocking(move || {
                let outputs = data.keep(&root, &mut prepared)?;
                Ok((prepared, Outputs(outputs)))
            })
            .await
        };
        let (prepared, outputs) = self.execute(run, &task, Box::pin(prepare)).await?;
        Ok(Data {
            facts: DataFacts::of(&prepared),
            outputs,
            prepared: Some(prepared),
            _scratch: None,
        })
    }

    async fn extract(
        &self,
        root: &Root,
        files: Option<Vec<InputFile>>,
    ) -> Result<(Extracted, Outputs)> {
        let data = &self.pipeline.data;
        let (extracted, id) = data.extract_to(root, &self.engine, &self.progress).await?;
        // The recorded inputs are the files as they were listed.
        if files != data.look(&self.engine).await?.0 {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the files have changed while they were read; run again",
            )
            .in_stage(data.source().name()));
        }
        Ok((extracted, Outputs(vec![id])))
    }

    /// The prepared data.
    pub(super) async fn prepared<'d>(&self, data: &'d mut Data) -> Result<&'d PreparedData> {
        let pipeline = self.pipeline;
        let prepared = match (data.prepared.take(), &self.kept) {
            (Some(prepared), _) => prepared,
            (None, Some(run)) => {
                let (of, root) = (Arc::clone(&pipeline.data), run.root().clone());
                let outputs = data.outputs.clone();
                blocking(move || of.load(&root, &outputs.0)).await?
            }
            (None, None) => return Err(Error::internal("a run without data")),
        };
        let evaluation = &pipeline.evaluation;
        evaluation.check_data::<T::Model>(prepared.target(), prepared.split(EVAL)?.schema())?;
        Ok(data.prepared.insert(prepared))
    }
}
