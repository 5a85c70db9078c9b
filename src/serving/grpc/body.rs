//! Messages of requests, read within limits of time and bytes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::serving::requests::Client;
use crate::serving::transport::{BodyError, RequestBody};

/// The bytes before a message: whether it is compressed, and its length.
pub(super) const HEAD: usize = 5;

/// Bytes allocated for a message before all of it has arrived.
const FIRST_RESERVE: usize = 1 << 20;

/// The limits of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageLimits {
    pub(super) max_bytes: usize,
    /// The time within which it must arrive.
    pub(super) timeout: Duration,
}

impl MessageLimits {
    /// The limits within the time that a client is prepared to wait.
    pub(super) fn within(mut self, asked: Option<Duration>) -> Self {
        self.timeout = asked.map_or(self.timeout, |asked| asked.min(self.timeout));
        self
    }
}

/// The body of a request with limits on its messages: it fails with a [`Status`] where they are exceeded.
#[derive(Debug)]
pub(super) struct Limited {
    body: RequestBody,
    limits: MessageLimits,
    /// If `false`, the limit applies to the whole body of the only message; else to each message.
    is_stream: bool,
    head: [u8; HEAD],
    /// The bytes of the head that have arrived, and those of the message that are missing.
    n_head: usize,
    missing: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Limited {
    pub(super) fn new(body: RequestBody, limits: MessageLimits, is_stream: bool) -> Self {
        Limited {
            body,
            limits,
            is_stream,
            head: [0; HEAD],
            n_head: 0,
            missing: 0,
            timer: None,
        }
    }

    /// The client, where the connection is one of the port's own.
    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        self.body.client()
    }

    /// Follows the messages as they pass.
    fn pass(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.n_head == HEAD && self.missing == 0 {
                if !self.is_stream {
                    return Err(Status::invalid_argument(
                        "a unary call must have exactly one message",
                    ));
                }
                self.n_head = 0;
            }
            if self.n_head < HEAD {
                let n = data.len().min(HEAD - self.n_head);
                self.head[self.n_head..self.n_head + n].copy_from_slice(&data[..n]);
                self.n_head += n;
                data = &data[n..];
                if self.n_head < HEAD {
                    return Ok(());
                }
                self.begin()?;
            }
            let n = data.len().min(self.missing);
            self.missing -= n;
            data = &data[n..];
            if self.missing == 0 && self.is_stream {
                self.timer = None;
                self.body.release();
            }
        }
        Ok(())
    }

    /// A head is there.
    fn begin(&mut self) -> Result<(), Status> {
        let [flag, length @ ..] = self.head;
        if flag != 0 {
            return Err(Status::unimplemented(
                "the message is compressed, must be uncompressed",
            ));
        }
        let length = u32::from_be_bytes(length) as usize;
        let most = self.limits.max_bytes;
        if length > most {
            return Err(Status::out_of_range(format!(
                "the message has {length} bytes, must have at most {most}"
            )));
        }
        self.missing = length;
        Ok(())
    }

    /// Returns `true` if the client is keeping the server waiting.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let between = self.n_head == 0 || (self.n_head == HEAD && self.missing == 0);
        if self.is_stream && between {
            return false;
        }
        let timeout = self.limits.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(context).is_ready()
    }

    fn is_whole(&self) -> bool {
        self.n_head == HEAD && self.missing == 0
    }

    /// The only message of the call.
    pub(super) async fn message(&mut self) -> Result<Bytes, Status> {
        let Some(first) = self.part().await? else {
            return Err(Status::internal("the call has no message"));
        };
        // Mostly everything arrives at once.
        if self.is_whole() && self.body.is_end_stream() {
            return Ok(first.slice(HEAD..));
        }
        let Some(second) = self.part().await? else {
            return self.ended().map(|()| first.slice(HEAD..));
        };
        let claimed = first.len() + second.len() + self.missing;
        let mut whole = Vec::with_capacity(claimed.min(FIRST_RESERVE));
        whole.extend_from_slice(&first);
        let mut part = Some(second);
        while let Some(data) = part {
            whole.extend_from_slice(&data);
            part = self.part().await?;
        }
        self.ended().map(|()| Bytes::from(whole).slice(HEAD..))
    }

    fn ended(&self) -> Result<(), Status> {
        if self.is_whole() {
            return Ok(());
        }
        Err(Status::internal(
            "the message is shorter than its length prefix",
        ))
    }

    /// The next bytes; `None` at the end.
    async fn part(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await;
            match frame.transpose()? {
                None => return Ok(None),
                // The other frames are trailers.
                Some(frame) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending if this.is_late(context) => {
                let millis = this.limits.timeout.as_millis();
                let text = format!("the message did not arrive within {millis} ms");
                return Poll::Ready(Some(Err(Status::deadline_exceeded(text))));
            }
            polled => ready!(polled),
        };
        let frame = frame.map(|frame| frame.map_err(|error| told(&error)));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            if let Some(data) = frame.data_ref() {
                this.pass(data)?;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn told(error: &BodyError) -> Status {
    match error {
        BodyError::TooMuch(_) => Status::resource_exhausted(error.to_string()),
        BodyError::Broken(_) => Status::internal(error.to_string()),
    }
}
