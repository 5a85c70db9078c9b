//! A model server as a program: every model of a directory, over HTTP and gRPC, until Ctrl-C or SIGTERM.
//!
//! ```text
//! cargo run --example serve --no-default-features --features http -- --models models
//! cargo run --example serve --no-default-features --features grpc -- --models models --grpc 127.0.0.1:8001
//! ```
//!
//! With `--features http,tls`, `--tls-cert` and `--tls-key` enable TLS; `--token-file` requires a token of the file, which
//! has one per line. With `--features http,request-log`, `--request-log` keeps requests and their answers for
//! retraining. With `--features http,notify`, new versions are loaded as soon as they are written.

#![expect(clippy::print_stdout, reason = "a program that people read")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fourfold::Result;
use fourfold::model::Loaders;
use fourfold::schema::{Field, FieldType};
use fourfold::serving::http::{Admin, ServerHandle, ServerOptions, shutdown_signal};
use fourfold::serving::observe::{DriftMonitor, DriftOptions, Metrics, Observer};
use fourfold::serving::{Manager, ModelRepository, Predictor, ServerCore};
#[cfg(not(all(feature = "grpc", feature = "tls", feature = "request-log")))]
use fourfold::{Error, ErrorKind};
use serde_json::{Value, json};

/// Serves the models of a directory with the Open Inference Protocol and TensorFlow Serving's REST interface.
#[derive(Parser)]
struct Arguments {
    /// The directory of the models: `<models>/<name>/<version>/`.
    #[arg(long)]
    models: PathBuf,
    /// The address to answer HTTP on and, with the feature `grpc`, gRPC.
    #[arg(long, default_value = "127.0.0.1:8000")]
    http: String,
    /// A port of its own for gRPC, such as `127.0.0.1:8001`. It needs the feature `grpc`.
    #[arg(long)]
    grpc: Option<String>,
    /// Where models are loaded, unloaded, rolled back and labelled: an address, or `same-port`, which is that of gRPC,
    /// too. Nowhere by default.
    #[arg(long)]
    admin: Option<String>,
    /// Shows what is served, and how, at `/dashboard` beside the admin routes.
    #[arg(long, requires = "admin")]
    dashboard: bool,
    /// The certificate chain, in PEM.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A file with a token a line: only requests with one of them are answered.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The interval at which the directory is polled, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    poll: u64,
    /// The time for which the server reports that it is not ready before it stops, in milliseconds.
    #[arg(long, default_value_t = 0)]
    drain_delay: u64,
    /// Loads models on request.
    #[arg(long)]
    lazy: bool,
    /// The number of bytes that the loaded models may take together.
    #[arg(long)]
    memory_budget: Option<u64>,
    /// A directory to write requests and their answers to, as Parquet. It needs the feature `request-log`.
    #[arg(long)]
    request_log: Option<PathBuf>,
    /// The share of the requests that is written, from 0 to 1.
    #[arg(long, default_value_t = 1.0, requires = "request_log")]
    sample: f64,
    /// Compares what is asked with the statistics of the training data, where a model has them.
    #[arg(long)]
    drift: bool,
    /// Without the metrics at `/metrics`.
    #[arg(long)]
    no_metrics: bool,
}

impl Arguments {
    fn options(&self) -> Result<ServerOptions> {
        let mut options = ServerOptions::default()
            .metrics(!self.no_metrics)
            .drain_delay(Duration::from_millis(self.drain_delay))
            .admin(match self.admin.as_deref() {
                None => Admin::Off,
                Some("same-port") => Admin::SamePort,
                Some(address) => Admin::Address(address.to_owned()),
            });
        if self.dashboard {
            options = options.dashboard();
        }
        if let Some(path) = &self.token_file {
            options = options.token_file(path);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            options = encrypted(options, certificate, key)?;
        }
        Ok(options)
    }
}

/// The models, and what hears of their loading.
fn open(arguments: &Arguments, metrics: &Metrics) -> Result<Arc<Manager>> {
    // Your own models: `Loaders::default().with::<MyModel>()`.
    let mut builder = Manager::builder(ModelRepository::at(&arguments.models))
        .loaders(Loaders::default())
        .poll_interval(Duration::from_millis(arguments.poll))
        .listener(Arc::new(metrics.clone()));
    if arguments.lazy {
        builder = builder.lazy();
    }
    if let Some(n_bytes) = arguments.memory_budget {
        builder = builder.memory_budget(n_bytes);
    }
    Ok(Arc::new(builder.open()?))
}

/// The core that answers, and the observers of its answers.
fn core(arguments: &Arguments, manager: &Arc<Manager>, metrics: &Metrics) -> Result<ServerCore> {
    let mut builder = ServerCore::builder(Arc::clone(manager)).metrics(metrics.clone());
    if arguments.drift {
        let monitor = DriftMonitor::start(DriftOptions::default(), metrics.on_drift())?;
        builder = builder.observer(Arc::new(monitor));
    }
    if let Some(directory) = &arguments.request_log {
        builder = builder.observer(request_log(directory, arguments.sample, metrics)?);
    }
    builder.build()
}

