//! The stages from training on: each runs, or its recorded outputs are reused.

use std::sync::Arc;

use super::facts::TrainFacts;
use super::preparing::Data;
use super::session::{Session, blocking, identity};
use crate::blessing::{Candidate, Serving, Verdict};
use crate::data::{DataSource, EVAL, EXAMPLES, TEST};
use crate::error::{Error, Result};
use crate::evaluation::{
    Assessed, EVALUATION, Findings, PREDICTIONS, VERDICT, Validator, answered, bless,
};
use crate::model::{Servable, save_json};
use crate::progress::Step;
use crate::runs::{Artifact, ArtifactId, OpenRun, Outputs, Root, Task, TrialLog};
use crate::serving::Server;
use crate::training::Trainer;

/// The artifacts that a training makes beside [`TrainFacts`].
const MODEL: &str = "model";
const TRANSFORM: &str = "transform";

/// The candidate of a run, loaded as far as it is needed.
pub(super) struct Trained<M> {
    pub(super) facts: TrainFacts,
    /// The artifact.
    kept: Option<ArtifactId>,
    candidate: Option<Candidate<M>>,
    /// Whether the candidate has the statistics of its predictions.
    is_answered: bool,
}

/// The findings about the candidate, and the verdict.
pub(super) struct Judged {
    pub(super) findings: Findings,
    pub(super) verdict: Verdict,
    predictions: Option<ArtifactId>,
}

/// The deployment of the candidate, if it is deployed already, and the baseline; none if the candidate itself serves.
struct Standing<E> {
    already: Option<E>,
    serving: Option<Result<Serving>>,
}

