//! Changes by operators of a running manager.

use super::registry::Registry;
use super::shared::{lock, until};
use super::versions::ModelVersions;
use super::{Control, Found, Manager, Traffic, VersionPolicy, VersionRef};
use crate::error::{Error, ErrorKind, Result, near_names, shortened};

impl Manager {
    /// Loads a model: one that was unloaded, is loaded lazily, or has versions that could not be loaded, whatever their
    /// retries. Returns once it answers and every version that is wanted was tried.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model; [`ErrorKind::Model`] if no version could be loaded, with why;
    /// [`ErrorKind::DeadlineExceeded`] if that takes longer than the manager waits.
    pub fn load(&self, name: &str) -> Result<()> {
        let operating = self.shared.operating(name);
        let _operating = lock(&operating);
        let time = self.shared.read(|registry| registry.settings.slow_after);
        match self.shared.poll_within(time.min(self.timeout)) {
            // The versions already known are loaded nevertheless.
            Err(error) if error.kind() == ErrorKind::DeadlineExceeded => {
                tracing::warn!(
                    ?error,
                    model = name,
                    "the source does not answer; loading the model as last found"
                );
            }
            polled => polled?,
        }
        self.shared.with(|registry| -> Result<_> {
            let model = model_of(registry, name)?;
            model.is_unloaded = false;
            for harness in model.versions.values_mut() {
                harness.failure = None;
            }
            registry.changes.models.insert(name.into());
            Ok(())
        })?;
        let came = self.wait_for(name, None, self.timeout);
        // By then a version that failed before has been retried, although an older version answers.
        self.settle(Some(name));
        came.map(drop).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::model(error.message()),
            _ => error,
        })
    }

    /// Takes all versions of a model out of service until [`Manager::load`]. Requests that hold one finish on it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model.
    pub fn unload(&self, name: &str) -> Result<()> {
        let operating = self.shared.operating(name);
        let _operating = lock(&operating);
        self.shared.with(|registry| {
            model_of(registry, name)?.is_unloaded = true;
            registry.changes.models.insert(name.into());
            Ok(())
        })
    }

    /// Takes the version that answers out of service, and serves an older one: the newest that exists and can be
    /// loaded. Returns that version once it answers. The old version stays out, with `rolled back` as its reason, and a
    /// newer one is served as usual. Where the source keeps such things, other servers follow and a restart remembers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model, nothing answers, or there is no older version;
    /// [`ErrorKind::Model`] if no older version could be loaded: the version that answered does so again then;
    /// [`ErrorKind::DeadlineExceeded`] if that takes longer than the manager waits.
    pub fn rollback(&self, name: &str) -> Result<u64> {
        let operating = self.shared.operating(name);
        let _operating = lock(&operating);
        let current = self.shared.table.load().find(name)?.default_version();
        let current = current
            .ok_or_else(|| Error::not_found(format!("model `{name}` has no available version")))?;
        let (policy, to) = self.shared.with(|registry| -> Result<_> {
            let policy = registry.policy_of(name).clone();
            let loads_first = registry.loads_first();
            let model = model_of(registry, name)?;
            let to = model.older_than(current).ok_or_else(|| {
                Error::not_found(format!(
                    "model `{name}` has no version older than {current} to roll back to"
                ))
            })?;
            let mut control = model.control().clone();
            roll_back(&mut control, model, &policy, current, to)?;
            if !loads_first {
                model.tried = Some(control);
                registry.changes.models.insert(name.into());
            }
            Ok((policy, to))
        })?;
        self.try_out(name, &[to])?;
        self.keep(name, &mut |control| {
            self.shared
                .read(|registry| match registry.models.get(name) {
                    Some(model) => roll_back(control, model, &policy, current, to),
                    None => control.roll_back(current, to),
                })
        })?;
        tracing::info!(model = name, from = current, to, "rolled back");
        Ok(to)
    }

    /// Gives a version a label, which moves if another version has it. The version is loaded first if it is not, and
    /// stays loaded; the label moves once it answers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model or version; [`ErrorKind::Config`] if the label is no name or the
    /// version is rolled back; [`ErrorKind::Model`] if the version cannot be loaded.
    pub fn set_label(&self, name: &str, label: &str, version: u64) -> Result<()> {
        let label_it = &mut |control: &mut Control| control.set_label(label, version);
        self.say(name, &[VersionRef::Number(version)], label_it)
    }

    /// Removes a label; returns `true` if it existed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model; [`ErrorKind::Config`] if traffic uses the label.
    pub fn remove_label(&self, name: &str, label: &str) -> Result<bool> {
        let mut was_there = false;
        self.say(name, &[], &mut |control| {
            was_there = control.remove_label(label)?;
            Ok(())
        })?;
        Ok(was_there)
    }

    /// Shares the requests that name no version, or, with `None`, no longer. The versions are loaded first.
    ///
    /// # Errors
    /// As [`Manager::set_label`].
    pub fn set_traffic(&self, name: &str, traffic: Option<&Traffic>) -> Result<()> {
        let shares = traffic.iter().flat_map(|traffic| traffic.shares());
        let named: Vec<VersionRef> = shares.map(|share| share.to().clone()).collect();
        let share = &mut |control: &mut Control| control.set_traffic(traffic.cloned());
        self.say(name, &named, share)
    }

    /// Sends a copy of the requests to a version, or, with `None`, stops that. The version is loaded first.
    ///
    /// # Errors
    /// As [`Manager::set_label`].
    pub fn set_shadow(&self, name: &str, shadow: Option<&VersionRef>) -> Result<()> {
        let named: Vec<VersionRef> = shadow.into_iter().cloned().collect();
        let shadow_it = &mut |control: &mut Control| control.set_shadow(shadow.cloned());
        self.say(name, &named, shadow_it)
    }

    /// Sets the versions of a model to load, or, with `None`, leaves the choice to the manager's own
    /// [policy](super::ManagerBuilder::versions). Returns once the changes that follow are done.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model; as [`VersionPolicy::check`].
    pub fn set_versions(&self, name: &str, versions: Option<&VersionPolicy>) -> Result<()> {
        let set = &mut |control: &mut Control| control.set_versions(versions.cloned());
        self.say(name, &[], set)?;
        self.settle(Some(name));
        Ok(())
    }

    /// Lets a version that was [rolled back](Manager::rollback) be served again. Returns once it is loaded, if it is
    /// wanted, or could not be.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model, or the version is not rolled back.
    pub fn restore(&self, name: &str, version: u64) -> Result<()> {
        self.say(name, &[], &mut |control| {
            if control.restore(version) {
                return Ok(());
            }
            Err(Error::not_found(format!(
                "version {version} of model `{name}` is not rolled back"
            )))
        })?;
        self.settle(Some(name));
        Ok(())
    }

    /// Changes the settings of a model: tries them, and keeps them if the versions that the change names answer.
    fn say(
        &self,
        name: &str,
        named: &[VersionRef],
        change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<()> {
        let operating = self.shared.operating(name);
        let _operating = lock(&operating);
        let named = self.shared.with(|registry| -> Result<_> {
            let model = model_of(registry, name)?;
            let mut control = model.control().clone();
            change(&mut control)?;
            // Other versions that are named may be broken; that does not prevent this change.
            let named = named.iter().filter_map(|named| control.resolve(named));
            let named: Vec<u64> = named.collect();
            let is_missing = |version: &&u64| model.found.version(**version).is_none();
            if let Some(version) = named.iter().find(is_missing) {
                return Err(Error::not_found(format!(
                    "model `{name}` has no version {version}; available: {:?}",
                    model.found.numbers()
                )));
            }
            Ok(named)
        })?;
        self.try_out(name, &named)?;
        self.keep(name, change)
    }

    /// Loads versions and waits until they answer. Where they do not, it is as if nothing had been said.
    fn try_out(&self, name: &str, versions: &[u64]) -> Result<()> {
        self.shared.with(|registry| {
            if let Some(model) = registry.models.get_mut(name) {
                model.pinned = versions.iter().copied().collect();
            }
        });
        // With lazy loading, a wanted version has to be requested too.
        self.shared.with(|registry| {
            for version in versions {
                registry.demand(name, *version);
            }
        });
        let come = self.shared.wait(until(self.timeout), |registry| {
            let model = registry.models.get(name)?;
            if versions.iter().all(|version| model.is_available(*version)) {
                return Some(Ok(()));
            }
            let failed = versions.iter().find_map(|version| {
                let reason = model.failure(*version)?;
                Some(Error::model(format!(
                    "version {version} of model `{name}` could not be loaded: {reason}"
                )))
            });
            failed.map(Err)
        });
        let come = come.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::DeadlineExceeded,
                format!(
                    "versions {versions:?} of model `{name}` were not loaded within {:?}",
                    self.timeout
                ),
            ))
        });
        if come.is_err() {
            self.forget(name);
        }
        come
    }

    /// Reverts the change, and waits for the versions that answered before.
    fn forget(&self, name: &str) {
        self.shared.with(|registry| {
            if let Some(model) = registry.models.get_mut(name) {
                model.tried = None;
                model.pinned.clear();
            }
            registry.changes.models.insert(name.into());
        });
        self.settle(Some(name));
    }

    /// Keeps an operator's setting, in the source where that can.
    fn keep(&self, name: &str, change: &mut dyn FnMut(&mut Control) -> Result<()>) -> Result<()> {
        let mut kept = self.shared.source.update(name, change);
        let is_local = matches!(&kept, Err(error) if error.kind() == ErrorKind::Unsupported);
        if is_local {
            let before = self.shared.read(|registry| {
                let model = registry.models.get(name);
                model.map(|model| model.kept().clone())
            });
            let mut control = before.unwrap_or_default();
            kept = change(&mut control).map(|()| control);
        }
        let control = match kept {
            Ok(control) => control,
            Err(error) => {
                self.forget(name);
                return Err(error);
            }
        };
        self.shared.with(|registry| {
            registry.epoch += 1;
            let epoch = registry.epoch;
            if let Some(model) = registry.models.get_mut(name) {
                model.tried = None;
                model.pinned.clear();
                model.control_epoch = epoch;
                if is_local {
                    model.local = Some(control);
                } else {
                    model.found = Found::new(model.found.versions().to_vec(), control);
                    model.local = None;
                }
            }
            registry.changes.models.insert(name.into());
        });
        Ok(())
    }
}

fn model_of<'r>(registry: &'r mut Registry, name: &str) -> Result<&'r mut ModelVersions> {
    let names: Vec<String> = registry.models.keys().map(ToString::to_string).collect();
    registry.models.get_mut(name).ok_or_else(|| {
        let near = near_names(name, names.iter().map(String::as_str));
        Error::not_found(format!("there is no model `{}`{near}", shortened(name)))
    })
}

/// Rolls back; where the policy would not load the other version, it is named.
fn roll_back(
    control: &mut Control,
    model: &ModelVersions,
    policy: &VersionPolicy,
    from: u64,
    to: u64,
) -> Result<()> {
    control.roll_back(from, to)?;
    if !model.wanted_under(control, policy).contains(&to) {
        control.set_versions(Some(VersionPolicy::Specific(vec![to])))?;
    }
    Ok(())
}
