use fourfold::prelude::*;

fn main() {
    let _ = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv").label("late"))
        .train(LogisticRegression::default())
        .serve(InProcess::new())
        .build();
}
