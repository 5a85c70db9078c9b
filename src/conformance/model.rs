//! The contract of models.

use std::fs;

use ndarray::{Array2, Axis};

use super::{Violation, holds, without_panic};
use crate::features::Features;
use crate::model::{Loaders, Model};

/// The number of rows that are predicted one by one: enough to find a difference.
const ALONE: usize = 200;

/// Checks a model against the contracts of [`Model`] and [`Predict`](crate::model::Predict), on rows of features in
/// the form that it [takes](crate::model::Predict::takes): outputs are of the right shape and finite; rows do not
/// influence each other; threads do not either; features of another width are an error; what is saved loads with the same
/// answers, bit for bit, and what is damaged does not make it panic.
///
/// # Errors
/// The first requirement that does not hold.
pub fn model<M: Model>(model: &M, features: &Features) -> Result<(), Violation> {
    let who = M::FORMAT;
    holds(
        !who.trim().is_empty(),
        std::any::type_name::<M>(),
        "its format has no name",
    )?;
    holds(
        features.n_rows() > 0,
        who,
        "there are no rows to predict; give it some",
    )?;
    let whole = predict(model, features)?;
    same(who, &whole, &predict(model, features)?, "asked again")?;
    rows_stand_alone(model, features, &whole)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| predict(model, features)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let answer = thread.join();
            let answer = answer.map_err(|_| Violation::new(who, "predicting panicked"))?;
            same(who, &whole, &answer?, "asked by four threads at once")
        })
    })?;
    if !model.takes().rows {
        let wide = Features::from(Array2::zeros((1, model.n_features() + 1)));
        let what = "predicting from a feature too many";
        let answer = without_panic(who, what, || model.predict(&wide))?;
        holds(answer.is_err(), who, format!("{what} is no error"))?;
    }
    saves_and_loads(model, features, &whole)
}

/// Outputs, which are of the right shape and finite.
fn predict<M: Model>(model: &M, features: &Features) -> Result<Array2<f64>, Violation> {
    let who = M::FORMAT;
    let width = (model.n_features(), features.n_features());
    holds(
        model.takes().rows || width.0 == width.1,
        who,
        format!("it takes {} features, the rows have {}", width.0, width.1),
    )?;
    let outputs = model
        .predict(features)
        .map_err(Violation::failed(who, "predicting"))?;
    let wanted = (features.n_rows(), model.n_outputs());
    holds(
        outputs.dim() == wanted,
        who,
        format!(
            "outputs are of shape {:?}, must be {wanted:?}",
            outputs.dim()
        ),
    )?;
    match outputs.iter().find(|output| !output.is_finite()) {
        Some(odd) => Err(Violation::new(
            who,
            format!("an output is {odd}, must be finite"),
        )),
        None => Ok(outputs),
    }
}

fn same(who: &str, a: &Array2<f64>, b: &Array2<f64>, when: &str) -> Result<(), Violation> {
    let bits = |outputs: &Array2<f64>| -> Vec<u64> {
        outputs.iter().map(|output| output.to_bits()).collect()
    };
    holds(
        a.dim() == b.dim() && bits(a) == bits(b),
        who,
        format!("{when}, it gives other bits"),
    )
}

/// None at all, one by one, in another order, and often.
fn rows_stand_alone<M: Model>(
    model: &M,
    features: &Features,
    whole: &Array2<f64>,
) -> Result<(), Violation> {
    let who = M::FORMAT;
    let check = |places: &[usize], when: &str| {
        let rows = features
            .pick(places)
            .map_err(Violation::failed(who, "taking rows"))?;
        let wanted = whole.select(Axis(0), places);
        same(who, &wanted, &predict(model, &rows)?, when)
    };
    let n = features.n_rows();
    check(&[], "asked for no rows")?;
    for row in 0..n.min(ALONE) {
        check(&[row], "asked for a row alone")?;
    }
    let backwards: Vec<usize> = (0..n).rev().collect();
    check(&backwards, "asked for the rows in another order")?;
    check(&[n - 1; 3], "asked for a row three times")
}

fn saves_and_loads<M: Model>(
    model: &M,
    features: &Features,
    whole: &Array2<f64>,
) -> Result<(), Violation> {
    let who = M::FORMAT;
    let io =
        |error: std::io::Error| Violation::new(who, format!("a directory to save in: {error}"));
    let dir = tempfile::tempdir().map_err(io)?;
    let loaders = Loaders::default().with::<M>();
    model
        .save(dir.path())
        .map_err(Violation::failed(who, "saving"))?;
    let loaded = M::load(dir.path(), &loaders).map_err(Violation::failed(who, "loading"))?;
    let answer = predict(&loaded, features)?;
    same(who, whole, &answer, "saved and loaded")?;
    let files = fs::read_dir(dir.path()).map_err(io)?;
    let files: Vec<_> = files
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    let nothing = tempfile::tempdir().map_err(io)?;
    let what = "loading from a directory with no files";
    let load = || M::load(nothing.path(), &loaders).map(|_| ());
    let answer = without_panic(who, what, load)?;
    holds(
        answer.is_err() || files.is_empty(),
        who,
        format!("{what} is no error"),
    )?;
    for path in files {
        let bytes = fs::read(&path).map_err(io)?;
        for damaged in [&bytes[..bytes.len() / 2], b"no model"] {
            fs::write(&path, damaged).map_err(io)?;
            let what = format!("loading with `{}` damaged", path.display());
            // An error or a model: it need not notice.
            let _ = without_panic(who, &what, || M::load(dir.path(), &loaders).map(|_| ()))?;
        }
        fs::write(&path, bytes).map_err(io)?;
    }
    Ok(())
}
