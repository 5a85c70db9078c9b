use fourfold::blessing::Blessed;
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

impl Server<TreeModel> for TreesOnly {
    type Endpoint = ();

    async fn deploy(&self, _model: Blessed<TreeModel>) -> fourfold::Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = Pipeline::builder("parcels")
        .data(FileSource::csv("parcels.csv").label("late"))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.7))
        .serve(TreesOnly)
        .build();
}
