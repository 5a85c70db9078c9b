//! Requests and their answers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};

use super::*;
use crate::model::Prediction;

/// The rows of [`all_inputs`], made without a request.
fn rows() -> RecordBatch {
    let at = TimestampMicrosecondArray::from(vec![
        Some(1_359_608_400_000_000),
        Some(1_359_601_200_000_000),
        None,
    ]);
    let columns: [(&str, ArrayRef); 6] = [
        ("age", Arc::new(Int64Array::from(vec![31, 40, 99]))),
        (
            "fare",
            Arc::new(Float64Array::from(vec![Some(7.25), None, Some(0.1)])),
        ),
        (
            "city",
            Arc::new(StringArray::from(vec![
                Some("Zürich"),
                None,
                Some("elsewhere"),
            ])),
        ),
        (
            "vip",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(15_736), None, Some(16_040)])),
        ),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn in_process(server: &Running, model: &str, rows: &RecordBatch) -> Prediction {
    server
        .manager()
        .get(model, None)
        .unwrap()
        .predict(rows)
        .unwrap()
}

fn bits(numbers: &Value) -> Vec<u64> {
    let numbers = numbers.as_array().unwrap().iter();
    numbers
        .map(|number| number.as_f64().unwrap().to_bits())
        .collect()
}

fn bits_of(prediction: &Prediction) -> Vec<u64> {
    prediction
        .outputs()
        .iter()
        .map(|number| number.to_bits())
        .collect()
}

#[test]
fn answers_are_those_of_the_model_bit_for_bit() {
    let server = Running::start();
    let (status, answer) = server.infer("late", all_inputs());
    assert_eq!(status, 200, "{answer}");
    let expected = in_process(&server, "late", &rows());
    assert_eq!(answer["model_name"], "late");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(
        answer["outputs"][0],
        tensor("class", "BYTES", json!(expected.classes()))
    );
    assert_eq!(answer["outputs"][1]["shape"], json!([3]));
    assert_eq!(answer["outputs"][1]["datatype"], "FP64");
    assert_eq!(bits(&answer["outputs"][1]["data"]), bits_of(&expected));

    let (_, answer) = server.infer("meal", all_inputs());
    assert_eq!(answer["outputs"][1]["name"], "probabilities");
    assert_eq!(answer["outputs"][1]["shape"], json!([3, 3]));
    assert_eq!(
        bits(&answer["outputs"][1]["data"]),
        bits_of(&in_process(&server, "meal", &rows()))
    );

    let (_, answer) = server.infer("price", all_inputs());
    assert_eq!(answer["outputs"][0]["name"], "value");
    assert_eq!(
        bits(&answer["outputs"][0]["data"]),
        bits_of(&in_process(&server, "price", &rows()))
    );
}

#[test]
fn many_rows_are_answered_like_few() {
    let server = Running::start();
    let ages: Vec<i64> = (0..20_000).collect();
    let (_, many) = server.infer("late", json!([tensor("age", "INT64", json!(ages))]));
    let (_, few) = server.infer("late", json!([tensor("age", "INT64", json!(&ages[7..9]))]));
    let (many, few) = (
        bits(&many["outputs"][1]["data"]),
        bits(&few["outputs"][1]["data"]),
    );
    assert_eq!((many.len(), &many[7..9]), (20_000, &few[..]));
    let (status, none) = server.infer("meal", json!([tensor("age", "INT64", json!([]))]));
    assert_eq!(
        (status, &none["outputs"][1]["shape"]),
        (200, &json!([0, 3]))
    );
}

