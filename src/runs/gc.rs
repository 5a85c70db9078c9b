//! Garbage collection of artifacts, and verification of those that exist.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lineage::{is_blessed, periods};
use super::open::open_lock;
use super::record::{Run, State};
use super::{ArtifactId, Root};
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// Rules that say which runs keep their artifacts. Always kept: models that serve, the last blessed model of each pipeline,
/// runs with the tag [`keep`](Keep::TAG), everything that a kept artifact was made from, artifacts of applications, and all
/// records.
///
/// ```
/// use fourfold::runs::{Keep, Root};
///
/// let dir = tempfile::tempdir().unwrap();
/// let root = Root::open(dir.path())?;
/// let keep = Keep::default().newest(5).days(30).at_most(20 << 30);
/// let would_go = root.collect(&keep, true)?; // a dry run
/// assert!(would_go.artifacts.is_empty());
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keep {
    newest: usize,
    days: u64,
    at_most: Option<u64>,
}

impl Keep {
    /// The tag of runs that always keep their artifacts.
    pub const TAG: &'static str = "keep";

    /// Keeps the artifacts of the newest `n` runs of each pipeline.
    #[must_use]
    pub fn newest(mut self, n: usize) -> Self {
        self.newest = n;
        self
    }

    /// Keeps the artifacts of the runs of the last days.
    #[must_use]
    pub fn days(mut self, days: u64) -> Self {
        self.days = days;
        self
    }

    /// Limits the bytes that [`newest`](Keep::newest) and [`days`](Keep::days) keep: the oldest runs lose their artifacts
    /// first. Artifacts that are always kept may exceed the limit.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.at_most = Some(bytes);
        self
    }
}

/// The result of a collection, or of a dry run of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Collected {
    /// The artifacts that were removed, or would be, sorted.
    pub artifacts: Vec<ArtifactId>,
    /// The size of these artifacts in bytes.
    pub bytes: u64,
    /// The size of the remaining artifacts in bytes.
    pub kept_bytes: u64,
}

/// The result of verifying all artifacts.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// The artifacts whose digests match.
    pub whole: Vec<ArtifactId>,
    /// The damaged artifacts, with the reasons.
    pub damaged: Vec<(ArtifactId, Error)>,
}

impl Root {
    /// Removes the artifacts that no rule keeps; if `dry`, only lists them. Records stay, and with them the lineage of removed
    /// artifacts. A run that begins during the collection waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if a run or another collection is in progress; [`ErrorKind::Io`] if an artifact cannot be
    /// removed, after others may have been; as [`Root::runs`].
    pub fn collect(&self, keep: &Keep, dry: bool) -> Result<Collected> {
        let failed = |error| Error::io(format!("locking `{}`", self.path().display()), error);
        let _alone = match (dry, self.path().is_dir()) {
            (true, _) | (_, false) => None,
            (false, true) => {
                let lock = open_lock(self).map_err(failed)?;
                lock.try_lock().map_err(|_| {
                    Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "a run or a collection is in progress in `{}`; try again when it is done",
                            self.path().display()
                        ),
                    )
                })?;
                Some(lock)
            }
        };
        let history = self.history()?;
        let runs = history.runs();
        let there = self.artifacts()?;
        let sizes: BTreeMap<&ArtifactId, u64> = there
            .iter()
            .map(|id| (id, store::n_bytes(&self.dir_of(id))))
            .collect();
        // All inputs and outputs of its stages.
        let needed = |ids: &mut BTreeSet<ArtifactId>, run: &Run| {
            for execution in history.of_run(run) {
                ids.extend(execution.inputs.iter().cloned());
                ids.extend(execution.outputs.iter().cloned());
            }
        };
        let size_of =
            |ids: &BTreeSet<ArtifactId>| -> u64 { ids.iter().filter_map(|id| sizes.get(id)).sum() };
        let mut kept = BTreeSet::new();
        for run in always_kept(runs) {
            needed(&mut kept, run);
        }
        let now = self.clock().now_ms();
        let since = now.saturating_sub(keep.days.saturating_mul(86_400_000));
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for run in runs.iter().rev() {
            let before = seen.entry(&run.pipeline).or_default();
            *before += 1;
            if *before > keep.newest && (keep.days == 0 || run.started_ms < since) {
                continue;
            }
            let mut with_it = kept.clone();
            needed(&mut with_it, run);
            if keep.at_most.is_some_and(|most| size_of(&with_it) > most) {
                break;
            }
            kept = with_it;
        }
        let is_ours = |id: &ArtifactId| super::KINDS.contains(&id.kind());
        let gone: Vec<ArtifactId> = there
            .iter()
            .filter(|id| is_ours(id) && !kept.contains(*id))
            .cloned()
            .collect();
        let bytes = gone.iter().filter_map(|id| sizes.get(id)).sum();
        let all: u64 = sizes.values().sum();
        if !dry {
            for id in &gone {
                store::remove_dir(&self.dir_of(id))?;
            }
            self.sweep()?;
        }
        Ok(Collected {
            artifacts: gone,
            bytes,
            kept_bytes: all - bytes,
        })
    }

    /// Reads every artifact and compares it with its digests.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the root cannot be read. Damaged artifacts are not errors but
    /// [listed](Verified::damaged).
    pub fn verify(&self) -> Result<Verified> {
        let mut verified = Verified::default();
        for id in self.artifacts()? {
            match self.checked_dir(&id) {
                Ok(_) => verified.whole.push(id),
                Err(error) => verified.damaged.push((id, error)),
            }
        }
        Ok(verified)
    }
}

/// The runs that are kept whatever the rules are.
fn always_kept(runs: &[Run]) -> impl Iterator<Item = &Run> {
    let present = periods(runs).into_iter();
    let present = present.filter(|period| period.until_ms.is_none());
    let mut ids: BTreeSet<String> = present.map(|period| period.run).collect();
    let blessed = runs.iter().filter(|run| is_blessed(run));
    // The last one of each pipeline stays.
    let last: BTreeMap<&str, &Run> = blessed.map(|run| (run.pipeline.as_str(), run)).collect();
    ids.extend(last.into_values().map(|run| run.id.clone()));
    runs.iter().filter(move |run| {
        run.state == State::Running || run.tags.contains_key(Keep::TAG) || ids.contains(&run.id)
    })
}
