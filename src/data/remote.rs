//! Object stores by the URL of their content.

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::ObjectStore;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

/// The store of a URL: one that the engine's session has, or else one made from the environment, which the session
/// has from then on.
pub(super) fn store_of(engine: &Engine, url: &ObjectStoreUrl) -> Result<Arc<dyn ObjectStore>> {
    let runtime = engine.session().runtime_env();
    if let Ok(store) = runtime.object_store(url) {
        return Ok(store);
    }
    let store = from_environment(url.as_str())?;
    runtime.register_object_store(url.as_ref(), Arc::clone(&store));
    Ok(store)
}

fn from_environment(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "s3" | "s3a" => aws(url),
        "gs" => gcp(url),
        "az" | "azure" | "abfs" | "abfss" | "adl" => azure(url),
        _ => Err(Error::config(format!(
            "`{url}` is in no known store: a URL must begin with s3://, gs://, az:// or file://, \
             or its store be registered with the engine's session"
        ))),
    }
}

#[cfg(not(all(feature = "aws", feature = "gcp", feature = "azure")))]
fn not_built(url: &str, feature: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("`{url}` needs the feature `{feature}` of fourfold, which this build is without"),
    )
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn made<S: ObjectStore>(url: &str, store: object_store::Result<S>) -> Result<Arc<dyn ObjectStore>> {
    match store {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(Error::new(
            ErrorKind::Config,
            format!("the store of `{url}` cannot be set up from the environment: {error}"),
        )
        .with_source(error)),
    }
}

#[cfg(feature = "aws")]
fn aws(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let builder = object_store::aws::AmazonS3Builder::from_env();
    made(url, builder.with_url(url).build())
}

#[cfg(not(feature = "aws"))]
fn aws(url: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(not_built(url, "aws"))
}

#[cfg(feature = "gcp")]
fn gcp(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env();
    made(url, builder.with_url(url).build())
}

#[cfg(not(feature = "gcp"))]
fn gcp(url: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(not_built(url, "gcp"))
}

#[cfg(feature = "azure")]
fn azure(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let builder = object_store::azure::MicrosoftAzureBuilder::from_env();
    made(url, builder.with_url(url).build())
}

#[cfg(not(feature = "azure"))]
fn azure(url: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(not_built(url, "azure"))
}
