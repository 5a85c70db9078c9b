//! Triton's model repository extension.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::serving::ModelState;
use crate::serving::protocol::{shortened, states};

/// What of the repository is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IndexRequest {
    ready: Option<bool>,
}

/// What a model is loaded or unloaded with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ControlRequest {
    parameters: Option<Map<String, Value>>,
}

fn parse<'a, T: Default + Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Error::data(format!("the request is not valid: {error}")))
}

/// Reads a question for the repository's index; whether only versions that answer are asked for.
///
/// # Errors
/// If it is no JSON, or `ready` is no boolean.
pub(crate) fn index_request(body: &[u8]) -> Result<bool> {
    Ok(parse::<IndexRequest>(body)?.ready.unwrap_or(false))
}

/// The versions of every model with their states: of those that answer only, if so asked.
pub(crate) fn repository_index(models: &[ModelState], ready: bool) -> Value {
    let versions = models.iter().flat_map(|model| {
        model.versions.iter().filter_map(move |version| {
            let state = states::repository(version);
            (!ready || state == "READY").then(|| {
                json!({
                    "name": model.name,
                    "version": version.version.to_string(),
                    "state": state,
                    "reason": version.reason.as_deref().unwrap_or_default(),
                })
            })
        })
    });
    versions.collect()
}

/// Checks a request to load a model, whose answer is empty.
///
/// # Errors
/// If it is no JSON; [`ErrorKind::Unsupported`] if it brings a configuration or files, as models are what is in the
/// repository.
pub(crate) fn check_load_request(body: &[u8]) -> Result<()> {
    let request: ControlRequest = parse(body)?;
    let parameters = request.parameters.unwrap_or_default();
    match parameters.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "parameter `{}`: a model is loaded as it is in the repository, without parameters",
                shortened(name)
            ),
        )),
    }
}

/// Checks a request to unload a model, whose answer is empty. `unload_dependents` is passed over: models do not
/// depend on each other.
///
/// # Errors
/// If it is no JSON, or has another parameter.
pub(crate) fn check_unload_request(body: &[u8]) -> Result<()> {
    let request: ControlRequest = parse(body)?;
    let parameters = request.parameters.unwrap_or_default();
    let mut others = parameters
        .keys()
        .filter(|name| *name != "unload_dependents");
    match others.next() {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("parameter `{}` is not known", shortened(name)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{State, VersionState};

    #[test]
    fn requests_are_read() {
        for (body, ready) in [("", false), (" \n", false), ("{}", false)] {
            assert_eq!(index_request(body.as_bytes()).unwrap(), ready, "{body:?}");
        }
        assert!(index_request(br#"{"ready": true, "x": 1}"#).unwrap());
        assert!(!index_request(br#"{"ready": null}"#).unwrap());
        assert!(index_request(b"{\"ready\": 1}").is_err());
        assert!(index_request(b"[").is_err());
        for body in ["", "{}", "{\"parameters\": {}}", "{\"parameters\": null}"] {
            check_load_request(body.as_bytes()).unwrap();
            check_unload_request(body.as_bytes()).unwrap();
        }
        let error = check_load_request(br#"{"parameters": {"config": "{}"}}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        check_unload_request(br#"{"parameters": {"unload_dependents": true}}"#).unwrap();
        assert!(check_unload_request(br#"{"parameters": {"x": true}}"#).is_err());
    }

    #[test]
    fn the_index_has_every_version() {
        let version = |version, state, reason: Option<&str>| VersionState {
            version,
            state,
            reason: reason.map(str::to_owned),
            labels: Vec::new(),
            is_at_rest: false,
        };
        let models = [ModelState {
            name: "late".to_owned(),
            versions: vec![
                version(1, State::Available, None),
                version(2, State::End, Some("broken")),
            ],
            reason: None,
        }];
        assert_eq!(
            repository_index(&models, false),
            json!([
                {"name": "late", "version": "1", "state": "READY", "reason": ""},
                {"name": "late", "version": "2", "state": "UNAVAILABLE", "reason": "broken"},
            ])
        );
        let ready = repository_index(&models, true);
        assert_eq!(ready.as_array().unwrap().len(), 1);
    }
}
