//! The warning of builds whose loops over values are not optimized.

use std::sync::Once;

use crate::warning::Warning;

/// The warning; `None` in optimized builds.
pub(super) fn warning() -> Option<Warning> {
    (!fourfold_kernels::OPTIMIZED).then(|| {
        Warning::new(
            "pipeline",
            "not_optimized",
            "fourfold-kernels is compiled without optimization, which makes runs many times slower: \
             add `[profile.dev.package.fourfold-kernels]` with `opt-level = 3` to Cargo.toml",
        )
    })
}

/// Logs the warning once, when the first run of the process begins.
pub(super) fn tell_once() {
    static TOLD: Once = Once::new();
    if let Some(warning) = warning() {
        TOLD.call_once(|| tracing::warn!("{warning}"));
    }
}
