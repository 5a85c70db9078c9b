//! The one error type of the crate.
//!
//! An [`Error`] is one word wide. Its [`Display`](fmt::Display) message says what happened, [`Error::kind`] is its kind,
//! [`Error::stage`] the stage that failed, and [`source`](std::error::Error::source) the cause. `{:#}` is the message with all causes on one line, for logs and messages; the
//! `Debug` output has a line for each, so that `fn main() -> fourfold::Result<()>` prints a readable message.
//!
//! A model that a validator rejects is **not** an error: it is
//! [`Outcome::Rejected`](crate::pipeline::Outcome), a value.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of the fallible functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The kind of an error, for code that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A stage is configured with a value it does not take, or stages do not fit together.
    Config,
    /// The data is not what the stage needs: a missing column, a wrong type, a value out of range.
    Data,
    /// The data breaks the schema, and the policy is to stop.
    Schema,
    /// Training or predicting failed.
    Model,
    /// A file, a model or a version does not exist.
    NotFound,
    /// The thing to be written exists already.
    AlreadyExists,
    /// Stored data is damaged or was changed after it was written.
    Corrupt,
    /// Reading, writing or the network failed.
    Io,
    /// It exists but is unavailable at present: it is being loaded, or the server is stopping. A retry may succeed.
    Unavailable,
    /// A queue, a limit of concurrency or a memory budget is full. A retry may succeed later.
    ResourceExhausted,
    /// The operation did not finish before its deadline.
    DeadlineExceeded,
    /// The operation was cancelled, see [`Cancellation`](crate::Cancellation).
    Cancelled,
    /// This build or this format does not support the operation.
    Unsupported,
    /// Code outside of this crate failed: a driver, a client, a stage of an application. See [`Error::other`].
    Other,
    /// A bug in this crate.
    Internal,
}

/// An error: what went wrong, where, and why.
///
/// ```
/// use fourfold::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Data, "column `age`, row 7: `abc` is not a number").in_stage("read");
/// assert_eq!(error.kind(), ErrorKind::Data);
/// assert_eq!(error.stage(), Some("read"));
/// assert_eq!(error.to_string(), "read: column `age`, row 7: `abc` is not a number");
/// ```
///
/// Errors of other crates become one with what was being done; of `std::io`, `?` alone does:
///
/// ```
/// use fourfold::{Error, Result};
///
/// fn port(path: &str) -> Result<u16> {
///     let text = std::fs::read_to_string(path).map_err(|error| Error::io(format!("reading `{path}`"), error))?;
///     text.trim().parse().map_err(|error| Error::other(format!("the port in `{path}`"), error))
/// }
///
/// let error = port("/nowhere/port").unwrap_err();
/// assert_eq!(error.to_string(), "reading `/nowhere/port`");
/// // With the causes, as a log wants it.
/// assert_eq!(format!("{error:#}"), "reading `/nowhere/port`: No such file or directory (os error 2)");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    stage: Option<String>,
    message: String,
    source: Option<BoxError>,
}

impl Error {
    /// An error of a kind, with a message that names the field, the value and what would be allowed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            stage: None,
            message: message.into(),
            source: None,
        }))
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with the name of the stage it happened in. The innermost name stays.
    #[must_use]
    pub fn in_stage(mut self, stage: &str) -> Self {
        self.0.stage.get_or_insert_with(|| stage.to_owned());
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stage it happened in, where it is known.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.0.stage.as_deref()
    }

    /// The message alone, without the stage.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Config, message)
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Data, message)
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Model, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// An input or output error, with what was being done to which path: "reading `a.csv`". Its kind is
    /// [`ErrorKind::NotFound`] where something is not there, else [`ErrorKind::Io`].
    pub fn io(doing: impl fmt::Display, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error::new(kind, doing.to_string()).with_source(source)
    }

    /// An error of other code (a driver, a client, a library), with what was being done: "querying `flights`". Its kind is
    /// [`ErrorKind::Other`]; where another kind is known, [`Error::new`] and [`Error::with_source`] say it.
    pub fn other(doing: impl fmt::Display, source: impl Into<BoxError>) -> Self {
        Error::new(ErrorKind::Other, doing.to_string()).with_source(source)
    }
}