#[cfg(feature = "request-log")]
fn request_log(directory: &Path, sample: f64, metrics: &Metrics) -> Result<Arc<dyn Observer>> {
    use fourfold::serving::observe::{RequestLog, RequestLogOptions};

    let log = RequestLog::open(directory, RequestLogOptions::default().share(sample))?;
    Ok(Arc::new(log.metrics(metrics)))
}

#[cfg(not(feature = "request-log"))]
fn request_log(_: &Path, _: f64, _: &Metrics) -> Result<Arc<dyn Observer>> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "`--request-log`: built without the feature `request-log`",
    ))
}

#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn encrypted(
    options: ServerOptions,
    certificate: &PathBuf,
    key: &PathBuf,
) -> Result<ServerOptions> {
    Ok(options.tls(fourfold::serving::http::Tls::files(certificate, key)))
}

#[cfg(not(feature = "tls"))]
fn encrypted(_: ServerOptions, _: &PathBuf, _: &PathBuf) -> Result<ServerOptions> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "`--tls-cert`: built without the feature `tls`",
    ))
}

#[tokio::main]
async fn main() -> Result<()> {
    // An evaluation may start this program to try a model out in a process of its own: `Trial::command`.
    #[cfg(feature = "datafusion")]
    if fourfold::evaluation::Trial::answer(&Loaders::default())? {
        return Ok(());
    }
    let arguments = Arguments::parse();
    // Counts what is answered and, as the manager's listener, what is loaded.
    let metrics = Metrics::new();
    let manager = open(&arguments, &metrics)?;
    for model in manager.states() {
        for version in model.versions {
            let state = version.reason.unwrap_or_else(|| version.state.to_string());
            println!("{} version {}: {state}", model.name, version.version);
        }
    }
    let core = core(&arguments, &manager, &metrics)?;
    let options = arguments.options()?;
    let grpc = match &arguments.grpc {
        Some(address) => Some(serve_grpc(&options, &core, address).await?),
        None => None,
    };
    let server = options.serve(core, &arguments.http).await?;
    println!("serving on {}, Ctrl-C stops", server.url());
    if let Some(address) = server.admin_address() {
        println!("admin routes on {address}");
    }
    let first = manager
        .states()
        .into_iter()
        .find_map(|model| manager.get(&model.name, None).ok());
    if let Some(model) = first {
        println!("{}", curl(&server.url(), &model));
    }
    shutdown_signal().await?;
    println!("stopping, a second signal stops at once");
    let stopping = async {
        let (grpc, http) = tokio::join!(stop(grpc), server.shutdown());
        grpc.and(http)
    };
    tokio::select! {
        stopped = stopping => stopped?,
        again = shutdown_signal() => return again,
    }
    println!("stopped");
    Ok(())
}

async fn stop(server: Option<ServerHandle>) -> Result<()> {
    match server {
        Some(server) => server.shutdown().await,
        None => Ok(()),
    }
}

#[cfg(feature = "grpc")]
async fn serve_grpc(
    options: &ServerOptions,
    core: &ServerCore,
    address: &str,
) -> Result<ServerHandle> {
    let server = options.serve_grpc(core.clone(), address).await?;
    println!("serving gRPC on {}", server.address());
    Ok(server)
}

#[cfg(not(feature = "grpc"))]
async fn serve_grpc(_: &ServerOptions, _: &ServerCore, _: &str) -> Result<ServerHandle> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "`--grpc`: built without the feature `grpc`",
    ))
}

/// A command that asks a model for one row.
fn curl(url: &str, model: &Predictor) -> String {
    let fields = &model.servable().schema().fields;
    let inputs: Vec<Value> = fields.iter().filter_map(tensor).collect();
    let body = json!({ "inputs": inputs })
        .to_string()
        .replace('\'', r"'\''");
    format!(
        "curl '{url}/v2/models/{}/infer' --json '{body}'",
        model.name()
    )
}

/// A tensor of one row for a field.
fn tensor(field: &Field) -> Option<Value> {
    let (datatype, value) = match field.field_type {
        FieldType::Boolean => ("BOOL", json!(true)),
        FieldType::Integer => ("INT64", json!(1)),
        FieldType::Float => ("FP64", json!(1.5)),
        FieldType::Text => ("BYTES", json!("a")),
        FieldType::Date => ("BYTES", json!("2013-01-31")),
        FieldType::Timestamp => ("BYTES", json!("2013-01-31T05:00:00Z")),
        _ => return None,
    };
    Some(json!({"name": field.name, "shape": [1], "datatype": datatype, "data": [value]}))
}
