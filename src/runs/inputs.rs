//! Input files of sources, and their digests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::Root;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::store;

/// A file that a [source](crate::data::DataSource::files) reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Its path or URL.
    shown: String,
    /// The path of a file on this machine.
    path: Option<PathBuf>,
    stamp: Stamp,
}

/// The metadata by which an unchanged file is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: Option<i64>,
    inode: Option<u64>,
    /// The entity tag of an object store.
    e_tag: Option<String>,
}

impl InputFile {
    /// A file on this machine. It is hashed again if its size, time or inode differ from the recorded ones.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it does not exist;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if its metadata cannot be read.
    pub fn local(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let shown = path.to_string_lossy().into_owned();
        let metadata = std::fs::metadata(&path)
            .map_err(|error| Error::io(format!("reading `{shown}`"), error))?;
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let inode = Some(std::os::unix::fs::MetadataExt::ino(&metadata));
        #[cfg(not(unix))]
        let inode = None;
        Ok(InputFile {
            stamp: Stamp {
                bytes: metadata.len(),
                modified_ns: since.and_then(|since| i64::try_from(since.as_nanos()).ok()),
                inode,
                e_tag: None,
            },
            path: Some(path),
            shown,
        })
    }

    /// An object in a store, which is never hashed: its URL, its size in bytes, its time of modification in nanoseconds since
    /// 1970-01-01, and its entity tag. With a tag, the time is ignored.
    #[must_use]
    pub fn remote(
        url: impl Into<String>,
        bytes: u64,
        modified_ns: Option<i64>,
        e_tag: Option<String>,
    ) -> Self {
        InputFile {
            shown: url.into(),
            path: None,
            stamp: Stamp {
                bytes,
                modified_ns: modified_ns.filter(|_| e_tag.is_none()),
                inode: None,
                e_tag,
            },
        }
    }
}

/// An input file of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UsedFile {
    /// The path or URL.
    pub path: String,
    /// The size in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content; for an object in a store, the fingerprint of its metadata.
    pub digest: Fingerprint,
}

/// A digest with the state of the file that it was computed from.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: Fingerprint,
    hashed_ms: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    format_version: u32,
    files: BTreeMap<String, Known>,
}

const FILE: &str = "inputs.json";
const FORMAT_VERSION: u32 = 1;
const MAX_BYTES: u64 = 256 << 20;

/// A file that is rewritten within the granularity of its file system's clock keeps its time, so a digest is trusted only if
/// the file was older than this when it was hashed.
const SETTLED_MS: u64 = 2_000;

/// The maximum number of files whose digests are remembered.
const MAX_FILES: usize = 200_000;

impl Root {
    /// The files with their digests. A file with unchanged size, time and inode is not read again.
    pub(crate) fn digests_of(&self, files: &[InputFile]) -> Result<Vec<UsedFile>> {
        let path = self.path().join(FILE);
        // A cache: if it is damaged, the files are hashed again.
        let text = store::read_text(&path, MAX_BYTES).unwrap_or_default();
        let known: Document = serde_json::from_str(&text).unwrap_or_default();
        let mut known = match known.format_version {
            FORMAT_VERSION => known,
            _ => Document::default(),
        };
        let mut changed = false;
        let mut used = Vec::with_capacity(files.len());
        for file in files {
            let digest = match (&file.path, known.files.get(&file.shown)) {
                (None, _) => Fingerprint::of(&(&file.shown, &file.stamp))?,
                (Some(_), Some(known)) if known.stands_for(&file.stamp) => known.digest.clone(),
                (Some(path), _) => {
                    let hashed_ms = self.clock().now_ms();
                    let digest = store::digest_of(path)
                        .map_err(|error| Error::io(format!("reading `{}`", file.shown), error))?;
                    let digest = Fingerprint::from_hex(&digest)
                        .ok_or_else(|| Error::internal("an invalid digest was computed"))?;
                    let now = Known {
                        stamp: file.stamp.clone(),
                        digest: digest.clone(),
                        hashed_ms,
                    };
                    changed = true;
                    known.files.insert(file.shown.clone(), now);
                    digest
                }
            };
            used.push(UsedFile {
                path: file.shown.clone(),
                bytes: file.stamp.bytes,
                digest,
            });
        }
        if changed {
            known.format_version = FORMAT_VERSION;
            while known.files.len() > MAX_FILES.max(files.len()) {
                known.files.pop_first();
            }
            let text = serde_json::to_string(&known)
                .map_err(|error| Error::internal("digests cannot be written").with_source(error))?;
            store::write_file_for(&path, text.as_bytes(), self.readers())?;
        }
        Ok(used)
    }
}

impl Known {
    fn stands_for(&self, stamp: &Stamp) -> bool {
        let settled = stamp.modified_ns.is_some_and(|modified| {
            let modified_ms = u64::try_from(modified / 1_000_000).unwrap_or_default();
            modified_ms.saturating_add(SETTLED_MS) < self.hashed_ms
        });
        settled && self.stamp == *stamp
    }
}
