//! Triton's model repository extension.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result, shortened};
use crate::serving::Manager;
use crate::serving::lifecycle::ModelState;
use crate::serving::protocol::states;

/// The body of a request for the index.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IndexRequest {
    ready: Option<bool>,
}

/// The body of a request to load or unload a model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ControlRequest {
    parameters: Option<Map<String, Value>>,
}

fn parse<'a, T: Default + Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    object(body)
}

/// Reads a request whose body is a JSON object. (Lists of the fields' values would do for serde, too.)
///
/// # Errors
/// If it is none, or its fields are not what they must be.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::data(
            "the request is not valid: it must be a JSON object",
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| Error::data(format!("the request is not valid: {error}")))
}

/// Reads a request for the repository's index; returns `true` if only versions that answer are wanted.
///
/// # Errors
/// If it is no JSON, or `ready` is no boolean.
pub(crate) fn index_request(body: &[u8]) -> Result<bool> {
    Ok(parse::<IndexRequest>(body)?.ready.unwrap_or(false))
}

/// A version in the repository's index.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Empty for a model without known versions.
    pub(crate) version: String,
    pub(crate) state: &'static str,
    /// The reason why it does not answer, or, if it does, why its model or all models could not be read the last time.
    pub(crate) reason: String,
}

/// The versions of every model with their states; on request, only those that answer.
pub(crate) fn repository_index(manager: &Manager, ready: bool) -> Vec<Listed> {
    let failure = manager.source_failure();
    listed(&manager.states(), failure.as_deref(), ready)
}

fn listed(models: &[ModelState], failure: Option<&str>, ready: bool) -> Vec<Listed> {
    let mut all = Vec::new();
    for model in models {
        let of_model = model.reason.as_deref().or(failure);
        for version in &model.versions {
            all.push(Listed {
                name: model.name.clone(),
                version: version.version.to_string(),
                state: states::repository(version),
                reason: version
                    .reason
                    .as_deref()
                    .or(of_model)
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
        if model.versions.is_empty()
            && let Some(reason) = of_model
        {
            all.push(Listed {
                name: model.name.clone(),
                version: String::new(),
                state: states::UNAVAILABLE,
                reason: reason.to_owned(),
            });
        }
    }
    if ready {
        all.retain(|version| version.state == states::READY);
    }
    all
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
                "parameter `{}`: models are loaded as they are in the repository",
                shortened(name)
            ),
        )),
    }
}

/// Checks a request to unload a model, whose answer is empty. `unload_dependents` is ignored: models do not
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
            format!("unknown parameter `{}`", shortened(name)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::lifecycle::{State, VersionState};

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
        let mut models = [ModelState {
            name: "late".to_owned(),
            versions: vec![
                version(1, State::Available, None),
                version(2, State::End, Some("broken")),
            ],
            reason: None,
        }];
        let of = |version: &str, state, reason: &str| Listed {
            name: "late".to_owned(),
            version: version.to_owned(),
            state,
            reason: reason.to_owned(),
        };
        let broken = || of("2", "UNAVAILABLE", "broken");
        assert_eq!(
            listed(&models, None, false),
            [of("1", "READY", ""), broken()]
        );
        assert_eq!(listed(&models, None, true), [of("1", "READY", "")]);
        // An error of the whole repository is reported for versions without one of their own.
        let gone = listed(&models, Some("gone"), false);
        assert_eq!(gone, [of("1", "READY", "gone"), broken()]);
        models[0].reason = Some("unreadable".to_owned());
        let unread = listed(&models, Some("gone"), true);
        assert_eq!(unread, [of("1", "READY", "unreadable")]);
        models[0].versions.clear();
        let unread = listed(&models, None, false);
        assert_eq!(unread, [of("", "UNAVAILABLE", "unreadable")]);
    }

    #[test]
    fn lists_are_no_objects() {
        for body in ["[true]", "[[]]", "true", " [", "\"{}\""] {
            assert!(index_request(body.as_bytes()).is_err(), "{body}");
            assert!(check_load_request(body.as_bytes()).is_err(), "{body}");
        }
    }
}
