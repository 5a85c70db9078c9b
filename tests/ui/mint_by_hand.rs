use fourfold::blessing::{Blessed, Candidate};
use fourfold::examples::Examples;
use fourfold::metrics::Evaluation;
use fourfold::model::LinearModel;
use fourfold::prelude::*;

fn bless(candidate: Candidate<LinearModel>, eval: &Examples, metrics: &Evaluation) -> Blessed<LinearModel> {
    let args = EvalArgs::new(&candidate, eval, metrics);
    let verdict = Thresholds::new().at_least("auc", 0.7).validate(args).unwrap();
    Blessed::mint(candidate, verdict).unwrap()
}

fn main() {
    let _ = bless;
}
