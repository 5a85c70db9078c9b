//! Health, limits of time, tokens, encryption, and how a server stops.

use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;
use crate::serving::grpc::proto::model_repository_parameter::ParameterChoice as Choice;
use crate::serving::grpc::proto::{
    ModelReadyResponse, ModelRepositoryParameter, ModelStatisticsRequest, ModelStatisticsResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    ServerReadyRequest, ServerReadyResponse,
};
use crate::serving::readiness::Readiness;
use crate::serving::transport::{Admin, BearerToken};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn health(service: &str) -> Vec<u8> {
    let service = service.to_owned();
    HealthCheckRequest { service }.encode_to_vec()
}

fn serving(message: &Bytes) -> ServingStatus {
    HealthCheckResponse::decode(message.clone())
        .unwrap()
        .status()
}

impl Running {
    fn ask_with(&self, path: &str, headers: &[(&str, &str)], message: Vec<u8>) -> Answer {
        let asking = self
            .client()
            .ask(path.to_owned(), headers.to_vec(), message);
        self.runtime.block_on(asking)
    }

    /// A model whose only version cannot be loaded, and without it again.
    fn break_a_model(&self) {
        // Aside, so that no poll sees it whole.
        let aside = self.models.path().join(".broken/1");
        late_model("broken", 0.1).save(&aside).unwrap();
        std::fs::write(aside.join("manifest.json"), "{}").unwrap();
        let place = self.models.path().join("broken");
        std::fs::rename(aside.parent().unwrap(), place).unwrap();
        self.manager().refresh().unwrap();
    }

    fn remove_the_broken_model(&self) {
        std::fs::remove_dir_all(self.models.path().join("broken")).unwrap();
        self.manager().refresh().unwrap();
    }
}

#[test]
fn readiness_follows_the_models() {
    let running = Running::with(&ServerOptions::default().readiness(Readiness::All));
    let is_ready = || {
        let ready: ServerReadyResponse =
            running.ask("ServerReady", &ServerReadyRequest {}).message();
        ready.ready
    };
    assert!(is_ready());
    let ready = |name: &str| {
        running.ask(
            "ModelReady",
            &ModelReadyRequest {
                name: name.to_owned(),
                version: String::new(),
            },
        )
    };
    assert!(ready("late").message::<ModelReadyResponse>().ready);
    // As over HTTP, an unknown model is reported as not ready.
    assert!(!ready("lat").message::<ModelReadyResponse>().ready);
    running.break_a_model();
    assert!(!is_ready());
    let index: RepositoryIndexResponse = running
        .ask("RepositoryIndex", &RepositoryIndexRequest::default())
        .message();
    let states: Vec<(&str, &str)> = index.models.iter().map(|m| (&*m.name, &*m.state)).collect();
    let ready = |name| (name, "READY");
    assert_eq!(
        states,
        [("broken", "UNAVAILABLE"), ready("gate"), ready("late")]
    );
    assert!(
        index.models[0].reason.contains("manifest.json"),
        "{}",
        index.models[0].reason
    );
    let only_ready = RepositoryIndexRequest {
        ready: true,
        ..RepositoryIndexRequest::default()
    };
    let index: RepositoryIndexResponse = running.ask("RepositoryIndex", &only_ready).message();
    assert_eq!(index.models.len(), 2);
    let other = RepositoryIndexRequest {
        repository_name: "other".to_owned(),
        ready: false,
    };
    running
        .ask("RepositoryIndex", &other)
        .refused(Code::NotFound, "`other`");
    running.answer(&raw());
}

#[test]
fn models_at_rest_do_not_count_against_readiness() {
    for readiness in [Readiness::Loaded, Readiness::Any, Readiness::All] {
        let options = ServerOptions::default().readiness(readiness);
        let is_ready = |running: &Running| {
            let ready: ServerReadyResponse =
                running.ask("ServerReady", &ServerReadyRequest {}).message();
            let health = running.ask_with(CHECK, &[], health(""));
            let is_serving = serving(&health.messages[0]) == ServingStatus::Serving;
            assert_eq!(is_serving, ready.ready);
            ready.ready
        };
        let running = Running::with(&options);
        for model in ["late", "gate"] {
            running.manager().unload(model).unwrap();
            until("the model to be unloaded", || {
                running.manager().get(model, None).is_err()
            });
            assert!(is_ready(&running), "{model} is unloaded, {readiness:?}");
        }
        let lazy = Running::managed(&options, ServerCore::new, |manager| manager.lazy());
        assert!(is_ready(&lazy), "lazy, {readiness:?}");
    }
}

