//! Runs told to other tools.

use fourfold::Result;
use fourfold::runs::Root;
use serde_json::Value;

#[cfg(feature = "openlineage")]
pub(crate) fn events(root: &Root, run: &str, namespace: &str) -> Result<Vec<Value>> {
    let run = root.run(run)?;
    root.history()?.openlineage(&run.id, namespace)
}

#[cfg(feature = "openlineage")]
pub(crate) fn post(events: &[Value], url: &str) -> Result<()> {
    use fourfold::runs::{OpenLineage, Secret};

    let mut server = OpenLineage::at(url)?;
    if let Ok(token) = std::env::var("OPENLINEAGE_API_KEY") {
        server = server.token(Secret::new(token));
    }
    tokio::runtime::Runtime::new()?.block_on(server.post(events))
}

#[cfg(feature = "mlflow")]
pub(crate) fn log(root: &Root, run: &str, url: &str, experiment: Option<String>) -> Result<String> {
    use fourfold::runs::{Mlflow, Secret};

    let mut server = Mlflow::at(url)?;
    if let Some(experiment) = experiment {
        server = server.experiment(experiment);
    }
    if let Ok(token) = std::env::var("MLFLOW_TRACKING_TOKEN") {
        server = server.token(Secret::new(token));
    }
    tokio::runtime::Runtime::new()?.block_on(server.log(root, run))
}

#[cfg(not(all(feature = "openlineage", feature = "mlflow")))]
fn left_out<T>(feature: &str) -> Result<T> {
    let message = format!("this build has no `{feature}`; build it with `--features {feature}`");
    Err(fourfold::Error::new(
        fourfold::ErrorKind::Unsupported,
        message,
    ))
}

#[cfg(not(feature = "openlineage"))]
pub(crate) fn events(_: &Root, _: &str, _: &str) -> Result<Vec<Value>> {
    left_out("openlineage")
}

#[cfg(not(feature = "openlineage"))]
pub(crate) fn post(_: &[Value], _: &str) -> Result<()> {
    left_out("openlineage")
}

#[cfg(not(feature = "mlflow"))]
pub(crate) fn log(_: &Root, _: &str, _: &str, _: Option<String>) -> Result<String> {
    left_out("mlflow")
}
