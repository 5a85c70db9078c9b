//! Requests in both forms, and refusals.

use super::*;
use crate::serving::grpc::proto::model_infer_request::InferRequestedOutputTensor;
use crate::serving::grpc::proto::{
    ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelStreamInferResponse,
};

pub(super) fn probabilities(answer: &ModelInferResponse) -> Vec<f64> {
    let place = answer
        .outputs
        .iter()
        .position(|output| output.name == "probability");
    let place = place.unwrap();
    match answer.raw_output_contents.get(place) {
        Some(bytes) => {
            assert!(
                answer
                    .outputs
                    .iter()
                    .all(|output| output.contents.is_none())
            );
            let numbers = bytes.chunks_exact(8).map(|bytes| bytes.try_into().unwrap());
            numbers.map(f64::from_le_bytes).collect()
        }
        None => {
            let contents = answer.outputs[place].contents.as_ref().unwrap();
            contents.fp64_contents.clone()
        }
    }
}

#[test]
fn both_forms_are_answered_alike_and_in_kind() {
    let running = Running::start();
    let typed_answer = running.answer(&typed());
    assert!(typed_answer.raw_output_contents.is_empty());
    assert_eq!(typed_answer.model_version, "1");
    assert_eq!(typed_answer.id, "r1");
    let names: Vec<&str> = typed_answer
        .outputs
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    assert_eq!(names, ["class", "probability"]);
    let classes = typed_answer.outputs[0].contents.as_ref().unwrap();
    assert_eq!(classes.bytes_contents, ["yes", "yes", "no"]);
    let expected = probabilities(&typed_answer);
    assert_eq!(expected.len(), 3);

    let raw_answer = running.answer(&raw());
    assert_eq!(raw_answer.raw_output_contents.len(), 2);
    assert_eq!(probabilities(&raw_answer), expected);
    let classes = b"\x03\0\0\0yes\x03\0\0\0yes\x02\0\0\0no";
    assert_eq!(raw_answer.raw_output_contents[0], classes[..]);

    for (mut request, binary) in [(typed(), true), (raw(), false)] {
        let choice = ParameterChoice::BoolParam(binary);
        let name = "binary_data_output".to_owned();
        request.parameters.insert(name, parameter(choice));
        let answer = running.answer(&request);
        assert_eq!(answer.raw_output_contents.is_empty(), !binary);
        assert_eq!(probabilities(&answer), expected);
    }

    let mut some = raw();
    some.outputs = vec![InferRequestedOutputTensor {
        name: "probability".to_owned(),
        parameters: BTreeMap::new(),
    }];
    let some = running.answer(&some);
    assert_eq!(some.outputs.len(), 1);
    assert_eq!(probabilities(&some), expected);
}

#[test]
fn rows_answer_as_in_process() {
    let running = Running::start();
    let age = |age| {
        let contents = InferTensorContents {
            int64_contents: vec![age],
            ..none()
        };
        ModelInferRequest {
            inputs: vec![tensor("age", "INT64", 1, contents)],
            ..typed()
        }
    };
    let predictor = running.manager().get("late", None).unwrap();
    for value in [0, 31, -7] {
        let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![value]));
        let rows = arrow::array::RecordBatch::try_from_iter([("age", column)]).unwrap();
        let expected = predictor.predict(&rows).unwrap();
        let answer = running.answer(&age(value));
        assert_eq!(probabilities(&answer), [expected.outputs()[[0, 0]]]);
    }
}

#[test]
fn texts_can_mean_null() {
    let running = Running::start();
    let mut named = raw();
    let choice = ParameterChoice::StringParam("Rome".to_owned());
    let null = "null_value".to_owned();
    named.parameters.insert(null, parameter(choice));
    let named = probabilities(&running.answer(&named));
    let all = probabilities(&running.answer(&raw()));
    assert_eq!((named[0], named[2]), (all[0], all[2]));
    assert_ne!(named[1], all[1]);
}

#[test]
fn the_version_is_in_the_answer_and_its_metadata() {
    let running = Running::start();
    for version in ["", "1"] {
        let request = ModelInferRequest {
            model_version: version.to_owned(),
            ..raw()
        };
        let answer = running.infer(&request);
        assert_eq!(answer.headers["fourfold-model-version"], "1");
        assert_eq!(answer.message::<ModelInferResponse>().model_version, "1");
    }
    for (version, text) in [
        ("2", "version 2"),
        ("canary", "`canary`"),
        ("-1", "`-1`"),
        ("18446744073709551616", "`18446744073709551616`"),
    ] {
        let request = ModelInferRequest {
            model_version: version.to_owned(),
            ..raw()
        };
        running.infer(&request).refused(Code::NotFound, text);
    }
}

