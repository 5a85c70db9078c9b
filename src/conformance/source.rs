//! The contract of sources of models.

use std::collections::BTreeSet;

use super::{Violation, holds, without_panic};
use crate::error::{Error, ErrorKind, Result};
use crate::serving::lifecycle::{FoundModel, Source};

/// Checks a source against the contract of [`Source`]: while nothing changes, it finds the same; what it found can be
/// fetched, twice and by two threads at once, and is a directory then; versions that are wanted stay; a change that fails
/// changes nothing, and one of a model that is not there is an error.
///
/// It must find at least one version. Wanted are all that it finds, so that nothing is lost.
///
/// # Errors
/// The first requirement that does not hold.
pub fn source(source: &dyn Source) -> Result<(), Violation> {
    let who = format!("{source:?}");
    let who = who.as_str();
    let models = poll(source, who)?;
    holds(
        !models.is_empty(),
        who,
        "it finds no model; there must be one to try",
    )?;
    let names: BTreeSet<&str> = models.iter().map(FoundModel::name).collect();
    holds(
        names.len() == models.len(),
        who,
        "a model is listed twice in one poll",
    )?;
    same(&models, &poll(source, who)?, who)?;
    for model in &models {
        let name = model.name();
        let found = model.found().map_err(|error| {
            Violation::new(who, format!("model `{name}` could not be listed: {error}"))
        })?;
        for version in found.versions() {
            let what = format!("version {} of `{name}`", version.version());
            let fetch = || source.fetch(name, version);
            std::thread::scope(|scope| {
                let other = scope.spawn(fetch);
                let mine = fetch();
                let other = other.join().map_err(|_| {
                    Violation::new(who, format!("fetching {what} panicked, must be an error"))
                })?;
                mine.and(other)
                    .map_err(Violation::failed(who, format!("fetching {what}")))
            })?;
            holds(
                version.path().is_dir(),
                who,
                format!("{what} is fetched, and no directory at its path"),
            )?;
        }
        source
            .retain(name, &found.numbers())
            .map_err(Violation::failed(who, format!("retaining all of `{name}`")))?;
        let gone = found.versions().iter().find(|v| !v.path().is_dir());
        holds(
            gone.is_none(),
            who,
            format!("a version of `{name}` is gone though it is wanted"),
        )?;
        refused_change(source, who, name)?;
    }
    same(&models, &poll(source, who)?, who)?;
    let missing = "no-such-model";
    let update = || source.update(missing, &mut |_| Ok(()));
    let answer = without_panic(who, "changing a model that is not there", update)?;
    let kind = answer.err().map(|error| error.kind());
    holds(
        matches!(kind, Some(ErrorKind::NotFound | ErrorKind::Unsupported)),
        who,
        format!(
            "changing a model that is not there gives {kind:?}, must be an error, NotFound or Unsupported"
        ),
    )?;
    let watch = without_panic(who, "watching", || source.watch(std::sync::Arc::new(|| {})))?;
    // It may not be able to just now, and is polled then.
    drop(watch);
    Ok(())
}

fn poll(source: &dyn Source, who: &str) -> Result<Vec<FoundModel>, Violation> {
    source.poll().map_err(Violation::failed(who, "a poll"))
}

/// Checks that two polls found the same.
fn same(before: &[FoundModel], after: &[FoundModel], who: &str) -> Result<(), Violation> {
    let sorted = |models: &[FoundModel]| {
        let mut all: Vec<(String, Option<crate::serving::lifecycle::Found>)> = models
            .iter()
            .map(|model| (model.name().to_owned(), model.found().ok().cloned()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    holds(
        sorted(before) == sorted(after),
        who,
        "a second poll finds other models, versions or labels, and nothing has changed",
    )
}

fn refused_change(source: &dyn Source, who: &str, model: &str) -> Result<(), Violation> {
    let refused = Error::new(ErrorKind::Config, "not this change");
    let mut refused = Some(refused);
    let mut change = |_: &mut crate::serving::lifecycle::Control| match refused.take() {
        Some(error) => Err(error),
        None => Err(Error::new(ErrorKind::Config, "not this change, once more")),
    };
    holds(
        source.update(model, &mut change).is_err(),
        who,
        format!("a change of `{model}` that fails is no error"),
    )
}