#[test]
fn streams_go_on_while_a_server_says_that_it_stops() {
    let delay = Duration::from_secs(1);
    let mut running = Running::with(&ServerOptions::default().drain_delay(delay));
    let handle = running.handle.take().unwrap();
    let address = handle.address();
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    running.runtime.block_on(async {
        let mut client = Client::connect(address).await;
        let mut watch = client.open(WATCH, &[]).await.unwrap();
        watch.send(&client::framed(&health("")), true);
        let first = watch.next().await.unwrap();
        assert_eq!(serving(&first), ServingStatus::Serving);
        let mut stream = client.open(path, &[]).await.unwrap();
        let message = client::framed(&raw().encode_to_vec());
        let stopping = tokio::spawn(handle.shutdown());
        let left = watch.next().await.unwrap();
        assert_eq!(serving(&left), ServingStatus::NotServing);
        stream.send(&message, false);
        assert!(stream.next().await.is_some());
        stopping.await.unwrap().unwrap();
        stream.finish().await.refused(Code::Unavailable, "stopping");
        assert_eq!(watch.finish().await.code, Code::Ok);
    });
}

#[test]
fn health_is_told_and_its_changes_are() {
    let running = Running::with(&ServerOptions::default().readiness(Readiness::All));
    for service in ["", "inference.GRPCInferenceService"] {
        let answer = running.ask_with(CHECK, &[], health(service));
        assert_eq!(serving(&answer.messages[0]), ServingStatus::Serving);
    }
    let other = running.ask_with(CHECK, &[], health("other"));
    other.refused(Code::NotFound, "inference.GRPCInferenceService");

    let mut client = running.client();
    let mut watches: Vec<client::Open> = Vec::new();
    for service in ["", "other"] {
        let open = running.runtime.block_on(client.open(WATCH, &[]));
        let mut open = open.unwrap();
        open.send(&client::framed(&health(service)), true);
        watches.push(open);
    }
    let [watch, other] = &mut watches[..] else {
        unreachable!()
    };
    let next = |watch: &mut client::Open| {
        let next = async { tokio::time::timeout(LIMIT, watch.next()).await };
        serving(&running.runtime.block_on(next).unwrap().unwrap())
    };
    assert_eq!(next(other), ServingStatus::ServiceUnknown);
    assert_eq!(next(watch), ServingStatus::Serving);
    running.break_a_model();
    assert_eq!(next(watch), ServingStatus::NotServing);
    running.remove_the_broken_model();
    assert_eq!(next(watch), ServingStatus::Serving);
}

