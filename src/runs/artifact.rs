//! Artifacts: the outputs of stages, stored under the digest of their content.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Root;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::model::{load_json, save_json};
use crate::store::{self, Aside, Place};

/// A value that is stored as files in a directory. Implement it for artifacts of your own, which [`Root::put`] stores and
/// [`Root::get`] loads:
///
/// ```
/// use std::path::Path;
///
/// use fourfold::Result;
/// use fourfold::model::{load_json, save_json};
/// use fourfold::runs::{Artifact, Root};
///
/// #[derive(Debug, PartialEq)]
/// struct Notes(Vec<String>);
///
/// impl Artifact for Notes {
///     const KIND: &'static str = "notes";
///     const VERSION: u32 = 1;
///
///     fn save(&self, dir: &Path) -> Result<()> {
///         save_json(dir, "notes.json", &self.0)
///     }
///
///     fn load(dir: &Path) -> Result<Self> {
///         Ok(Notes(load_json(dir, "notes.json")?))
///     }
/// }
///
/// let dir = tempfile::tempdir().unwrap();
/// let root = Root::open(dir.path())?;
/// let id = root.put(&Notes(vec!["first".to_owned()]))?;
/// assert_eq!(root.get::<Notes>(&id)?, Notes(vec!["first".to_owned()]));
/// // Equal content is stored once.
/// assert_eq!(root.put(&Notes(vec!["first".to_owned()]))?, id);
/// # Ok::<(), fourfold::Error>(())
/// ```
pub trait Artifact: Sized {
    /// The kind, which names a directory: lower-case letters, digits and `_`.
    const KIND: &'static str;

    /// The version of the format, raised when it changes.
    const VERSION: u32;

    /// Writes the value into an empty directory. Equal values must make equal files.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    fn save(&self, dir: &Path) -> Result<()>;

    /// Loads a value that [`Artifact::save`] wrote. The digests of the files have been checked.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the files are not those of such a value.
    fn load(dir: &Path) -> Result<Self>;
}

/// The kind and the digest of an artifact: `model/3f2a..`, as a string and in JSON.
///
/// The digest is the SHA-256 of the artifact's `SHA256SUMS`, which lists the digests of its files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactId {
    kind: String,
    digest: Fingerprint,
}

impl ArtifactId {
    pub(crate) fn new(kind: &str, digest: Fingerprint) -> Self {
        ArtifactId {
            kind: kind.to_owned(),
            digest,
        }
    }

    /// The id of the artifact in a directory.
    pub(crate) fn of_dir(kind: &str, dir: &Path) -> Result<Self> {
        let name = dir.file_name().map(|name| name.to_string_lossy());
        let digest = name.and_then(|name| Fingerprint::from_hex(&name));
        let digest = digest.ok_or_else(|| {
            Error::internal(format!("`{}` is not named by its digest", dir.display()))
        })?;
        Ok(ArtifactId::new(kind, digest))
    }

    /// The kind, such as `model`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The digest of its content.
    #[must_use]
    pub fn digest(&self) -> &Fingerprint {
        &self.digest
    }

    /// A short form for display: `model/3f2a10b7c4d5`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}/{}", self.kind, self.digest.short())
    }
}

/// Returns true if a kind is a valid name of a directory.
fn is_kind(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(plain)
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.digest)
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for ArtifactId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').filter(|(kind, _)| is_kind(kind));
        let id = parts
            .and_then(|(kind, digest)| Some(ArtifactId::new(kind, Fingerprint::from_hex(digest)?)));
        id.ok_or_else(|| {
            Error::config(format!(
                "`{}` is not an artifact id, must be a kind, a slash and 64 hexadecimal digits",
                crate::error::shortened(text)
            ))
        })
    }
}

impl Serialize for ArtifactId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArtifactId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: Error| D::Error::custom(error.message()))
    }
}

/// The file with the version of an artifact's format.
const FORMAT: &str = "format.json";

impl Root {
    /// Stores a value. Equal content that is stored already is used.
    ///
    /// # Errors
    /// Those of [`Artifact::save`]; [`ErrorKind::Config`] if its kind is not a valid name; [`ErrorKind::Io`] if the disk
    /// fails. Nothing half-written is left.
    pub fn put<A: Artifact>(&self, value: &A) -> Result<ArtifactId> {
        self.put_dir(A::KIND, |dir| {
            save_json(dir, FORMAT, &A::VERSION)?;
            value.save(dir)
        })
    }

    /// Loads a stored value, after checking its digests.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it does not exist; [`ErrorKind::Corrupt`] naming the file if one was changed;
    /// [`ErrorKind::Config`] if it is of another kind; [`ErrorKind::Unsupported`] if it is of another version.
    pub fn get<A: Artifact>(&self, id: &ArtifactId) -> Result<A> {
        if id.kind() != A::KIND {
            return Err(Error::config(format!(
                "{id:?} is not an artifact of kind `{}`",
                A::KIND
            )));
        }
        let dir = self.checked_dir(id)?;
        let version: u32 = load_json(&dir, FORMAT)?;
        if version != A::VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{id:?} is of format version {version}, this build reads {}",
                    A::VERSION
                ),
            ));
        }
        A::load(&dir)
    }

    /// The directory of an artifact, whether it exists or not.
    #[must_use]
    pub fn dir_of(&self, id: &ArtifactId) -> PathBuf {
        self.kind_dir(id.kind()).join(id.digest().as_str())
    }

    /// The directory of an existing artifact, after checking its digests.
    pub(crate) fn checked_dir(&self, id: &ArtifactId) -> Result<PathBuf> {
        let dir = self.dir_of(id);
        if !dir.is_dir() {
            return Err(Error::not_found(format!(
                "artifact {} is not in `{}`",
                id.short(),
                self.path().display()
            )));
        }
        store::verify_dir(&dir)?;
        let listed = Fingerprint::of_bytes(store::read_sums(&dir)?);
        if listed != *id.digest() {
            return Err(Error::corrupt(format!(
                "`{}` was changed after it was written: the digest of `SHA256SUMS` differs",
                dir.display()
            )));
        }
        Ok(dir)
    }

    /// The directory of the artifacts of a kind, for writers that compute digests as they write.
    pub(crate) fn kind_dir(&self, kind: &str) -> PathBuf {
        self.path().join("artifacts").join(kind)
    }

    /// Stores the files that are written into a directory.
    pub(crate) fn put_dir(
        &self,
        kind: &str,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<ArtifactId> {
        if !is_kind(kind) {
            return Err(Error::config(format!(
                "`{kind}` is not a valid kind of artifact, must be lower-case letters, digits and `_`"
            )));
        }
        let aside = Aside::to(&Place::ByDigest(self.kind_dir(kind), self.readers()))?;
        write(aside.path())?;
        ArtifactId::of_dir(kind, &aside.commit()?)
    }

    /// All existing artifacts, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the directory cannot be read.
    pub fn artifacts(&self) -> Result<Vec<ArtifactId>> {
        let all = self.path().join("artifacts");
        if !all.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for kind in store::sub_directories(&all)? {
            for name in store::sub_directories(&all.join(&kind))? {
                // Other directories are ignored.
                if let (true, Some(digest)) = (is_kind(&kind), Fingerprint::from_hex(&name)) {
                    found.push(ArtifactId::new(&kind, digest));
                }
            }
        }
        Ok(found)
    }
}
