//! A model server as a program: every model of a directory, over HTTP, until Ctrl-C.
//!
//! ```text
//! cargo run --example serve --no-default-features --features http -- --models models
//! ```

#![expect(clippy::print_stdout, reason = "a program that people read")]

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use fourfold::model::Loaders;
use fourfold::schema::{Field, FieldType};
use fourfold::serving::{Manager, ModelRepository, Predictor, http};
use fourfold::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// Serves the models of a directory with the Open Inference Protocol.
#[derive(Parser)]
struct Arguments {
    /// The directory of the models: `<models>/<name>/<version>/`.
    #[arg(long)]
    models: PathBuf,
    /// The address to answer HTTP on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    http: String,
    /// The address to answer gRPC on.
    #[arg(long)]
    grpc: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.grpc.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "`--grpc`: gRPC is not there yet",
        ));
    }
    // Your own models: `Loaders::default().with::<MyModel>()`.
    let manager = Manager::open(ModelRepository::at(&arguments.models), Loaders::default())?;
    let manager = Arc::new(manager);
    for model in manager.states() {
        for version in model.versions {
            let state = version.reason.unwrap_or_else(|| version.state.to_string());
            println!("{} version {}: {state}", model.name, version.version);
        }
    }
    let server = http::serve(Arc::clone(&manager), &arguments.http).await?;
    println!("serving on {}, Ctrl-C stops", server.url());
    let first = manager
        .states()
        .into_iter()
        .find_map(|model| manager.get(&model.name, None).ok());
    if let Some(model) = first {
        println!("{}", curl(&server.url(), &model));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Error::new(ErrorKind::Io, "waiting for Ctrl-C").with_source(error))?;
    server.shutdown().await?;
    println!("stopped");
    Ok(())
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