impl fmt::Display for Error {
    /// The stage and what happened; with `{:#}` the causes too, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&joined(self, usize::MAX));
        }
        if let Some(stage) = &self.0.stage {
            write!(f, "{stage}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl From<std::io::Error> for Error {
    /// The message of the system; [`Error::io`] says what was being done, too. An [`Error`] that travelled through a reader
    /// comes out as it went in.
    fn from(source: std::io::Error) -> Self {
        match source.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::io(source.to_string(), source),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// An [`Error`] that was passed through a reader is returned unchanged.
    fn from(source: arrow::error::ArrowError) -> Self {
        let source = match source {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(error) => return *error,
                Err(inner) => arrow::error::ArrowError::ExternalError(inner),
            },
            source => source,
        };
        Error::new(ErrorKind::Data, "an Arrow operation failed").with_source(source)
    }
}

#[cfg(feature = "datafusion")]
impl From<datafusion::error::DataFusionError> for Error {
    /// An [`Error`] that was passed through a plan is returned unchanged.
    fn from(source: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError;
        use parquet::errors::ParquetError;
        match source {
            DataFusionError::External(inner) => travelled(inner),
            DataFusionError::ParquetError(inner) => match *inner {
                ParquetError::External(inner) => travelled(inner),
                other => Error::new(ErrorKind::Data, plain(&other.to_string())).with_source(other),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                (*inner).into()
            }
            DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
                Ok(inner) => inner.into(),
                Err(shared) => Error::new(ErrorKind::Data, plain(&shared.to_string())),
            },
            other => {
                let kind = match &other {
                    DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => ErrorKind::Io,
                    DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
                    DataFusionError::Internal(_) => ErrorKind::Internal,
                    DataFusionError::ResourcesExhausted(_) => ErrorKind::ResourceExhausted,
                    _ => ErrorKind::Data,
                };
                Error::new(kind, plain(&other.to_string())).with_source(other)
            }
        }
    }
}

/// The fourfold error within the error of another library, if there is one.
#[cfg(feature = "datafusion")]
fn travelled(inner: Box<dyn StdError + Send + Sync>) -> Error {
    match inner.downcast::<Error>() {
        Ok(error) => *error,
        Err(inner) => Error::new(ErrorKind::Data, plain(&inner.to_string())).with_source(inner),
    }
}

/// The first line of a library's message in this crate's style: without `Arrow error: Csv error: ` before it, in
/// lower case.
#[cfg(feature = "datafusion")]
fn plain(text: &str) -> String {
    let mut text = text.lines().next().unwrap_or_default();
    while let Some((layer, rest)) = text.split_once(": ")
        && layer.ends_with(" error")
    {
        text = rest;
    }
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The most characters of a name from outside that an error repeats.
const SHOWN_CHARS: usize = 64;

/// The most bytes of a name that is compared with others. Names of files have at most 255.
const COMPARED_BYTES: usize = 256;

/// The most names that one is compared with.
const COMPARED_NAMES: usize = 256;

/// A string from outside (a client, a file, a path) for an error or a log: at most 64 characters of it.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// `; did you mean `x`?` where a near match stands among the names, else the first of the names themselves. What it costs
/// and what it shows is bounded, whatever the name and however many there are.
pub(crate) fn near_names<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let compared: Vec<&str> = names.by_ref().take(COMPARED_NAMES).collect();
    let is_comparable = |name: &str| name.len() <= COMPARED_BYTES;
    let near = compared
        .iter()
        .filter(|candidate| is_comparable(name) && is_comparable(candidate))
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, candidate)) => format!("; did you mean `{}`?", shortened(candidate)),
        None if compared.is_empty() => String::new(),
        None => {
            let shown = compared.iter().take(20);
            let shown: Vec<String> = shown.map(|name| format!("`{}`", shortened(name))).collect();
            let rest = (compared.len() - shown.len()).saturating_add(names.count());
            let more = if rest > 0 {
                format!(" and {rest} more")
            } else {
                String::new()
            };
            format!("; there are {}{more}", shown.join(", "))
        }
    }
}

