//! A port.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// The shortest and the longest pause after connections could not be taken.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A port that is held.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    /// No connection is taken until then; and how long the next pause is.
    pause: Option<Instant>,
    next_pause: Duration,
}

impl Listener {
    pub(super) async fn bind(address: &str) -> Result<Self> {
        // Whatever is wrong with an address, what was not found is no file.
        let failed = |error: io::Error| {
            Error::new(crate::ErrorKind::Io, format!("listening on `{address}`")).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listener {
            listener,
            address,
            pause: None,
            next_pause: PAUSES.0,
        })
    }

    /// The next connection. It may be dropped at any time without losing one.
    ///
    /// # Errors
    /// If a connection cannot be accepted, mostly for too many open files: the next call pauses first.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            if let Some(until) = self.pause {
                tokio::time::sleep_until(until).await;
                self.pause = None;
            }
            match self.listener.accept().await {
                Ok(taken) => {
                    self.next_pause = PAUSES.0;
                    return Ok(taken);
                }
                // It is the connection's that was to be taken.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    if self.next_pause == PAUSES.0 {
                        tracing::warn!(%error, "connections cannot be accepted for now");
                    }
                    self.pause = Some(Instant::now() + self.next_pause);
                    self.next_pause = (self.next_pause * 2).min(PAUSES.1);
                    return Err(error);
                }
            }
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}
