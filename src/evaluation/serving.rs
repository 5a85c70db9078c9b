//! The serving model as gates see it.

use super::Baseline;
use crate::blessing::Check;
use crate::metrics::Evaluation;

/// The serving model's metrics and the candidate's changes against it; else the check that says why there are none: nothing
/// serving yet passes, what is not known or of no use fails.
pub(super) fn compared<'a>(
    name: &str,
    baseline: &'a Baseline,
) -> Result<(&'a Evaluation, &'a Evaluation), Box<Check>> {
    Err(Box::new(match baseline {
        Baseline::Evaluated {
            metrics, changes, ..
        } => return Ok((metrics, changes)),
        Baseline::None => Check::new(name, true, "nothing is serving yet"),
        Baseline::Unknown => Check::new(
            name,
            false,
            "what is serving is not known: the server does not say",
        ),
        Baseline::Unusable(error) => Check::new(
            name,
            false,
            format!("what is serving cannot be compared with: {error:#}"),
        ),
    }))
}
