//! Limits on what clients hold: time, bytes, connections.

use super::*;
use crate::serving::grpc::proto::ModelStreamInferResponse;
use crate::serving::requests::Limits;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The beginning of a message with a declared length of `n_bytes`.
fn begun(n_bytes: u32) -> Bytes {
    let mut begun = vec![0; 105];
    begun[1..5].copy_from_slice(&n_bytes.to_be_bytes());
    begun.into()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.unwrap()
}

async fn open(client: &Client, path: &str) -> client::Open {
    client.clone().open(path, &[]).await.unwrap()
}

fn answered(message: &Bytes) -> ModelStreamInferResponse {
    ModelStreamInferResponse::decode(message.clone()).unwrap()
}

#[test]
fn a_message_that_does_not_come_is_not_waited_for() {
    let limit = Duration::from_millis(100);
    let running = Running::with(&ServerOptions::default().body_timeout(limit));
    let client = running.client();
    running.runtime.block_on(async {
        let ready = "/inference.GRPCInferenceService/ServerReady";
        for path in [INFER, ready, WATCH] {
            let silent = open(&client, path).await;
            let answer = soon(silent.finish()).await;
            answer.refused(Code::DeadlineExceeded, "did not arrive within 100 ms");
        }
        let mut half = open(&client, INFER).await;
        half.send(&begun(1000), false);
        let answer = soon(half.finish()).await;
        answer.refused(Code::DeadlineExceeded, "did not arrive within 100 ms");
        // Between its messages a stream may wait.
        let mut stream = open(&client, STREAM).await;
        for _ in 0..2 {
            tokio::time::sleep(2 * limit).await;
            stream.send(&client::framed(&raw().encode_to_vec()), false);
            let message = soon(stream.next()).await.unwrap();
            assert_eq!(answered(&message).error_message, "");
        }
        stream.send(&begun(1000), false);
        let end = soon(stream.finish()).await;
        end.refused(Code::DeadlineExceeded, "did not arrive within 100 ms");
    });
    let options = ServerOptions::default().body_timeout(Duration::from_secs(3600));
    let running = Running::with(&options);
    let mut client = running.client();
    running.runtime.block_on(async {
        let silent = client.open(INFER, &[("grpc-timeout", "50m")]).await;
        let answer = soon(silent.unwrap().finish()).await;
        answer.refused(Code::DeadlineExceeded, "");
        let told = ["deadline", "did not arrive within 50 ms"];
        assert!(
            told.iter().any(|text| answer.text.contains(text)),
            "{}",
            answer.text
        );
    });
}

/// A message of `n_bytes` zeros, which is not valid.
fn large(n_bytes: usize) -> Bytes {
    let mut message = vec![0; 5 + n_bytes];
    let length = u32::try_from(n_bytes).unwrap();
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message.into()
}

#[test]
fn what_is_on_its_way_has_a_limit_for_all() {
    let options = ServerOptions::default()
        .max_body_bytes(1 << 20)
        .max_buffered_bytes(1 << 20);
    let running = Running::with(&options);
    let first = running.client();
    let second = running.client();
    for path in [INFER, STREAM] {
        running.runtime.block_on(async {
            // The second is not refused before the first has arrived; the first is closed if the server waits for it.
            let refused = async {
                loop {
                    let mut holds = open(&first, path).await;
                    holds.send(&large(1 << 20).slice(..900 << 10), false);
                    let mut other = open(&second, path).await;
                    other.send(&large(900 << 10), true);
                    let answer = other.finish().await;
                    holds.send.send_reset(h2::Reason::CANCEL);
                    if answer.code == Code::ResourceExhausted {
                        break;
                    }
                }
            };
            soon(refused).await;
            let small = raw().encode_to_vec();
            let small = second.clone().ask(INFER.to_owned(), Vec::new(), small);
            soon(small).await.message::<ModelInferResponse>();
            let taken = async {
                loop {
                    let mut other = open(&second, path).await;
                    other.send(&large(900 << 10), true);
                    if other.finish().await.code != Code::ResourceExhausted {
                        break;
                    }
                }
            };
            soon(taken).await;
        });
    }
}

#[test]
fn a_message_in_many_parts_is_read() {
    let running = Running::start();
    let client = running.client();
    let message = client::framed(&raw().encode_to_vec());
    running.runtime.block_on(async {
        let mut open = open(&client, INFER).await;
        for part in message.chunks(3) {
            open.send(&Bytes::copy_from_slice(part), false);
        }
        open.send(&Bytes::new(), true);
        let answer = soon(open.finish()).await;
        answer.message::<ModelInferResponse>();
    });
}

