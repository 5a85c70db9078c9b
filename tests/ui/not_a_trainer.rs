use fourfold::prelude::*;

fn main() {
    let _ = Pipeline::builder("parcels").train("logistic");
}
