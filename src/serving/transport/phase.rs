//! Phases of a server.

use tokio::sync::watch;

/// The phase of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::serving) enum Phase {
    Serving,
    /// The server reports that it is not ready, and continues to answer.
    Leaving,
    /// The server accepts nothing more, and ends streams.
    Ending,
}

/// Returns once a server accepts nothing more: it reports so, or its handle was dropped.
pub(super) async fn ending(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Ending).await;
}
