//! The control file of a model.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Traffic, VersionPolicy, VersionRef};
use crate::error::{Error, ErrorKind, Result, near_key, near_names, shortened};

/// The control file of a model, `serving.json`: labels, traffic split, shadow traffic, versions that are rolled back, and
/// which to load. `<models>/<name>/serving.json` holds it, so every server that watches the models follows, and a restart
/// remembers.
///
/// ```
/// use fourfold::serving::lifecycle::{Control, Traffic};
///
/// let mut control = Control::default();
/// control.set_label("stable", 4)?;
/// control.set_label("canary", 5)?;
/// control.set_traffic(Some(Traffic::by_weight([("stable", 95), ("canary", 5)])?))?;
/// assert_eq!(
///     control.to_json()?,
///     r#"{
///   "format_version": 1,
///   "labels": {
///     "canary": 5,
///     "stable": 4
///   },
///   "traffic": {
///     "by": "weight",
///     "shares": [
///       {
///         "to": "stable",
///         "weight": 95
///       },
///       {
///         "to": "canary",
///         "weight": 5
///       }
///     ]
///   }
/// }
/// "#
/// );
/// assert_eq!(Control::from_json(&control.to_json()?)?, control);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    format_version: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<VersionRef>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    rolled_back: BTreeSet<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    versions: Option<VersionPolicy>,
}

impl Default for Control {
    fn default() -> Self {
        Control {
            format_version: Control::FORMAT_VERSION,
            labels: BTreeMap::new(),
            traffic: None,
            shadow: None,
            rolled_back: BTreeSet::new(),
            versions: None,
        }
    }
}

impl Control {
    /// The version of the file's format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The most bytes that a label may have.
    pub const MAX_LABEL_BYTES: usize = 128;

    /// The label whose version answers requests that name none, where there is no traffic split.
    pub const STABLE: &'static str = "stable";

