//! Readiness of the server, and the end of its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::serving::ServerCore;
use crate::serving::readiness::{Probe, Readiness};
use crate::serving::transport::Phase;

/// The interval at which models are polled while there are watchers.
const INTERVAL: Duration = Duration::from_millis(200);

/// The state that watchers receive.
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
    is_polling: AtomicBool,
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
            is_polling: AtomicBool::new(false),
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

    fn poll(&self) {
        let now = Seen {
            is_ready: self.is_ready(),
            ends: self.phase() == Phase::Ending,
        };
        self.seen
            .send_if_modified(|seen| std::mem::replace(seen, now) != now);
    }

    /// The state from now on.
    pub(super) fn watch(self: &Arc<Self>) -> watch::Receiver<Seen> {
        self.poll();
        let watching = self.seen.subscribe();
        if !self.is_polling.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).poll_while_watched());
        }
        watching
    }

    async fn poll_while_watched(self: Arc<Self>) {
        let mut polling = Polling(&self.is_polling);
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
            self.poll();
            if self.seen.receiver_count() == 0 {
                drop(polling);
                // A receiver may have subscribed in between and found the polling still active.
                if self.seen.receiver_count() == 0 || self.is_polling.swap(true, Ordering::AcqRel) {
                    return;
                }
                polling = Polling(&self.is_polling);
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

/// Polling, until it is dropped: with its runtime, too.
struct Polling<'a>(&'a AtomicBool);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
