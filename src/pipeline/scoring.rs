//! Batch scoring: a saved model over any source, into a Parquet file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::prelude::DataFrame;
use futures_util::StreamExt;
use parquet::arrow::ArrowWriter;

use crate::data::DataSource;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, near_names, task_panic_text};
use crate::model::Servable;
use crate::schema::{normalize_batch, normalized_schema};

/// Predicts the rows of a source and writes the predictions into a Parquet file: the `keys` (raw columns, by which the
/// predictions are joined later), the columns of [`Prediction::to_batch`](crate::model::Prediction::to_batch), and `model_version`, which
/// is `version`.
///
/// Rows are streamed: memory does not grow with their number. The file is written whole or not at all, in the order of the
/// source's rows if the source has one. Returns the number of rows.
///
/// # Errors
/// Those of the source and of the model; [`ErrorKind::AlreadyExists`] if the file exists already;
/// [`ErrorKind::Config`] if a key is not a column, or has the name of an output; [`ErrorKind::Io`] if it cannot be written.
pub async fn score<S: DataSource>(
    servable: Arc<Servable>,
    source: &S,
    keys: &[String],
    version: &str,
    output: &Path,
    engine: &Engine,
) -> Result<u64> {
    if output.exists() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("`{}` exists already", output.display()),
        ));
    }
    let in_source = |error: Error| error.in_stage(source.name());
    let rows = source.read(engine).await.map_err(in_source)?;
    let failed = |error| Error::io(format!("writing `{}`", output.display()), error);
    let parent = output
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let scored = write(
        servable,
        rows,
        keys,
        version,
        file.as_file().try_clone().map_err(failed)?,
    );
    let n_rows = scored.await?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(output)
        .map_err(|error| failed(error.error))?;
    Ok(n_rows)
}

async fn write(
    servable: Arc<Servable>,
    rows: DataFrame,
    keys: &[String],
    version: &str,
    file: File,
) -> Result<u64> {
    let plain = normalized_schema(rows.schema().as_arrow());
    let known = || plain.fields().iter().map(|field| field.name().as_str());
    if let Some(missing) = keys
        .iter()
        .find(|key| !known().any(|name| name == key.as_str()))
    {
        return Err(Error::config(format!(
            "key `{missing}` is no column of the data{}",
            near_names(missing, known())
        )));
    }
    let mut stream = rows.execute_stream().await?;
    let mut writer: Option<ArrowWriter<File>> = None;
    let mut file = Some(file);
    let mut n_rows = 0;
    let broken =
        |error| Error::new(ErrorKind::Io, "the answers cannot be written").with_source(error);
    while let Some(batch) = stream.next().await {
        let batch = normalize_batch(&batch?, &plain)?;
        let (model, keys, version) = (Arc::clone(&servable), keys.to_vec(), version.to_owned());
        let answers = tokio::task::spawn_blocking(move || answers(&model, &batch, &keys, &version))
            .await
            .map_err(|error| {
                Error::model(format!("the model panicked{}", task_panic_text(error)))
            })??;
        n_rows += answers.num_rows() as u64;
        let writer = match (&mut writer, file.take()) {
            (Some(writer), _) => writer,
            (none, Some(file)) => {
                let fresh = ArrowWriter::try_new(file, answers.schema(), None).map_err(broken)?;
                none.insert(fresh)
            }
            (None, None) => return Err(Error::internal("scoring without a file")),
        };
        writer.write(&answers).map_err(broken)?;
    }
    match writer {
        Some(writer) => writer.close().map(drop).map_err(broken)?,
        None => return Err(Error::data("there is no row to score")),
    }
    Ok(n_rows)
}

fn answers(
    servable: &Servable,
    rows: &RecordBatch,
    keys: &[String],
    version: &str,
) -> Result<RecordBatch> {
    let answers = servable.predict(rows)?.to_batch()?;
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let schema = answers.schema();
    for key in keys {
        if schema.field_with_name(key).is_ok() || key == VERSION {
            return Err(Error::config(format!(
                "key `{key}` has the name of a column of answers; rename it in the data"
            )));
        }
        let column = rows.column_by_name(key);
        let column = column.ok_or_else(|| Error::internal("a key that was there is gone"))?;
        columns.push((key.clone(), Arc::clone(column)));
    }
    let names = schema.fields().iter().map(|field| field.name().clone());
    columns.extend(names.zip(answers.columns().iter().cloned()));
    let versions = StringArray::from_iter_values((0..rows.num_rows()).map(|_| version));
    columns.push((VERSION.to_owned(), Arc::new(versions)));
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

const VERSION: &str = "model_version";
