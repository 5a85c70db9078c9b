//! Folds behind transforms of their own: read once for all of them, and the same as fold by fold.

use fourfold::features::Takes;
use fourfold::prelude::*;
use fourfold::search::{Space, Strategy, Tune, Validation};
use fourfold::training::{Dataset, HoldOutBy, LinearRegression};

use crate::search::{rings, train_set};

/// The mean over the folds of the root mean squared error, each fold fitted on its own.
fn by_hand(rows: &Dataset, transform: Option<&Transform>, n: usize) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for k in 0..n {
        let parts = rows.fold(k, n).unwrap();
        let train = match transform {
            Some(transform) => parts.train.refit_with(transform.clone(), Takes::FINITE),
            None => parts.train.refit(Takes::FINITE),
        };
        let train = train.unwrap();
        let trained = LinearRegression::default()
            .train(&TrainArgs::new(train.clone()))
            .unwrap();
        let held_out = parts.held_out.with_transform(train.fitted().clone());
        let table = held_out.table(Takes::FINITE).unwrap();
        let outputs = trained.model().predict(table.features()).unwrap();
        let column = outputs.column(0);
        let squares = column.iter().zip(table.labels());
        let squares: f64 = squares.map(|(p, y)| (p - y).powi(2)).sum();
        let n_rows = held_out.n_rows() as f64;
        sum += n_rows * (squares / n_rows).sqrt();
        total += n_rows;
    }
    sum / total
}

fn searched(rows: &Dataset, space: Space, n: usize) -> f64 {
    let tune = Tune::over(space)
        .strategy(Strategy::Grid(1))
        .validation(Validation::Folds(n));
    let trained = tune.train(&TrainArgs::new(rows.clone())).unwrap();
    let trial = &trained.record().trials[0];
    assert!(trial.error.is_some(), "the spread of the folds");
    trial.value.unwrap()
}

#[test]
fn folds_that_are_fitted_at_once_are_those_fitted_one_by_one() {
    let rows = train_set(rings(900), "x", Takes::FINITE);
    // Two passes: the second scaling is learned after the first.
    let transform = Transform::new()
        .z_score("y")
        .z_score("y")
        .one_hot("kind")
        .target_encode("where");
    for by in [
        HoldOutBy::Row,
        HoldOutBy::Group("kind".to_owned()),
        HoldOutBy::Time("y".to_owned()),
    ] {
        let rows = rows.clone().hold_out_by(by.clone());
        let folds = if matches!(by, HoldOutBy::Group(_)) {
            2
        } else {
            4
        };
        let space = Space::of(LinearRegression::default());
        let (found, wanted) = (
            searched(&rows, space.clone(), folds),
            by_hand(&rows, None, folds),
        );
        assert!(
            (found - wanted).abs() < 1e-6,
            "{by:?}: {found} and {wanted}"
        );
        let space = space.behind([("given", transform.clone())]);
        let (found, wanted) = (
            searched(&rows, space, folds),
            by_hand(&rows, Some(&transform), folds),
        );
        assert!(
            (found - wanted).abs() < 1e-6,
            "{by:?}: {found} and {wanted}"
        );
    }
}

#[test]
fn all_folds_are_those_one_by_one() {
    let rows = train_set(rings(500), "where", Takes::FINITE);
    for by in [
        HoldOutBy::Row,
        HoldOutBy::Stratified,
        HoldOutBy::Time("x".to_owned()),
    ] {
        let rows = rows.clone().hold_out_by(by);
        for (k, fold) in rows.folds(5).unwrap().into_iter().enumerate() {
            let one = rows.fold(k, 5).unwrap();
            let pairs = [(fold.train, one.train), (fold.held_out, one.held_out)];
            for (found, wanted) in pairs {
                let (found, wanted) = (found.matrix().unwrap(), wanted.matrix().unwrap());
                assert_eq!(found.features(), wanted.features());
                assert_eq!(found.labels(), wanted.labels());
            }
        }
    }
    let error = rows.folds(1).unwrap_err();
    assert_eq!(error.to_string(), "1 folds, must be at least 2");
}