#[test]
fn a_server_that_stops_ends_its_streams() {
    let mut running = Running::start();
    let mut client = running.client();
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let (mut stream, watch) = running.runtime.block_on(async {
        let mut stream = client.open(path, &[]).await.unwrap();
        let message = client::framed(&raw().encode_to_vec());
        stream.send(&message, false);
        let mut watch = client.open(WATCH, &[]).await.unwrap();
        watch.send(&client::framed(&health("")), true);
        assert_eq!(
            serving(&watch.next().await.unwrap()),
            ServingStatus::Serving
        );
        (stream, watch)
    });
    let handle = running.handle.take().unwrap();
    let address = handle.address();
    running.runtime.block_on(async {
        assert!(stream.next().await.is_some());
        handle.shutdown().await.unwrap();
        let end = stream.finish().await;
        end.refused(Code::Unavailable, "stopping");
        let end = watch.finish().await;
        assert_eq!(end.code, Code::Ok, "{}", end.text);
        assert_eq!(
            serving(end.messages.last().unwrap()),
            ServingStatus::NotServing
        );
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn a_server_says_that_it_stops_before_it_does() {
    let delay = Duration::from_millis(500);
    let mut running = Running::with(&ServerOptions::default().drain_delay(delay));
    let handle = running.handle.take().unwrap();
    let address = handle.address();
    running.runtime.block_on(async {
        let client = Client::connect(address).await;
        let stopping = tokio::spawn(handle.shutdown());
        let is_serving = || async {
            let answer = client
                .clone()
                .ask(CHECK.to_owned(), Vec::new(), health(""))
                .await;
            serving(&answer.messages[0]) == ServingStatus::Serving
        };
        let start = Instant::now();
        while is_serving().await {
            assert!(start.elapsed() < LIMIT);
        }
        let asking = client
            .clone()
            .ask(INFER.to_owned(), Vec::new(), raw().encode_to_vec());
        asking.await.message::<ModelInferResponse>();
        stopping.await.unwrap().unwrap();
    });
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let mut running = Running::start();
    let address = running.handle.as_ref().unwrap().address();
    drop(running.handle.take());
    until("the port to be free", || {
        std::net::TcpListener::bind(address).is_ok()
    });
}

#[test]
fn a_deadline_that_has_passed_is_told() {
    let running = Running::start();
    let late = running.ask_with(INFER, &[("grpc-timeout", "0n")], raw().encode_to_vec());
    // Either the message or the answer is too late.
    late.refused(Code::DeadlineExceeded, "");
    let in_time = running.ask_with(INFER, &[("grpc-timeout", "1M")], raw().encode_to_vec());
    in_time.message::<ModelInferResponse>();
    // Of a stream, it is the stream's.
    let mut client = running.client();
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let end = running.runtime.block_on(async {
        let open = client.open(path, &[("grpc-timeout", "50m")]).await.unwrap();
        open.finish().await
    });
    end.refused(Code::DeadlineExceeded, "deadline");
}

#[test]
fn a_client_that_leaves_is_let_go() {
    let running = Running::start();
    for _ in 0..20 {
        let mut client = running.client();
        running.runtime.block_on(async {
            // Fewer than the server takes for an attack on one connection.
            for _ in 0..10 {
                let mut open = client.open(INFER, &[]).await.unwrap();
                open.send(&client::framed(&raw().encode_to_vec()), true);
                open.send.send_reset(h2::Reason::CANCEL);
            }
        });
    }
    running.answer(&raw());
}

#[test]
fn admin_calls_are_off_unless_they_are_on() {
    let running = Running::start();
    let load = RepositoryModelLoadRequest {
        model_name: "late".to_owned(),
        ..RepositoryModelLoadRequest::default()
    };
    let unload = RepositoryModelUnloadRequest {
        model_name: "late".to_owned(),
        ..RepositoryModelUnloadRequest::default()
    };
    let answer = running.ask("RepositoryModelLoad", &load);
    answer.refused(Code::PermissionDenied, "`admin` is off");
    let answer = running.ask("RepositoryModelUnload", &unload);
    answer.refused(Code::PermissionDenied, "`admin` is off");
}

#[test]
fn models_are_unloaded_and_loaded() {
    let running = Running::with(&ServerOptions::default().admin(Admin::SamePort));
    let load = |name: &str| RepositoryModelLoadRequest {
        model_name: name.to_owned(),
        ..RepositoryModelLoadRequest::default()
    };
    let mut unload = RepositoryModelUnloadRequest {
        model_name: "late".to_owned(),
        ..RepositoryModelUnloadRequest::default()
    };
    // As the public client sends it.
    let dependents = "unload_dependents".to_owned();
    let choice = Some(Choice::BoolParam(false));
    let no = ModelRepositoryParameter {
        parameter_choice: choice,
    };
    unload.parameters.insert(dependents, no.clone());
    let _: RepositoryModelUnloadResponse = running.ask("RepositoryModelUnload", &unload).message();
    until("the model to be out", || {
        running.infer(&raw()).code != Code::Ok
    });
    let _: RepositoryModelLoadResponse =
        running.ask("RepositoryModelLoad", &load("late")).message();
    running.answer(&raw());

    let answer = running.ask("RepositoryModelLoad", &load("lat"));
    answer.refused(Code::NotFound, "`lat`");
    let mut with_config = load("late");
    with_config.parameters.insert("config".to_owned(), no);
    let answer = running.ask("RepositoryModelLoad", &with_config);
    answer.refused(Code::Unimplemented, "parameter `config`");
}

#[test]
fn what_is_answered_is_counted() {
    let running = Running::start();
    let of = |name: &str, version: &str| {
        let (name, version) = (name.to_owned(), version.to_owned());
        running.ask("ModelStatistics", &ModelStatisticsRequest { name, version })
    };
    running.answer(&raw());
    let mut bad = raw();
    bad.inputs[0].shape = vec![1];
    running.infer(&bad).refused(Code::InvalidArgument, "`age`");
    let statistics: ModelStatisticsResponse = of("late", "1").message();
    let [late] = &statistics.model_stats[..] else {
        panic!("{statistics:?}")
    };
    assert_eq!((late.name.as_str(), late.version.as_str()), ("late", "1"));
    assert_eq!((late.inference_count, late.execution_count), (3, 1));
    let stats = late.inference_stats.as_ref().unwrap();
    assert_eq!(stats.success.unwrap().count, 1);
    assert_eq!(stats.fail.unwrap().count, 1);
    assert_eq!(late.batch_stats[0].batch_size, 3);
    let all: ModelStatisticsResponse = of("", "").message();
    assert_eq!(all.model_stats.len(), 2);
    of("nobody", "").refused(Code::NotFound, "`nobody`");
    of("late", "7").refused(Code::NotFound, "version 7");
    of("", "7").refused(Code::InvalidArgument, "`version` is given without `name`");
    let metrics = running.metrics();
    let counted = r#"protocol="grpc",code="INVALID_ARGUMENT"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn only_who_has_a_token_is_answered() {
    let tokens = BearerToken::new(["a token of a client"]);
    let running = Running::with(&ServerOptions::default().auth(tokens));
    let message = || raw().encode_to_vec();
    let answer = running.ask_with(INFER, &[], message());
    answer.refused(Code::Unauthenticated, "token");
    let answer = running.ask_with(
        INFER,
        &[("authorization", "Bearer another token")],
        message(),
    );
    answer.refused(Code::Unauthenticated, "token");
    let good = [("authorization", "Bearer a token of a client")];
    let answer = running.ask_with(INFER, &good, message());
    answer.message::<ModelInferResponse>();
    let answer = running.ask_with(CHECK, &[], health(""));
    assert_eq!(serving(&answer.messages[0]), ServingStatus::Serving);
}

#[test]
fn an_address_that_cannot_be_is_an_error() {
    let running = Running::start();
    let manager = Arc::clone(running.handle.as_ref().unwrap().manager());
    let taken = running.handle.as_ref().unwrap().address().to_string();
    for address in [taken.as_str(), "nowhere", "127.0.0.1"] {
        let serving = super::super::serve(Arc::clone(&manager), address);
        let error = running.runtime.block_on(serving).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Io, "{error}");
    }
}

#[test]
fn the_calls_are_those_of_the_description() {
    let described = calls_of(super::super::generated::DESCRIPTORS);
    let mut calls = super::super::routes::CALLS.map(str::to_owned).to_vec();
    calls.sort();
    assert_eq!(calls, described);
}

/// The names of the calls in an encoded description: those whose requests and responses are named after them.
fn calls_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut names: Vec<String> = text
        .match_indices(".inference.")
        .filter_map(|(at, _)| {
            let rest = &text[at + 11..];
            let name = rest.split_once("Request")?.0;
            let is_call = name.chars().all(|c| c.is_ascii_alphanumeric());
            let answers = format!(".inference.{name}Response");
            (is_call && !name.is_empty() && text.contains(&answers)).then(|| name.to_owned())
        })
        .collect();
    names.push("ModelStreamInfer".to_owned());
    names.sort();
    names.dedup();
    names
}
