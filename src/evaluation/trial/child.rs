//! A trial in a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Trial;
use super::probe::{self, Asked, Report, resident};
use crate::error::{Error, Result, bounded, chain};
use crate::model::Loaders;

/// Names the directory of the trial to the process that is to answer.
const VARIABLE: &str = "FOURFOLD_TRIAL";
const ROWS: &str = "rows.arrow";
const EXPECTED: &str = "expected.json";
const REPORT: &str = "report.json";
const STDERR: &str = "stderr";
/// The interval at which the process is polled.
const EVERY: Duration = Duration::from_millis(5);
/// The maximum length of its standard error in messages.
const TOLD: usize = 1_000;

/// The answers of the trained model.
#[derive(Serialize, Deserialize)]
struct Expected {
    n_outputs: usize,
    outputs: Vec<f64>,
    model: PathBuf,
}

fn io(doing: &str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let doing = format!("{doing} `{}`", path.display());
    move |error| Error::io(&doing, error)
}

/// Asks a process, in which a crash, a hang and too much memory are errors with a reason.
pub(super) fn run(
    command: &[String],
    trial: &Trial,
    dir: &Path,
    model: &Path,
    asked: &Asked,
) -> Result<Report> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::config("the trial's `command` is empty"));
    };
    write(dir, model, asked)?;
    let errors = dir.join(STDERR);
    let stderr = File::create(&errors).map_err(io("writing", &errors))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env(VARIABLE, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(io("starting", Path::new(program)))?;
    let id = child.id().to_string();
    let started = Instant::now();
    let ended = loop {
        match child
            .try_wait()
            .map_err(io("waiting for", Path::new(program)))?
        {
            Some(status) => break Ok(status),
            None if started.elapsed() > trial.time => {
                break Err(format!("it did not finish within {:?}", trial.time));
            }
            None => {}
        }
        let over = resident(&id)
            .zip(trial.memory)
            .filter(|(found, most)| found > most);
        if let Some((found, most)) = over {
            break Err(format!(
                "it took {found} bytes of memory, must be at most {most}"
            ));
        }
        std::thread::sleep(EVERY);
    };
    let status = match ended {
        Ok(status) => status,
        Err(reason) => {
            // One that has ended by itself meanwhile is waited for all the same.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::model(reason));
        }
    };
    match std::fs::read(dir.join(REPORT)) {
        Ok(report) if status.success() => serde_json::from_slice(&report)
            .map_err(|error| Error::model("its report cannot be read").with_source(error)),
        _ => Err(Error::model(died(status, &errors))),
    }
}

fn died(status: ExitStatus, errors: &Path) -> String {
    let how = if status.success() {
        format!(
            "the process of the trial ended without a report; does its `main` call `Trial::answer`? ({status})"
        )
    } else {
        format!("the process of the trial died ({status})")
    };
    let said = std::fs::read(errors).unwrap_or_default();
    let tail = said.len().saturating_sub(TOLD);
    let said = String::from_utf8_lossy(&said[tail..]);
    match said.trim() {
        "" => how,
        said => bounded(format!("{how}: {said}")),
    }
}

fn write(dir: &Path, model: &Path, asked: &Asked) -> Result<()> {
    let rows = dir.join(ROWS);
    let file = File::create(&rows).map_err(io("writing", &rows))?;
    let mut writer = FileWriter::try_new(file, &asked.rows.schema())?;
    writer.write(&asked.rows)?;
    writer.finish()?;
    let expected = Expected {
        n_outputs: asked.expected.ncols(),
        outputs: asked.expected.iter().copied().collect(),
        model: model.to_owned(),
    };
    write_json(&dir.join(EXPECTED), &expected)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("a trial cannot be written").with_source(error))?;
    std::fs::write(path, text).map_err(io("writing", path))
}

/// Answers, if this process was started to; says whether it was.
pub(super) fn answer(loaders: &Loaders) -> Result<bool> {
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return Ok(false);
    };
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(io("reading", &path))
    };
    let damaged = |error| Error::corrupt("a trial that cannot be read").with_source(error);
    let expected: Expected = serde_json::from_slice(&read(EXPECTED)?).map_err(damaged)?;
    let mut rows = FileReader::try_new(std::io::Cursor::new(read(ROWS)?), None)?;
    let rows = rows
        .next()
        .ok_or_else(|| Error::corrupt("a trial without rows"))??;
    let shape = (rows.num_rows(), expected.n_outputs);
    let outputs = Array2::from_shape_vec(shape, expected.outputs)
        .map_err(|error| Error::corrupt("a trial of other answers").with_source(error))?;
    let asked = Asked {
        rows,
        expected: outputs,
    };
    let report = probe::run(&expected.model, loaders, &asked).unwrap_or_else(|error| Report {
        faults: vec![chain(&error)],
        ..Report::default()
    });
    write_json(&dir.join(REPORT), &report)?;
    Ok(true)
}
