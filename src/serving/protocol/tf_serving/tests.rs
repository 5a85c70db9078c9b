use arrow::array::Array;
use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::serving::lifecycle::{ModelState, State, VersionState};
use crate::serving::protocol::tests::{answer, half_plus_two, late, meal, try_mutated};

fn ask(predictor: &Predictor, method: PredictMethod, body: &str) -> Result<Value> {
    let reply = answer(predictor, PredictExchange::new(Vec::from(body), method))?;
    assert_eq!(reply.json_length, None);
    Ok(serde_json::from_slice(&reply.body).unwrap())
}

fn predict(predictor: &Predictor, body: &str) -> Result<Value> {
    ask(predictor, PredictMethod::Predict, body)
}

#[test]
fn half_plus_two_answers_as_in_tensorflow_serving() {
    let model = half_plus_two();
    for (body, expected) in [
        (
            r#"{"instances": [1, 2, 3.0]}"#,
            json!({"predictions": [2.5, 3.0, 3.5], "model_version": "3"}),
        ),
        (
            r#"{"instances": [[1], [2]]}"#,
            json!({"predictions": [2.5, 3.0], "model_version": "3"}),
        ),
        (
            r#"{"instances": [{"x": 1}, {"x": [2]}]}"#,
            json!({"predictions": [2.5, 3.0], "model_version": "3"}),
        ),
        (
            r#"{"inputs": [3, 4], "signature_name": "serving_default"}"#,
            json!({"outputs": [3.5, 4.0], "model_version": "3"}),
        ),
        (
            r#"{"signature_name": "", "inputs": {"x": [3, [4]]}}"#,
            json!({"outputs": [3.5, 4.0], "model_version": "3"}),
        ),
        (
            r#"{"inputs": []}"#,
            json!({"outputs": [], "model_version": "3"}),
        ),
    ] {
        assert_eq!(predict(&model, body).unwrap(), expected, "{body}");
    }
    let regressed = ask(
        &model,
        PredictMethod::Regress,
        r#"{"examples": [{"x": 80}, {"x": [20.0]}]}"#,
    );
    assert_eq!(
        regressed.unwrap(),
        json!({"results": [42.0, 12.0], "model_version": "3"})
    );
}

