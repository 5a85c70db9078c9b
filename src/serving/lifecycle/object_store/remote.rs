//! Models in an object store: listing, bringing, sending.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::directory::{CONTROL, control_of};
use super::super::{Control, FoundVersion};
use super::background::timed_out;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::hex;
use crate::store::{self, Aside, SUMS};

/// Written first by a push, so that no other takes its number. It stays: other pushes may have listed before.
const CLAIM: &str = ".claimed";
/// Larger files are sent in parts of this size in bytes.
const PART: usize = 8 << 20;

/// Control files by model, each with its object.
pub(super) type Controls = BTreeMap<String, Result<(Control, Option<ObjectMeta>)>>;

/// A place in an object store.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Key,
}

/// The listing of a model.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) control: Option<ObjectMeta>,
    dirs: BTreeMap<String, ListedDir>,
}

#[derive(Debug, Default)]
struct ListedDir {
    /// A version without it is not there yet.
    sums: Option<ObjectMeta>,
    n_bytes: u64,
}

impl Listed {
    /// The complete versions: the name of each directory and its list of digests, by their numbers.
    fn versions(&self) -> BTreeMap<u64, (&str, &ObjectMeta, u64)> {
        let mut dirs: Vec<_> = self.dirs.iter().collect();
        dirs.sort_by_key(|(name, _)| name.len());
        let mut versions = BTreeMap::new();
        for (name, dir) in dirs {
            if let (Some(version), Some(sums)) = (store::version_number(name), &dir.sums) {
                let found = (name.as_str(), sums, dir.n_bytes);
                versions.entry(version).or_insert(found);
            }
        }
        versions
    }

    pub(super) fn found(&self, cache: &Path) -> Vec<FoundVersion> {
        let versions = self.versions().into_iter();
        versions
            .map(|(version, (_, sums, n_bytes))| {
                FoundVersion::new(version, cache.join(version.to_string()))
                    .with_written(Some(sums.last_modified.into()))
                    .with_n_bytes(n_bytes)
            })
            .collect()
    }

    /// The greatest number that is taken, by a version that is not whole too.
    fn last(&self) -> u64 {
        let numbers = self
            .dirs
            .keys()
            .filter_map(|name| store::version_number(name));
        numbers.max().unwrap_or_default()
    }
}

impl Remote {
    /// The key of something below a model's directory.
    pub(super) fn key(&self, model: &str, below: &str) -> Result<Key> {
        let text = format!("{}/{model}/{below}", self.prefix);
        Key::parse(text).map_err(|error| {
            Error::not_found(format!(
                "`{model}/{below}` is not a valid name in {}",
                self.store
            ))
            .with_source(error)
        })
    }

    fn failed(&self, doing: &str, key: &Key, error: object_store::Error) -> Error {
        use object_store::Error as Cause;
        let kind = match &error {
            Cause::NotFound { .. } => ErrorKind::NotFound,
            Cause::AlreadyExists { .. } | Cause::Precondition { .. } => ErrorKind::AlreadyExists,
            Cause::NotImplemented { .. } | Cause::NotSupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{doing} `{key}` in {}", self.store)).with_source(error)
    }

    /// Checks that an object can be created, as versions are claimed: one that listings ignore, and that is
    /// removed again.
    pub(super) async fn check_writable(&self) -> Result<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.unwrap_or_default().as_nanos();
        let key = format!("{}/.writable-{}-{nanos}", self.prefix, std::process::id());
        let key = Key::parse(key).map_err(|error| {
            Error::internal("a key is not a path in an object store").with_source(error)
        })?;
        let put = self
            .store
            .put_opts(&key, String::new().into(), PutMode::Create.into());
        put.await
            .map_err(|error| self.failed("writing", &key, error))?;
        if let Err(error) = self.store.delete(&key).await {
            tracing::warn!(%key, %error, "an empty object cannot be removed");
        }
        Ok(())
    }

