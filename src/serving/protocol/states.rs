//! The states of versions, as the protocols name them.

use crate::serving::{State, VersionState};

/// TensorFlow Serving's name: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
pub(super) fn tf_serving(version: &VersionState) -> &'static str {
    match version.state {
        State::Start => "START",
        State::Loading => "LOADING",
        State::Available => "AVAILABLE",
        State::Unloading => "UNLOADING",
        State::End => "END",
    }
}

/// The name in Triton's model repository: `READY` or `UNAVAILABLE`; while it changes, `LOADING` or `UNLOADING`.
pub(crate) fn repository(version: &VersionState) -> &'static str {
    match tf_serving(version) {
        "AVAILABLE" => "READY",
        "LOADING" => "LOADING",
        "UNLOADING" => "UNLOADING",
        _ => "UNAVAILABLE",
    }
}
