//! The states of versions, as the protocols name them.

use crate::serving::lifecycle::{State, VersionState};

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

pub(super) const READY: &str = "READY";
pub(super) const UNAVAILABLE: &str = "UNAVAILABLE";

/// The name in Triton's model repository: `READY` or `UNAVAILABLE`; while it changes, `LOADING` or `UNLOADING`.
pub(super) fn repository(version: &VersionState) -> &'static str {
    match version.state {
        State::Available => READY,
        State::Loading => "LOADING",
        State::Unloading => "UNLOADING",
        State::Start | State::End => UNAVAILABLE,
    }
}