    /// The models, or the one of a name, with their versions.
    pub(super) async fn list(&self, model: Option<&str>) -> Result<BTreeMap<String, Listed>> {
        let below = match model {
            Some(model) => self.key(model, "")?,
            None => self.prefix.clone(),
        };
        let mut objects = self.store.list(Some(&below));
        let mut models: BTreeMap<String, Listed> = BTreeMap::new();
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| self.failed("listing", &below, error))?;
            let Some(parts) = object.location.prefix_match(&self.prefix) else {
                continue;
            };
            let parts: Vec<_> = parts.collect();
            let [model, first, rest @ ..] = parts.as_slice() else {
                continue;
            };
            if !store::is_name(model.as_ref()) {
                continue;
            }
            let listed = models.entry(model.as_ref().to_owned()).or_default();
            match rest {
                [] if first.as_ref() == CONTROL => listed.control = Some(object),
                [] => {}
                [file, deeper @ ..] => {
                    let dir = listed.dirs.entry(first.as_ref().to_owned()).or_default();
                    dir.n_bytes += object.size;
                    if deeper.is_empty() && file.as_ref() == SUMS {
                        dir.sums = Some(object);
                    }
                }
            }
        }
        Ok(models)
    }

    async fn text(&self, key: &Key) -> Result<(String, ObjectMeta)> {
        let failed = |error| self.failed("reading", key, error);
        let object = self.store.get(key).await.map_err(failed)?;
        let meta = object.meta.clone();
        let bytes = object.bytes().await.map_err(failed)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| {
            Error::corrupt(format!("`{key}` in {} is not UTF-8", self.store)).with_source(error)
        })?;
        Ok((text, meta))
    }

    /// The control file of a model, with its object.
    pub(super) async fn control(&self, model: &str) -> Result<(Control, Option<ObjectMeta>)> {
        let key = self.key(model, CONTROL)?;
        match self.text(&key).await {
            Ok((text, meta)) => Ok((control_of(&text, &key)?, Some(meta))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((Control::default(), None)),
            Err(error) => Err(error),
        }
    }

    /// The control files of some models, requested concurrently.
    pub(super) async fn controls(self, models: Vec<String>, limit: Duration) -> Controls {
        let mut reads = JoinSet::new();
        for model in models {
            let remote = self.clone();
            reads.spawn(async move {
                let read = tokio::time::timeout(limit, remote.control(&model)).await;
                (model, read.unwrap_or_else(|_| Err(timed_out(limit))))
            });
        }
        let mut controls = Controls::new();
        while let Some(read) = reads.join_next().await {
            controls.extend(read.ok());
        }
        controls
    }

    /// Writes an operator's settings, unless they were changed since; [`ErrorKind::AlreadyExists`] if they were.
    pub(super) async fn set_control(&self, model: &str, text: String, mode: PutMode) -> Result<()> {
        let key = self.key(model, CONTROL)?;
        let put = self.store.put_opts(&key, text.into(), mode.into()).await;
        put.map_err(|error| self.failed("writing", &key, error))?;
        Ok(())
    }

    /// Fetches a version to a directory, all of it or nothing. One that exists and is as listed stays.
    pub(super) async fn fetch(&self, model: &str, version: u64, place: &Path) -> Result<()> {
        let models = self.list(Some(model)).await?;
        let versions = models.get(model).map(Listed::versions).unwrap_or_default();
        let (dir, ..) = versions.get(&version).ok_or_else(|| {
            Error::not_found(format!(
                "version {version} of model `{model}` is no longer in {}",
                self.store
            ))
        })?;
        let key = self.key(model, &format!("{dir}/{SUMS}"))?;
        let (text, _) = self.text(&key).await?;
        let sums = store::parse_sums(&text).filter(|sums| sums.keys().all(|file| is_below(file)));
        let sums =
            sums.ok_or_else(|| Error::corrupt(format!("`{key}` in {} is damaged", self.store)))?;
        let sums = Arc::new(sums);
        // Disks are waited for on threads for that, so that other models need not.
        let is_there_now = || {
            let (place, sums) = (place.to_owned(), Arc::clone(&sums));
            blocking(move || is_there(&place, &sums))
        };
        if is_there_now().await? {
            return Ok(());
        }
        let aside = Aside::new(place)?;
        for (file, digest) in &*sums {
            let key = self.key(model, &format!("{dir}/{file}"))?;
            let is = self.bring(&key, aside.path().join(file)).await?;
            if is != *digest {
                return Err(Error::corrupt(format!(
                    "`{key}` in {} was changed after it was written: its digest is not the listed one",
                    self.store
                )));
            }
        }
        let to = place.to_owned();
        let committed = blocking(move || {
            if to.exists() {
                store::remove_dir(&to)?;
            }
            aside.commit().map(drop)
        });
        match committed.await? {
            // Another process that shares the directory was faster.
            Err(_) if is_there_now().await? => Ok(()),
            committed => committed,
        }
    }

    /// Brings a file and answers with its digest.
    async fn bring(&self, key: &Key, place: PathBuf) -> Result<String> {
        let failed = |error| self.failed("reading", key, error);
        let object = self.store.get(key).await.map_err(failed)?;
        let mut parts = object.into_stream();
        let (sender, received) = mpsc::channel(4);
        let writing = blocking(move || write(&place, received));
        let sent = async move {
            while let Some(part) = parts.try_next().await.map_err(failed)? {
                // A failed writer reports the reason.
                if sender.send(part).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (sent, written) = tokio::join!(sent, writing);
        sent.and(written?)
    }

    /// Sends the files of a directory as the next version of a model, its list of digests last.
    pub(super) async fn push(&self, model: &str, dir: &Path) -> Result<(u64, Key)> {
        if !store::is_name(model) {
            return Err(Error::config(format!(
                "model {model:?} cannot be pushed: its name is not a valid directory name"
            )));
        }
        let listed = self.list(Some(model)).await?;
        let mut last = listed.get(model).map(Listed::last).unwrap_or_default();
        // The number of a rolled-back version is not used again, even if its files are missing.
        if let Ok((control, _)) = self.control(model).await {
            last = last.max(control.rolled_back().last().copied().unwrap_or_default());
        }
        let version = loop {
            last = last.checked_add(1).ok_or_else(|| {
                Error::config(format!("model `{model}` has no version number left"))
            })?;
            let claim = self.key(model, &format!("{last}/{CLAIM}"))?;
            let put = self
                .store
                .put_opts(&claim, String::new().into(), PutMode::Create.into());
            match put.await {
                Ok(_) => break last,
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(self.failed("writing", &claim, error)),
            }
        };
        let mut files = store::files_below(dir)?;
        // The list of digests completes a version, and is sent last.
        files.sort_by_key(|file| file == SUMS);
        let mut sent = vec![self.key(model, &format!("{version}/{CLAIM}"))?];
        let mut send_all = async || {
            for file in &files {
                let key = self.key(model, &format!("{version}/{file}"))?;
                sent.push(key.clone());
                self.send(&dir.join(file), &key).await?;
            }
            Ok(())
        };
        if let Err(error) = send_all().await {
            self.remove(&sent).await;
            return Err(error);
        }
        let key = self.key(model, &version.to_string())?;
        Ok((version, key))
    }

    /// Removes the files of a failed push, the claim last.
    async fn remove(&self, keys: &[Key]) {
        for key in keys.iter().rev() {
            if let Err(error) = self.store.delete(key).await {
                tracing::debug!(%key, %error, "cannot be removed");
            }
        }
    }

    async fn send(&self, path: &Path, key: &Key) -> Result<()> {
        let failed = |error| self.failed("writing", key, error);
        let read = |error| Error::io(format!("reading `{}`", path.display()), error);
        let mut file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        if size <= PART as u64 {
            let bytes = fs::read(path).map_err(read)?;
            self.store.put(key, bytes.into()).await.map_err(failed)?;
            return Ok(());
        }
        let upload = self.store.put_multipart(key).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut buffer = vec![0; 1 << 16];
        loop {
            upload.wait_for_capacity(2).await.map_err(failed)?;
            match file.read(&mut buffer).map_err(read)? {
                0 => break,
                n => upload.write(&buffer[..n]),
            }
        }
        upload.finish().await.map_err(failed)?;
        Ok(())
    }
}

/// Does what waits for disks on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("downloading a file panicked").with_source(error))
}

/// Writes the parts of a file as they come, and answers with its digest.
fn write(place: &Path, mut parts: mpsc::Receiver<impl AsRef<[u8]>>) -> Result<String> {
    let written = |error| Error::io(format!("writing `{}`", place.display()), error);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(written)?;
    }
    let mut file = File::create(place).map_err(written)?;
    let mut digest = Sha256::new();
    while let Some(part) = parts.blocking_recv() {
        digest.update(&part);
        file.write_all(part.as_ref()).map_err(written)?;
    }
    Ok(hex(&digest.finalize()))
}

/// Returns `true` if a listed file is below the directory that lists it.
fn is_below(file: &str) -> bool {
    !file.is_empty()
        && file.split('/').all(|part| !["", ".", ".."].contains(&part))
        && !PathBuf::from(file).is_absolute()
}

/// Returns `true` if a directory exists, complete and as listed.
fn is_there(place: &Path, sums: &BTreeMap<String, String>) -> bool {
    let local = fs::read_to_string(place.join(SUMS)).ok();
    let local = local.and_then(|text| store::parse_sums(&text));
    local.as_ref() == Some(sums) && store::verify_dir(place).is_ok()
}
