//! Tests of requests and answers.

use arrow::array::{Array, RecordBatch};
use serde_json::{Value, json};

use super::request::{Request, split};
use super::*;
use crate::schema::FieldType;
use crate::serving::protocol::plan::Input;
use crate::serving::protocol::tests::{answer, late, lists, meal, try_mutated};
use crate::serving::protocol::{InputTensor, TensorData, rows as rows_of_tensors};

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
            "input `age`: has neither `data` nor",
        ),
        (
            age(r#""datatype": "INT65", "data": [1, 2]"#),
            "input `age`: unknown datatype `INT65`",
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
            "input `age`: has both",
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
            "duplicate input `age`",
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
        assert!(error.matches("input `age`").count() < 2, "{error}");
    }
    assert!(split(b"{}", Some(3)).is_err());
    assert_eq!(split(b"{}a", Some(2)).unwrap(), (&b"{}"[..], &b"a"[..]));
}

fn infer(predictor: &Predictor, json: &str, tail: &[u8]) -> Result<(Value, Vec<u8>)> {
    let body = [json.as_bytes(), tail].concat();
    let reply = answer(predictor, InferExchange::new(body, Some(json.len())))?;
    let (json, tail) = reply
        .body
        .split_at(reply.json_length.unwrap_or(reply.body.len()));
    Ok((serde_json::from_slice(json).unwrap(), tail.to_vec()))
}

#[test]
fn the_order_of_keys_means_nothing() {
    let first = r#"{"id": "a\"b", "parameters": {"null_value": "None", "timeout": 1000, "priority": 1, "x": {"y": []}},
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "INT64", "data": [31, 40]},
            {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 16}}]}"#;
    let last = r#"{"inputs": [
            {"data": [[31], [40]], "datatype": "INT64", "unknown": [{}], "shape": [2, 1], "name": "age"},
            {"parameters": {"binary_data_size": 16}, "datatype": "BYTES", "shape": [2], "name": "city"}],
        "outputs": null, "parameters": {"null_value": "None"}, "id": "a\"b"}"#;
    let tail = b"\x04\0\0\0Rome\x04\0\0\0None";
    let model = late();
    let (answered, _) = infer(&model, first, tail).unwrap();
    assert_eq!(answered["id"], "a\"b");
    assert_eq!(answered["model_name"], "late");
    assert_eq!(answered["model_version"], "3");
    assert_eq!(infer(&model, last, tail).unwrap().0, answered);
    let plan = Plan::of(model.servable());
    for json in [first, last] {
        let read = Request::read(&plan, json.as_bytes(), tail).unwrap();
        assert_eq!(read.rows.column(1).null_count(), 1);
    }
    let without = last.replace("null_value", "nil_value");
    let read = Request::read(&plan, without.as_bytes(), tail).unwrap();
    assert_eq!(read.rows.column(1).null_count(), 0);
}

#[test]
fn lists_come_as_tensors_of_two_dimensions() {
    let model = lists();
    let metadata = model_metadata(&model).unwrap();
    let shapes = metadata["inputs"].as_array().unwrap().iter();
    let shapes: Vec<(&str, &str, &Value)> = shapes
        .map(|input| {
            let text = |key: &str| input[key].as_str().unwrap();
            (text("name"), text("datatype"), &input["shape"])
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("tags", "BYTES", &json!([-1, -1])),
            ("scores", "INT64", &json!([-1, -1])),
            ("trip.fare", "FP64", &json!([-1])),
        ]
    );
    let ragged = r#"{"inputs": [
        {"name": "tags", "shape": [3, -1], "datatype": "BYTES", "data": [["a", "b"], [], ["c"]]},
        {"name": "scores", "shape": [3, 2], "datatype": "INT32", "data": [[1, 3], [2, null], [2, 2]]},
        {"name": "trip.fare", "shape": [3], "datatype": "FP32", "data": [1, 2, 3]}]}"#;
    let (answered, _) = infer(&model, ragged, &[]).unwrap();
    assert_eq!(
        answered["outputs"][0]["data"],
        json!([1_101_011.0, 2_010_000.0, 3_010_100.0])
    );
    let binary = r#"{"inputs": [
        {"name": "tags", "shape": [1, 2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
        {"name": "scores", "shape": [1, 3], "datatype": "INT8", "parameters": {"binary_data_size": 3}}]}"#;
    let tail = b"\x01\0\0\0a\x01\0\0\0x\x01\x02\x03";
    let (answered, _) = infer(&model, binary, tail).unwrap();
    assert_eq!(answered["outputs"][0]["data"], json!([611_101.0]));
    let error = infer(&model, &binary.replace("[1, 2]", "[1, -1]"), tail).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("input `tags`: shape [rows, -1] is for nested lists in JSON"),
        "{error}"
    );
}

