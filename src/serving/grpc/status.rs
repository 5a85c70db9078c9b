//! Errors as gRPC statuses.

use std::time::Duration;

use tonic::{Code, Status};

use crate::error::{Error, ErrorKind, bounded, chain};

/// The header that tells a client with automatic retries how long to wait first, in milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A bad request is reported with its causes; a failure of the server is reported without them, and logged.
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
        ErrorKind::Model | ErrorKind::Io | ErrorKind::Other | ErrorKind::Internal => Code::Internal,
    };
    let text = if matches!(code, Code::Internal | Code::DataLoss) {
        tracing::error!(?error, "a request failed");
        bounded(error.to_string())
    } else {
        chain(error)
    };
    let mut status = Status::new(code, text);
    try_again_after(&mut status, || Duration::from_secs(1));
    status
}

/// Adds the time to wait, where a retry may help.
pub(super) fn try_again_after(status: &mut Status, after: impl FnOnce() -> Duration) {
    if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) {
        let millis = u64::try_from(after().as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(PUSHBACK, millis.into());
    }
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
        assert!(long.message().len() < 4096, "{}", long.message().len());
    }
}
