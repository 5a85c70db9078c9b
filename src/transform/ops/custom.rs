//! An operation of your own, among the others.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Apply, FittedOp, Operation};
use crate::error::{Error, ErrorKind, Result};
use crate::transform::custom::{Configured, CustomLearner, CustomOperation, Entry, Fitted};
use crate::transform::learn::Learner;
use crate::transform::value::Value;
use crate::transform::{InputColumn, Operations, Step, Transform};

/// An operation of your own, as configured: its name, its configuration as JSON, and its code unless it was loaded
/// without (see [`Transform::with_operations`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Custom {
    name: String,
    #[serde(default)]
    config: Json,
    #[serde(skip)]
    code: Option<Arc<dyn Configured>>,
}

/// A fitted operation of your own: its name, what it has learned as JSON, and its code unless it was loaded without
/// (see [`FittedTransform::with_operations`](super::super::FittedTransform::with_operations)).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FittedCustom {
    name: String,
    fitted: Json,
    #[serde(skip)]
    code: Option<(Arc<dyn Fitted>, Entry)>,
}

impl Transform {
    /// Adds a step of an operation of your own that reads `inputs` and writes `outputs`; see [`CustomOperation`].
    #[must_use]
    pub fn custom<I: Into<String>, O: Into<String>>(
        self,
        inputs: impl IntoIterator<Item = I>,
        outputs: impl IntoIterator<Item = O>,
        operation: impl CustomOperation,
    ) -> Self {
        self.step_of(inputs, outputs, Custom::new(operation))
    }

    /// Gives custom operations that were loaded from a file their code.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the registry does not have a name, with the names it has;
    /// [`ErrorKind::Corrupt`] if the code does not read its JSON.
    pub fn with_operations(mut self, operations: &Operations) -> Result<Self> {
        for step in &mut self.steps {
            if let super::Op::Custom(custom) = &mut step.op
                && custom.code.is_none()
            {
                custom.code = Some(operations.configured(&custom.name, &custom.config)?);
            }
        }
        Ok(self)
    }

    /// The custom operations that it uses, as far as their code is known: what loading what is fitted of it needs.
    #[must_use]
    pub fn operations(&self) -> Operations {
        let mut operations = Operations::new();
        for step in &self.steps {
            if let super::Op::Custom(custom) = &step.op
                && let Some(code) = &custom.code
            {
                operations.add(code.entry());
            }
        }
        operations
    }
}

impl Custom {
    fn new<O: CustomOperation>(operation: O) -> Self {
        Custom {
            name: O::NAME.to_owned(),
            // An operation that cannot be saved is refused by `check`.
            config: serde_json::to_value(&operation).unwrap_or_default(),
            code: Some(Arc::new(operation)),
        }
    }

    fn code(&self) -> Result<&dyn Configured> {
        let code = self.code.as_deref();
        code.ok_or_else(|| without_code(&self.name, "Transform"))
    }
}

fn without_code(name: &str, of: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the operation `{name}` was loaded without its code; register it with `{of}::with_operations`"
        ),
    )
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.config == other.config
    }
}

impl Operation for Custom {
    fn check(&self) -> Result<()> {
        self.code()?.check()
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn needs_label(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.needs_label())
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.code.as_ref()?.learner()?.into())
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok(self.code()?.fit(None)?.into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let learned: &CustomLearner = learned.get()?;
        Ok(self.code()?.fit(Some(learned))?.into())
    }
}

impl FittedCustom {
    pub(in crate::transform) fn new(
        name: &str,
        fitted: Json,
        code: Arc<dyn Fitted>,
        entry: Entry,
    ) -> Self {
        FittedCustom {
            name: name.to_owned(),
            fitted,
            code: Some((code, entry)),
        }
    }

    /// The name of the operation.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds the code of one that has none.
    pub(in crate::transform) fn resolve(
        step: &mut Step<FittedOp>,
        operations: &Operations,
    ) -> Result<()> {
        match &mut step.op {
            FittedOp::Custom(custom) if custom.code.is_none() => {
                custom.code = Some(operations.fitted(&custom.name, &custom.fitted)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The registered code.
    pub(in crate::transform) fn entry(&self) -> Option<Entry> {
        self.code.as_ref().map(|(_, entry)| *entry)
    }
}

impl PartialEq for FittedCustom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.fitted == other.fitted
    }
}

impl Apply for FittedCustom {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let mut outputs = self.apply_all(inputs)?;
        match (outputs.pop(), outputs.is_empty()) {
            (Some(output), true) => Ok(output),
            _ => Err(Error::config(format!(
                "the operation `{}` made {} columns, the step has 1 output",
                self.name,
                outputs.len() + 1
            ))),
        }
    }

    fn apply_all(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        let code = self.code.as_ref();
        let (code, _) = code.ok_or_else(|| without_code(&self.name, "FittedTransform"))?;
        let arrays = inputs
            .iter()
            .map(|input| input.to_array())
            .collect::<Result<Vec<ArrayRef>>>()?;
        let n_rows = arrays.first().map_or(0, |array| array.len());
        let outputs = code.apply(&arrays)?;
        outputs
            .iter()
            .map(|output| {
                if output.len() != n_rows {
                    return Err(Error::config(format!(
                        "the operation `{}` made {} rows of {n_rows}",
                        self.name,
                        output.len()
                    )));
                }
                let column = InputColumn::of(&self.name, output.data_type()).map_err(|_| {
                    Error::config(format!(
                        "the operation `{}` made a column of type {}, which makes no features",
                        self.name,
                        output.data_type()
                    ))
                })?;
                column.value(output)
            })
            .collect()
    }
}
