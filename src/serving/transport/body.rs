//! The body of a request, counted from its arrival until it is answered.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body as AnyBody, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::activity::{Activity, Reading};
use super::budget::{Budget, Held};
use crate::serving::requests::Client;

/// The body of a request. What of it has been read is held until this is dropped, but for bodies that come at once.
#[derive(Debug)]
pub(in crate::serving) struct RequestBody {
    body: Kind,
    /// None for a router of an application's, which has limits of its own.
    held: Option<Held>,
    connection: Option<Arc<Activity>>,
    /// The client is awaited.
    reading: Option<Reading>,
    /// True if some of it has been read.
    is_begun: bool,
    /// The number of reads in a row without data after the client closed its half.
    n_vain: u8,
}

/// The most reads without data after the client closed its half: the connection's task reads, and then this.
const MOST_VAIN: u8 = 3;

#[derive(Debug)]
enum Kind {
    Incoming(Incoming),
    /// The body in a server of the application.
    Any(AnyBody),
}

/// The error of a body that cannot be read.
#[derive(Debug)]
pub(in crate::serving) enum BodyError {
    /// All bodies and answers together exceed this many bytes.
    TooMuch(usize),
    Broken(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooMuch(most) => write!(
                f,
                "the server is at capacity: buffered requests and answers exceed {most} bytes"
            ),
            BodyError::Broken(error) => write!(f, "the body cannot be read: {error}"),
        }
    }
}

impl StdError for BodyError {}

impl RequestBody {
    /// The body of a request on a connection of this crate.
    pub(super) fn of(
        body: Incoming,
        connection: Arc<Activity>,
        budget: Option<&Arc<Budget>>,
    ) -> Self {
        RequestBody {
            body: Kind::Incoming(body),
            held: budget.map(|budget| budget.nothing(Some(Arc::clone(&connection)))),
            connection: Some(connection),
            reading: None,
            is_begun: false,
            n_vain: 0,
        }
    }

    /// The body of a request in a server of the application.
    pub(in crate::serving) fn mounted(body: AnyBody, budget: &Arc<Budget>) -> Self {
        RequestBody {
            body: Kind::Any(body),
            held: Some(budget.nothing(None)),
            connection: None,
            reading: None,
            is_begun: false,
            n_vain: 0,
        }
    }

    /// The client, where the connection is one of the port's own.
    pub(in crate::serving) fn client(&self) -> Option<&Arc<Client>> {
        self.connection
            .as_ref()
            .map(|connection| connection.client())
    }

    /// Releases the bytes read so far: a message of a stream was taken.
    #[cfg(feature = "grpc")]
    pub(in crate::serving) fn release(&mut self) {
        self.reading = None;
        if let Some(held) = &mut self.held {
            held.release();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.body {
            Kind::Incoming(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|error| BodyError::Broken(error.into())),
            Kind::Any(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|error| BodyError::Broken(error.into())),
        };
        if polled.is_pending()
            && this.reading.is_none()
            && let Some(connection) = &this.connection
        {
            this.reading = Some(connection.read());
        }
        if polled.is_pending()
            && let Some(connection) = &this.connection
            && connection.is_half_closed()
        {
            if this.n_vain == MOST_VAIN {
                let cut_off = "the client closed the connection before the body was complete";
                return Poll::Ready(Some(Err(BodyError::Broken(cut_off.into()))));
            }
            this.n_vain += 1;
            context.waker().wake_by_ref();
        }
        let frame = ready!(polled);
        this.n_vain = 0;
        let is_first = !std::mem::replace(&mut this.is_begun, true);
        let is_whole = this.is_end_stream();
        if is_whole || !matches!(frame, Some(Ok(_))) {
            this.reading = None;
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Some(held) = &mut this.held
            // A body that arrives at once waits for nothing but this server.
            && !(is_first && is_whole)
            && !held.add(data.len())
        {
            let most = held.budget().max_bytes();
            return Poll::Ready(Some(Err(BodyError::TooMuch(most))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Any(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Incoming(body) => body.size_hint(),
            Kind::Any(body) => body.size_hint(),
        }
    }
}
