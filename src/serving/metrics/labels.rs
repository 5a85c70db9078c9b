//! What tells the series of a metric apart.

use prometheus_client::encoding::EncodeLabelSet;

use crate::error::{Error, ErrorKind};

/// How a request ended, in the words of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok,
    InvalidArgument,
    NotFound,
    Unavailable,
    ResourceExhausted,
    DeadlineExceeded,
    Unimplemented,
    Internal,
    Cancelled,
}

impl Code {
    pub(crate) const ALL: [Code; 9] = [
        Code::Ok,
        Code::InvalidArgument,
        Code::NotFound,
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
        Code::Unimplemented,
        Code::Internal,
        Code::Cancelled,
    ];

    pub(crate) fn of<T>(result: &Result<T, Error>) -> Code {
        let Err(error) = result else { return Code::Ok };
        match error.kind() {
            ErrorKind::Data | ErrorKind::Config | ErrorKind::Schema => Code::InvalidArgument,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::ResourceExhausted => Code::ResourceExhausted,
            ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
            ErrorKind::Cancelled => Code::Cancelled,
            ErrorKind::Unsupported => Code::Unimplemented,
            ErrorKind::Model
            | ErrorKind::AlreadyExists
            | ErrorKind::Corrupt
            | ErrorKind::Io
            | ErrorKind::Internal => Code::Internal,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::NotFound => "NOT_FOUND",
            Code::Unavailable => "UNAVAILABLE",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Cancelled => "CANCELLED",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ModelLabels {
    pub(super) model: String,
}

impl ModelLabels {
    pub(super) fn new(model: &str) -> Self {
        ModelLabels {
            model: model.to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VersionLabels {
    pub(super) model: String,
    pub(super) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) protocol: &'static str,
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LoadLabels {
    pub(super) model: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ShadowLabels {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) shadow_version: String,
}

impl ShadowLabels {
    pub(super) fn new(model: &str, version: u64, shadow: u64) -> Self {
        ShadowLabels {
            model: model.to_owned(),
            version: version.to_string(),
            shadow_version: shadow.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct DriftLabels {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) column: String,
    pub(super) measure: String,
}

impl DriftLabels {
    pub(super) fn new(model: &str, version: u64, column: &str, measure: &str) -> Self {
        DriftLabels {
            model: model.to_owned(),
            version: version.to_string(),
            column: column.to_owned(),
            measure: measure.to_owned(),
        }
    }
}
