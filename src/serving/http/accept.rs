//! The accepting task: takes connections, counts them, closes those that are too slow, and ends.

use std::collections::HashMap;
use std::io::{Error as IoError, ErrorKind as IoErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::activity::{Activity, Clock, Patience};
use super::connection::{Connection, Protocols};

/// The longest pause after connections could not be taken.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How many connections are told at once that they are too many.
const MAX_REFUSALS: usize = 64;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 47\r\n\r\n\
    {\"error\":\"the server has too many connections\"}";

/// How often certificates are looked at.
#[cfg(feature = "tls")]
const CERTIFICATES: Duration = Duration::from_secs(10);

/// Takes connections until it is stopped.
pub(super) struct Accepting {
    protocols: Arc<Protocols>,
    stop: watch::Receiver<()>,
    max_connections: usize,
    patience: Patience,
    clock: Arc<Clock>,
    open: HashMap<Id, Open>,
    n_open: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
    refusals: JoinSet<()>,
    pause: Option<Pause>,
}

struct Open {
    task: AbortHandle,
    activity: Arc<Activity>,
}

/// No connection is taken until then.
struct Pause {
    until: Instant,
    length: Duration,
    is_over: bool,
}

impl Accepting {
    pub(super) fn new(
        protocols: Protocols,
        stop: watch::Receiver<()>,
        max_connections: usize,
        patience: Patience,
    ) -> Self {
        Accepting {
            protocols: Arc::new(protocols),
            stop,
            max_connections,
            patience,
            clock: Arc::default(),
            open: HashMap::new(),
            n_open: Arc::default(),
            tasks: JoinSet::new(),
            refusals: JoinSet::new(),
            pause: None,
        }
    }

    /// How many connections are open, for others to read.
    pub(super) fn n_connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.n_open)
    }

    /// Takes connections until it is stopped, and then waits for those that are there.
    pub(super) async fn run(mut self, listener: TcpListener) {
        let mut ticks = tokio::time::interval(self.patience.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stop.clone();
        #[cfg(feature = "tls")]
        let mut looked = Instant::now();
        loop {
            let paused = self.pause.as_ref().filter(|pause| !pause.is_over);
            let until = paused.map(|pause| pause.until);
            tokio::select! {
                // It fails when the handle is dropped, which is how a server is stopped.
                _ = stop.changed() => break,
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
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if let Some(pause) = &mut self.pause {
                        pause.is_over = true;
                    }
                }
                accepted = listener.accept(), if until.is_none() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) => self.cannot_take(&error),
                },
            }
        }
        drop(listener);
        self.finish(ticks).await;
    }

    async fn finish(mut self, mut ticks: Interval) {
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                _ = ticks.tick() => self.sweep(),
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.pause = None;
        if self.open.len() >= self.max_connections && !self.close_an_idle_one() {
            self.refuse(stream, peer);
            return;
        }
        let activity = Arc::new(Activity::new(Arc::clone(&self.clock)));
        let connection = Connection {
            protocols: Arc::clone(&self.protocols),
            activity: Arc::clone(&activity),
            peer,
            stop: self.stop.clone(),
        };
        let task = self.tasks.spawn(connection.serve(stream));
        self.open.insert(task.id(), Open { task, activity });
        self.n_open.store(self.open.len(), Relaxed);
    }

    /// Errors of accepting are of one connection, or pass when others end: the server goes on in any case.
    fn cannot_take(&mut self, error: &IoError) {
        if matches!(
            error.kind(),
            IoErrorKind::ConnectionAborted
                | IoErrorKind::ConnectionRefused
                | IoErrorKind::ConnectionReset
                | IoErrorKind::Interrupted
        ) {
            return;
        }
        let length = match &self.pause {
            None => {
                tracing::warn!(%error, "connections cannot be taken for now");
                Duration::from_millis(5)
            }
            Some(pause) => (pause.length * 2).min(MAX_PAUSE),
        };
        // Mostly there are too many open files.
        self.close_an_idle_one();
        self.pause = Some(Pause {
            until: Instant::now() + length,
            length,
            is_over: false,
        });
    }

    /// Closes the connection that has been idle for the longest; whether there was one.
    fn close_an_idle_one(&mut self) -> bool {
        let now = self.clock.now();
        let idle = self
            .open
            .iter()
            .filter_map(|(id, open)| Some((open.activity.idle_for(now)?, *id)));
        let longest = idle.max_by_key(|(waited, _)| *waited);
        let open = longest.and_then(|(_, id)| self.open.remove(&id));
        if let Some(open) = &open {
            open.task.abort();
        }
        open.is_some()
    }

    /// Closes the connections whose clients have kept the server waiting.
    fn sweep(&mut self) {
        let now = self.clock.advance();
        let overdue = |open: &&Open| open.activity.is_overdue(now, self.patience);
        for open in self.open.values().filter(overdue) {
            open.task.abort();
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
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
        self.n_open.store(self.open.len(), Relaxed);
    }

    /// Tells a client that there are too many, where that can be read.
    fn refuse(&mut self, stream: TcpStream, peer: SocketAddr) {
        tracing::debug!(%peer, "too many connections");
        while self.refusals.try_join_next().is_some() {}
        let encrypted = {
            #[cfg(feature = "tls")]
            {
                self.protocols.encryption.is_some()
            }
            #[cfg(not(feature = "tls"))]
            {
                false
            }
        };
        if !encrypted && self.refusals.len() < MAX_REFUSALS {
            self.refusals.spawn(async move {
                let _ = tokio::time::timeout(MAX_PAUSE, tell(stream)).await;
            });
        }
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

/// Reads something, answers, and waits for the client to close: else what is unread resets the connection, and the
/// answer with it.
async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut sink = [0; 4096];
    read_some(&mut stream, &mut sink).await?;
    let mut rest = REFUSAL;
    while !rest.is_empty() {
        let n = std::future::poll_fn(|context| {
            std::pin::Pin::new(&mut stream).poll_write(context, rest)
        })
        .await?;
        rest = &rest[n..];
    }
    std::future::poll_fn(|context| std::pin::Pin::new(&mut stream).poll_shutdown(context)).await?;
    while read_some(&mut stream, &mut sink).await? > 0 {}
    Ok(())
}

async fn read_some(stream: &mut TcpStream, sink: &mut [u8]) -> std::io::Result<usize> {
    let mut buffer = ReadBuf::new(sink);
    std::future::poll_fn(|context| {
        std::pin::Pin::new(&mut *stream).poll_read(context, &mut buffer)
    })
    .await?;
    Ok(buffer.filled().len())
}
