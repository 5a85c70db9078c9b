//! The services in a server of an application, beside those of HTTP.

use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;
use crate::serving::http;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

#[test]
fn http_and_grpc_share_a_port() {
    let running = Running::start();
    let core = running.handle.as_ref().unwrap().core().clone();
    let app = http::router(core.clone()).merge(super::super::router(core.clone()).unwrap());
    let options = ServerOptions::default();
    let serving = options.serve_router(app, core.clone(), "127.0.0.1:0");
    let handle = running.runtime.block_on(serving).unwrap();
    for path in ["/nope", "/v2/nope", "/a.b.C/d"] {
        let request = ureq::get(format!("{}{path}", handle.url()))
            .config()
            .http_status_as_error(false)
            .build();
        let answer = request.call().unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let ready = ureq::get(format!("{}/v2/health/ready", handle.url()));
    assert_eq!(ready.call().unwrap().status(), 200);
    running.runtime.block_on(async {
        let mut client = Client::connect(handle.address()).await;
        let asking = client
            .clone()
            .ask(INFER.to_owned(), Vec::new(), raw().encode_to_vec());
        let answer: ModelInferResponse = asking.await.message();
        assert_eq!(answer.model_version, "1");
        // Its streams end when the application stops.
        let mut watch = client.open(WATCH, &[]).await.unwrap();
        let message = HealthCheckRequest::default().encode_to_vec();
        watch.send(&client::framed(&message), true);
        let path = "/inference.GRPCInferenceService/ModelStreamInfer";
        let mut stream = client.open(path, &[]).await.unwrap();
        stream.send(&client::framed(&raw().encode_to_vec()), false);
        stream.next().await.unwrap();
        watch.next().await.unwrap();
        core.drain();
        let end = tokio::time::timeout(LIMIT, watch.finish()).await.unwrap();
        let last = end.messages.last().unwrap();
        let last = HealthCheckResponse::decode(last.clone()).unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        let end = tokio::time::timeout(LIMIT, stream.finish()).await.unwrap();
        end.refused(Code::Unavailable, "stopping");
    });
}
