//! Malformed requests.

use super::*;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

impl Running {
    /// A call of exactly these bytes.
    fn send(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut client = self.client();
        self.runtime.block_on(async {
            let mut open = client.open(path, headers).await.unwrap();
            open.send(&body.into(), true);
            open.finish().await
        })
    }

    fn still_answers(&self) {
        self.answer(&raw());
    }
}

#[test]
fn calls_that_are_not_there_are_named() {
    let running = Running::start();
    for call in ["SystemSharedMemoryStatus", "TraceSetting", "Infer", ""] {
        let path = format!("/inference.GRPCInferenceService/{call}");
        let answer = running.send(&path, &[], client::framed(b"").to_vec());
        answer.refused(Code::Unimplemented, &format!("has no method `{call}`"));
    }
    for path in ["/inference.Other/ModelInfer", "/", "/a/b/c"] {
        let answer = running.send(path, &[], client::framed(b"").to_vec());
        answer.refused(Code::Unimplemented, "");
    }
    running.still_answers();
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let running = Running::start();
    let message = raw().encode_to_vec();
    let framed = client::framed(&message).to_vec();
    let mut lying = framed.clone();
    lying[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut compressed = framed.clone();
    compressed[0] = 1;
    let cases = [
        ("nothing", Vec::new()),
        ("half a head", vec![0, 0]),
        ("half a message", framed[..framed.len() - 3].to_vec()),
        ("a length that lies", lying),
        ("compressed without saying how", compressed),
        ("two messages", [framed.clone(), framed].concat()),
        ("no protocol buffers", client::framed(&[0xff; 100]).to_vec()),
    ];
    for (name, body) in cases {
        let answer = running.send(INFER, &[], body);
        if name != "two messages" {
            assert_ne!(answer.code, Code::Ok, "{name}");
        }
        running.still_answers();
    }
}

#[test]
fn messages_that_are_changed_anywhere_end_in_an_answer() {
    let running = Running::start();
    let message = raw().encode_to_vec();
    let mut client = running.client();
    running.runtime.block_on(async {
        for at in 0..message.len() {
            for change in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut message = message.clone();
                message[at] = change;
                let asking = client.clone().ask(INFER.to_owned(), Vec::new(), message);
                let answer = asking.await;
                assert_ne!(answer.code, Code::Unknown, "byte {at}: {}", answer.text);
                if answer.code == Code::Internal {
                    let undecodable = answer.text.contains("decode");
                    assert!(undecodable, "byte {at} is {change}: {}", answer.text);
                }
            }
        }
        _ = client.open(INFER, &[]).await.unwrap();
    });
    running.still_answers();
}

#[test]
fn messages_of_more_than_the_limit_are_refused() {
    let running = Running::with(&ServerOptions::default().max_body_bytes(1000));
    running.answer(&raw());
    let mut request = raw();
    request.id = "x".repeat(1000);
    running.infer(&request).refused(Code::OutOfRange, "1000");
}

#[test]
fn metadata_that_is_none_is_refused() {
    let running = Running::start();
    let body = client::framed(&raw().encode_to_vec()).to_vec();
    for timeout in ["1", "abc", "123456789S", "-1S"] {
        let answer = running.send(INFER, &[("grpc-timeout", timeout)], body.clone());
        answer.refused(Code::InvalidArgument, "grpc-timeout");
    }
    let odd = [("x-routing-key", "\u{fc}"), ("x-request-id", "")];
    let answer = running.send(INFER, &odd, body);
    assert_eq!(answer.code, Code::Ok, "{}", answer.text);
}

#[test]
fn connections_of_other_protocols_are_closed() {
    use std::io::{Read, Write};
    let running = Running::start();
    let address = running.handle.as_ref().unwrap().address();
    for text in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &[0xff; 64]] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(text).unwrap();
        // Whatever it sends before, it ends.
        let mut rest = Vec::new();
        _ = stream.read_to_end(&mut rest);
    }
    running.still_answers();
}

#[test]
fn a_client_that_does_not_begin_is_let_go() {
    use std::io::{Read, Write};
    let options = ServerOptions::default()
        .header_timeout(Duration::from_millis(100))
        .max_connections(2);
    let running = Running::with(&options);
    let address = running.handle.as_ref().unwrap().address();
    let begin = |text: &[u8]| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(text).unwrap();
        stream
    };
    let silent = [begin(b""), begin(b"PRI * HTTP/2.0\r\n")];
    // There is no place until one of them is closed.
    let handle = running.handle.as_ref().unwrap();
    until("both to be there", || handle.n_connections() == 2);
    until("a place", || handle.n_connections() == 0);
    running.still_answers();
    for mut stream in silent {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert!(
            !matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{end:?}"
        );
    }
    // One that has begun is not closed for being silent.
    let client = running.client();
    std::thread::sleep(Duration::from_millis(300));
    let path = "/inference.GRPCInferenceService/ServerLive".to_owned();
    let answer = running
        .runtime
        .block_on(client.ask(path, Vec::new(), Vec::new()));
    assert_eq!(answer.code, Code::Ok);
}
