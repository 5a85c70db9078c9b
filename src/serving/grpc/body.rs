//! Messages of requests, read within limits of time and bytes.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// The bytes before a message: whether it is compressed, and its length.
pub(super) const HEAD: usize = 5;

/// Messages of up to this size are not counted.
const FREE: usize = 64 << 10;

/// What is set aside for a message before all of it is there.
const FIRST_RESERVE: usize = 1 << 20;

/// What a message may be.
#[derive(Clone, Debug)]
pub(super) struct MessageLimits {
    pub(super) max_bytes: usize,
    /// How long it may take to come.
    pub(super) timeout: Duration,
    /// For all that are on their way, in KiB.
    budget: Arc<Semaphore>,
}

impl MessageLimits {
    pub(super) fn new(max_bytes: usize, timeout: Duration, budget: usize) -> Self {
        let permits = budget.div_ceil(1024).min(Semaphore::MAX_PERMITS);
        MessageLimits {
            max_bytes,
            timeout,
            budget: Arc::new(Semaphore::new(permits)),
        }
    }

    /// With what a client says that it waits.
    pub(super) fn within(&self, asked: Option<Duration>) -> Self {
        let mut limits = self.clone();
        limits.timeout = asked.map_or(limits.timeout, |asked| asked.min(limits.timeout));
        limits
    }

    fn take(&self, n_bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if n_bytes <= FREE {
            return Ok(None);
        }
        let permits = u32::try_from(n_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.budget).try_acquire_many_owned(permits);
        taken.map(Some).map_err(|_| {
            Status::resource_exhausted(format!(
                "a message of {n_bytes} bytes is too much beside the others that are on their way"
            ))
        })
    }
}

/// The body of a request whose messages keep the limits: it fails with a [`Status`] where they do not.
#[derive(Debug)]
pub(super) struct Limited<B> {
    body: B,
    limits: MessageLimits,
    /// Of a call with one message, the limit is on all of the body; else on each message.
    is_stream: bool,
    head: [u8; HEAD],
    /// How much of the head is there, and how much of the message behind it is missing.
    n_head: usize,
    missing: usize,
    timer: Option<Pin<Box<Sleep>>>,
    taken: Option<OwnedSemaphorePermit>,
}

impl<B> Limited<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn new(body: B, limits: MessageLimits, is_stream: bool) -> Self {
        Limited {
            body,
            limits,
            is_stream,
            head: [0; HEAD],
            n_head: 0,
            missing: 0,
            timer: None,
            taken: None,
        }
    }

    /// Follows the messages as they pass.
    fn pass(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.n_head == HEAD && self.missing == 0 {
                if !self.is_stream {
                    return Err(Status::invalid_argument(
                        "there is more than the one message of this call",
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
                self.taken = None;
            }
        }
        Ok(())
    }

    /// A head is there.
    fn begin(&mut self) -> Result<(), Status> {
        let [flag, length @ ..] = self.head;
        if flag != 0 {
            return Err(Status::unimplemented(
                "the message is compressed, which is not read here",
            ));
        }
        let length = u32::from_be_bytes(length) as usize;
        let most = self.limits.max_bytes;
        if length > most {
            return Err(Status::out_of_range(format!(
                "the message has {length} bytes, must be at most {most}"
            )));
        }
        self.taken = self.limits.take(length)?;
        self.missing = length;
        Ok(())
    }

    /// Whether the client keeps the server waiting now.
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

    /// The one message of the call.
    pub(super) async fn message(&mut self) -> Result<Bytes, Status> {
        let Some(first) = self.part().await? else {
            return Err(Status::internal("the call has no message"));
        };
        // Mostly everything comes at once.
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
            "the message ends before the length that it has",
        ))
    }

    /// The next bytes; none at the end.
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

impl<B> Body for Limited<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
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
                let text = format!("the message did not come by its deadline, within {millis} ms");
                return Poll::Ready(Some(Err(Status::deadline_exceeded(text))));
            }
            polled => ready!(polled),
        };
        let frame = frame.map(|frame| frame.map_err(|error| Status::from_error(error.into())));
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
