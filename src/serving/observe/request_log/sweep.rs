//! Keeping a log within its size.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::columns::PARTITION;
use super::file::is_log_file;

/// The time after its last write at which an incomplete file counts as left by a crash, beyond the age at which
/// a living one would have closed it.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A file's name, which begins with its time, where it is, and its size.
type LogFile = (String, PathBuf, u64);

/// Removes the oldest files beyond a size, and what crashed processes have left. Returns how many it has removed.
/// Files that cannot be read or removed are left: the next sweep tries again.
pub(super) fn sweep(dir: &Path, max_bytes: u64, file_age: Duration) -> u64 {
    let now = SystemTime::now();
    let mut models: BTreeMap<PathBuf, Vec<LogFile>> = BTreeMap::new();
    for model in directories(dir) {
        for day in directories(&model) {
            let name = day.file_name().map(|name| name.to_string_lossy());
            if !name.is_some_and(|name| name.starts_with(PARTITION) && name.contains('=')) {
                continue;
            }
            for entry in fs::read_dir(&day).into_iter().flatten().flatten() {
                let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata())
                else {
                    continue;
                };
                if is_log_file(&name) {
                    let file = (name, entry.path(), metadata.len());
                    models.entry(model.clone()).or_default().push(file);
                } else if name.strip_prefix('.').is_some_and(is_log_file) {
                    let written = metadata.modified().ok();
                    let since = written.and_then(|written| now.duration_since(written).ok());
                    if since.is_some_and(|since| since > file_age.saturating_add(ABANDONED)) {
                        let _ = fs::remove_file(entry.path());
                    }
                }
            }
        }
    }
    // The newest first, so that the oldest is the one to pop.
    models
        .values_mut()
        .for_each(|files| files.sort_by(|a, b| b.cmp(a)));
    let mut sizes: Vec<(u64, Vec<LogFile>)> = models
        .into_values()
        .map(|files| (files.iter().map(|(_, _, size)| size).sum(), files))
        .collect();
    let mut removed = 0;
    while sizes.iter().map(|(size, _)| size).sum::<u64>() > max_bytes {
        // A busy model pays, and not a quiet one.
        let Some((size, files)) = sizes.iter_mut().max_by_key(|(size, _)| *size) else {
            break;
        };
        let Some((_, path, of_file)) = files.pop() else {
            break;
        };
        *size = size.saturating_sub(of_file);
        if fs::remove_file(&path).is_ok() {
            removed += 1;
            if let Some(day) = path.parent() {
                // Only if it is empty.
                let _ = fs::remove_dir(day);
            }
        }
    }
    removed
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let found = entries.filter(is_directory).map(|entry| entry.path());
    found.collect()
}
