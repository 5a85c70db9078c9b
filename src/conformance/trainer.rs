//! The contract of trainers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Violation, holds, model, stage};
use crate::cancellation::Cancellation;
use crate::error::ErrorKind;
use crate::model::{Model, Predict};
use crate::training::{TrainArgs, Trainer};

/// Checks a trainer against [`Trainer`]'s contract, on rows of yours: it is a good [stage](fn@stage); equal arguments
/// give equal models, on any number of threads; the model has the features and outputs that the rows and the target ask
/// for; a training that is cancelled before it begins ends with a model or with
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); and its model keeps the contract of [`fn@model`].
///
/// It trains five times: take few rows.
///
/// # Errors
/// The first requirement that does not hold.
pub fn trainer<T: Trainer>(trainer: &T, args: &TrainArgs) -> Result<(), Violation> {
    stage(trainer)?;
    let who = trainer.name();
    let train = |args: &TrainArgs| {
        let trained = trainer.train(args);
        let trained = trained.map_err(Violation::failed(who, "training"))?;
        Ok::<_, Violation>(trained.into_model())
    };
    let first = train(&args.clone().with_threads(1))?;
    let shape = (first.n_features(), first.n_outputs());
    let wanted = (args.train().n_features(), args.target().n_outputs());
    holds(
        shape == wanted,
        who,
        format!(
            "its model takes {} features and has {} outputs, must be {} and {}",
            shape.0, shape.1, wanted.0, wanted.1
        ),
    )?;
    let bytes = saved(who, &first)?;
    for threads in [1, 2, 5] {
        let other = train(&args.clone().with_threads(threads))?;
        holds(
            saved(who, &other)? == bytes,
            who,
            format!("trained again, on {threads} threads, it is another model"),
        )?;
    }
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let cancelled = trainer.train(&args.clone().with_cancellation(cancellation));
    if let Err(error) = cancelled {
        holds(
            error.kind() == ErrorKind::Cancelled,
            who,
            format!(
                "cancelled before it begins, it fails with {:?}: {error}",
                error.kind()
            ),
        )?;
    }
    let table = args
        .train()
        .table(first.takes())
        .map_err(Violation::failed(who, "reading rows to predict"))?;
    let some: Vec<usize> = (0..table.features().n_rows().min(500)).collect();
    let rows = table.features().pick(&some);
    model(
        &first,
        &rows.map_err(Violation::failed(who, "taking rows to predict"))?,
    )
}

/// The files that a model saves, by their paths.
fn saved(who: &str, model: &impl Model) -> Result<BTreeMap<PathBuf, Vec<u8>>, Violation> {
    let io =
        |error: std::io::Error| Violation::new(who, format!("a directory to save in: {error}"));
    let dir = tempfile::tempdir().map_err(io)?;
    model
        .save(dir.path())
        .map_err(Violation::failed(who, "saving its model"))?;
    let mut files = BTreeMap::new();
    read_files(dir.path(), dir.path(), &mut files).map_err(io)?;
    Ok(files)
}

fn read_files(
    root: &Path,
    dir: &Path,
    into: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_files(root, &path, into)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            into.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}
