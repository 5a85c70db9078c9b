//! A person as a gate, and no gate by name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EvalArgs, Validator};
use crate::blessing::{Candidate, Check, Verdict};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::metrics::Evaluation;
use crate::model::Model;
use crate::stage::Stage;
use crate::statistics::micros_text;
use crate::written;

/// A model that a person is asked to approve.
#[derive(Debug)]
#[non_exhaustive]
pub struct ApprovalRequest<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The digest of its files: equal models have equal ones.
    pub digest: &'a Fingerprint,
    /// Its metrics on the `eval` split.
    pub metrics: &'a Evaluation,
}

/// The decision of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    approved: bool,
    by: String,
    note: String,
}

impl Decision {
    /// Approved, by a person of a name.
    #[must_use]
    pub fn approved(by: impl Into<String>) -> Self {
        Decision {
            approved: true,
            by: by.into(),
            note: String::new(),
        }
    }

    /// Refused, by a person of a name, for a reason.
    #[must_use]
    pub fn refused(by: impl Into<String>, reason: impl Into<String>) -> Self {
        Decision {
            approved: false,
            by: by.into(),
            note: reason.into(),
        }
    }
}

type Ask = Arc<dyn Fn(&ApprovalRequest<'_>) -> Result<Decision> + Send + Sync>;

/// A gate for approval by a person. Name and time are in the check, and so in the run's record and model's manifest.
///
/// In a [file](Approval::file), the person names the very model, by its digest; so an approval of yesterday's lets no other
/// model through:
///
/// ```toml
/// model = "0f3a..."      # the digest, which the check of an unapproved model says
/// approved_by = "Ada"
/// ```
///
/// ```
/// use fourfold::evaluation::{Approval, Decision, Thresholds};
///
/// let gates = (
///     Thresholds::new().at_least("auc", 0.7),
///     Approval::ask("release_board", |request| {
///         // Ask in whatever way: a chat, a ticket, a terminal.
///         Ok(match request.metrics.metric("auc")? {
///             auc if auc > 0.9 => Decision::refused("Ada", "too good to be true"),
///             _ => Decision::approved("Ada"),
///         })
///     }),
/// );
/// # let _ = gates;
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
    #[serde(skip)]
    ask: Option<Ask>,
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval")
            .field("file", &self.file)
            .field("asked", &self.asked)
            .finish()
    }
}

/// The file of an approval.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    model: String,
    approved_by: String,
    #[serde(default)]
    note: String,
}

impl Approval {
    /// Approval by a TOML or JSON file, see [`Approval`]. If there is none, or it names another model, the check fails
    /// and says what to write; the next run of the same data and configuration then passes.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Approval {
            file: Some(path.into()),
            asked: None,
            ask: None,
        }
    }

    /// Approval by a function of the application, which may take its time. The name stands for it in fingerprints.
    #[must_use]
    pub fn ask(
        name: impl Into<String>,
        ask: impl Fn(&ApprovalRequest<'_>) -> Result<Decision> + Send + Sync + 'static,
    ) -> Self {
        Approval {
            file: None,
            asked: Some(name.into()),
            ask: Some(Arc::new(ask)),
        }
    }

    fn decide(&self, request: &ApprovalRequest<'_>) -> Result<Decision> {
        match (&self.ask, &self.file) {
            (Some(ask), _) => ask(request),
            (None, Some(path)) => read(path, request),
            (None, None) => Err(Error::config("an approval without a `file`")),
        }
    }
}

fn read(path: &Path, request: &ApprovalRequest<'_>) -> Result<Decision> {
    let wanted = format!(
        "write `model = \"{}\"` and `approved_by = \"<name>\"` into `{}`",
        request.digest.as_str(),
        path.display()
    );
    if !path.exists() {
        return Ok(Decision::refused(
            "nobody",
            format!("to approve it, {wanted}"),
        ));
    }
    let written: Written = written::load(path, "an approval")?;
    Ok(match written {
        Written { model, .. } if model != request.digest.as_str() => Decision::refused(
            "nobody",
            format!("the approval is of another model; {wanted}"),
        ),
        Written { approved_by, .. } if approved_by.trim().is_empty() => {
            return Err(Error::config(format!(
                "`approved_by` is empty in `{}`, must be a name",
                path.display()
            )));
        }
        written => Decision {
            approved: true,
            by: written.approved_by,
            note: written.note,
        },
    })
}

impl Stage for Approval {
    fn name(&self) -> &str {
        "approval"
    }

    /// With what the file holds, or when the person is asked: what was said once is not said of the next run.
    fn configuration(&self) -> Result<Value> {
        let said = match &self.file {
            Some(path) => std::fs::read(path)
                .ok()
                .map(Fingerprint::of_bytes)
                .map(|of| json!(of)),
            None => Some(json!(now())),
        };
        Ok(json!({"file": self.file, "asked": self.asked, "said": said}))
    }

    fn check(&self) -> Result<()> {
        if self.file.is_none() && self.ask.is_none() {
            return Err(Error::config("an approval has a `file`, which is missing"));
        }
        Ok(())
    }
}

impl<M: Model> Validator<M> for Approval {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let digest = digest_of(args.candidate())?;
        let model = &args.candidate().servable().manifest().name;
        let decision = self.decide(&ApprovalRequest {
            model,
            digest: &digest,
            metrics: args.metrics(),
        })?;
        let Decision { approved, by, note } = decision;
        let what = if approved { "approved" } else { "not approved" };
        let note = if note.is_empty() {
            note
        } else {
            format!(": {note}")
        };
        let message = format!("{what} by {by} at {}{note}", micros_text(now()));
        Ok(Verdict::new().with(Check::new("approval", approved, message)))
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// The digest of what answers: the model's files, its transform, its schema and its target. What was noted of the run that
/// made it is no part of it.
fn digest_of<M: Model>(candidate: &Candidate<M>) -> Result<Fingerprint> {
    let dir = tempfile::tempdir()
        .map_err(|error| Error::io("making a directory to save the model in", error))?;
    let place = dir.path().join("1");
    candidate.save(&place)?;
    let sums = place.join(crate::store::SUMS);
    let sums = std::fs::read_to_string(&sums)
        .map_err(|error| Error::io(format!("reading `{}`", sums.display()), error))?;
    let answers = |line: &&str| {
        let file = line.split_whitespace().last().unwrap_or_default();
        file.starts_with("model/") || matches!(file, "transform.json" | "schema.json")
    };
    let sums: Vec<&str> = sums.lines().filter(answers).collect();
    Fingerprint::of(&(candidate.servable().manifest().target.clone(), sums))
}

/// No gate at all, by name: every model that can be evaluated and served is blessed. The verdict says so.
///
/// ```
/// use fourfold::evaluation::{EvaluationPipeline, RubberStamp};
///
/// let evaluation = EvaluationPipeline::new(RubberStamp::default());
/// # let _ = evaluation;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RubberStamp {}

impl Stage for RubberStamp {
    fn name(&self) -> &str {
        "rubber_stamp"
    }
}

impl<M: Model> Validator<M> for RubberStamp {
    fn validate(&self, _args: EvalArgs<'_, M>) -> Result<Verdict> {
        let message = "blessed without looking at a metric, as asked for";
        Ok(Verdict::new().check("rubber_stamp", true, message))
    }
}
