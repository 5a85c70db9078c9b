//! A step: an operation, the columns it reads, the columns it writes.

use serde::{Deserialize, Serialize};

use super::ops::Op;
use crate::error::{Error, Result};

/// A step: an operation, the columns it reads, the columns it writes. [`Op`] is what is configured,
/// [`FittedOp`](super::FittedOp) what was learned.
///
/// In JSON one column is `"input": "a"`, several are `"inputs": ["a", "b"]`; so for the outputs. A step of one
/// input that names no output continues the chain of its input.
///
/// ```
/// use fourfold::transform::Step;
///
/// let step: Step = serde_json::from_str(r#"{"op": "cross", "inputs": ["hour", "road"], "output": "when"}"#)?;
/// assert_eq!((step.inputs.len(), step.outputs.len()), (2, 1));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored<O>", try_from = "Stored<O>")]
#[serde(bound(
    serialize = "O: Clone + Serialize",
    deserialize = "O: Deserialize<'de>"
))]
pub struct Step<O = Op> {
    /// The columns that are read.
    pub inputs: Vec<String>,
    /// The columns that are written; the name of an input continues its chain.
    pub outputs: Vec<String>,
    /// The operation.
    pub op: O,
}

impl<O> Step<O> {
    /// A step of one input and one output.
    pub fn new(input: impl Into<String>, output: impl Into<String>, op: impl Into<O>) -> Self {
        Step {
            inputs: vec![input.into()],
            outputs: vec![output.into()],
            op: op.into(),
        }
    }

    /// An error of this step, which says so.
    pub(super) fn name(&self, error: &Error) -> Error {
        Error::new(
            error.kind(),
            format!(
                "transform of `{}`: {}",
                match self.inputs[..] {
                    [] => self.outputs.join("`, `"),
                    _ => self.inputs.join("`, `"),
                },
                error.message()
            ),
        )
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored<O> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<String>>,
    #[serde(flatten)]
    op: O,
}

/// One name as itself, several as a list.
fn split(mut names: Vec<String>) -> (Option<String>, Option<Vec<String>>) {
    match names.len() {
        1 => (names.pop(), None),
        _ => (None, Some(names)),
    }
}

fn join(what: &str, one: Option<String>, many: Option<Vec<String>>) -> Result<Vec<String>> {
    match (one, many) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(many)) => Ok(many),
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => Err(Error::config(format!(
            "a transform step has both `{what}` and `{what}s`, must have one"
        ))),
    }
}

impl<O> From<Step<O>> for Stored<O> {
    fn from(step: Step<O>) -> Self {
        let (input, inputs) = split(step.inputs);
        let (output, outputs) = split(step.outputs);
        Stored {
            input,
            inputs,
            output,
            outputs,
            op: step.op,
        }
    }
}

impl<O> TryFrom<Stored<O>> for Step<O> {
    type Error = Error;

    fn try_from(stored: Stored<O>) -> Result<Self> {
        let inputs = join("input", stored.input, stored.inputs)?;
        let mut outputs = join("output", stored.output, stored.outputs)?;
        if outputs.is_empty() && inputs.len() == 1 {
            outputs.clone_from(&inputs);
        }
        if inputs.is_empty() && outputs.is_empty() {
            return Err(Error::config("a transform step without columns"));
        }
        Ok(Step {
            inputs,
            outputs,
            op: stored.op,
        })
    }
}

impl<O> Step<O> {
    /// Checks that it reads and writes a column.
    pub(super) fn check_columns(&self) -> Result<()> {
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Err(Error::config(format!(
                "a transform step of {} inputs and {} outputs, must have at least one of each",
                self.inputs.len(),
                self.outputs.len()
            )));
        }
        Ok(())
    }

    /// The step with another operation.
    pub(super) fn with<P>(&self, op: P) -> Step<P> {
        Step {
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            op,
        }
    }
}
