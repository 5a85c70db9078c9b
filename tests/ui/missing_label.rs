use fourfold::prelude::*;

fn main() {
    let _ = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv"))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.7))
        .serve(InProcess::new())
        .build();
}
