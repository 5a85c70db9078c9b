//! The passing twin of its neighbours.

use fourfold::blessing::Blessed;
use fourfold::model::LinearModel;
use fourfold::prelude::*;

async fn deploy(validated: Blessed<LinearModel>) {
    let _ = ModelRepository::at("models").deploy(validated).await;
}

fn main() {
    let pipeline = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv").label("late"))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.7))
        .serve(InProcess::new())
        .build();
    assert!(pipeline.is_ok());

    // A closure for each stage that takes one.
    let closures = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv").label("late"))
        .train_with("half", 1, |args: &TrainArgs| {
            Ok(fourfold::model::ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .validate_with("any", 1, |args| {
            let auc = args.metrics().metric("auc")?;
            Ok(fourfold::blessing::Verdict::new().check("auc", auc >= 0.5, format!("auc is {auc}")))
        })
        .serve(InProcess::new())
        .build();
    assert!(closures.is_ok());
    let _ = deploy;
}
