use fourfold::blessing::Candidate;
use fourfold::model::LinearModel;
use fourfold::prelude::*;

async fn deploy(unvalidated: Candidate<LinearModel>) {
    let _ = ModelRepository::at("models").deploy(unvalidated).await;
}

fn main() {
    let _ = deploy;
}
