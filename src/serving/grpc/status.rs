//! Errors as gRPC tells them.

use std::time::Duration;

use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};

/// The most bytes of a message: it is sent as a header, of which clients take little.
const MESSAGE_LIMIT: usize = 2048;

/// Tells a client that tries again by itself how long to wait first, in milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A bad request is told with its causes; what goes wrong on this side is told without, and logged.
pub(super) fn status(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Data | ErrorKind::Config | ErrorKind::Schema => Code::InvalidArgument,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Model | ErrorKind::Io | ErrorKind::Internal => Code::Internal,
    };
    let mut text = error.to_string();
    if matches!(code, Code::Internal | Code::DataLoss) {
        tracing::error!(?error, "a request failed");
    } else {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
    }
    let mut status = Status::new(code, shortened(text));
    try_again_after(&mut status, || Duration::from_secs(1));
    status
}

/// Says how long to wait, where trying again may help.
pub(super) fn try_again_after(status: &mut Status, after: impl FnOnce() -> Duration) {
    if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) {
        let millis = u64::try_from(after().as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(PUSHBACK, millis.into());
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        text.truncate(text.floor_char_boundary(MESSAGE_LIMIT));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_bad_requests_are_told_and_those_of_failures_are_not() {
        let cause = || std::io::Error::other("the cause");
        let bad = status(&Error::data("a bad field").with_source(cause()));
        assert_eq!(bad.code(), Code::InvalidArgument);
        assert_eq!(bad.message(), "a bad field: the cause");
        let failed = status(&Error::internal("a bug").with_source(cause()));
        assert_eq!(failed.code(), Code::Internal);
        assert_eq!(failed.message(), "a bug");
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        let full = status(&Error::new(
            ErrorKind::ResourceExhausted,
            "the queue is full",
        ));
        assert_eq!(full.metadata().get(PUSHBACK).unwrap(), "1000");
        assert!(status(&Error::data("bad")).metadata().is_empty());
    }

    #[test]
    fn long_messages_fit_into_a_header() {
        let long = status(&Error::data("ü".repeat(5000)));
        assert_eq!(long.message().len(), MESSAGE_LIMIT + 3);
    }
}
