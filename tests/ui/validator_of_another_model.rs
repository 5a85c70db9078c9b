use fourfold::model::TreeModel;
use fourfold::prelude::*;

#[derive(fourfold::serde::Serialize)]
#[serde(crate = "fourfold::serde")]
struct TreesOnly;

impl Stage for TreesOnly {
    fn name(&self) -> &str {
        "trees_only"
    }
}

impl Validator<TreeModel> for TreesOnly {
    fn validate(&self, _args: EvalArgs<'_, TreeModel>) -> fourfold::Result<fourfold::blessing::Verdict> {
        unimplemented!()
    }
}

fn main() {
    let _ = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv").label("late"))
        .train(LogisticRegression::default())
        .evaluate(TreesOnly)
        .serve(InProcess::new())
        .build();
}
