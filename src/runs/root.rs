//! The directory of all that runs leave.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::records::{parse, write_json};
use super::segments::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// Where artifacts and records are kept; see [the module](crate::runs).
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    clock: Clock,
    /// What was read of records in segments, which never change.
    segments: Cache,
}

impl<P: Into<PathBuf>> From<P> for Root {
    /// The root at a directory, which is looked at when a run begins.
    fn from(path: P) -> Self {
        Root::at(path.into())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Format {
    pub(super) format_version: u32,
}

const FORMAT: &str = "root.json";

impl Root {
    /// The version of the format that this build reads and writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The root at a directory, which is made by the first run.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer version of this crate made it; [`ErrorKind::Io`] if it is no directory or
    /// cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root::at(path.into());
        root.check_format()?;
        Ok(root)
    }

    /// As it is given to a pipeline, which opens it.
    pub(crate) fn at(path: PathBuf) -> Self {
        Root {
            path,
            clock: Clock::default(),
            segments: Cache::default(),
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

    pub(super) fn segments(&self) -> &Cache {
        &self.segments
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
}
