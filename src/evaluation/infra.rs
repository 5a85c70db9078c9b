//! Safe to serve: the candidate is saved, loaded back as a server loads it, and queried.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;

use crate::blessing::{Candidate, Verdict};
use crate::error::{Error, Result, panic_text};
use crate::examples::Examples;
use crate::model::{Model, Prediction, Servable};

/// The most rows that are asked.
const N_ROWS: usize = 100;

/// The check `servable`: the loaded copy must answer rows of the `eval` split, and each alone, with the very bits
/// of the candidate.
pub(super) fn validate<M: Model>(candidate: &Candidate<M>, eval: &Examples) -> Result<Verdict> {
    let rows = match eval.batches(&[]).next() {
        Some(rows) => rows?,
        None => {
            return Ok(Verdict::new().check("servable", false, "there is no row to query it with"));
        }
    };
    let rows = rows.slice(0, rows.num_rows().min(N_ROWS));
    let trial = catch_unwind(AssertUnwindSafe(|| try_out(candidate, &rows)))
        .unwrap_or_else(|panic| Err(Error::model(format!("it panicked{}", panic_text(&*panic)))));
    Ok(match trial {
        Ok(()) => Verdict::new().check(
            "servable",
            true,
            format!(
                "saved, loaded back and queried with {} rows: equal answers",
                rows.num_rows()
            ),
        ),
        Err(error) => {
            Verdict::new().check("servable", false, format!("it does not serve: {error:#}"))
        }
    })
}

fn try_out<M: Model>(candidate: &Candidate<M>, rows: &RecordBatch) -> Result<()> {
    let dir = tempfile::tempdir()
        .map_err(|error| Error::io("making a directory to try the model in", error))?;
    let place = dir.path().join("1");
    candidate.save(&place)?;
    let loaded = Servable::load(&place, candidate.loaders())?;
    let expected = candidate.servable().predict(rows)?;
    same(&expected, &loaded.predict(rows)?, "loaded back")?;
    for row in 0..rows.num_rows().min(10) {
        let alone = loaded.predict(&rows.slice(row, 1))?;
        let expected = expected.of_rows(row..row + 1);
        if alone != expected {
            return Err(Error::model(format!(
                "row {row} alone is answered {:?}, among others {:?}",
                numbers(&alone),
                numbers(&expected)
            )));
        }
    }
    Ok(())
}

fn same(expected: &Prediction, found: &Prediction, when: &str) -> Result<()> {
    match expected
        .outputs()
        .iter()
        .zip(found.outputs())
        .position(|(a, b)| a != b)
    {
        Some(at) => Err(Error::model(format!(
            "{when}, row {} is answered differently",
            at / expected.outputs().ncols().max(1)
        ))),
        None if expected != found => Err(Error::model(format!(
            "{when}, it answers something else beside its outputs"
        ))),
        None => Ok(()),
    }
}

/// All numbers of the answer for the one row.
fn numbers(prediction: &Prediction) -> Vec<f64> {
    let (_, extras) = prediction.extras_of(0);
    prediction.outputs().iter().chain(extras).copied().collect()
}
