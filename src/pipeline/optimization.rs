//! What a run says if the loops over values are not optimized.

use std::sync::Once;

use crate::warning::Warning;

/// `None` if they are.
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

/// Logs it when the first run of the process begins, and not again.
pub(super) fn tell_once() {
    static TOLD: Once = Once::new();
    if let Some(warning) = warning() {
        TOLD.call_once(|| tracing::warn!("{warning}"));
    }
}
