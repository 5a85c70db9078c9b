//! The directory of all that runs leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::record::{Execution, Run, State};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::store;

/// Where artifacts and records are kept; see [the module](crate::runs).
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    clock: Clock,
}

impl<P: Into<PathBuf>> From<P> for Root {
    /// The root at a directory, which is looked at when a run begins.
    fn from(path: P) -> Self {
        Root::at(path.into())
    }
}

#[derive(Serialize, Deserialize)]
struct Format {
    format_version: u32,
}

const FORMAT: &str = "root.json";

/// The most bytes of a record.
const MAX_RECORD_BYTES: u64 = 64 << 20;

impl Root {
    /// The version of the format that this build reads and writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The root at a directory, which is made by the first run.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer version of this crate made it; [`ErrorKind::Io`] if it is no directory or
    /// cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root {
            path: path.into(),
            clock: Clock::default(),
        };
        root.check_format()?;
        Ok(root)
    }

    /// As it is given to a pipeline, which opens it.
    pub(crate) fn at(path: PathBuf) -> Self {
        Root {
            path,
            clock: Clock::default(),
        }
    }

    /// The same with another clock, for tests. A clock that goes back is no harm: a run begins after all that are on
    /// record.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the directory, or checks that it is one of ours that can be written.
    pub(crate) fn create(&self) -> Result<()> {
        let failed = |error| {
            let message = format!("`{}` cannot be written", self.path.display());
            Error::new(ErrorKind::Io, message).with_source(error)
        };
        store::create_private(&self.path).map_err(failed)?;
        if self.check_format()? {
            return store::check_writable(&self.path);
        }
        let format = Format {
            format_version: Self::FORMAT_VERSION,
        };
        write_json(&self.path.join(FORMAT), &format)
    }

    /// Whether the format is there, and one that this build reads.
    fn check_format(&self) -> Result<bool> {
        let format = self.path.join(FORMAT);
        match store::read_text(&format, 1 << 16) {
            Ok(text) => {
                let found: Format = parse(&format, &text)?;
                self.check_version(found.format_version, "the root")?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check_version(&self, found: u32, what: &str) -> Result<()> {
        if found == Self::FORMAT_VERSION {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{what} `{}` is of format version {found}, this build reads {}",
                self.path.display(),
                Self::FORMAT_VERSION
            ),
        ))
    }

    fn runs_dir(&self) -> PathBuf {
        self.path.join("runs")
    }

    pub(super) fn run_path(&self, id: &str) -> PathBuf {
        self.runs_dir().join(format!("{id}.json"))
    }

    fn executions_dir(&self) -> PathBuf {
        self.path.join("executions")
    }

    /// All runs in their order, the oldest first. One whose process was killed is [`State::Killed`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the record that is none; [`ErrorKind::Unsupported`] for one of a newer version;
    /// [`ErrorKind::Io`] if one cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for path in json_files(&self.runs_dir())? {
            runs.push(self.read_run(&path)?);
        }
        runs.sort_unstable_by(|a: &Run, b| a.id.cmp(&b.id));
        Ok(runs)
    }

    /// A run by its id, or by the beginning of one that no other has.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, or several; and as [`Root::runs`].
    pub fn run(&self, id: &str) -> Result<Run> {
        if store::is_name(id) && self.run_path(id).is_file() {
            return self.read_run(&self.run_path(id));
        }
        let paths = json_files(&self.runs_dir())?;
        let names = paths.iter().filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.starts_with(id) || name.contains(&format!("-{id}")))
        });
        match names.collect::<Vec<_>>().as_slice() {
            [] => Err(Error::not_found(format!(
                "there is no run `{}` in `{}`",
                crate::error::shortened(id),
                self.path.display()
            ))),
            [path] => self.read_run(path),
            several => Err(Error::not_found(format!(
                "{} runs begin with `{}`; give more of the id",
                several.len(),
                crate::error::shortened(id)
            ))),
        }
    }

    fn read_run(&self, path: &Path) -> Result<Run> {
        let mut run: Run = read_record(path, "run")?;
        if run.state == State::Running && !super::open::is_alive(path) {
            run.state = State::Killed;
        }
        Ok(run)
    }

    /// All executions, in the order of the time at which they began.
    ///
    /// # Errors
    /// As [`Root::runs`].
    pub fn executions(&self) -> Result<Vec<Execution>> {
        let dir = self.executions_dir();
        let mut found = Vec::new();
        if dir.is_dir() {
            for part in store::sub_directories(&dir)? {
                for path in json_files(&dir.join(part))? {
                    found.push(read_record::<Execution>(&path, "execution")?);
                }
            }
        }
        found.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        Ok(found)
    }

    fn key_dir(&self, key: &Fingerprint) -> PathBuf {
        self.executions_dir().join(&key.as_str()[..2])
    }

    /// The executions of a key, the newest last.
    pub(super) fn executions_of(&self, key: &Fingerprint) -> Result<Vec<Execution>> {
        let mut found = Vec::new();
        for path in json_files(&self.key_dir(key))? {
            let name = path.file_name().map(|name| name.to_string_lossy());
            if name.is_some_and(|name| name.starts_with(key.as_str())) {
                found.push(read_record::<Execution>(&path, "execution")?);
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    pub(super) fn write_execution(&self, execution: &Execution) -> Result<()> {
        let dir = self.key_dir(&execution.key);
        let failed = |error| Error::io(format!("writing `{}`", dir.display()), error);
        store::create_private(&dir).map_err(failed)?;
        let name = format!("{}-{}.json", execution.key, execution.id);
        write_json(&dir.join(name), execution)
    }

    pub(super) fn write_run(&self, run: &Run) -> Result<()> {
        let dir = self.runs_dir();
        let failed = |error| Error::io(format!("writing `{}`", dir.display()), error);
        store::create_private(&dir).map_err(failed)?;
        write_json(&self.run_path(&run.id), run)
    }

    /// Removes what killed writers have left.
    pub(super) fn sweep(&self) -> Result<()> {
        let mut dirs = vec![self.path.clone(), self.runs_dir()];
        for all in [self.path.join("artifacts"), self.executions_dir()] {
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

    /// The id of the newest run, which begins with its time.
    pub(super) fn newest_run(&self) -> Result<Option<String>> {
        let newest = json_files(&self.runs_dir())?.into_iter().max();
        Ok(newest.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned())))
    }
}

/// The records in a directory, sorted; none if it is not there. What is being written starts with a dot.
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

/// A record, with its version looked at first.
fn read_record<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text = store::read_text(path, MAX_RECORD_BYTES)?;
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
    parse(path, &text)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::corrupt(format!("`{}` is not what it should be", path.display())).with_source(error)
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("a record cannot be written").with_source(error))?;
    store::write_private_file(path, &(text + "\n"))
}
