//! How far a server has come.

use tokio::sync::watch;

/// How far a server has come.
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
