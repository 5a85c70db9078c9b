//! TensorFlow Serving's REST interface.

use super::*;

fn rows() -> Value {
    json!([{"age": 31, "fare": 7.25, "city": "Rome", "vip": true}, {"age": 40, "city": null}])
}

#[test]
fn rows_and_columns_are_answered_with_the_version() {
    let server = Running::start();
    let (status, by_row) = server.post("/v1/models/late:predict", &json!({"instances": rows()}));
    assert_eq!(status, 200, "{by_row}");
    assert_eq!(by_row["predictions"].as_array().unwrap().len(), 2);
    let columns = json!({"inputs": {"age": [31, 40], "fare": [7.25, null], "city": ["Rome", null],
        "vip": [true, null]}});
    let (status, by_column) = server.post("/v1/models/late/versions/1:predict", &columns);
    assert_eq!(status, 200, "{by_column}");
    let probabilities: Vec<&Value> = by_row["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["probability"])
        .collect();
    let outputs = by_column["outputs"]["probability"].as_array().unwrap();
    assert_eq!(probabilities, outputs.iter().collect::<Vec<_>>());
    let answer = server.send(
        "/v1/models/late:predict",
        &[],
        json!({"instances": rows()}).to_string().as_bytes(),
    );
    assert_eq!(answer.headers()["fourfold-model-version"], "1");

    let (status, answer) = server.post("/v1/models/price:regress", &json!({"examples": rows()}));
    assert_eq!(
        (status, answer["results"].as_array().map(Vec::len)),
        (200, Some(2)),
        "{answer}"
    );
    let (status, answer) = server.post("/v1/models/meal:classify", &json!({"examples": rows()}));
    assert_eq!(
        (status, answer["results"].as_array().map(Vec::len)),
        (200, Some(2)),
        "{answer}"
    );
}

#[test]
fn status_and_metadata_are_told() {
    let server = Running::start();
    let (status, answer) = server.get("/v1/models/late");
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({"model_version_status": [{"version": "1", "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""}}]})
    );
    assert_eq!(server.get("/v1/models/late/versions/1").1, answer);
    // A label is ignored, as TensorFlow Serving does.
    assert_eq!(server.get("/v1/models/late/labels/any").1, answer);
    assert_eq!(server.get("/v1/models/late/versions/7").0, 404);
    let (status, answer) = server.get("/v1/models/late/metadata");
    assert_eq!(
        (status, &answer["model_spec"]["version"]),
        (200, &json!("1"))
    );
}

#[test]
fn what_is_wrong_is_told_in_its_way() {
    let server = Running::start();
    let body = json!({"instances": rows()});
    for (path, expected) in [
        ("/v1/models/nothing:predict", 404),
        ("/v1/models/late/versions/7:predict", 404),
        ("/v1/models/late/labels/none:predict", 400),
        ("/v1/models/nothing/labels/none:predict", 404),
        ("/v1/foo", 400),
        ("/v1/models/late/metadata", 400),
        ("/v1/models/late/versions/HELLO:regress", 400),
        ("/v1/models/late", 400),
    ] {
        let (status, answer) = server.post(path, &body);
        assert_eq!(status, expected, "{path} {answer}");
    }
    let malformed = "Malformed request: GET /v1/models/late:predict";
    assert_eq!(
        server.get("/v1/models/late:predict"),
        (400, json!({"error": malformed}))
    );
    assert_eq!(server.get("/v1/models/late/labels/none/metadata").0, 400);
    let both = json!({"instances": rows(), "inputs": {"age": [1]}});
    assert_eq!(server.post("/v1/models/late:predict", &both).0, 400);
}
