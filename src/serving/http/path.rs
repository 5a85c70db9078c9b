//! Paths: the targets of requests. Matched by hand, for that is done for every request.

use std::borrow::Cow;

use crate::serving::lifecycle::VersionChoice;

/// The route of a path.
#[derive(Debug, PartialEq)]
pub(super) enum Route<'p> {
    Server,
    Live,
    Ready,
    Models,
    AllStatistics,
    Index,
    /// `/v2/models/..`
    Model(ModelPath<'p>, About),
    /// `/v2/repository/models/..`
    Admin(Cow<'p, str>, Change<'p>),
    /// `/v1/models/..`
    TensorFlow(ModelPath<'p>, Signature),
    Metrics,
    Dashboard,
}

/// The model that a path names.
#[derive(Debug, PartialEq)]
pub(super) struct ModelPath<'p> {
    pub(super) model: Cow<'p, str>,
    version: Version<'p>,
}

#[derive(Debug, PartialEq)]
enum Version<'p> {
    Default,
    Number(u64),
    Label(Cow<'p, str>),
}

impl ModelPath<'_> {
    pub(super) fn version(&self) -> VersionChoice<'_> {
        match &self.version {
            Version::Default => VersionChoice::Default,
            Version::Number(version) => VersionChoice::Number(*version),
            Version::Label(label) => VersionChoice::Label(label),
        }
    }
}

/// The resource of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum About {
    Metadata,
    Config,
    Ready,
    Infer,
    Statistics,
}

/// A resource of TensorFlow Serving.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Signature {
    Status,
    Metadata,
    Predict,
    Classify,
    Regress,
}

/// A change of a model.
#[derive(Debug, PartialEq)]
pub(super) enum Change<'p> {
    Load,
    Unload,
    RollBack,
    Labels,
    Label(Cow<'p, str>),
    Traffic,
}

/// The reason why a path has no route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unknown<'p> {
    /// There is no such path.
    Path,
    /// Nothing that TensorFlow Serving answers, which says 400.
    Malformed,
    /// A version that is no number.
    Version(&'p str),
}

