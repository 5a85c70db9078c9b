//! Removing artifacts that nobody needs any more, and checking those that are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lineage::{is_blessed, periods};
use super::open::open_lock;
use super::record::{Run, State};
use super::{ArtifactId, Root};
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// The runs whose artifacts are kept. Kept in any case is what serves, what was blessed last, what a run is tagged
/// [`keep`](Keep::TAG), what a kept artifact was made of, artifacts that no run of a pipeline made, and every record.
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
    /// The tag of runs whose artifacts are kept.
    pub const TAG: &'static str = "keep";

    /// Keeps those of the newest so many runs of each pipeline.
    #[must_use]
    pub fn newest(mut self, n: usize) -> Self {
        self.newest = n;
        self
    }

    /// Keeps those of the runs of the last so many days.
    #[must_use]
    pub fn days(mut self, days: u64) -> Self {
        self.days = days;
        self
    }

    /// Keeps at most so many bytes of what [`newest`](Keep::newest) and [`days`](Keep::days) keep: of the oldest runs, none
    /// are kept then. What is kept in any case may be more.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.at_most = Some(bytes);
        self
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Collected {
    /// The artifacts, sorted.
    pub artifacts: Vec<ArtifactId>,
    /// Their size.
    pub bytes: u64,
    /// The size of those that stay.
    pub kept_bytes: u64,
}

/// What checking all artifacts has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// The artifacts that are as they were written.
    pub whole: Vec<ArtifactId>,
    /// Those that are not, and why.
    pub damaged: Vec<(ArtifactId, Error)>,
}

impl Root {
    /// Removes the artifacts that no rule keeps; only says which, if `dry`. Records stay, and so does the lineage of what was
    /// removed. No run is under way meanwhile: one that begins waits.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if a run is under way, or another collection; [`ErrorKind::Io`] if something cannot be
    /// removed: what was removed before it is gone; as [`Root::runs`].
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
                            "a run or a collection is under way in `{}`; try again when it is done",
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
        // All that its stages made or used, from the source on.
        let needed = |ids: &mut BTreeSet<ArtifactId>, run: &Run| {
            for execution in history.of_run(run) {
                ids.extend(execution.inputs.iter().cloned());
                ids.extend(execution.outputs.iter().cloned());
            }
        };
        let size_of =
            |ids: &BTreeSet<ArtifactId>| -> u64 { ids.iter().filter_map(|id| sizes.get(id)).sum() };
        let mut kept = BTreeSet::new();
        for run in kept_anyway(runs) {
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

    /// Reads every artifact again and compares it with its digests.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the root cannot be read. An artifact that is damaged is no error, but
    /// [said](Verified::damaged).
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

/// The runs that are kept by no number, day or size.
fn kept_anyway(runs: &[Run]) -> impl Iterator<Item = &Run> {
    let present = periods(runs).into_iter();
    let present = present.filter(|period| period.until_ms.is_none());
    let mut ids: BTreeSet<String> = present.map(|period| period.run).collect();
    let blessed = runs.iter().filter(|run| is_blessed(run));
    // The last of each pipeline stays.
    let last: BTreeMap<&str, &Run> = blessed.map(|run| (run.pipeline.as_str(), run)).collect();
    ids.extend(last.into_values().map(|run| run.id.clone()));
    runs.iter().filter(move |run| {
        run.state == State::Running || run.tags.contains_key(Keep::TAG) || ids.contains(&run.id)
    })
}
