//! Phases of a server.

use tokio::sync::watch;

/// The phase of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::serving) enum Phase {
    Serving,
    /// It says that it is not ready, and goes on answering.
    Leaving,
    /// It takes nothing more, and ends streams.
    Ending,
}

/// Returns once a server takes nothing more: it says so, or its handle is gone.
pub(super) async fn ending(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Ending).await;
}
