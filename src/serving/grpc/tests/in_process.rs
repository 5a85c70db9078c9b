//! The server of this process, with requests by gRPC and HTTP on its one port.

use super::*;
use crate::blessing::{Blessed, Verdict};
use crate::serving::{InProcess, Server};

#[test]
fn one_port_speaks_both_protocols_over_a_swap() {
    let blessed = |intercept| {
        let verdict = Verdict::new().check("test", true, "");
        Blessed::mint(late_model("late", intercept), verdict).unwrap()
    };
    let runtime = Runtime::new().unwrap();
    let server = InProcess::new().listen("127.0.0.1:0");
    let mut endpoint = runtime.block_on(server.deploy(blessed(0.1))).unwrap();
    let url = format!("{}/v1/models/late:predict", endpoint.url().unwrap());
    let client = runtime.block_on(Client::connect(endpoint.address().unwrap()));
    let path = "/inference.GRPCInferenceService/ModelInfer";
    let mut last = f64::NAN;
    for (version, intercept) in [("1", 0.1), ("2", -3.0)] {
        if version != "1" {
            endpoint = runtime.block_on(server.deploy(blessed(intercept))).unwrap();
        }
        // The earlier connection is used again, too.
        let asking = client
            .clone()
            .ask(path.to_owned(), Vec::new(), typed().encode_to_vec());
        let answer: ModelInferResponse = runtime.block_on(asking).message();
        assert_eq!(answer.model_version, version);
        let over_grpc = inference::probabilities(&answer)[0];

        let body = r#"{"instances": [{"age": 31, "fare": 7.25, "city": "Zürich", "vip": true}]}"#;
        let mut response = ureq::post(&url).send(body).unwrap();
        let response: serde_json::Value = response.body_mut().read_json().unwrap();
        assert_eq!(response["predictions"][0]["probability"], over_grpc);
        assert_ne!(over_grpc, last);
        last = over_grpc;
    }
    drop(endpoint);
}
