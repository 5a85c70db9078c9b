//! The contract of servers.

use super::{Violation, holds, stage};
use crate::blessing::Serving;
use crate::data::DataSource;
use crate::evaluation::Validator;
use crate::model::Loaders;
use crate::pipeline::{Outcome, Pipeline};
use crate::serving::Server;
use crate::training::Trainer;

/// Checks the server of a pipeline against the contract of [`Server`]: it is a good [stage](fn@stage); it can be asked
/// repeatedly whether it could deploy; a blessed model is deployed, and then another one over it; and what it says is
/// serving is the model that was deployed last, if it [knows](Server::knows_serving), and else unknown. Nothing of the
/// pipeline's name may be deployed before.
///
/// A server takes nothing but blessed models, so this runs a pipeline, twice: one over a few hundred rows, with a model
/// that passes.
///
/// ```no_run
/// # use fourfold::prelude::*;
/// # async fn it(parcels: BatchSource, mine: InProcess) -> std::result::Result<(), Box<dyn std::error::Error>> {
/// use fourfold::conformance;
/// use fourfold::training::Constant;
///
/// let pipeline = Pipeline::builder("conformance")
///     .data(parcels.label("late"))
///     .train(Constant)
///     .evaluate(Thresholds::new().at_least("example_count", 1.0))
///     .serve(mine)
///     .build()?;
/// conformance::server(&pipeline).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The first requirement that does not hold.
pub async fn server<S, T, V, R>(pipeline: &Pipeline<S, T, V, R>) -> Result<(), Violation>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    let server = pipeline.server();
    stage(server)?;
    let who = server.name();
    let loaders = Loaders::default().with::<T::Model>();
    let serving = || async {
        let failed = Violation::failed(who, "asking what is serving");
        server
            .serving(pipeline.name(), &loaders)
            .await
            .map_err(failed)
    };
    let knows = server.knows_serving();
    let before = serving().await?;
    holds(
        matches!(before, Serving::None) == knows && matches!(before, Serving::Unknown) != knows,
        who,
        format!(
            "before anything is deployed it says that {} is serving, must be {}",
            text(&before),
            if knows { "nothing" } else { "what is unknown" }
        ),
    )?;
    for _ in 0..2 {
        let prepared = server.prepare().await;
        prepared.map_err(Violation::failed(who, "asking whether it could deploy"))?;
    }
    for time in ["first", "second"] {
        let outcome = pipeline.run().await;
        let outcome = outcome.map_err(Violation::failed(who, format!("the {time} run")))?;
        let (run, _endpoint) = match outcome {
            Outcome::Deployed { endpoint, run } => (run, endpoint),
            Outcome::Rejected { run } => {
                return Err(Violation::new(
                    who,
                    format!(
                        "the model was rejected, so that nothing could be deployed: {}",
                        run.verdict.reasons().join("; ")
                    ),
                ));
            }
        };
        let now = serving().await?;
        let Serving::Model(servable) = &now else {
            let unknown = matches!(now, Serving::Unknown) && !knows;
            holds(
                unknown,
                who,
                format!(
                    "after the {time} deployment it says that {} is serving",
                    text(&now)
                ),
            )?;
            continue;
        };
        holds(
            knows,
            who,
            "it says what is serving, and not that it knows: see `Server::knows_serving`",
        )?;
        let format = &servable.manifest().model_format;
        holds(
            *format == run.model_format,
            who,
            format!(
                "after the {time} deployment it serves a model of format `{format}`, must be `{}`",
                run.model_format
            ),
        )?;
        holds(
            servable.transform().features() == run.features,
            who,
            format!("after the {time} deployment it serves a model of other features"),
        )?;
    }
    Ok(())
}

fn text(serving: &Serving) -> &'static str {
    match serving {
        Serving::Unknown => "what is unknown",
        Serving::None => "nothing",
        Serving::Model(_) => "a model",
    }
}
