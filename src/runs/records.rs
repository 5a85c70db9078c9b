//! Records on disk: one file each, and segments for the older ones.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Root;
use super::record::{Execution, Run, State};
use super::root::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::store;

/// The maximum size of a record in bytes.
pub(super) const MAX_RECORD_BYTES: u64 = 64 << 20;

impl Root {
    fn runs_dir(&self) -> PathBuf {
        self.path().join("runs")
    }

    pub(super) fn run_path(&self, id: &str) -> PathBuf {
        self.runs_dir().join(format!("{id}.json"))
    }

    pub(super) fn executions_dir(&self) -> PathBuf {
        self.path().join("executions")
    }

    /// All runs, oldest first. A run whose process was killed is [`State::Killed`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming an invalid record; [`ErrorKind::Unsupported`] for a record of a newer version;
    /// [`ErrorKind::Io`] if a record cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for path in self.run_files()? {
            runs.extend(self.read_run(&path)?);
        }
        runs.extend(self.in_segments::<Run>(None)?);
        runs.sort_by(|a: &Run, b| a.id.cmp(&b.id));
        runs.dedup_by(|a, b| a.id == b.id);
        Ok(runs)
    }

    /// A run by its id or a unique prefix of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no run, or more than one, matches; as [`Root::runs`].
    pub fn run(&self, id: &str) -> Result<Run> {
        if store::is_name(id)
            && let Some(run) = self.read_run(&self.run_path(id))?
        {
            return Ok(run);
        }
        let is_meant = |known: &str| known.starts_with(id) || known.contains(&format!("-{id}"));
        let mut ids: Vec<String> = self
            .run_files()?
            .iter()
            .filter_map(|path| stem(path))
            .collect();
        ids.retain(|known| is_meant(known));
        let mut found = self.in_segments::<Run>(None)?;
        found.retain(|run| is_meant(&run.id) && !ids.contains(&run.id));
        if let Some(exact) = found.iter().position(|run| run.id == id) {
            return Ok(found.swap_remove(exact));
        }
        match (ids.as_slice(), found.pop(), found.len()) {
            ([id], None, _) => {
                let run = self.read_run(&self.run_path(id))?;
                run.ok_or_else(|| {
                    Error::not_found(format!(
                        "run `{id}` was moved into a segment just now; try again"
                    ))
                })
            }
            ([], Some(run), 0) => Ok(run),
            ([], None, _) => Err(Error::not_found(format!(
                "there is no run `{}` in `{}`",
                crate::error::shortened(id),
                self.path().display()
            ))),
            (ids, found, more) => Err(Error::not_found(format!(
                "{} runs begin with `{}`; give more of the id",
                ids.len() + usize::from(found.is_some()) + more,
                crate::error::shortened(id)
            ))),
        }
    }

    /// The run in a file; `None` if the file does not exist.
    pub(super) fn read_run(&self, path: &Path) -> Result<Option<Run>> {
        let Some(mut run) = read_record::<Run>(path, "run")? else {
            return Ok(None);
        };
        if run.state == State::Running && !super::open::is_alive(path) {
            run.state = State::Killed;
        }
        Ok(Some(run))
    }

    /// All executions, oldest first.
    ///
    /// # Errors
    /// As [`Root::runs`].
    pub fn executions(&self) -> Result<Vec<Execution>> {
        let mut found = Vec::new();
        for path in self.execution_files()? {
            found.extend(read_record::<Execution>(&path, "execution")?);
        }
        // Segments come after the files: a record that was moved in between is in a segment.
        found.extend(self.in_segments::<Execution>(None)?);
        found.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    /// The files of executions that are not in a segment yet.
    pub(super) fn execution_files(&self) -> Result<Vec<PathBuf>> {
        let dir = self.executions_dir();
        let mut found = Vec::new();
        if dir.is_dir() {
            for part in store::sub_directories(&dir)? {
                found.extend(json_files(&dir.join(part))?);
            }
        }
        Ok(found)
    }

    /// The files of runs that are not in a segment yet.
    pub(super) fn run_files(&self) -> Result<Vec<PathBuf>> {
        json_files(&self.runs_dir())
    }

    pub(super) fn key_dir(&self, key: &Fingerprint) -> PathBuf {
        self.executions_dir().join(&key.as_str()[..2])
    }

    /// The executions of a key, oldest first.
    pub(super) fn executions_of(&self, key: &Fingerprint) -> Result<Vec<Execution>> {
        let mut found = Vec::new();
        for path in json_files(&self.key_dir(key))? {
            let name = path.file_name().map(|name| name.to_string_lossy());
            if name.is_some_and(|name| name.starts_with(key.as_str())) {
                found.extend(read_record::<Execution>(&path, "execution")?);
            }
        }
        found.extend(self.in_segments(Some(key.as_str()))?);
        found.sort_by(|a: &Execution, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    pub(super) fn write_execution(&self, execution: &Execution) -> Result<()> {
        let dir = self.key_dir(&execution.key);
        let failed = |error| Error::io(format!("writing `{}`", dir.display()), error);
        store::create_dir(&dir, self.readers()).map_err(failed)?;
        let name = format!("{}-{}.json", execution.key, execution.id);
        self.write_json(&dir.join(name), execution)
    }

    pub(super) fn write_run(&self, run: &Run) -> Result<()> {
        let dir = self.runs_dir();
        let failed = |error| Error::io(format!("writing `{}`", dir.display()), error);
        store::create_dir(&dir, self.readers()).map_err(failed)?;
        self.write_json(&self.run_path(&run.id), run)
    }

    pub(super) fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::internal("a record cannot be written").with_source(error))?;
        store::write_file_for(path, (text + "\n").as_bytes(), self.readers())
    }

    /// Removes leftovers of killed writers.
    pub(super) fn sweep(&self) -> Result<()> {
        let mut dirs = vec![self.path().to_owned(), self.runs_dir(), self.segments_dir()];
        for all in [self.path().join("artifacts"), self.executions_dir()] {
            if all.is_dir() {
                let names = store::sub_directories(&all)?.into_iter();
                dirs.extend(names.map(|name| all.join(name)));
            }
        }
        for dir in dirs {
            store::sweep(&dir);
        }
        Ok(())
    }

    /// The id of the newest run, which is never in a segment.
    pub(super) fn newest_run(&self) -> Result<Option<String>> {
        let newest = self.run_files()?.pop();
        Ok(newest.as_deref().and_then(stem))
    }
}

/// The name of a record's file, without its extension.
fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

/// The records in a directory, sorted; none if it does not exist. Names of unfinished files begin with a dot.
fn json_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format!("reading directory `{}`", dir.display()), error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".json") && !name.starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A record, whose version is checked first; `None` if it does not exist, or not any more.
pub(super) fn read_record<T: serde::de::DeserializeOwned>(
    path: &Path,
    what: &str,
) -> Result<Option<T>> {
    let text = match store::read_text(path, MAX_RECORD_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let format: Format = parse(path, &text)?;
    if format.format_version > Run::FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the record of {what} `{}` is of format version {}, this build reads {}",
                path.display(),
                format.format_version,
                Run::FORMAT_VERSION
            ),
        ));
    }
    parse(path, &text).map(Some)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::corrupt(format!("`{}` is not a valid record", path.display())).with_source(error)
    })
}