impl<'p> Route<'p> {
    pub(super) fn of(path: &'p str) -> Result<Self, Unknown<'p>> {
        // More segments than any route has are no route.
        let mut parts = [""; 9];
        let mut n = 0;
        for part in path.strip_prefix('/').ok_or(Unknown::Path)?.split('/') {
            *parts.get_mut(n).ok_or(Unknown::Path)? = part;
            n += 1;
        }
        let route = match &parts[..n] {
            ["v2", "models", "stats"] => Route::AllStatistics,
            ["v2", "models", model, about @ ..] => {
                let (version, about) = version(about)?;
                let about = match about {
                    [] => About::Metadata,
                    ["infer"] => About::Infer,
                    ["config"] => About::Config,
                    ["ready"] => About::Ready,
                    ["stats"] => About::Statistics,
                    _ => return Err(Unknown::Path),
                };
                Route::Model(asked(model, version)?, about)
            }
            ["v2"] => Route::Server,
            ["v2", "health", "live"] => Route::Live,
            ["v2", "health", "ready"] => Route::Ready,
            ["v2", "models"] => Route::Models,
            ["v2", "repository", "index"] => Route::Index,
            ["v2", "repository", "models", model, change @ ..] => {
                let change = match change {
                    ["load"] => Change::Load,
                    ["unload"] => Change::Unload,
                    ["rollback"] => Change::RollBack,
                    ["traffic"] => Change::Traffic,
                    ["labels"] => Change::Labels,
                    ["labels", label] => Change::Label(decoded(label).ok_or(Unknown::Path)?),
                    _ => return Err(Unknown::Path),
                };
                Route::Admin(decoded(model).ok_or(Unknown::Path)?, change)
            }
            ["v1", "models", about @ ..] => tensorflow(about).ok_or(Unknown::Malformed)?,
            ["v1", ..] => return Err(Unknown::Malformed),
            ["metrics"] => Route::Metrics,
            ["dashboard"] => Route::Dashboard,
            _ => return Err(Unknown::Path),
        };
        Ok(route)
    }

    /// The route without its variables, for logs.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Route::Server => "/v2",
            Route::Live => "/v2/health/live",
            Route::Ready => "/v2/health/ready",
            Route::Models => "/v2/models",
            Route::AllStatistics => "/v2/models/stats",
            Route::Index => "/v2/repository/index",
            Route::Model(_, About::Metadata) => "/v2/models/{model}",
            Route::Model(_, About::Config) => "/v2/models/{model}/config",
            Route::Model(_, About::Ready) => "/v2/models/{model}/ready",
            Route::Model(_, About::Infer) => "/v2/models/{model}/infer",
            Route::Model(_, About::Statistics) => "/v2/models/{model}/stats",
            Route::Admin(_, Change::Load) => "/v2/repository/models/{model}/load",
            Route::Admin(_, Change::Unload) => "/v2/repository/models/{model}/unload",
            Route::Admin(_, Change::RollBack) => "/v2/repository/models/{model}/rollback",
            Route::Admin(_, Change::Labels) => "/v2/repository/models/{model}/labels",
            Route::Admin(_, Change::Label(_)) => "/v2/repository/models/{model}/labels/{label}",
            Route::Admin(_, Change::Traffic) => "/v2/repository/models/{model}/traffic",
            Route::TensorFlow(_, Signature::Status) => "/v1/models/{model}",
            Route::TensorFlow(_, Signature::Metadata) => "/v1/models/{model}/metadata",
            Route::TensorFlow(_, Signature::Predict) => "/v1/models/{model}:predict",
            Route::TensorFlow(_, Signature::Classify) => "/v1/models/{model}:classify",
            Route::TensorFlow(_, Signature::Regress) => "/v1/models/{model}:regress",
            Route::Metrics => "/metrics",
            Route::Dashboard => "/dashboard",
        }
    }
}

/// The version that a path of the Open Inference Protocol names, and the rest of the path.
fn version<'s, 'p>(parts: &'s [&'p str]) -> Result<(Version<'p>, &'s [&'p str]), Unknown<'p>> {
    match parts {
        ["versions", version, rest @ ..] => {
            let number = number(version).ok_or(Unknown::Version(version))?;
            Ok((Version::Number(number), rest))
        }
        ["labels", label, rest @ ..] => {
            let label = decoded(label).ok_or(Unknown::Path)?;
            Ok((Version::Label(label), rest))
        }
        rest => Ok((Version::Default, rest)),
    }
}

/// Parses the path after `/v1/models/`.
fn tensorflow<'p>(parts: &[&'p str]) -> Option<Route<'p>> {
    let (parts, signature) = match parts {
        [parts @ .., "metadata"] if !parts.is_empty() => (parts, Some(Signature::Metadata)),
        parts => (parts, None),
    };
    let (last, before) = parts.split_last()?;
    let (last, signature) = match (last.rsplit_once(':'), signature) {
        (None, None) => (*last, Signature::Status),
        (None, Some(signature)) => (*last, signature),
        (Some((last, "predict")), None) => (last, Signature::Predict),
        (Some((last, "classify")), None) => (last, Signature::Classify),
        (Some((last, "regress")), None) => (last, Signature::Regress),
        (Some(_), _) => return None,
    };
    let (model, version) = match before {
        [] => (last, Version::Default),
        [model, "versions"] => (*model, Version::Number(number(last)?)),
        [model, "labels"] => (*model, Version::Label(decoded(last)?)),
        _ => return None,
    };
    Some(Route::TensorFlow(asked(model, version).ok()?, signature))
}

