//! The state of the loop on disk, from which a restarted process resumes.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::blocking;
use super::canary::CanaryState;
use super::step::Step;
use crate::data::SpanId;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Schema;
use crate::statistics::Statistics;
use crate::store::{self, Readers};

/// The number of spans that are remembered one by one. Older ones count as done.
const MOST_SPANS: usize = 1_000;
/// The most bytes of a file that is read back.
const MOST_BYTES: u64 = 256 << 20;

/// The state of the loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    format_version: u32,
    /// The inferred schema, with the values and columns that were accepted since.
    #[serde(default)]
    pub(super) schema: Option<Schema>,
    /// The spans that were checked.
    spans: BTreeMap<i64, Noted>,
    /// Spans below this number were checked and are no longer remembered.
    #[serde(default)]
    done_below: Option<i64>,
    /// Whether there are good spans that were not trained on yet.
    #[serde(default)]
    pub(super) is_behind: bool,
    /// The canary that is being tried.
    #[serde(default)]
    pub(super) canary: Option<CanaryState>,
    /// The time of the last scheduled training, or of the start of the schedule.
    #[serde(default)]
    pub(super) scheduled_ms: Option<u64>,
    /// The number of recorded steps.
    pub(super) n_steps: u64,
}

/// A span that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    version: Option<u64>,
    is_good: bool,
}

impl State {
    const FORMAT_VERSION: u32 = 1;

    fn new() -> Self {
        State {
            format_version: State::FORMAT_VERSION,
            schema: None,
            spans: BTreeMap::new(),
            done_below: None,
            is_behind: false,
            canary: None,
            scheduled_ms: None,
            n_steps: 0,
        }
    }

    /// Returns true if a span must be checked: it never was, or there is a newer version of it.
    pub(super) fn is_due(&self, span: &SpanId) -> bool {
        match self.spans.get(&span.number) {
            Some(noted) => span.version > noted.version,
            None => self.done_below.is_none_or(|below| span.number >= below),
        }
    }

    pub(super) fn note(&mut self, span: &SpanId, is_good: bool) {
        let version = span.version;
        self.spans.insert(span.number, Noted { version, is_good });
        while self.spans.len() > MOST_SPANS {
            if let Some((number, _)) = self.spans.pop_first() {
                self.done_below = Some(number.saturating_add(1));
            }
        }
    }

    fn good(&self) -> impl DoubleEndedIterator<Item = i64> {
        let good = self.spans.iter().filter(|(_, noted)| noted.is_good);
        good.map(|(number, _)| *number)
    }

    /// The newest good spans, the newest last.
    pub(super) fn window(&self, n: usize) -> Vec<i64> {
        let mut window: Vec<i64> = self.good().rev().take(n).collect();
        window.reverse();
        window
    }

    /// The good span before another.
    pub(super) fn before(&self, number: i64) -> Option<i64> {
        self.good().rfind(|good| *good < number)
    }
}

/// The directory of the state, which one process uses at a time.
///
/// ```text
/// state.json            the state
/// spans/<number>.json   the statistics of a good span, for the next one to be compared with
/// steps/<number>.json   a step
/// lock                  held by the process that runs it
/// ```
#[derive(Debug)]
pub(super) struct Store {
    dir: Arc<Locked>,
    pub(super) state: State,
}

/// The locked directory, held for as long as a write may be in progress.
#[derive(Debug)]
pub(super) struct Locked {
    path: PathBuf,
    _lock: Option<File>,
}