#[test]
fn missing_values_have_many_names() {
    let server = Running::start();
    let age = || tensor("age", "INT64", json!([30, 40]));
    let data = |answer: Answer| {
        assert_eq!(answer.0, 200, "{}", answer.1);
        bits(&answer.1["outputs"][1]["data"])
    };
    let left_out = data(server.infer("late", json!([age()])));
    let nulls = data(server.infer(
        "late",
        json!([age(), tensor("city", "BYTES", json!([null, null]))]),
    ));
    let body = json!({
        "parameters": {"null_value": "None"},
        "inputs": [age(), tensor("city", "BYTES", json!(["None", "None"])), tensor("day", "BYTES", json!(["None", null]))],
    });
    let named = data(server.post("/v2/models/late/infer", &body));
    let text = data(server.infer(
        "late",
        json!([age(), tensor("city", "BYTES", json!(["None", "None"]))]),
    ));
    assert_eq!(left_out, nulls);
    assert_eq!(left_out, named);
    assert_ne!(
        left_out, text,
        "without `null_value` it is a string like others"
    );
}

#[test]
fn binary_tensors_both_ways() {
    let server = Running::start();
    let json = json!({
        "id": "seven",
        "inputs": [
            {"name": "age", "datatype": "INT32", "shape": [2, 1], "parameters": {"binary_data_size": 8}},
            {"name": "fare", "datatype": "FP32", "shape": [2], "data": [0.1, 3]},
            {"name": "city", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 16}},
        ],
        "outputs": [{"name": "probability", "parameters": {"binary_data": true}}, {"name": "class"}],
    })
    .to_string();
    let mut body = json.clone().into_bytes();
    body.extend([31_i32.to_le_bytes(), 40_i32.to_le_bytes()].concat());
    body.extend(b"\x04\0\0\0Rome\x04\0\0\0Bonn");
    let length = json.len().to_string();
    let path = "/v2/models/late/infer";
    let mut response = server.send(path, &[("Inference-Header-Content-Length", &length)], &body);
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "application/octet-stream"
    );
    let header = response.headers()["inference-header-content-length"]
        .to_str()
        .unwrap();
    let split: usize = header.parse().unwrap();
    let answer = response.body_mut().read_to_vec().unwrap();
    let (json, tail) = answer.split_at(split);
    let json: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["id"], "seven");
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 16);
    assert_eq!(json["outputs"][1]["name"], "class");

    let rows: [(&str, ArrayRef); 3] = [
        ("age", Arc::new(Int64Array::from(vec![31, 40]))),
        (
            "fare",
            Arc::new(Float64Array::from(vec![f64::from(0.1_f32), 3.0])),
        ),
        ("city", Arc::new(StringArray::from(vec!["Rome", "Bonn"]))),
    ];
    let expected = in_process(&server, "late", &RecordBatch::try_from_iter(rows).unwrap());
    let expected: Vec<u8> = expected
        .outputs()
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    assert_eq!(tail, expected);

    let all_binary = json!({"parameters": {"binary_data_output": true}, "inputs": all_inputs()});
    let mut response = server.send(path, &[], all_binary.to_string().as_bytes());
    let answer = response.body_mut().read_to_vec().unwrap();
    assert!(
        answer.windows(6).any(|bytes| bytes == b"\x02\0\0\0no"),
        "class as BYTES"
    );
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = Running::start();
    let age = || tensor("age", "INT64", json!([1, 2]));
    let not_utf8 = || json!({"name": "city", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}});
    let wrong: [(Value, &str); 16] = [
        (json!({"inputs": []}), "`inputs`"),
        (json!({"input": []}), "`inputs`"),
        (json!({"inputs": [age(), age()]}), "duplicate input `age`"),
        (
            json!({"inputs": [tensor("agee", "INT64", json!([1]))]}),
            "no input `agee`; did you mean `age`?",
        ),
        (
            json!({"inputs": [tensor("fare", "FP64", json!([1]))]}),
            "field `age` is required but missing",
        ),
        (
            json!({"inputs": [tensor("age", "INT64", json!([1, null]))]}),
            "field `age` is NULL in row 1, but required",
        ),
        (
            json!({"inputs": [tensor("age", "FP64", json!([1, 1.5]))]}),
            "field `age` is 1.5 in row 1",
        ),
        (
            json!({"inputs": [tensor("age", "BYTES", json!(["1"]))]}),
            "input `age`: datatype BYTES",
        ),
        (
            json!({"inputs": [tensor("age", "INT64", json!(["1"]))]}),
            "input `age`: element 0 is a string",
        ),
        (
            json!({"inputs": [age(), tensor("vip", "INT8", json!([1, 0]))]}),
            "input `vip`: datatype INT8, must be BOOL",
        ),
        (
            json!({"inputs": [age(), tensor("city", "BYTES", json!(["a"]))]}),
            "input `city` has 1 rows",
        ),
        (
            json!({"inputs": [age(), tensor("day", "BYTES", json!(["x", "y"]))]}),
            "field `day` is `x` in row 0, must be a date",
        ),
        (
            json!({"inputs": [age(), tensor("at", "BYTES", json!(["x", "y"]))]}),
            "field `at` is `x` in row 0, must be a timestamp",
        ),
        (
            json!({"inputs": [not_utf8()]}),
            "input `city`: element 0 is not UTF-8",
        ),
        (
            json!({"inputs": [age()], "outputs": [{"name": "probabilty"}]}),
            "did you mean `probability`?",
        ),
        (
            json!({"inputs": [age()], "outputs": [{"name": "class", "parameters": {"classification": 2}}]}),
            "output `class`",
        ),
    ];
    for (body, problem) in wrong {
        let json = body.to_string();
        let tail: &[u8] = if problem.contains("UTF-8") {
            b"\x01\0\0\0\xff"
        } else {
            b""
        };
        let length = json.len().to_string();
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        let body = [json.as_bytes(), tail].concat();
        let (status, answer) = read_json(server.send("/v2/models/late/infer", &headers, &body));
        assert_eq!(status, 400, "{json}\n{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(problem),
            "{json}\n{answer}"
        );
    }
    for length in ["1000000", "-1", "x", "99999999999999999999"] {
        let body = json!({"inputs": [age()]}).to_string();
        let headers = [("Inference-Header-Content-Length", length)];
        let (status, answer) =
            read_json(server.send("/v2/models/late/infer", &headers, body.as_bytes()));
        assert_eq!(status, 400);
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("Inference-Header-Content-Length"),
            "{answer}"
        );
    }
    let (status, answer) = read_json(server.send(
        "/v2/models/late/infer",
        &[("Content-Encoding", "gzip")],
        b"{}",
    ));
    assert_eq!(status, 415, "{answer}");
}