    /// The labels with their versions.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, u64> {
        &self.labels
    }

    /// The traffic split of requests that name no version; `None` if one version gets them all.
    #[must_use]
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// The version that gets a copy of the requests, its answers compared and recorded but never returned.
    #[must_use]
    pub fn shadow(&self) -> Option<&VersionRef> {
        self.shadow.as_ref()
    }

    /// The versions that are not to be served, although they exist.
    #[must_use]
    pub fn rolled_back(&self) -> &BTreeSet<u64> {
        &self.rolled_back
    }

    /// The policy for the versions to load, in place of the server's.
    #[must_use]
    pub fn versions(&self) -> Option<&VersionPolicy> {
        self.versions.as_ref()
    }

    /// The number that a number or label stands for; `None` if there is no such label.
    #[must_use]
    pub fn resolve(&self, version: &VersionRef) -> Option<u64> {
        match version {
            VersionRef::Number(version) => Some(*version),
            VersionRef::Label(label) => self.labels.get(label).copied(),
        }
    }

    /// The versions that should be loaded, rising, of those that were found: those of the policy (its own, else the one
    /// given), and those that labels, the traffic split and shadow traffic name.
    #[must_use]
    pub fn aspired(&self, policy: &VersionPolicy, found: &[u64]) -> Vec<u64> {
        let policy = self.versions.as_ref().unwrap_or(policy);
        let mut aspired = policy.aspired(found, &self.rolled_back);
        aspired.extend(
            self.named()
                .into_iter()
                .filter(|version| found.contains(version) && !self.rolled_back.contains(version)),
        );
        aspired.sort_unstable();
        aspired.dedup();
        aspired
    }

    /// The version of those that were found that answers requests that name none, when there is no traffic split: the one
    /// with the label `stable`, else the newest that is not rolled back.
    #[must_use]
    pub fn default_version(&self, found: &[u64]) -> Option<u64> {
        let stable = self.labels.get(Control::STABLE);
        let stable = stable.filter(|version| found.contains(version));
        let served = found
            .iter()
            .filter(|version| !self.rolled_back.contains(version));
        stable.or_else(|| served.max()).copied()
    }

    /// The version of those that were found that a version is rolled back to: the newest of the older ones that are not
    /// rolled back.
    #[must_use]
    pub fn previous_version(&self, found: &[u64], version: u64) -> Option<u64> {
        let older = found.iter().filter(|older| **older < version);
        older
            .filter(|older| !self.rolled_back.contains(older))
            .max()
            .copied()
    }

    /// The versions that labels, the traffic split and shadow traffic name.
    pub(crate) fn named(&self) -> BTreeSet<u64> {
        let shares = self.traffic.iter().flat_map(Traffic::shares);
        let refs = shares.map(|share| share.to()).chain(&self.shadow);
        let mut named: BTreeSet<u64> = refs.filter_map(|to| self.resolve(to)).collect();
        named.extend(self.labels.values());
        named
    }

    /// Gives a version a label, such as `stable` or `canary`. A label that another version has moves.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the label is empty, longer than [`Control::MAX_LABEL_BYTES`], a number, or has a space or `/` in it, or
    /// the version is rolled back.
    pub fn set_label(&mut self, label: impl Into<String>, version: u64) -> Result<()> {
        self.change(|control| {
            control.labels.insert(label.into(), version);
        })
    }

    /// Removes a label; returns `true` if it existed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the traffic split or shadow traffic uses it.
    pub fn remove_label(&mut self, label: &str) -> Result<bool> {
        let had = self.labels.contains_key(label);
        self.change(|control| {
            control.labels.remove(label);
        })?;
        Ok(had)
    }

    /// Shares the requests that name no version, or, with `None`, no longer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it names a label that is not there or a version that is rolled
    /// back.
    pub fn set_traffic(&mut self, traffic: Option<Traffic>) -> Result<()> {
        self.change(|control| control.traffic = traffic)
    }

    /// Sends a copy of the requests to a version, or, with `None`, stops that.
    ///
    /// # Errors
    /// As [`Control::set_traffic`].
    pub fn set_shadow(&mut self, shadow: Option<VersionRef>) -> Result<()> {
        self.change(|control| control.shadow = shadow)
    }

    /// Sets the versions to load, or, with `None`, leaves the choice to the servers.
    ///
    /// # Errors
    /// As [`VersionPolicy::check`].
    pub fn set_versions(&mut self, versions: Option<VersionPolicy>) -> Result<()> {
        self.change(|control| control.versions = versions)
    }

    /// Takes a version out of service for another: it is no longer served although it exists, and what named it
    /// names the other. Shadow traffic that names it by number ends.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if both are the same, or the other is rolled back.
    pub fn roll_back(&mut self, version: u64, to: u64) -> Result<()> {
        if version == to {
            return Err(Error::config(format!(
                "version {version} cannot be rolled back to itself"
            )));
        }
        if self.rolled_back.contains(&to) {
            return Err(Error::config(format!("version {to} is rolled back itself")));
        }
        self.change(|control| {
            control.rolled_back.insert(version);
            for labelled in control.labels.values_mut().filter(|at| **at == version) {
                *labelled = to;
            }
            if let Some(traffic) = &mut control.traffic {
                traffic.retarget(version, to);
            }
            if control.shadow == Some(VersionRef::Number(version)) {
                control.shadow = None;
            }
            if let Some(VersionPolicy::Specific(versions)) = &mut control.versions
                && !versions.contains(&to)
            {
                versions.push(to);
            }
        })
    }

    /// Lets a rolled-back version be served again; returns `true` if it was rolled back.
    pub fn restore(&mut self, version: u64) -> bool {
        self.rolled_back.remove(&version)
    }

    /// Applies all of a change or none of it.
    fn change(&mut self, change: impl FnOnce(&mut Control)) -> Result<()> {
        let mut changed = self.clone();
        change(&mut changed);
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// Checks that it does not contradict itself.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the label or version: a label that is not there is named, a
    /// version is rolled back and named, or a policy or split allows nothing.
    pub fn check(&self) -> Result<()> {
        for (label, version) in &self.labels {
            let is_number = label.bytes().all(|byte| byte.is_ascii_digit());
            if is_number
                || label.len() > Control::MAX_LABEL_BYTES
                || label.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
            {
                return Err(Error::config(format!(
                    "label {:?} of version {version} must be a word of at most {} bytes: not a number, no space, no `/`",
                    shortened(label),
                    Control::MAX_LABEL_BYTES
                )));
            }
            self.check_named(&format!("label `{label}`"), &VersionRef::Number(*version))?;
        }
        if let Some(traffic) = &self.traffic {
            for share in traffic.shares() {
                self.check_named("traffic", share.to())?;
            }
        }
        if let Some(shadow) = &self.shadow {
            self.check_named("shadow", shadow)?;
        }
        self.versions.as_ref().map_or(Ok(()), VersionPolicy::check)
    }

    fn check_named(&self, place: &str, named: &VersionRef) -> Result<()> {
        match self.resolve(named) {
            None => {
                let name = match named {
                    VersionRef::Label(label) => label.as_str(),
                    VersionRef::Number(_) => "",
                };
                Err(Error::config(format!(
                    "{place}: there is no {named}{}",
                    near_names(name, self.labels.keys().map(String::as_str))
                )))
            }
            Some(version) if self.rolled_back.contains(&version) => Err(Error::config(format!(
                "{place}: version {version} is rolled back"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Reads the text of a file, and [checks](Control::check) it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with what is wrong: a key that is not known comes with the near one;
    /// [`ErrorKind::Unsupported`] for a format of a later build.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let read = serde_json::from_str::<Control>(text);
        if let Ok(Version { format_version }) = serde_json::from_str(text)
            && format_version != u64::from(Control::FORMAT_VERSION)
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "it is of format version {format_version}, this build reads {}",
                    Control::FORMAT_VERSION
                ),
            ));
        }
        let control = read.map_err(|error| Error::config(near_key(&error.to_string())))?;
        control.check()?;
        Ok(control)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be written, which is a bug.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Error::internal("a control file cannot be written").with_source(error)
        })?;
        Ok(text + "\n")
    }
}

#[cfg(test)]
mod tests;