/// The time to wait for the lock of a process that is ending.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Opens the directory, which is created if it does not exist. It blocks.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let failed = |error| Error::io(format!("making `{}`", path.display()), error);
        for part in ["spans", "steps"] {
            store::create_dir(&path.join(part), Readers::User).map_err(failed)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        let began = Instant::now();
        let lock = loop {
            match lock.try_lock() {
                Ok(()) => break Some(lock),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "`{}` is the state of a continuous pipeline that is already running",
                            path.display()
                        ),
                    ));
                }
                // A file system without locks.
                Err(TryLockError::Error(_)) => break None,
            }
        };
        for part in ["", "spans", "steps"] {
            store::sweep(&path.join(part));
        }
        let state = match store::read_text(&path.join("state.json"), MOST_BYTES) {
            Ok(text) => parse_state(&path, &text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => State::new(),
            Err(error) => return Err(error),
        };
        Ok(Store {
            dir: Arc::new(Locked { path, _lock: lock }),
            state,
        })
    }

    pub(super) fn dir(&self) -> Arc<Locked> {
        Arc::clone(&self.dir)
    }

    /// Replaces the state.
    pub(super) async fn save(&mut self, state: State) -> Result<()> {
        let (dir, saved) = (self.dir(), state.clone());
        blocking(move || write_json(&dir.path.join("state.json"), &saved)).await?;
        self.state = state;
        Ok(())
    }

    /// Records a step, and then the state that follows from it: if the process is killed in between, the step is repeated under
    /// the same number.
    pub(super) async fn finish(&mut self, step: &Step, mut state: State) -> Result<()> {
        let (dir, saved) = (self.dir(), step.clone());
        blocking(move || write_json(&step_path(&dir, saved.number), &saved)).await?;
        state.n_steps = step.number + 1;
        self.save(state).await
    }

    /// The statistics of a span, if they are stored.
    pub(super) async fn statistics(&self, number: i64) -> Result<Option<Statistics>> {
        let dir = self.dir();
        blocking(move || match statistics_path(&dir, number) {
            path if path.is_file() => Statistics::load(path).map(Some),
            _ => Ok(None),
        })
        .await
    }

    /// Stores the statistics of a span, and removes those of all but the newest `n` other good spans.
    pub(super) async fn keep(&self, number: i64, statistics: Statistics, n: usize) -> Result<()> {
        let kept = self.state.window(n);
        let old = self
            .state
            .good()
            .filter(|old| !kept.contains(old) && *old != number);
        let (dir, old) = (self.dir(), old.collect::<Vec<_>>());
        blocking(move || {
            let text = statistics.to_json()?;
            store::write_file_for(
                &statistics_path(&dir, number),
                text.as_bytes(),
                Readers::User,
            )?;
            for old in old {
                // A leftover file wastes space and does no other harm.
                let _ = std::fs::remove_file(statistics_path(&dir, old));
            }
            Ok(())
        })
        .await
    }
}

fn step_path(dir: &Locked, number: u64) -> PathBuf {
    dir.path.join("steps").join(format!("{number:08}.json"))
}

fn statistics_path(dir: &Locked, number: i64) -> PathBuf {
    dir.path.join("spans").join(format!("{number}.json"))
}

/// Steps by their numbers, the oldest first. It blocks.
pub(super) fn read_steps(dir: &Locked, numbers: Range<u64>) -> Result<Vec<Step>> {
    let read = |number: u64| {
        let path = step_path(dir, number);
        let text = store::read_text(&path, MOST_BYTES)?;
        serde_json::from_str(&text).map_err(|error| broken(&path, error))
    };
    numbers.map(read).collect()
}

fn parse_state(dir: &Path, text: &str) -> Result<State> {
    #[derive(Deserialize)]
    struct Format {
        format_version: u32,
    }
    let path = dir.join("state.json");
    let format: Format = serde_json::from_str(text).map_err(|error| broken(&path, error))?;
    if format.format_version != State::FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "`{}` is of format version {}, this build reads {}",
                path.display(),
                format.format_version,
                State::FORMAT_VERSION
            ),
        ));
    }
    serde_json::from_str(text).map_err(|error| broken(&path, error))
}

fn broken(path: &Path, error: serde_json::Error) -> Error {
    Error::corrupt(format!("`{}` is not valid", path.display())).with_source(error)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("a state that cannot be written").with_source(error))?;
    store::write_file_for(path, text.as_bytes(), Readers::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: i64, version: Option<u64>) -> SpanId {
        SpanId { number, version }
    }

    #[test]
    fn a_span_is_due_once_for_each_version() {
        let mut state = State::new();
        assert!(state.is_due(&span(3, None)));
        state.note(&span(3, None), true);
        assert!(!state.is_due(&span(3, None)) && state.is_due(&span(2, None)));
        assert!(state.is_due(&span(3, Some(1))), "a newer version");
        state.note(&span(3, Some(1)), false);
        assert!(state.is_due(&span(3, Some(2))) && !state.is_due(&span(3, Some(1))));
    }

    #[test]
    fn windows_are_of_good_spans_and_old_ones_are_forgotten() {
        let mut state = State::new();
        for number in 0..1_200 {
            state.note(&span(number, None), number % 5 != 0);
        }
        assert_eq!(state.window(3), [1_197, 1_198, 1_199]);
        assert_eq!(state.before(1_196), Some(1_194), "1195 is bad");
        assert_eq!(state.spans.len(), MOST_SPANS);
        assert!(!state.is_due(&span(7, None)) && state.is_due(&span(1_200, None)));
    }

    #[tokio::test]
    async fn one_process_has_the_state_and_the_next_one_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path().join("loop")).unwrap();
        let mut state = store.state.clone();
        state.note(&span(1, None), true);
        store.save(state.clone()).await.unwrap();
        let error = Store::open(dir.path().join("loop")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        drop(store);
        assert_eq!(Store::open(dir.path().join("loop")).unwrap().state, state);
        let newer = r#"{"format_version": 2}"#;
        std::fs::write(dir.path().join("loop/state.json"), newer).unwrap();
        let error = Store::open(dir.path().join("loop")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