#[test]
fn bad_requests_are_named() {
    let running = Running::start();
    let refused = |change: &dyn Fn(&mut ModelInferRequest), text: &str| {
        let mut request = typed();
        change(&mut request);
        running.infer(&request).refused(Code::InvalidArgument, text);
    };
    refused(&|r| r.inputs.clear(), "`inputs` is empty");
    refused(
        &|r| r.inputs[0].contents = None,
        "input `age`: has neither `contents` nor",
    );
    refused(
        &|r| r.inputs[0].name = "agee".to_owned(),
        "the model has no input `agee`; did you mean `age`?",
    );
    refused(
        &|r| r.inputs[0].datatype = "INT65".to_owned(),
        "input `age`: unknown datatype `INT65`",
    );
    refused(&|r| r.inputs[0].datatype = "FP16".to_owned(), "input `age`");
    refused(
        &|r| r.inputs[0].datatype = "INT32".to_owned(),
        "input `age`",
    );
    refused(
        &|r| r.inputs[0].datatype = "BYTES".to_owned(),
        "input `age`",
    );
    refused(&|r| r.inputs[0].shape = vec![2], "input `age`");
    refused(
        &|r| r.inputs[0].shape = vec![4],
        "input `age`: 3 elements, its shape has 4",
    );
    refused(&|r| r.inputs[0].shape = vec![], "input `age`: shape []");
    refused(&|r| r.inputs[0].shape = vec![-3], "input `age`: shape [-3]");
    refused(
        &|r| r.inputs[0].shape = vec![i64::MAX, i64::MAX],
        "input `age`: shape",
    );
    refused(
        &|r| r.inputs[0].shape = vec![i64::MAX],
        "a request has at most 100000",
    );
    refused(
        &|r| r.inputs.push(r.inputs[1].clone()),
        "duplicate input `fare`",
    );
    refused(&|r| _ = r.inputs.remove(0), "`age`");
    let two = |r: &mut ModelInferRequest| {
        let contents = r.inputs[0].contents.as_mut().unwrap();
        contents.fp32_contents.push(1.0);
    };
    refused(&two, "input `age`: more than one list");
    let text = |r: &mut ModelInferRequest| {
        let contents = r.inputs[2].contents.as_mut().unwrap();
        contents.bytes_contents[1] = Bytes::from_static(b"\xff");
    };
    refused(&text, "input `city`: element 1 is not UTF-8");
    let output = |r: &mut ModelInferRequest| {
        r.outputs = vec![InferRequestedOutputTensor {
            name: "probabilty".to_owned(),
            parameters: BTreeMap::new(),
        }];
    };
    refused(
        &output,
        "the model has no output `probabilty`; did you mean `probability`?",
    );
    let raw_too = |r: &mut ModelInferRequest| r.raw_input_contents = vec![Bytes::new(); 4];
    refused(
        &raw_too,
        "input `age`: has both `contents` and `raw_input_contents`",
    );
    for (name, choice, text) in [
        (
            "null_value",
            ParameterChoice::BoolParam(true),
            "must be a string",
        ),
        (
            "binary_data_output",
            ParameterChoice::Int64Param(1),
            "must be a boolean",
        ),
        (
            "timeout",
            ParameterChoice::Int64Param(-1),
            "must be a whole number",
        ),
    ] {
        let change = |r: &mut ModelInferRequest| {
            r.parameters
                .insert(name.to_owned(), parameter(choice.clone()));
        };
        refused(&change, &format!("parameter `{name}` {text}"));
    }
    let shared = |r: &mut ModelInferRequest| {
        let choice = ParameterChoice::StringParam("region".to_owned());
        let name = "shared_memory_region".to_owned();
        r.inputs[0].parameters.insert(name, parameter(choice));
    };
    let mut request = typed();
    shared(&mut request);
    running
        .infer(&request)
        .refused(Code::Unimplemented, "shared_memory_region");
}

#[test]
fn raw_contents_that_lie_are_named() {
    let running = Running::start();
    let refused = |change: &dyn Fn(&mut Vec<Bytes>), text: &str| {
        let mut request = raw();
        change(&mut request.raw_input_contents);
        running.infer(&request).refused(Code::InvalidArgument, text);
    };
    refused(
        &|raw| raw.truncate(3),
        "3 `raw_input_contents`, must be one for each of the 4 inputs",
    );
    refused(&|raw| raw.push(Bytes::new()), "5 `raw_input_contents`");
    refused(&|raw| raw[0] = raw[0].slice(1..), "input `age`: 23 bytes");
    refused(
        &|raw| raw[2] = Bytes::from_static(b"\xff\xff\xff\xff"),
        "input `city`",
    );
    refused(
        &|raw| raw[3] = Bytes::from_static(b"\x01\x02\x00"),
        "input `vip`: element 1 is 2",
    );
}

