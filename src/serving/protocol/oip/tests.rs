//! Tests of requests and answers.

use arrow::array::RecordBatch;

use super::request::{Request, split};
use super::*;
use crate::schema::FieldType;
use crate::serving::protocol::plan::Input;

fn plan() -> Plan {
    Plan::for_tests([
        Input::scalar("age", FieldType::Integer),
        Input::scalar("city", FieldType::Text),
        Input::list("tags", FieldType::Text),
    ])
}

fn rows(json: &str, tail: &[u8]) -> Result<RecordBatch> {
    Ok(Request::read(&plan(), json.as_bytes(), tail)?.rows)
}

#[test]
fn json_and_binary_tensors_make_the_same_rows() {
    let json = rows(
        r#"{"inputs": [
            {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["a", "bc"]},
            {"name": "age", "shape": [2, 1], "datatype": "INT8", "data": [[1], [2]]}]}"#,
        &[],
    );
    let binary = rows(
        r#"{"inputs": [
            {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
            {"name": "age", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}]}"#,
        b"\x01\0\0\0a\x02\0\0\0bc\x01\x02",
    );
    assert_eq!(json.unwrap(), binary.unwrap());
}

#[test]
fn bad_requests_are_named() {
    let age = |rest: &str| format!(r#"{{"inputs": [{{"name": "age", "shape": [2], {rest}}}]}}"#);
    let shape = |shape: &str| {
        format!(
            r#"{{"inputs": [{{"name": "age", "shape": {shape}, "datatype": "INT64", "data": [1, 2]}}]}}"#
        )
    };
    let two = |second: &str| {
        format!(
            r#"{{"inputs": [{{"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]}}, {second}]}}"#
        )
    };
    for (json, problem) in [
        ("{}".to_owned(), "`inputs` is missing"),
        ("[".to_owned(), "not an inference request"),
        (r#"{"inputs": []}"#.to_owned(), "`inputs` is empty"),
        (
            r#"{"inputs": [{}]}"#.to_owned(),
            "input 0: `name` is missing",
        ),
        (
            r#"{"inputs": [{"name": "age"}]}"#.to_owned(),
            "input `age`: `shape` is missing",
        ),
        (
            age(r#""datatype": "INT64""#),
            "input `age`: neither `data` nor",
        ),
        (
            age(r#""datatype": "INT65", "data": [1, 2]"#),
            "input `age`: there is no datatype `INT65`",
        ),
        (
            age(r#""datatype": "BYTES", "data": [1, 2]"#),
            "input `age`: datatype BYTES, must be INT64 or another",
        ),
        (
            age(r#""datatype": "INT64", "data": [NaN, 2]"#),
            "NaN and Infinity are not JSON",
        ),
        (
            age(r#""datatype": "INT64", "data": [[1, 2], [3]]"#),
            "input `age`: more elements than the 2",
        ),
        (
            age(r#""datatype": "INT64", "data": [1, 2], "parameters": {"binary_data_size": 0}"#),
            "input `age`: both",
        ),
        (
            age(r#""datatype": "INT64", "parameters": {"binary_data_size": 16}"#),
            "input `age`: `binary_data_size` says 16 bytes, the body has 3 left",
        ),
        (
            age(r#""datatype": "INT64", "parameters": {"binary_data_size": -1}"#),
            "input `age`: `binary_data_size`: -1, must be",
        ),
        (
            shape("[2, 2]"),
            "input `age`: shape [2, 2], must be [rows] or [rows, 1]",
        ),
        (shape("[]"), "input `age`: shape []"),
        (shape("[-1]"), "input `age`: shape [-1]"),
        (shape("[1.5]"), "input `age`: `shape`: 1.5, must be whole"),
        (
            shape("[9223372036854775807, 9223372036854775807]"),
            "input `age`: shape",
        ),
        (
            shape("[9223372036854775807]"),
            "input `age`: 9223372036854775807 rows, a request has at most 100000",
        ),
        (
            two(r#"{"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]}"#),
            "`age` is there twice",
        ),
        (
            two(r#"{"name": "city", "shape": [1], "datatype": "BYTES", "data": ["a"]}"#),
            "input `city` has 1 rows, input `age` has 2",
        ),
        (
            two(r#"{"name": "ctiy", "shape": [2], "datatype": "BYTES", "data": ["a"]}"#),
            "the model has no input `ctiy`; did you mean `city`?",
        ),
        (shape("[2]"), "3 bytes of binary data are left over"),
    ] {
        let error = rows(&json, b"abc").unwrap_err().to_string();
        assert!(error.contains(problem), "{json}\n{error}");
    }
    assert!(split(b"{}", Some(3)).is_err());
    assert_eq!(split(b"{}a", Some(2)).unwrap(), (&b"{}"[..], &b"a"[..]));
}