/// The largest number of bytes of an error that are sent to a client.
const TOLD_BYTES: usize = 2048;

/// An error with its causes on one line, each said once; of bounded length.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    bounded(joined(error, TOLD_BYTES))
}

/// An error with its causes on one line, without duplicates, up to about `enough` bytes.
fn joined(error: &(dyn StdError + 'static), enough: usize) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause
        && text.len() <= enough
    {
        let more = error.to_string();
        // Some say what caused them themselves.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// `: ` and what a panic said, where it said something; of bounded length.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.map(|text| bounded(format!(": {text}")))
        .unwrap_or_default()
}

/// The same of a task that has panicked.
#[cfg(feature = "datafusion")]
pub(crate) fn task_panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic_text(&*panic),
        Err(error) => format!(": {error}"),
    }
}

/// A message of bounded length.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > TOLD_BYTES {
        text.truncate(text.floor_char_boundary(TOLD_BYTES));
        text.push_str("...");
    }
    text
}

/// Replaces the names in "unknown field `x`, expected one of `a`, `b` at line 1" by the nearest one.
pub(crate) fn near_key(message: &str) -> String {
    let parts = message
        .split_once(", expected ")
        .filter(|(unknown, _)| unknown.starts_with("unknown "))
        .and_then(|(unknown, names)| Some((unknown, unknown.split('`').nth(1)?, names)));
    let Some((unknown, name, names)) = parts else {
        return message.to_owned();
    };
    let known = names.split('`').skip(1).step_by(2);
    let place = names
        .rfind(" at line ")
        .and_then(|at| names.get(at..))
        .unwrap_or_default();
    format!("{unknown}{place}{}", near_names(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_chain() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::io("writing `model.json`", io).in_stage("deploy");
        assert_eq!(
            format!("{error:?}"),
            "deploy: writing `model.json`\n  caused by: disk on fire"
        );
    }

    #[test]
    fn the_alternate_text_has_all_causes_on_one_line() {
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Error::other("saving", Error::io("writing `a`", refused)).in_stage("deploy");
        assert_eq!(error.to_string(), "deploy: saving");
        assert_eq!(
            format!("{error:#}"),
            "deploy: saving: writing `a`: permission denied"
        );
        assert_eq!(error.kind(), ErrorKind::Other);
    }

    #[test]
    fn errors_of_io_come_by_themselves_and_ours_come_back() {
        fn read() -> Result<Vec<u8>> {
            Ok(std::fs::read("/nowhere")?)
        }
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        // Said once.
        assert_eq!(format!("{error:#}"), error.to_string());
        let ours = std::io::Error::other(Error::data("row 7"));
        let back = Error::from(ours);
        assert_eq!((back.kind(), back.message()), (ErrorKind::Data, "row 7"));
    }

    #[test]
    fn near_names_suggests_or_lists() {
        assert_eq!(
            near_names("carier", ["origin", "carrier"]),
            "; did you mean `carrier`?"
        );
        assert_eq!(near_names("zzz", ["a", "b"]), "; there are `a`, `b`");
    }

    #[test]
    fn what_near_names_costs_and_shows_is_bounded() {
        // A hundred thousand comparisons with a megabyte would take hours.
        let long = "x".repeat(1 << 20);
        let names = vec![long.as_str(); 100_000];
        let shown = near_names(&long, names.iter().copied());
        assert!(shown.ends_with("... and 99980 more") || shown.contains(" and 99980 more"));
        assert!(shown.len() < 20 * 80, "{}", shown.len());
        assert_eq!(shortened(&long).len(), SHOWN_CHARS + 3);
        assert_eq!(shortened("ü"), "ü");
    }

    #[test]
    fn a_chain_says_each_cause_once_and_is_bounded() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::io("writing `model.json`", io);
        assert_eq!(chain(&error), "writing `model.json`: disk on fire");
        let said = Error::data("bad: a cause").with_source(std::io::Error::other("a cause"));
        assert_eq!(chain(&said), "bad: a cause");
        let long = Error::data("ü".repeat(5000)).with_source(std::io::Error::other("a cause"));
        assert_eq!(chain(&long).len(), TOLD_BYTES + 3);
    }
}
