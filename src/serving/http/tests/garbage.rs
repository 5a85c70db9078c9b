//! Requests that are no requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::serving::http::BODY_LIMIT;

/// Bytes that mean something in a request.
const ODD: &[u8] = b"\0\xff0129\"[]{},:-.eNn";

/// A sequence of numbers that is the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n as u64)).unwrap()
    }

    fn mutate(&mut self, body: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(body.len());
            match self.below(5) {
                0 => body[at] = ODD[self.below(ODD.len())],
                1 => body[at] ^= 1 << self.below(8),
                2 => {
                    body.remove(at);
                    body.push(b' ');
                }
                3 => {
                    let end = (at + self.below(40)).min(body.len());
                    let part = body[at..end].to_vec();
                    body.splice(at..at, part);
                }
                _ => body.truncate(at.max(1)),
            }
        }
    }
}

#[test]
fn garbage_never_fails_the_server() {
    let server = Running::start();
    let json = json!({"id": "1", "parameters": {"null_value": "a"}, "inputs": all_inputs(),
        "outputs": [{"name": "class", "parameters": {"binary_data": false}}]})
    .to_string();
    let binary = json!({"inputs": [
        {"name": "age", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
        {"name": "city", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 16}},
        {"name": "day", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 28}},
    ]})
    .to_string();
    let length = binary.len().to_string();
    let tail =
        b"\x01\0\x02\0\x04\0\0\0Rome\x04\0\0\0Bonn\x0a\0\0\x002013-01-31\x0a\0\0\x002013-12-01";
    let binary = [binary.as_bytes(), tail].concat();
    let mut numbers = Numbers(42);
    let (mut fine, mut refused) = (0, 0);
    for round in 0..3_000 {
        let mut body = if round % 2 == 0 {
            json.clone().into_bytes()
        } else {
            binary.clone()
        };
        if round > 1 {
            numbers.mutate(&mut body);
        }
        let header = ("Inference-Header-Content-Length", length.as_str());
        let headers = if round % 2 == 0 {
            &[][..]
        } else {
            &[header][..]
        };
        let mut response = server.send("/v2/models/late/infer", headers, &body);
        let answer = response.body_mut().read_to_vec().unwrap();
        match response.status().as_u16() {
            200 => fine += 1,
            400 => refused += 1,
            status => panic!(
                "{status} {} for {}",
                String::from_utf8_lossy(&answer),
                String::from_utf8_lossy(&body)
            ),
        }
        assert!(
            round > 1 || fine == round + 1,
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert!(fine > 50 && refused > 500, "{fine} fine, {refused} refused");
    assert_eq!(server.infer("late", all_inputs()).0, 200);
}

/// Sends bytes, and reads what is answered until the server closes or falls silent.
fn raw(server: &Running, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    connection.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = connection.read(&mut buffer)
        && n > 0
    {
        answer.extend_from_slice(&buffer[..n]);
        if String::from_utf8_lossy(&answer).contains('}') {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let server = Running::start();
    let head = "POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\n";
    let announced = raw(
        &server,
        format!("{head}Content-Length: {}\r\n\r\n", BODY_LIMIT + 1).as_bytes(),
    );
    assert!(
        announced.starts_with("HTTP/1.1 413") && announced.contains(r#"{"error":"#),
        "{announced}"
    );

    // Not announced: in chunks.
    let chunk = format!("{BODY_LIMIT:x}\r\n");
    let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}").into_bytes();
    bytes.resize(bytes.len() + BODY_LIMIT, b' ');
    bytes.extend(b"\r\n4\r\n    \r\n0\r\n\r\n");
    let chunked = raw(&server, &bytes);
    assert!(
        chunked.starts_with("HTTP/1.1 413") && chunked.contains(r#"{"error":"#),
        "{chunked}"
    );
    assert_eq!(server.get("/v2/health/ready").0, 200);
}

#[test]
fn many_rows_are_too_many() {
    let server = Running::start();
    let rows =
        |n: usize| json!([{"name": "age", "datatype": "UINT8", "shape": [n], "data": vec![1; n]}]);
    let (status, answer) = server.infer("late", rows(100_001));
    assert_eq!(status, 400);
    assert_eq!(
        answer["error"],
        "input `age`: 100001 rows, a request has at most 100000"
    );
    assert_eq!(server.infer("late", rows(100_000)).0, 200);
}