impl<S, T, V, R> Session<'_, S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Trains.
    pub(super) async fn train(&self, data: &mut Data) -> Result<Trained<T::Model>> {
        let pipeline = self.pipeline;
        let trainer = pipeline.training.trainer();
        let serving = match trainer.capabilities().warm_start.is_some() {
            true => {
                let loaders = pipeline.all_loaders();
                Some(
                    pipeline
                        .serving
                        .server()
                        .serving(&pipeline.name, &loaders)
                        .await,
                )
            }
            false => None,
        };
        let Some(run) = &self.kept else {
            let prepared = self.prepared(data).await?;
            let made = pipeline.train(prepared, serving, &self.engine, &self.progress, None);
            let (candidate, record, fitted) = self.within_limits("train", Box::pin(made)).await?;
            self.note(&["train"]);
            return Ok(Trained {
                facts: TrainFacts::of(candidate.servable(), &fitted, record),
                kept: None,
                candidate: Some(candidate),
                is_answered: false,
            });
        };
        let task = pipeline.train_task(&data.outputs, serving.as_ref())?;
        let uses = |found: &crate::runs::Execution| {
            // A model that was continued from the serving model, and serves now, is not continued from itself.
            let made = found.output(MODEL).map(ArtifactId::to_string);
            task.serving == found.serving || task.serving == made
        };
        if let Some(found) = self.known(run, &task, uses).await? {
            let outputs = run.reused(&found);
            let (root, id) = (run.root().clone(), outputs.get(TrainFacts::KIND)?.clone());
            return Ok(Trained {
                facts: blocking(move || root.get(&id)).await?,
                kept: Some(outputs.get(MODEL)?.clone()),
                candidate: None,
                is_answered: false,
            });
        }
        let prepared = self.prepared(data).await?;
        let train = async {
            let trials = Some(TrialLog::new(run, &task));
            let made = pipeline.train(prepared, serving, &self.engine, &self.progress, trials);
            let (candidate, record, fitted) = made.await?;
            let root = run.root().clone();
            blocking(move || {
                let facts = TrainFacts::of(candidate.servable(), &fitted, record);
                let outputs = vec![
                    root.put_dir(MODEL, |dir| candidate.write_into(dir))?,
                    root.put_dir(TRANSFORM, |dir| {
                        save_json(dir, "transform.json", &**fitted.transform())?;
                        save_json(dir, "decisions.json", &facts.decisions)
                    })?,
                    root.put(&facts)?,
                ];
                Ok(((candidate, facts), Outputs(outputs)))
            })
            .await
        };
        let ((candidate, facts), outputs) = self.execute(run, &task, Box::pin(train)).await?;
        let model = outputs.get(MODEL)?.clone();
        Ok(Trained {
            facts,
            candidate: Some(candidate.with_origin(&model.to_string())),
            kept: Some(model),
            is_answered: false,
        })
    }

    /// The candidate itself.
    async fn candidate(
        &self,
        run: Option<&Arc<OpenRun>>,
        trained: &mut Trained<T::Model>,
    ) -> Result<Candidate<T::Model>> {
        match (trained.candidate.take(), run, &trained.kept) {
            (Some(candidate), _, _) => Ok(candidate),
            (None, Some(run), Some(model)) => {
                let (root, model) = (run.root().clone(), model.clone());
                let loaders = self.pipeline.all_loaders();
                blocking(move || {
                    let dir = root.checked_dir(&model)?;
                    let candidate = Candidate::load_typed(&dir, &loaders)?;
                    Ok(candidate.with_origin(&model.to_string()))
                })
                .await
            }
            _ => Err(Error::internal("a run without a candidate")),
        }
    }

    /// Evaluates and judges.
    pub(super) async fn judge(
        &self,
        data: &mut Data,
        trained: &mut Trained<T::Model>,
    ) -> Result<(Judged, Option<R::Endpoint>)> {
        let pipeline = self.pipeline;
        let (Some(run), Some(model)) = (&self.kept, trained.kept.clone()) else {
            let serving = pipeline.compared_with(&pipeline.all_loaders()).await;
            let evaluate = self.evaluate(data, trained, serving);
            let (candidate, assessed, findings) = self
                .unless_cancelled("evaluate", Box::pin(evaluate))
                .await?;
            let (candidate, verdict) = self.ask(data, candidate, assessed).await?;
            (trained.candidate, trained.is_answered) = (Some(candidate), true);
            self.note(&["evaluate", "verdict"]);
            let judged = Judged {
                findings,
                verdict,
                predictions: None,
            };
            return Ok((judged, None));
        };
        let root = run.root();
        let examples = data.outputs.get(EXAMPLES)?.clone();
        let Standing { already, serving } = self.standing(&model).await?;
        let evaluation = &pipeline.evaluation;
        let mut task = evaluation.evaluate_task::<T::Model>(&model, &examples)?;
        if let Some(serving) = &serving {
            task = task.serving(identity(serving));
        }
        // Findings from before the deployment stand.
        let any = serving.is_none();
        let uses = |found: &crate::runs::Execution| any || found.serving == task.serving;
        let mut found = self.known(run, &task, uses).await?;
        let mut assessed = None;
        let mut compared = None;
        let mut findings: Option<Findings> = None;
        if let Some(execution) = &found {
            let (root, id) = (root.clone(), execution.output(EVALUATION).cloned());
            let id = id.ok_or_else(|| Error::internal("an evaluation without output"))?;
            let on_record: Findings = blocking(move || root.get(&id)).await?;
            findings = Some(on_record);
        }
        // A verdict that is not recorded needs the baseline, which may have been removed.
        let mut verdict_task = None;
        let mut verdict_found = None;
        if let Some(execution) = &found {
            let inputs = Outputs(execution.outputs.clone());
            let task = self.verdict_task(&inputs, &model, &examples)?;
            verdict_found = self.known(run, &task, |_| true).await?;
            verdict_task = Some(task);
            let is_compared = findings.as_ref().is_some_and(Findings::is_compared);
            if verdict_found.is_none() && is_compared {
                compared = self
                    .compared(root, execution.serving.as_deref(), serving.as_ref())
                    .await;
                if compared.is_none() {
                    (found, findings, verdict_task) = (None, None, None);
                }
            }
        }
        let outputs = match &found {
            Some(found) => run.reused(found),
            None => {
                let serving = match serving {
                    Some(serving) => serving,
                    None => pipeline.compared_with(&pipeline.all_loaders()).await,
                };
                let task = task.serving(identity(&serving));
                let evaluate = async {
                    let (candidate, made, findings) = self.evaluate(data, trained, serving).await?;
                    let root = root.clone();
                    blocking(move || {
                        let outputs = vec![root.put(&findings)?, root.put(&made.predictions)?];
                        Ok(((candidate, made, findings), Outputs(outputs)))
                    })
                    .await
                };
                let ((candidate, made, new), outputs) =
                    self.execute(run, &task, Box::pin(evaluate)).await?;
                assessed = Some((candidate, made));
                run.measured(new.measured.clone());
                findings = Some(new);
                outputs
            }
        };
        let findings = findings.ok_or_else(|| Error::internal("an evaluation without findings"))?;
        let predictions = outputs.get(PREDICTIONS)?.clone();
        let task = match verdict_task {
            Some(task) => task,
            None => {
                let task = self.verdict_task(&outputs, &model, &examples)?;
                verdict_found = self.known(run, &task, |_| true).await?;
                task
            }
        };
        let verdict = match verdict_found {
            Some(found) => {
                let outputs = run.reused(&found);
                let (root, id) = (root.clone(), outputs.get(VERDICT)?.clone());
                if let Some((candidate, _)) = assessed {
                    (trained.candidate, trained.is_answered) = (Some(candidate), true);
                }
                blocking(move || root.get(&id)).await?
            }
            None => {
                let judge = async {
                    let (candidate, assessed) = match assessed {
                        Some(assessed) => assessed,
                        None => {
                            let candidate = self.candidate(Some(run), trained).await?;
                            let (root, findings) = (root.clone(), findings.clone());
                            let predictions = predictions.clone();
                            blocking(move || {
                                findings.restore(&root, &predictions, candidate, compared)
                            })
                            .await?
                        }
                    };
                    let (candidate, verdict) = self.ask(data, candidate, assessed).await?;
                    let root = root.clone();
                    blocking(move || {
                        let outputs = Outputs(vec![root.put(&verdict)?]);
                        Ok(((candidate, verdict), outputs))
                    })
                    .await
                };
                let ((candidate, verdict), _) = self.execute(run, &task, Box::pin(judge)).await?;
                (trained.candidate, trained.is_answered) = (Some(candidate), true);
                verdict
            }
        };
        run.judged(verdict.to_string(), &findings.metrics.overall);
        let judged = Judged {
            findings,
            verdict,
            predictions: Some(predictions),
        };
        Ok((judged, already))
    }

    fn verdict_task(
        &self,
        evaluated: &Outputs,
        model: &ArtifactId,
        examples: &ArtifactId,
    ) -> Result<Task> {
        let inputs = [
            evaluated.get(EVALUATION)?,
            evaluated.get(PREDICTIONS)?,
            model,
            examples,
        ];
        self.pipeline.evaluation.verdict_task::<T::Model>(&inputs)
    }

    async fn standing(&self, model: &ArtifactId) -> Result<Standing<R::Endpoint>> {
        let pipeline = self.pipeline;
        let server = pipeline.serving.server();
        let already = server.deployed(&pipeline.name, &model.to_string()).await;
        let already = already.map_err(|error| error.in_stage(server.name()))?;
        let has_own = pipeline.evaluation.baseline_dir().is_some();
        if already.is_some() && !has_own {
            let serving = None;
            return Ok(Standing { already, serving });
        }
        let serving = pipeline.compared_with(&pipeline.all_loaders()).await;
        let is_itself = !has_own && identity(&serving) == model.to_string();
        Ok(Standing {
            already,
            serving: (!is_itself).then_some(serving),
        })
    }

    /// The baseline of the evaluation, if it still exists.
    async fn compared(
        &self,
        root: &Root,
        id: Option<&str>,
        serving: Option<&Result<Serving>>,
    ) -> Option<Arc<Servable>> {
        let id = id?;
        match serving {
            Some(Ok(Serving::Model(servable))) if servable.identity() == id => {
                Some(Arc::clone(servable))
            }
            _ => {
                let id: ArtifactId = id.parse().ok()?;
                let (root, loaders) = (root.clone(), self.pipeline.all_loaders());
                let load = move || Servable::load(&root.checked_dir(&id)?, &loaders);
                blocking(load).await.ok().map(Arc::new)
            }
        }
    }

    /// Predicts and scores the `eval` split, and the `test` split for the record.
    async fn evaluate(
        &self,
        data: &mut Data,
        trained: &mut Trained<T::Model>,
        serving: Result<Serving>,
    ) -> Result<(Candidate<T::Model>, Assessed, Findings)> {
        let candidate = self.candidate(self.kept.as_ref(), trained).await?;
        let prepared = self.prepared(data).await?;
        let _step = self.progress.step(Step::Evaluate);
        let evaluation = Arc::clone(&self.pipeline.evaluation);
        let eval = prepared.split(EVAL)?.clone();
        let assess = move || evaluation.assess(candidate, &eval, serving);
        let (candidate, assessed) = tokio::task::spawn_blocking(assess)
            .await
            .map_err(|error| Error::model("evaluating panicked").with_source(error))??;
        let test = prepared.splits().get(TEST).filter(|test| test.n_rows() > 0);
        let test = match test {
            Some(test) => {
                let servable = Arc::clone(candidate.servable());
                let evaluation = Arc::clone(&self.pipeline.evaluation);
                let scored = evaluation.score(servable, test).await;
                Some(scored.map_err(|error| format!("{error:#}")))
            }
            None => None,
        };
        let label = match prepared.statistics().get(EVAL) {
            Some(eval) => Some(eval.column(prepared.target().label())?.clone()),
            None => None,
        };
        let findings = Findings::of(&assessed, test, label);
        Ok((candidate, assessed, findings))
    }

    /// Asks the validator.
    async fn ask(
        &self,
        data: &mut Data,
        candidate: Candidate<T::Model>,
        assessed: Assessed,
    ) -> Result<(Candidate<T::Model>, Verdict)> {
        let eval = self.prepared(data).await?.split(EVAL)?.clone();
        let _step = self.progress.step(Step::Evaluate);
        let evaluation = Arc::clone(&self.pipeline.evaluation);
        let judge = move || {
            let verdict = evaluation.judge(&candidate, &eval, &assessed)?;
            Ok((candidate, verdict))
        };
        tokio::task::spawn_blocking(judge)
            .await
            .map_err(|error| Error::model("the validator panicked").with_source(error))?
    }

    /// Deploys a blessed candidate, unless it serves already.
    pub(super) async fn deploy(
        &self,
        trained: &mut Trained<T::Model>,
        judged: &Judged,
        already: Option<R::Endpoint>,
    ) -> Result<Option<R::Endpoint>> {
        if !judged.verdict.is_blessed() {
            return Ok(None);
        }
        let pipeline = self.pipeline;
        let server = pipeline.serving.server();
        let (Some(run), Some(model)) = (&self.kept, trained.kept.clone()) else {
            let candidate = self.candidate(None, trained).await?;
            self.note(&["deploy"]);
            return self.deploy_anew(candidate, judged).await.map(Some);
        };
        let task = Task::of_stage("deploy", server)?.inputs([&model]);
        let is_there = already.is_some();
        let found = match is_there {
            true => self.known(run, &task, |_| true).await?,
            false => None,
        };
        let endpoint = match (found, already) {
            (Some(found), Some(endpoint)) => {
                run.reused(&found);
                endpoint
            }
            (_, already) => {
                let deploy = async {
                    if let Some(endpoint) = already {
                        return Ok((endpoint, Outputs::default()));
                    }
                    let is_answered = trained.is_answered;
                    let mut candidate = self.candidate(Some(run), trained).await?;
                    if let (false, Some(id)) = (is_answered, judged.predictions.clone()) {
                        let root = run.root().clone();
                        candidate = blocking(move || answered(&root, &id, candidate)).await?;
                    }
                    let endpoint = self.deploy_anew(candidate, judged).await?;
                    Ok((endpoint, Outputs::default()))
                };
                self.execute(run, &task, Box::pin(deploy)).await?.0
            }
        };
        run.deployed(&model, server.deployed_version(&endpoint), is_there);
        Ok(Some(endpoint))
    }

    async fn deploy_anew(
        &self,
        candidate: Candidate<T::Model>,
        judged: &Judged,
    ) -> Result<R::Endpoint> {
        let _step = self.progress.step(Step::Deploy);
        match bless(candidate, judged.verdict.clone()) {
            Ok(blessed) => self.pipeline.serving.run(blessed).await,
            Err(_rejected) => Err(Error::internal("a verdict that blesses did not")),
        }
    }
}
