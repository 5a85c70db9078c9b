//! The root: the directory of artifacts and records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::records::parse;
use super::segments::Cache;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{self, Readers};

/// The directory of artifacts and records; see [the module](crate::runs).
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    readers: Readers,
    /// The segments that were read; they never change.
    segments: Cache,
}

impl<P: Into<PathBuf>> From<P> for Root {
    /// The root at a directory, which is checked when a run begins.
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

    /// The root at a directory, which the first run creates.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer version of this crate created it; [`ErrorKind::Io`] if it is not a directory or
    /// cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root::at(path.into());
        root.check_format()?;
        Ok(root)
    }

    /// The root at a directory, unchecked.
    pub(crate) fn at(path: PathBuf) -> Self {
        Root {
            path,
            clock: Arc::new(SystemClock),
            readers: Readers::User,
            segments: Cache::default(),
        }
    }

    /// The same root with another clock, for tests and replays. A clock that goes back does no harm: a run begins after all
    /// that are recorded.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Lets the users of the directory's group read what this process writes, as far as the umask allows it. Otherwise a root
    /// is private to its user.
    #[must_use]
    pub fn readable_by_group(mut self) -> Self {
        self.readers = Readers::Group;
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn readers(&self) -> Readers {
        self.readers
    }

    pub(super) fn segments(&self) -> &Cache {
        &self.segments
    }

    /// Creates the directory, or checks that it is a root that can be written.
    pub(crate) fn create(&self) -> Result<()> {
        let failed = |error| {
            let message = format!("`{}` cannot be written", self.path.display());
            Error::new(ErrorKind::Io, message).with_source(error)
        };
        store::create_dir(&self.path, self.readers).map_err(failed)?;
        if self.check_format()? {
            return store::check_writable(&self.path);
        }
        let format = Format {
            format_version: Self::FORMAT_VERSION,
        };
        self.write_json(&self.path.join(FORMAT), &format)
    }

    /// Checks whether the directory is a root, of a format that this build reads.
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
