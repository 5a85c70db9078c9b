//! The accepting task: takes connections, counts them, closes those that are too slow, and ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::activity::{Activity, Clock, Patience, Verdict};
use super::connection::{Connection, Protocols};
use super::listener::Listener;
use super::phase::{Phase, ending};

/// The most connections that are refused with an answer at once, and the time that this may take.
const MAX_REFUSALS: usize = 64;
const REFUSAL_TIME: Duration = Duration::from_secs(1);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 47\r\n\r\n\
    {\"error\":\"the server has too many connections\"}";

/// The interval at which certificates are checked for changes.
const CERTIFICATES: Duration = Duration::from_secs(10);

/// Accepts connections until it is stopped.
pub(super) struct Accepting {
    protocols: Arc<Protocols>,
    phase: watch::Receiver<Phase>,
    max_connections: usize,
    patience: Patience,
    clock: Arc<Clock>,
    open: HashMap<Id, Open>,
    n_open: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
    refusals: JoinSet<()>,
    /// The time of the last check of the certificates.
    looked: Instant,
}

struct Open {
    task: AbortHandle,
    activity: Arc<Activity>,
    close: Arc<Notify>,
}

impl Accepting {
    pub(super) fn new(
        protocols: Protocols,
        phase: watch::Receiver<Phase>,
        max_connections: usize,
        patience: Patience,
    ) -> Self {
        Accepting {
            protocols: Arc::new(protocols),
            phase,
            max_connections,
            patience,
            clock: Arc::new(Clock::new(patience)),
            open: HashMap::new(),
            n_open: Arc::default(),
            tasks: JoinSet::new(),
            refusals: JoinSet::new(),
            looked: Instant::now(),
        }
    }

    /// The number of open connections, shared with others.
    pub(super) fn n_connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.n_open)
    }

    /// Accepts connections until it is stopped, and then waits for the open ones.
    pub(super) async fn run(mut self, mut listener: Listener) {
        let mut ticks = tokio::time::interval(self.patience.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = self.phase.clone();
        let budget = Arc::clone(&self.protocols.budget);
        loop {
            tokio::select! {
                () = ending(&mut phase) => break,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.forget(ended);
                }
                _ = ticks.tick() => self.sweep(),
                () = budget.pressed() => self.close_the_most_buffered(),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    // Mostly there are too many open files.
                    Err(_) => _ = self.close_for_another(),
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
        if self.open.len() >= self.max_connections && !self.close_for_another() {
            self.refuse(stream, peer);
            return;
        }
        let max_unread = self.protocols.budget.max_unread();
        let activity = Arc::new(Activity::new(Arc::clone(&self.clock), max_unread));
        let close = Arc::new(Notify::new());
        let connection = Connection {
            protocols: Arc::clone(&self.protocols),
            activity: Arc::clone(&activity),
            peer,
            phase: self.phase.clone(),
            close: Arc::clone(&close),
        };
        let task = self.tasks.spawn(connection.serve(stream));
        let open = Open {
            task,
            activity,
            close,
        };
        self.open.insert(open.task.id(), open);
        self.n_open.store(self.open.len(), Relaxed);
    }

    /// Closes the connection that has kept the server waiting for the longest; returns `true` if there was one.
    fn close_for_another(&mut self) -> bool {
        let now = self.clock.now();
        let open = self.open.iter();
        let waiting = open.filter_map(|(id, open)| Some((open.activity.makes_room(now)?, *id)));
        let longest = waiting.max_by_key(|(waited, _)| *waited);
        let open = longest.and_then(|(_, id)| self.open.remove(&id));
        if let Some(open) = &open {
            open.task.abort();
        }
        open.is_some()
    }

    /// Closes the connection that the most bytes are held for while its client is awaited.
    fn close_the_most_buffered(&mut self) {
        let now = self.clock.now();
        let open = self.open.iter();
        let burdens = open.filter_map(|(id, open)| Some((open.activity.burden(now)?, *id)));
        let greatest = burdens.max_by_key(|(n_bytes, _)| *n_bytes);
        if let Some((n_bytes, id)) = greatest
            && let Some(open) = self.open.remove(&id)
        {
            tracing::debug!(
                n_bytes,
                "closed a connection because of the bytes buffered for it"
            );
            open.task.abort();
        }
    }

    /// Closes the connections whose clients have kept the server waiting, and reloads changed certificates.
    fn sweep(&mut self) {
        let now = self.clock.advance();
        for open in self.open.values() {
            match open.activity.verdict(now, self.patience) {
                Verdict::Stay => {}
                Verdict::Go => open.close.notify_one(),
                Verdict::Close => open.task.abort(),
            }
        }
        if self.looked.elapsed() >= CERTIFICATES {
            self.looked = Instant::now();
            self.protocols.security.refresh();
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
        self.n_open.store(self.open.len(), Relaxed);
    }

    /// Notifies a client that the server is at capacity, where the client can read it.
    fn refuse(&mut self, stream: TcpStream, peer: SocketAddr) {
        tracing::debug!(%peer, "too many connections");
        while self.refusals.try_join_next().is_some() {}
        if self.protocols.security.is_none() && self.refusals.len() < MAX_REFUSALS {
            self.refusals.spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_TIME, tell(stream)).await;
            });
        }
    }
}

/// Reads some data, answers, and waits for the client to close: otherwise unread data resets the connection, and the
/// answer is lost.
async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut sink = [0; 4096];
    let n_bytes = read_some(&mut stream, &mut sink).await?;
    if sink[..n_bytes].starts_with(b"PRI ") {
        // HTTP/2 has no word for it before it is set up.
        return Ok(());
    }
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