#[test]
fn rows_and_columns_and_examples_are_the_same() {
    let model = late();
    let rows = predict(
        &model,
        r#"{"instances": [
            {"age": 31, "fare": 7.25, "city": "Rome", "vip": true},
            {"vip": null, "age": 40.0, "city": {"b64": "WsO8cmljaA=="}},
            {"age": [50], "fare": [1]}]}"#,
    )
    .unwrap();
    let columns = predict(
        &model,
        r#"{"inputs": {"city": ["Rome", "Z\u00fcrich", null], "age": [31, 40, 50], "vip": [true, null, null],
            "fare": [7.25, null, 1]}}"#,
    )
    .unwrap();
    let predictions = rows["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3);
    for (row, prediction) in predictions.iter().enumerate() {
        assert_eq!(prediction["class"], columns["outputs"]["class"][row]);
        assert_eq!(
            prediction["probability"],
            columns["outputs"]["probability"][row]
        );
    }
    let classified = ask(
        &model,
        PredictMethod::Classify,
        r#"{"context": {"city": "Rome"}, "examples": [{"age": 31, "fare": 7.25, "vip": true},
            {"age": 40, "city": "Zürich"}, {"age": 50, "fare": 1, "city": null}]}"#,
    )
    .unwrap();
    for (row, prediction) in predictions.iter().enumerate() {
        let result = &classified["results"][row];
        assert_eq!(result[0][0], "no");
        assert_eq!(result[1], json!(["yes", prediction["probability"]]));
    }
    let meals = predict(&meal(), r#"{"instances": [{"age": 1}]}"#).unwrap();
    let probabilities = meals["predictions"][0]["probabilities"].as_array().unwrap();
    assert_eq!(probabilities.len(), 3);
    let sum: f64 = probabilities.iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_no_json_or_not_known_is_taken() {
    let model = half_plus_two();
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let body = format!(r#"{{"rest": {deep}, "instances": [1435774380, 1], "x": {{"y": 1}}}}"#);
    let answered = predict(&model, &body).unwrap();
    assert_eq!(answered["predictions"][1], 2.5);
    // An infinite value is a number, and is refused by the model's schema or its output, not by the reader.
    for number in ["Infinity", "-Infinity", "NaN", "1e999"] {
        let body = format!(r#"{{"instances": [{number}]}}"#);
        let plan = super::super::Plan::of(model.servable());
        let (rows, format) = request::read(&plan, body.as_bytes(), PredictMethod::Predict).unwrap();
        assert_eq!((rows.num_rows(), format), (1, Format::Rows));
    }
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let model = late();
    for (body, problem) in [
        ("", "expected an object, found the end"),
        ("[]", "expected an object, found '['"),
        ("{}", "neither `instances` nor `inputs`"),
        (
            r#"{"instances": [], "inputs": []}"#,
            "both `instances` and `inputs`",
        ),
        (
            r#"{"instances": [], "instances": []}"#,
            "duplicate `instances`",
        ),
        (r#"{"instances": []}"#, "`instances` has no values"),
        (r#"{"instances": {}}"#, "`instances` must be a list"),
        (
            r#"{"instances": [1]}"#,
            "row 0 of `instances` must be an object",
        ),
        (
            r#"{"instances": [{"age": 1}, {"aeg": 1}]}"#,
            "row 1: the model has no input `aeg`; there are `age`, `fare`",
        ),
        (
            r#"{"instances": [{"age": 1, "age": 2}]}"#,
            "input `age`, row 0: duplicate value",
        ),
        (
            r#"{"instances": [{"age": [5, 6, 7]}]}"#,
            "input `age`, row 0: a list of several values",
        ),
        (
            r#"{"instances": [{"age": []}]}"#,
            "input `age`, row 0: an empty list",
        ),
        (
            r#"{"instances": [{"age": [[1]]}]}"#,
            "a list within its list",
        ),
        (
            r#"{"instances": [{"age": 1.5}]}"#,
            "input `age`, row 0: 1.5, must be a whole number",
        ),
        (
            r#"{"instances": [{"age": "1"}]}"#,
            "input `age`, row 0: a string, must be of type integer",
        ),
        (
            r#"{"instances": [{"age": 99999999999999999999}]}"#,
            "must be a whole number",
        ),
        (
            r#"{"instances": [{"age": 1, "city": {"b64": "?"}}]}"#,
            "input `city`, row 0: `b64` is not valid base64",
        ),
        (
            r#"{"instances": [{"age": 1, "city": {"b64": "/w=="}}]}"#,
            "`b64` is not UTF-8",
        ),
        (
            r#"{"instances": [{"age": 1, "city": {"b46": "YQ=="}}]}"#,
            "an object, must be of type text or {\"b64\"",
        ),
        (
            r#"{"instances": [{"fare": 1}]}"#,
            "field `age` is required but missing",
        ),
        (
            r#"{"instances": [{"age": 1}, {"fare": 1}]}"#,
            "field `age` is NULL in row 1",
        ),
        (r#"{"inputs": [1]}"#, "`inputs` must be an object"),
        (
            r#"{"inputs": {"age": 1}}"#,
            "input `age` must be a list of values",
        ),
        (
            r#"{"inputs": {"age": [1], "fare": [1, 2]}}"#,
            "input `fare` has 2 rows, input `age` has 1",
        ),
        (
            r#"{"inputs": {"age": [1], "age": [1]}}"#,
            "duplicate input `age`",
        ),
        (
            r#"{"signature_name": "other", "instances": [{"age": 1}]}"#,
            "unknown signature `other`",
        ),
        (
            r#"{"signature_name": 7, "instances": [{"age": 1}]}"#,
            "`signature_name` must be a string",
        ),
        (
            r#"{"instances": [{"age": 1}]} x"#,
            "expected the end, found 'x' at line 1 column 29",
        ),
    ] {
        let error = predict(&model, body).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Data);
        assert!(error.to_string().contains(problem), "{body}\n{error}");
    }
    let too_many = format!(r#"{{"instances": [{}{{}}]}}"#, "{},".repeat(100_000));
    let error = predict(&model, &too_many).unwrap_err().to_string();
    assert!(error.contains("more than 100000 rows"), "{error}");
    let asked = |method, body| ask(&model, method, body).unwrap_err().to_string();
    let error = asked(PredictMethod::Regress, r#"{"examples": [{"age": 1}]}"#);
    assert!(error.contains("model `late` classifies"), "{error}");
    let error = asked(PredictMethod::Classify, r#"{"instances": [{"age": 1}]}"#);
    assert!(error.contains("`examples` is missing"), "{error}");
    let error = asked(
        PredictMethod::Classify,
        r#"{"examples": [{"age": 1}], "context": {"age": 1, "age": 2}}"#,
    );
    assert!(error.contains("duplicate `age` in `context`"), "{error}");
    let large = format!(
        r#"{{"context": {{"age": 1, "city": "{}"}}, "examples": [{}{{}}]}}"#,
        "x".repeat(1 << 20),
        "{},".repeat(99_999)
    );
    let error = asked(PredictMethod::Classify, &large);
    assert!(
        error.contains("the values that rows leave out come to more than"),
        "{error}"
    );
}

#[test]
fn small_requests_do_not_become_large_ones() {
    use super::super::plan::{Input, Plan};
    use crate::schema::FieldType;
    let names: Vec<String> = (0..600).map(|column| format!("c{column}")).collect();
    let types = [FieldType::Float, FieldType::Text, FieldType::Boolean];
    let inputs = names.iter().enumerate();
    let plan = Plan::for_tests(inputs.map(|(i, name)| Input::scalar(name, types[i % 3])));
    let objects = "{},".repeat(99_999);
    let row = |n: usize| {
        let values: Vec<String> = names[..n]
            .iter()
            .map(|name| format!(r#""{name}": null"#))
            .collect();
        format!("{{{}}}", values.join(", "))
    };
    let read = |body: &str| request::read(&plan, body.as_bytes(), PredictMethod::Predict);
    // A few columns that most rows leave out are fine.
    for body in [
        format!(r#"{{"instances": [{objects}{}]}}"#, row(20)),
        format!(r#"{{"instances": [{}, {objects}{{"c0": 1}}]}}"#, row(20)).replacen("{},", "", 1),
    ] {
        let (rows, _) = read(&body).unwrap();
        assert_eq!((rows.num_columns(), rows.num_rows()), (20, 100_000));
        assert!(rows.column(1).is_null(99_998));
    }
    for body in [
        format!(r#"{{"instances": [{objects}{}]}}"#, row(600)),
        format!(r#"{{"instances": [{}, {objects}{{}}]}}"#, row(600)).replacen("{},", "", 1),
    ] {
        let error = read(&body).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Data);
        let error = error.to_string();
        assert!(error.contains("send fewer rows at once"), "{error}");
    }
}

#[test]
fn bare_lists_are_rows_of_a_single_list() {
    use super::super::plan::{Input, Plan};
    use crate::schema::FieldType;
    use arrow::array::AsArray;
    let plan = Plan::for_tests([Input::list("x", FieldType::Integer)]);
    let body = br#"{"instances": [[1, 2], [], null, [3]]}"#;
    let (rows, _) = request::read(&plan, body, PredictMethod::Predict).unwrap();
    let lists = rows.column(0).as_list::<i32>();
    assert_eq!(lists.value_offsets(), [0, 2, 2, 2, 3]);
    assert!(lists.is_null(2) && lists.is_valid(1));
    let error = predict(&half_plus_two(), r#"{"instances": [[1, 2], [3, 4]]}"#).unwrap_err();
    assert_eq!(
        error.message(),
        "input `x`, row 0: a list of several values, must be one value of type float"
    );
    // As TensorFlow Serving does.
    let error = predict(&half_plus_two(), r#"{"instances": []}"#).unwrap_err();
    assert_eq!(error.message(), "`instances` has no values");
}

#[test]
fn garbage_is_refused() {
    let bodies = [
        r#"{"signature_name": "serving_default", "instances": [{"age": 31, "fare": -7.25e1, "city": "R\u00e9me", "vip": true},
            {"age": 40.0, "city": {"b64": "WsO8cmljaA=="}, "vip": null}]}"#,
        r#"{"inputs": {"city": ["Rome", null], "age": [31, [40]], "fare": [1.5, null], "vip": [true, false]}}"#,
    ];
    let bodies = bodies.map(|body| body.as_bytes().to_vec());
    try_mutated(&late(), &bodies, |body, _| {
        PredictExchange::new(body, PredictMethod::Predict)
    });
}

#[test]
fn the_status_of_versions_is_told() {
    let version = |version, state, reason: Option<&str>| VersionState {
        version,
        state,
        reason: reason.map(str::to_owned),
        labels: Vec::new(),
        is_at_rest: false,
    };
    let model = ModelState {
        name: "late".to_owned(),
        versions: vec![
            version(1, State::Available, None),
            version(2, State::End, Some("`model.json` is corrupt")),
        ],
        reason: None,
    };
    let status = model_status(&model, None).unwrap();
    assert_eq!(
        status,
        json!({"model_version_status": [
            {"version": "2", "state": "END",
             "status": {"error_code": "UNKNOWN", "error_message": "`model.json` is corrupt"}},
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
        ]})
    );
    let one = model_status(&model, Some(1)).unwrap();
    assert_eq!(one["model_version_status"].as_array().unwrap().len(), 1);
    let error: Error = model_status(&model, Some(7)).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::NotFound);
}

#[test]
fn the_signature_is_described() {
    let described = signatures(&meal());
    assert_eq!(described["model_spec"]["name"], "meal");
    assert_eq!(described["model_spec"]["version"], "3");
    let signature = &described["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["inputs"]["age"]["dtype"], "DT_INT64");
    assert_eq!(
        signature["outputs"]["probabilities"]["tensor_shape"]["dim"],
        json!([{"size": "-1", "name": ""}, {"size": "3", "name": ""}])
    );
    assert_eq!(signature["outputs"]["class"]["dtype"], "DT_STRING");
}
