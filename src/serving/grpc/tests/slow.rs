//! A model that takes its time: deadlines, clients that leave, limits, and a server that stops meanwhile.

use super::*;
use crate::serving::requests::Limits;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

fn gate() -> Vec<u8> {
    let request = ModelInferRequest {
        model_name: "gate".to_owned(),
        ..raw()
    };
    request.encode_to_vec()
}

impl Running {
    /// The number of requests of `gate` that are being answered.
    fn in_flight(&self) -> u64 {
        let metrics = self.metrics();
        let of_gate = |line: &&str| {
            line.starts_with("fourfold_requests_in_flight") && line.contains("\"gate\"")
        };
        let line = metrics.lines().find(of_gate);
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    fn counted(&self, code: &str) -> bool {
        let metrics = self.metrics();
        let code = format!("code=\"{code}\"");
        metrics.lines().any(|line| {
            line.starts_with("fourfold_requests_total")
                && [r#"model="gate""#, r#"protocol="grpc""#, &code]
                    .iter()
                    .all(|label| line.contains(*label))
        })
    }
}

#[test]
fn a_deadline_ends_the_wait_and_others_go_on() {
    let running = Running::start();
    let client = running.client();
    running.runtime.block_on(async {
        let headers = vec![("grpc-timeout", "100m")];
        let asking = client.clone().ask(INFER.to_owned(), headers, gate());
        let answer = tokio::time::timeout(LIMIT, asking).await.unwrap();
        assert_eq!(answer.code, Code::DeadlineExceeded, "{}", answer.text);
        // The parameter does the same.
        let mut request = ModelInferRequest::decode(&gate()[..]).unwrap();
        let choice = ParameterChoice::Int64Param(100_000);
        request
            .parameters
            .insert("timeout".to_owned(), parameter(choice));
        let asking = client
            .clone()
            .ask(INFER.to_owned(), Vec::new(), request.encode_to_vec());
        let answer = tokio::time::timeout(LIMIT, asking).await.unwrap();
        assert_eq!(answer.code, Code::DeadlineExceeded, "{}", answer.text);
        let other = client.ask(INFER.to_owned(), Vec::new(), raw().encode_to_vec());
        let other = tokio::time::timeout(LIMIT, other).await.unwrap();
        other.message::<ModelInferResponse>();
    });
    running.open_the_gate();
}

#[test]
fn the_servers_limit_of_time_holds_for_those_without_one() {
    let limit = Duration::from_millis(100);
    let running = Running::with(&ServerOptions::default().request_timeout(limit));
    let asking = running
        .client()
        .ask(INFER.to_owned(), vec![("grpc-timeout", "1H")], gate());
    let answer = running.runtime.block_on(asking);
    answer.refused(Code::DeadlineExceeded, "");
    running.open_the_gate();
}

#[test]
fn a_client_that_leaves_a_slow_call_is_counted_as_gone() {
    let running = Running::start();
    let mut client = running.client();
    let mut open = running.runtime.block_on(client.open(INFER, &[])).unwrap();
    open.send(&client::framed(&gate()), true);
    until("the call to be there", || running.in_flight() == 1);
    open.send.send_reset(h2::Reason::CANCEL);
    until("the call to be dropped", || running.counted("CANCELLED"));
    assert_eq!(running.in_flight(), 0);
    // So is one whose connection goes, with everything that is on it.
    let mut client = running.client();
    let mut open = running.runtime.block_on(client.open(INFER, &[])).unwrap();
    open.send(&client::framed(&gate()), true);
    until("the call to be there", || running.in_flight() == 1);
    drop((open, client));
    until("the call to be dropped", || running.in_flight() == 0);
    running.open_the_gate();
}

#[test]
fn who_is_too_many_is_told_when_to_come_again() {
    let limits = Limits::default().max_concurrency(1).max_queue(0);
    let running = Running::over(&ServerOptions::default(), |manager| {
        let core = ServerCore::builder(manager).model_limits("gate", limits);
        core.build().unwrap()
    });
    let first = running.client().ask(INFER.to_owned(), Vec::new(), gate());
    let first = running.runtime.spawn(first);
    until("the first to be there", || running.in_flight() == 1);
    let second = running.client().ask(INFER.to_owned(), Vec::new(), gate());
    let second = running.runtime.block_on(second);
    second.refused(Code::ResourceExhausted, "`gate`");
    let pushback = second.headers["grpc-retry-pushback-ms"].to_str().unwrap();
    assert!(pushback.parse::<u64>().unwrap() >= 1000, "{pushback}");
    running.open_the_gate();
    let first = running.runtime.block_on(first).unwrap();
    first.message::<ModelInferResponse>();
}

#[test]
fn a_server_that_stops_finishes_what_it_answers() {
    let mut running = Running::start();
    let call = running.client().ask(INFER.to_owned(), Vec::new(), gate());
    let call = running.runtime.spawn(call);
    until("the call to be there", || running.in_flight() == 1);
    let handle = running.handle.take().unwrap();
    let address = handle.address();
    let stopping = running.runtime.spawn(handle.shutdown());
    until("the port to be closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert!(!stopping.is_finished());
    running.open_the_gate();
    let answer = running.runtime.block_on(call).unwrap();
    answer.message::<ModelInferResponse>();
    running.runtime.block_on(stopping).unwrap().unwrap();
}

#[test]
fn a_server_that_stops_does_not_wait_for_ever() {
    let limit = Duration::from_millis(100);
    let mut running = Running::with(&ServerOptions::default().drain_timeout(limit));
    let mut client = running.client();
    let mut open = running.runtime.block_on(client.open(INFER, &[])).unwrap();
    open.send(&client::framed(&gate()), true);
    until("the call to be there", || running.in_flight() == 1);
    let handle = running.handle.take().unwrap();
    let stopping = async { tokio::time::timeout(LIMIT, handle.shutdown()).await };
    running.runtime.block_on(stopping).unwrap().unwrap();
    running.open_the_gate();
}
