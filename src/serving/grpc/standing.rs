//! Whether the server is ready, and whether it ends its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::serving::ServerCore;
use crate::serving::readiness::{Probe, Readiness};
use crate::serving::transport::Phase;

/// How often the models are looked at while somebody wants to know.
const INTERVAL: Duration = Duration::from_millis(200);

/// What whoever watches is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) is_ready: bool,
    pub(super) ends: bool,
}

/// One for all services of a server: one task looks at the models, however many watch.
#[derive(Debug)]
pub(super) struct Standing {
    core: ServerCore,
    probe: Probe,
    /// None for services that an application mounts, which has a server of its own.
    phase: Option<watch::Receiver<Phase>>,
    seen: watch::Sender<Seen>,
    is_looking: AtomicBool,
}

impl Standing {
    pub(super) fn new(
        core: ServerCore,
        readiness: Readiness,
        phase: Option<watch::Receiver<Phase>>,
    ) -> Arc<Self> {
        let nothing = Seen {
            is_ready: false,
            ends: false,
        };
        Arc::new(Standing {
            core,
            probe: Probe::new(readiness),
            phase,
            seen: watch::Sender::new(nothing),
            is_looking: AtomicBool::new(false),
        })
    }

    fn phase(&self) -> Phase {
        match &self.phase {
            Some(phase) => *phase.borrow(),
            None if self.core.is_draining() => Phase::Ending,
            None => Phase::Serving,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving && self.probe.look(&self.core).is_ready
    }

    fn look(&self) {
        let now = Seen {
            is_ready: self.is_ready(),
            ends: self.phase() == Phase::Ending,
        };
        self.seen
            .send_if_modified(|seen| std::mem::replace(seen, now) != now);
    }

    /// What is seen from now on.
    pub(super) fn watch(self: &Arc<Self>) -> watch::Receiver<Seen> {
        self.look();
        let watching = self.seen.subscribe();
        if !self.is_looking.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).go_on_looking());
        }
        watching
    }

    async fn go_on_looking(self: Arc<Self>) {
        let mut looking = Looking(&self.is_looking);
        let mut phase = self.phase.clone();
        loop {
            let changed = async {
                let changed = match &mut phase {
                    Some(phase) => phase.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = changed => {}
            }
            self.look();
            if self.seen.receiver_count() == 0 {
                drop(looking);
                // Somebody may have come in between, and found that this goes on.
                if self.seen.receiver_count() == 0 || self.is_looking.swap(true, Ordering::AcqRel) {
                    return;
                }
                looking = Looking(&self.is_looking);
            }
        }
    }

    /// Returns once streams are to end.
    pub(super) async fn ending(self: Arc<Self>) {
        let ended = match self.phase.clone() {
            Some(mut phase) => phase.wait_for(|now| *now == Phase::Ending).await.is_ok(),
            None => self.watch().wait_for(|seen| seen.ends).await.is_ok(),
        };
        if !ended {
            std::future::pending::<()>().await;
        }
    }
}

/// Looking, until it is dropped: with its runtime, too.
struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
