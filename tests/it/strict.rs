//! In every file that a person writes, an unknown or duplicate key is an error that names it.

use fourfold::Result;
use fourfold::prelude::*;
use fourfold::schema::Schema;
use serde_json::{Map, Value, json};

const SCHEMA: &str = include_str!("../fixtures/schema.v2.json");
const TRANSFORM: &str = include_str!("../../src/transform/operations.json");
const THRESHOLDS: &str = r#"{"thresholds": [
    {"metric": "auc", "at_least": 0.7, "at_most": 0.99},
    {"metric": "auc", "at_least_in_slices": {"value": 0.6, "min_rows": 500}},
    {"metric": "auc", "no_worse_than_baseline": 0.005}
]}"#;

/// Keys below which a person chooses the names.
const FREE: [&str; 2] = ["shares", "config"];

/// The objects of a document, one after the other, each changed in its turn.
fn each_object(
    document: &Value,
    change: &mut dyn FnMut(&mut Map<String, Value>),
    then: &mut dyn FnMut(&Value),
) {
    fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                found.push(path.to_owned());
                for (key, value) in entries {
                    if !FREE.contains(&key.as_str()) {
                        paths(value, &format!("{path}/{key}"), found);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    paths(item, &format!("{path}/{at}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    paths(document, "", &mut found);
    for path in found {
        let mut changed = document.clone();
        if let Some(Value::Object(entries)) = changed.pointer_mut(&path) {
            change(entries);
        }
        then(&changed);
    }
}

fn load_transform(extension: &str, text: &str) -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("transform.{extension}"));
    std::fs::write(&path, text).unwrap();
    Transform::load(&path).map(drop)
}

fn load_thresholds(extension: &str, text: &str) -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("thresholds.{extension}"));
    std::fs::write(&path, text).unwrap();
    Thresholds::load(&path).map(drop)
}

fn load_schema(extension: &str, text: &str) -> Result<()> {
    match extension {
        "json" => Schema::from_json(text).map(drop),
        _ => Schema::from_toml(text).map(drop),
    }
}

type Load = fn(&str, &str) -> Result<()>;

fn documents() -> [(Value, Load); 3] {
    let parsed = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let mut transform = parsed(TRANSFORM);
    // A step of one's own needs its code, and `derive` its feature.
    let steps = transform["steps"].as_array_mut().unwrap();
    steps
        .retain(|step| step["op"] != "custom" && (cfg!(feature = "sql") || step["op"] != "derive"));
    [
        (parsed(SCHEMA), load_schema),
        (transform, load_transform),
        (parsed(THRESHOLDS), load_thresholds),
    ]
}

#[test]
fn an_unknown_key_anywhere_is_named() {
    for (document, load) in documents() {
        load("json", &document.to_string()).unwrap();
        load("toml", &toml::to_string(&document).unwrap()).unwrap();
        let mut n = 0;
        each_object(
            &document,
            &mut |entries| {
                entries.insert("no_such_key".to_owned(), json!(1));
            },
            &mut |changed| {
                n += 1;
                let toml = toml::to_string(changed).unwrap();
                for (extension, text) in [("json", changed.to_string()), ("toml", toml)] {
                    let error = load(extension, &text).expect_err(&text);
                    assert!(error.message().contains("no_such_key"), "{error}\n{text}");
                }
            },
        );
        assert!(n > 3);
    }
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    for (document, load) in documents() {
        each_object(
            &document,
            &mut |entries| {
                let value = entries.values().next().unwrap().clone();
                entries.insert("second_of_it".to_owned(), value);
            },
            &mut |changed| {
                let key = doubled(changed);
                let text = changed
                    .to_string()
                    .replace("\"second_of_it\"", &format!("\"{key}\""));
                let error = load("json", &text).expect_err(&text);
                let expected = format!("duplicate field `{key}`");
                assert!(error.message().contains(&expected), "{error}\n{text}");
            },
        );
    }
}

/// The first key of the object that has the added one.
fn doubled(document: &Value) -> String {
    match document {
        Value::Object(entries) if entries.contains_key("second_of_it") => {
            let mut keys = entries.keys().filter(|key| *key != "second_of_it");
            keys.next().unwrap().clone()
        }
        Value::Object(entries) => entries
            .values()
            .map(doubled)
            .find(|key| !key.is_empty())
            .unwrap_or_default(),
        Value::Array(items) => items
            .iter()
            .map(doubled)
            .find(|key| !key.is_empty())
            .unwrap_or_default(),
        _ => String::new(),
    }
}
