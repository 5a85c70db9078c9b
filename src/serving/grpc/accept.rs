//! The accepting task: takes connections, counts them, closes those on which nothing is called, and ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::GrpcOptions;
use super::activity::{Activity, Clock};
use super::connection::{Connection, Protocols};
use super::standing::Phase;

/// How long taking connections pauses when the system has no more of them.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client has to go once its connection is to be closed, in ticks.
const NOTICE: u32 = 5;

/// How often certificates are looked at.
#[cfg(feature = "tls")]
const CERTIFICATES: Duration = Duration::from_secs(10);

/// Takes connections until it is stopped.
pub(super) struct Accepting {
    protocols: Arc<Protocols>,
    options: GrpcOptions,
    tick: Duration,
    /// How many ticks without a call a connection may be there.
    patience: u32,
    clock: Arc<Clock>,
    open: HashMap<Id, Open>,
    tasks: JoinSet<()>,
    /// Since the last tick.
    n_refused: usize,
}

struct Open {
    task: AbortHandle,
    activity: Arc<Activity>,
    close: Arc<Notify>,
}

impl Accepting {
    pub(super) fn new(protocols: Protocols, options: GrpcOptions) -> Self {
        let idle = options.idle_time();
        let tick = (idle / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        // One more: the first tick may come right after the connection.
        let patience = idle.as_nanos().div_ceil(tick.as_nanos()) + 1;
        Accepting {
            protocols: Arc::new(protocols),
            options,
            tick,
            patience: u32::try_from(patience)
                .unwrap_or(u32::MAX)
                .min(u32::MAX - NOTICE),
            clock: Arc::default(),
            open: HashMap::new(),
            tasks: JoinSet::new(),
            n_refused: 0,
        }
    }

    /// Takes connections until the server stops, and then waits for the calls that are there.
    pub(super) async fn run(mut self, listener: TcpListener, phase: watch::Sender<Phase>) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving = phase.subscribe();
        let delay = self.options.drain_before();
        let drained = async move {
            // This task has a sender itself.
            let _ = leaving.wait_for(|phase| *phase != Phase::Serving).await;
            tokio::time::sleep(delay).await;
        };
        tokio::pin!(drained);
        let mut pause: Option<Instant> = None;
        #[cfg(feature = "tls")]
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = &mut drained => break,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.forget(ended);
                }
                _ = ticks.tick() => {
                    self.sweep();
                    #[cfg(feature = "tls")]
                    if looked.elapsed() >= CERTIFICATES {
                        looked = Instant::now();
                        self.look_at_certificates();
                    }
                }
                () = until(pause), if pause.is_some() => pause = None,
                accepted = listener.accept(), if pause.is_none() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not taken");
                        pause = Some(Instant::now() + PAUSE);
                    }
                },
            }
        }
        drop(listener);
        phase.send_replace(Phase::Ending);
        self.finish().await;
    }

    async fn finish(mut self) {
        for open in self.open.values() {
            open.close.notify_one();
        }
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        let finished = tokio::time::timeout(self.options.drain_time(), finished).await;
        if finished.is_err() {
            tracing::warn!("stopped with calls unanswered");
        }
        self.tasks.shutdown().await;
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.open.len() >= self.options.max_connections && !self.close_an_idle_one() {
            tracing::debug!(%peer, "too many connections");
            self.n_refused += 1;
            return;
        }
        let activity = Arc::new(Activity::new(Arc::clone(&self.clock)));
        let close = Arc::new(Notify::new());
        let connection = Connection {
            protocols: Arc::clone(&self.protocols),
            activity: Arc::clone(&activity),
            peer,
            close: Arc::clone(&close),
        };
        let task = self.tasks.spawn(connection.serve(stream));
        let open = Open {
            task,
            activity,
            close,
        };
        self.open.insert(open.task.id(), open);
    }

    /// Closes the connection on which nothing was called for the longest; whether there was one.
    fn close_an_idle_one(&mut self) -> bool {
        let idle = self
            .open
            .iter()
            .filter_map(|(id, open)| Some((open.activity.idle_for()?, *id)));
        let longest = idle.max_by_key(|(waited, _)| *waited);
        let open = longest.and_then(|(_, id)| self.open.remove(&id));
        if let Some(open) = &open {
            open.task.abort();
        }
        open.is_some()
    }

    /// Closes the connections on which nothing is called: their clients are told, and have a moment to go.
    fn sweep(&mut self) {
        self.clock.advance();
        for open in self.open.values() {
            match open.activity.idle_for() {
                Some(waited) if waited >= self.patience + NOTICE => open.task.abort(),
                Some(waited) if waited >= self.patience => open.close.notify_one(),
                _ => {}
            }
        }
        if self.n_refused > 0 {
            let (n, most) = (self.n_refused, self.options.max_connections);
            tracing::warn!(n, most, "connections were closed: there are too many");
            self.n_refused = 0;
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection's task panicked");
                }
                error.id()
            }
        };
        self.open.remove(&id);
    }

    #[cfg(feature = "tls")]
    fn look_at_certificates(&self) {
        let protocols = Arc::clone(&self.protocols);
        if protocols.encryption.is_some() {
            tokio::task::spawn_blocking(move || {
                if let Some(encryption) = &protocols.encryption {
                    encryption.refresh();
                }
            });
        }
    }
}

async fn until(instant: Option<Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant.into()).await;
    }
}