#[test]
fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let server = Running::start();
    let body = json!({"inputs": all_inputs()});
    for (path, problem) in [
        (
            "/v2/models/lat/infer",
            "no model `lat`; did you mean `late`?",
        ),
        (
            "/v2/models/late/versions/7/infer",
            "version 7 of model `late` is not loaded; loaded: 1",
        ),
        (
            "/v2/models/late/predict",
            "no path `/v2/models/late/predict`",
        ),
        ("/", "no path `/`"),
    ] {
        let (status, answer) = server.post(path, &body);
        assert_eq!(status, 404, "{path}");
        assert!(
            answer["error"].as_str().unwrap().contains(problem),
            "{path} {answer}"
        );
    }
    let (status, answer) = server.post("/v2/models/late/versions/one/infer", &body);
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().unwrap().contains("version"),
        "{answer}"
    );
    assert_eq!(server.get("/v2/models/%ff").0, 404);
    for (status, answer) in [
        server.get("/v2/models/late/infer"),
        server.post("/v2/models/late", &body),
        server.post("/v2", &body),
    ] {
        assert_eq!(status, 405);
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("does not support the method"),
            "{answer}"
        );
    }
}

#[test]
fn metadata_says_what_goes_in_and_out() {
    let server = Running::start();
    let (_, about) = server.get("/v2");
    assert_eq!(
        (&about["name"], &about["extensions"][0]),
        (&json!("fourfold"), &json!("binary_tensor_data"))
    );
    assert_eq!(server.get("/v2/health/live").0, 200);
    assert_eq!(server.get("/v2/health/ready").0, 200);
    assert_eq!(
        server.get("/v2/models").1,
        json!({"models": ["late", "meal", "price"]})
    );
    let (status, config) = server.get("/v2/models/late/config");
    assert_eq!((status, &config["name"]), (200, &json!("late")));
    assert_eq!(config["input"][0]["data_type"], "TYPE_INT64");
    assert_eq!(server.get("/v2/models/late/versions/9/config").0, 404);
    assert_eq!(
        server.get("/v2/models/late/ready").1,
        json!({"name": "late", "ready": true})
    );
    assert_eq!(server.get("/v2/models/late/versions/1/ready").0, 200);
    let (_, meal) = server.get("/v2/models/meal");
    assert_eq!(server.get("/v2/models/meal/versions/1").1, meal);
    assert_eq!(meal["versions"], json!(["1"]));
    assert_eq!(meal["platform"], "fourfold.linear.v1");
    let times = |format| json!({"required": false, "format": format});
    assert_eq!(
        meal["inputs"],
        json!([
            {"name": "age", "datatype": "INT64", "shape": [-1], "parameters": {"required": true}},
            {"name": "fare", "datatype": "FP64", "shape": [-1], "parameters": {"required": false}},
            {"name": "city", "datatype": "BYTES", "shape": [-1], "parameters": {"required": false}},
            {"name": "vip", "datatype": "BOOL", "shape": [-1], "parameters": {"required": false}},
            {"name": "day", "datatype": "BYTES", "shape": [-1], "parameters": times("date")},
            {"name": "at", "datatype": "BYTES", "shape": [-1], "parameters": times("timestamp")},
        ])
    );
    assert_eq!(
        meal["outputs"],
        json!([
            {"name": "class", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
        ])
    );
    assert_eq!(
        meal["properties"],
        json!({"task": "multiclass", "label": "meal", "classes": ["fish", "meat", "none"]})
    );
}

#[test]
fn contributions_add_up_to_the_log_odds() {
    let server = Running::start();
    let path = "/v2/models/late/infer";
    let asked = |parameters: Value| json!({"parameters": parameters, "inputs": all_inputs()});
    let (status, answer) = server.post(path, &asked(json!({"contributions": true})));
    assert_eq!(status, 200, "{answer}");
    let outputs = answer["outputs"].as_array().unwrap();
    let output = |name: &str| {
        outputs
            .iter()
            .find(|output| output["name"] == name)
            .unwrap()
    };
    assert_eq!(outputs.len(), 4);
    assert_eq!(
        output("contribution_names")["data"],
        json!(["age", "fare", "city", "vip", "day", "at", "base"])
    );
    let parts = output("contributions");
    assert_eq!(parts["shape"], json!([3, 1, 7]));
    let numbers = |value: &Value| -> Vec<f64> {
        let numbers = value["data"].as_array().unwrap().iter();
        numbers.map(|number| number.as_f64().unwrap()).collect()
    };
    let found = numbers(parts);
    let probabilities = numbers(output("probability"));
    for (row, probability) in found.chunks(7).zip(probabilities) {
        let odds = (probability / (1.0 - probability)).ln();
        assert!((row.iter().sum::<f64>() - odds).abs() < 1e-9, "{row:?}");
    }

    // As binary data too, behind the requested outputs.
    let mut request = asked(json!({"contributions": true, "binary_data_output": true}));
    request["outputs"] = json!([{"name": "probability"}]);
    let mut response = server.send(path, &[], request.to_string().as_bytes());
    let length = response.headers()["inference-header-content-length"].to_str();
    let length: usize = length.unwrap().parse().unwrap();
    let bytes = response.body_mut().read_to_vec().unwrap();
    let expected: Vec<u8> = found
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    assert_eq!(bytes[length + 3 * 8..][..expected.len()], expected);

    // Off by default, and refused by models that have none.
    let (_, answer) = server.infer("late", all_inputs());
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 2);
    let (status, answer) = server.post(path, &asked(json!({"contributions": "yes"})));
    let reason = answer["error"].as_str().unwrap();
    assert!(
        status == 400 && reason.contains("`contributions`"),
        "{answer}"
    );
}