#[test]
fn a_model_may_take_less_than_the_server() {
    let limits = Limits::default().max_body_bytes(100);
    let running = Running::over(&ServerOptions::default(), |manager| {
        let core = ServerCore::builder(manager).model_limits("late", limits);
        core.build().unwrap()
    });
    running.infer(&raw()).refused(Code::OutOfRange, "100");
}

#[test]
fn the_servers_limit_is_on_the_requests_of_a_stream() {
    let limit = Duration::from_millis(200);
    let running = Running::with(&ServerOptions::default().request_timeout(limit));
    let client = running.client();
    let gate = ModelInferRequest {
        model_name: "gate".to_owned(),
        ..raw()
    };
    running.runtime.block_on(async {
        let mut stream = open(&client, STREAM).await;
        stream.send(&client::framed(&gate.encode_to_vec()), false);
        let message = soon(stream.next()).await.unwrap();
        let error = answered(&message).error_message;
        assert!(error.contains("deadline"), "{error}");
        // More time than the limit has passed, and the stream continues.
        stream.send(&client::framed(&raw().encode_to_vec()), true);
        let end = soon(stream.finish()).await;
        let answer = answered(&end.messages[0]);
        assert_eq!(answer.error_message, "", "{:?}", end.text);
    });
    running.open_the_gate();
}

#[test]
fn connections_without_calls_are_closed() {
    let limit = Duration::from_millis(100);
    let running = Running::with(&ServerOptions::default().idle_timeout(limit));
    let address = running.handle.as_ref().unwrap().address();
    let used = running.client();
    running.runtime.block_on(async {
        let mut stream = open(&used, STREAM).await;
        stream.send(&client::framed(&raw().encode_to_vec()), false);
        soon(stream.next()).await.unwrap();
        let idle = tokio::net::TcpStream::connect(address).await.unwrap();
        let (_send, connection) = h2::client::handshake(idle).await.unwrap();
        soon(connection).await.unwrap();
        // Another one without a reader, not even for the goodbye.
        let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        tokio::io::AsyncWriteExt::write_all(&mut silent, preface)
            .await
            .unwrap();
        let mut sink = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut sink);
        _ = soon(read).await;
        stream.send(&client::framed(&raw().encode_to_vec()), true);
        let end = soon(stream.finish()).await;
        assert_eq!(end.messages.len(), 1, "{}", end.text);
    });
}

#[test]
fn beyond_the_limit_an_idle_connection_makes_room() {
    let running = Running::with(&ServerOptions::default().max_connections(1));
    let address = running.handle.as_ref().unwrap().address();
    running.runtime.block_on(async {
        let idle = tokio::net::TcpStream::connect(address).await.unwrap();
        let (_send, idle) = h2::client::handshake(idle).await.unwrap();
        // One that has just come is waited for, for two ticks of the server's clock.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let client = Client::connect(address).await;
        let gate = ModelInferRequest {
            model_name: "gate".to_owned(),
            ..raw()
        };
        let mut busy = open(&client, INFER).await;
        busy.send(&client::framed(&gate.encode_to_vec()), true);
        _ = soon(idle).await;
        // One that is used stays, and the new one is closed. Before its request is read, it is as idle as the other was.
        running.gate_is_asked().await;
        let other = tokio::net::TcpStream::connect(address).await.unwrap();
        if let Ok((_send, other)) = h2::client::handshake(other).await {
            _ = soon(other).await;
        }
        running.open_the_gate();
        let end = soon(busy.finish()).await;
        end.message::<ModelInferResponse>();
    });
}

#[test]
fn a_server_that_stops_does_not_wait_for_who_says_nothing() {
    let hour = Duration::from_secs(3600);
    let options = ServerOptions::default()
        .header_timeout(hour)
        .drain_timeout(hour);
    let mut running = Running::with(&options);
    let handle = running.handle.take().unwrap();
    let address = handle.address();
    running.runtime.block_on(async {
        let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let client = Client::connect(address).await;
        let asking = client.ask(INFER.to_owned(), Vec::new(), raw().encode_to_vec());
        // So the first was taken, too.
        soon(asking).await.message::<ModelInferResponse>();
        soon(handle.shutdown()).await.unwrap();
    });
}