fn asked<'p>(model: &'p str, version: Version<'p>) -> Result<ModelPath<'p>, Unknown<'p>> {
    match decoded(model) {
        Some(model) if !model.is_empty() => Ok(ModelPath { model, version }),
        _ => Err(Unknown::Path),
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// A segment without its `%41`s; `None` if it is not valid.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(digits[0])? * 16 + digit(digits[1])?;
            bytes.push(u8::try_from(value).ok()?);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &str) -> (String, String, Route<'_>) {
        let route = Route::of(path).unwrap();
        match &route {
            Route::Model(asked, _) | Route::TensorFlow(asked, _) => (
                asked.model.to_string(),
                format!("{:?}", asked.version()),
                route,
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn models_are_found_by_version_and_label() {
        for (path, name, version, about) in [
            ("/v2/models/m", "m", "Default", About::Metadata),
            ("/v2/models/m/infer", "m", "Default", About::Infer),
            ("/v2/models/stats/infer", "stats", "Default", About::Infer),
            ("/v2/models/a%20b/ready", "a b", "Default", About::Ready),
            (
                "/v2/models/m/versions/017/stats",
                "m",
                "Number(17)",
                About::Statistics,
            ),
            (
                "/v2/models/m/labels/canary/infer",
                "m",
                "Label(\"canary\")",
                About::Infer,
            ),
        ] {
            let (asked, of, route) = model(path);
            assert_eq!((asked.as_str(), of.as_str()), (name, version), "{path}");
            assert!(
                matches!(route, Route::Model(_, found) if found == about),
                "{path}"
            );
        }
    }

    #[test]
    fn tensorflow_paths_are_found() {
        for (path, name, version, about) in [
            ("/v1/models/m", "m", "Default", Signature::Status),
            (
                "/v1/models/m/versions/3",
                "m",
                "Number(3)",
                Signature::Status,
            ),
            (
                "/v1/models/m/labels/l/metadata",
                "m",
                "Label(\"l\")",
                Signature::Metadata,
            ),
            (
                "/v1/models/metadata/metadata",
                "metadata",
                "Default",
                Signature::Metadata,
            ),
            ("/v1/models/m:predict", "m", "Default", Signature::Predict),
            (
                "/v1/models/m/versions/3:classify",
                "m",
                "Number(3)",
                Signature::Classify,
            ),
            (
                "/v1/models/m/labels/l:regress",
                "m",
                "Label(\"l\")",
                Signature::Regress,
            ),
        ] {
            let (asked, of, route) = model(path);
            assert_eq!((asked.as_str(), of.as_str()), (name, version), "{path}");
            assert!(
                matches!(route, Route::TensorFlow(_, found) if found == about),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_no_path_is_told_apart() {
        for path in [
            "/v1",
            "/v1/foo",
            "/v1/models",
            "/v1/models/m:foo",
            "/v1/models/:predict",
            "/v1/models/m/versions/HELLO:regress",
            "/v1/models/m/versions/-1",
            "/v1/models/m/versions/99999999999999999999",
            "/v1/models/m/versions",
            "/v1/models/m:predict/metadata",
            "/v1/models/%ff:predict",
        ] {
            assert_eq!(Route::of(path), Err(Unknown::Malformed), "{path}");
        }
        for path in [
            "",
            "/",
            "/v3",
            "/v2/",
            "v2",
            "v2/repository/models/m/load",
            "v2/models/m/infer",
            "/v2/models/",
            "/v2/models/m/",
            "/v2/models//infer",
            "/v2/models/%/infer",
            "/v2/models/%zz/infer",
            "/v2/models/%ff",
            "/v2/models/m/versions",
            "/v2/models/m/infer/more",
            "/v2/repository/models/m",
            "/a/b/c/d/e/f/g/h/i/j",
        ] {
            assert_eq!(Route::of(path), Err(Unknown::Path), "{path}");
        }
        assert_eq!(
            Route::of("/v2/models/m/versions/+1/infer"),
            Err(Unknown::Version("+1"))
        );
    }
}