#[test]
fn observers_are_told_the_id_of_a_request() {
    for (id, told) in [
        (r#""id": "seven","#, Some("seven")),
        (r#""id": "","#, None),
        ("", None),
    ] {
        let body = format!(
            r#"{{{id} "inputs": [{{"name": "age", "shape": [1], "datatype": "UINT8", "data": [31]}}]}}"#
        );
        let mut exchange = InferExchange::new(body.into_bytes(), None);
        assert_eq!(exchange.id(), None);
        exchange.rows(&late()).unwrap();
        assert_eq!(exchange.id(), told);
    }
}

#[test]
fn outputs_are_those_that_are_asked_for() {
    let body = |outputs: &str| {
        format!(
            r#"{{"inputs": [{{"name": "age", "shape": [2], "datatype": "UINT8", "data": [31, 40]}}], "outputs": {outputs}}}"#
        )
    };
    let model = meal();
    let (all, _) = infer(&model, &body("[]"), &[]).unwrap();
    assert_eq!(all["outputs"][1]["shape"], json!([2, 3]));
    let (top, _) = infer(
        &model,
        &body(r#"[{"name": "probabilities", "parameters": {"classification": 2}}]"#),
        &[],
    )
    .unwrap();
    let output = &top["outputs"][0];
    assert_eq!(output["datatype"], "BYTES");
    assert_eq!(output["shape"], json!([2, 2]));
    assert_eq!(top["outputs"].as_array().unwrap().len(), 1);
    let first: Vec<&str> = output["data"][0].as_str().unwrap().split(':').collect();
    let index: usize = first[1].parse().unwrap();
    assert_eq!(first[2], all["outputs"][0]["data"][0].as_str().unwrap());
    let expected = all["outputs"][1]["data"][index].as_f64().unwrap();
    assert_eq!(
        first[0].parse::<f64>().unwrap().to_bits(),
        expected.to_bits()
    );

    let (binary, tail) = infer(
        &late(),
        &body(r#"[{"name": "probability", "parameters": {"binary_data": true, "classification": 9}}, {"name": "class"}]"#),
        &[],
    )
    .unwrap();
    assert_eq!(binary["outputs"][0]["shape"], json!([2, 2]));
    assert_eq!(
        binary["outputs"][0]["parameters"]["binary_data_size"],
        tail.len()
    );
    for (outputs, problem) in [
        (
            r#"[{"name": "probabilty"}]"#,
            "no output `probabilty`; did you mean",
        ),
        (
            r#"[{"name": "class"}, {"name": "class"}]"#,
            "duplicate output `class`",
        ),
        (r#"[{}]"#, "output 0: `name` is missing"),
        (r#"[{"name": 1}]"#, "output 0: "),
        (r#"7"#, "`outputs` is 7, must be a list"),
        (
            r#"[{"name": "class", "parameters": {"classification": 1}}]"#,
            "output `class`: `classification` is only for probabilities",
        ),
        (
            r#"[{"name": "probability", "parameters": {"classification": 0}}]"#,
            "output `probability`: `classification` is 0",
        ),
        (
            r#"[{"name": "probability", "parameters": {"binary_data": 1}}]"#,
            "output `probability`: `binary_data`: 1, must be true or false",
        ),
        (
            r#"[{"name": "probability", "parameters": {"shared_memory_region": "x"}}]"#,
            "output `probability`: the shared-memory extension is not supported",
        ),
    ] {
        let error = infer(&late(), &body(outputs), &[]).unwrap_err().to_string();
        assert!(error.contains(problem), "{outputs}\n{error}");
    }
}

#[test]
fn typed_contents_make_the_rows_that_json_makes() {
    let model = late();
    let plan = Plan::of(model.servable());
    let tensor = |name, datatype, data| InputTensor {
        name,
        datatype,
        shape: &[2],
        data,
    };
    let tensors = [
        tensor("age", "INT32", TensorData::Ints(&[31, 40])),
        tensor("fare", "FP32", TensorData::Floats(&[7.25, f32::INFINITY])),
        tensor("city", "BYTES", TensorData::Texts(vec![b"Rome", b"None"])),
        tensor("vip", "BOOL", TensorData::Raw(&[1, 0])),
    ];
    let rows = rows_of_tensors(&plan, &tensors, Some("None")).unwrap();
    let json = r#"{"inputs": [
        {"name": "age", "shape": [2], "datatype": "UINT64", "data": [31, 40]},
        {"name": "fare", "shape": [2], "datatype": "FP64", "data": [7.25, 0]},
        {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Rome", null]},
        {"name": "vip", "shape": [2], "datatype": "BOOL", "data": [true, false]}]}"#;
    let read = Request::read(&plan, json.as_bytes(), &[]).unwrap().rows;
    assert_eq!(rows.schema(), read.schema());
    for column in [0, 2, 3] {
        assert_eq!(rows.column(column), read.column(column));
    }
    let again = rows_of_tensors(&plan, &tensors, None).unwrap();
    assert!(Arc::ptr_eq(&rows.schema(), &again.schema()), "it is kept");
    for (tensor, problem) in [
        (
            tensor("age", "INT64", TensorData::Ints(&[31, 40])),
            "input `age`: its values are not in the field for datatype INT64",
        ),
        (
            tensor("age", "INT8", TensorData::Ints(&[31, 400])),
            "input `age`: element 1 is 400, must be from -128 to 127",
        ),
        (
            tensor("age", "INT32", TensorData::Ints(&[31])),
            "input `age`: 1 elements, its shape has 2",
        ),
        (
            tensor("city", "BYTES", TensorData::Texts(vec![b"a", b"\xff"])),
            "input `city`: element 1 is not UTF-8",
        ),
        (
            tensor("fare", "BF16", TensorData::Floats(&[1.0, 2.0])),
            "input `fare`: its values are not in the field for datatype BF16",
        ),
        (
            tensor("far", "FP32", TensorData::Floats(&[1.0, 2.0])),
            "no input `far`; did you mean `fare`?",
        ),
    ] {
        let error = rows_of_tensors(&plan, &[tensor], None).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn garbage_is_refused() {
    let json =
        r#"{"id": "1", "parameters": {"null_value": "a", "binary_data_output": true}, "inputs": [
        {"name": "age", "datatype": "INT64", "shape": [2], "data": [31, -4e1]},
        {"data": ["Z\u00fcrich", null], "name": "city", "datatype": "BYTES", "shape": [2]},
        {"name": "fare", "datatype": "FP64", "shape": [2, 1], "data": [[7.25], [null]]},
        {"name": "vip", "datatype": "BOOL", "shape": [2], "data": [true, false]}],
        "outputs": [{"name": "class", "parameters": {"binary_data": false}},
            {"name": "probability", "parameters": {"classification": 1}}]}"#
            .replace("-4e1", "40");
    let binary = r#"{"inputs": [
        {"name": "age", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
        {"name": "city", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 16}},
        {"name": "fare", "datatype": "BF16", "shape": [2], "parameters": {"binary_data_size": 4}}]}"#;
    let length = binary.len();
    let tail = b"\x01\0\x02\0\x04\0\0\0Rome\x04\0\0\0Bonn\0\0\xc0\x3f";
    let bodies = [json.into_bytes(), [binary.as_bytes(), tail].concat()];
    try_mutated(&late(), &bodies, |body, which| {
        InferExchange::new(body, (which == 1).then_some(length))
    });
    let ragged = r#"{"inputs": [
        {"name": "tags", "shape": [3, -1], "datatype": "BYTES", "data": [["a", "b"], [], null]},
        {"name": "scores", "shape": [3, 2], "datatype": "INT32", "data": [[1, 3], [2, null], [2, 2]]}]}"#;
    try_mutated(&lists(), &[ragged.as_bytes().to_vec()], |body, _| {
        InferExchange::new(body, None)
    });
}
