use fourfold::prelude::*;

fn main() {
    let _ = Pipeline::builder("parcels")
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.7))
        .serve(InProcess::new())
        .build();
}