#[test]
fn what_a_model_says_of_itself() {
    let running = Running::start();
    let asked = ModelMetadataRequest {
        name: "late".to_owned(),
        version: String::new(),
    };
    let metadata: ModelMetadataResponse = running.ask("ModelMetadata", &asked).message();
    assert_eq!(metadata.versions, ["1"]);
    let inputs = metadata.inputs.iter();
    let inputs: Vec<(&str, &str, &[i64])> = inputs
        .map(|input| (&*input.name, &*input.datatype, &*input.shape))
        .collect();
    assert_eq!(inputs[0], ("age", "INT64", &[-1][..]));
    assert_eq!(inputs[2], ("city", "BYTES", &[-1][..]));
    let asked = ModelConfigRequest {
        name: "late".to_owned(),
        version: "1".to_owned(),
    };
    let config: ModelConfigResponse = running.ask("ModelConfig", &asked).message();
    let config = config.config.unwrap();
    assert_eq!(
        config.input.iter().filter(|input| input.optional).count(),
        3
    );
    assert_eq!(config.parameters["label"].string_value, "late");
}

#[test]
fn a_stream_answers_in_order_and_goes_on_after_a_bad_request() {
    let running = Running::start();
    let expected = probabilities(&running.answer(&raw()));
    running.runtime.block_on(async {
        let mut client = Client::connect(running.handle.as_ref().unwrap().address()).await;
        let path = "/inference.GRPCInferenceService/ModelStreamInfer";
        let mut open = client.open(path, &[]).await.unwrap();
        let send = |open: &mut client::Open, at: usize| {
            let mut request = raw();
            request.id = at.to_string();
            if at % 10 == 7 {
                request.model_name = "nobody".to_owned();
            }
            let message = client::framed(&request.encode_to_vec());
            open.send(&message, false);
        };
        // Each is answered while the stream is open, and many at once are.
        for at in 0..10 {
            send(&mut open, at);
            check(&mut open, at, &expected).await;
        }
        for at in 10..60 {
            send(&mut open, at);
        }
        for at in 10..60 {
            check(&mut open, at, &expected).await;
        }
        open.send(&Bytes::new(), true);
        let end = open.finish().await;
        assert_eq!((end.code, end.messages.len()), (Code::Ok, 0));
    });
}

async fn check(open: &mut client::Open, at: usize, expected: &[f64]) {
    let message = open.next().await.unwrap();
    let response = ModelStreamInferResponse::decode(message).unwrap();
    let answer = response.infer_response.unwrap();
    assert_eq!(answer.id, at.to_string());
    if at % 10 == 7 {
        assert!(
            response.error_message.contains("`nobody`"),
            "{}",
            response.error_message
        );
    } else {
        assert_eq!(response.error_message, "");
        assert_eq!(probabilities(&answer), expected);
    }
}

#[test]
fn contributions_are_outputs_more() {
    let running = Running::start();
    let mut odds = Vec::new();
    for mut request in [typed(), raw()] {
        let choice = ParameterChoice::BoolParam(true);
        let name = "contributions".to_owned();
        request.parameters.insert(name, parameter(choice));
        let answer = running.answer(&request);
        let names: Vec<&str> = answer.outputs.iter().map(|o| o.name.as_str()).collect();
        let expected = [
            "class",
            "probability",
            "contributions",
            "contribution_names",
        ];
        assert_eq!(names, expected);
        let shape = &answer.outputs[2].shape;
        assert_eq!((shape[0], shape[1]), (3, 1));
        let numbers: Vec<f64> = match answer.raw_output_contents.get(2) {
            Some(bytes) => {
                let numbers = bytes.chunks_exact(8).map(|bytes| bytes.try_into().unwrap());
                numbers.map(f64::from_le_bytes).collect()
            }
            None => answer.outputs[2]
                .contents
                .as_ref()
                .unwrap()
                .fp64_contents
                .clone(),
        };
        for (row, probability) in numbers
            .chunks(shape[2] as usize)
            .zip(probabilities(&answer))
        {
            let sum: f64 = row.iter().sum();
            assert!((sum - (probability / (1.0 - probability)).ln()).abs() < 1e-9);
        }
        odds.push(numbers);
    }
    assert_eq!(odds[0], odds[1]);
}
