//! Labels of metrics.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::error::{Error, ErrorKind};

/// The outcome of a request, as a gRPC code.
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
            | ErrorKind::Other
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

/// The value of a label: any string. The format has escapes for `\\`, `"` and line breaks; the rest is literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.to_owned())
    }
}

impl From<u64> for Text {
    fn from(number: u64) -> Self {
        Text(number.to_string())
    }
}

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (before, after) = rest.split_at(at);
            encoder.write_str(before)?;
            encoder.write_str(match after.as_bytes()[0] {
                b'\\' => "\\\\",
                b'"' => "\\\"",
                _ => "\\n",
            })?;
            rest = &after[1..];
        }
        encoder.write_str(rest)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ModelLabels {
    pub(super) model: Text,
}

impl ModelLabels {
    pub(super) fn new(model: &str) -> Self {
        ModelLabels {
            model: model.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VersionLabels {
    pub(super) model: Text,
    pub(super) version: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) model: Text,
    pub(super) version: Text,
    pub(super) protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) model: Text,
    pub(super) version: Text,
    pub(super) protocol: &'static str,
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LoadLabels {
    pub(super) model: Text,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LogLabels {
    pub(super) log: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ShadowLabels {
    pub(super) model: Text,
    pub(super) version: Text,
    pub(super) shadow_version: Text,
}

impl ShadowLabels {
    pub(super) fn new(model: &str, version: u64, shadow: u64) -> Self {
        ShadowLabels {
            model: model.into(),
            version: version.into(),
            shadow_version: shadow.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct DriftLabels {
    pub(super) model: Text,
    pub(super) version: Text,
    pub(super) column: Text,
    pub(super) measure: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct LiveLabels {
    pub(super) model: Text,
    pub(super) version: Text,
    pub(super) metric: Text,
    /// `value`, `lower` or `upper`.
    pub(super) of: &'static str,
}

impl DriftLabels {
    pub(super) fn new(model: &str, version: u64, column: &str, measure: &str) -> Self {
        DriftLabels {
            model: model.into(),
            version: version.into(),
            column: column.into(),
            measure: measure.into(),
        }
    }
}
