//! Bodies: reading those of requests within limits, and those of answers.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use hyper::body::Body;

use super::failure::Failure;

/// The most of a body that is read for nothing, so that its connection is kept.
const MAX_DISCARD: usize = 256 << 10;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// What is set aside for a body before any of it is there.
const FIRST_RESERVE: usize = 1 << 20;

/// Bodies of at most this are small: nothing is asked before they are read, and they do not count as held.
const SMALL: usize = 64 << 10;

/// How many bytes of bodies a server holds, of those that are not small.
#[derive(Debug)]
pub(super) struct Budget {
    max_bytes: usize,
    n_bytes: AtomicUsize,
}

impl Budget {
    pub(super) fn new(max_bytes: usize) -> Self {
        Budget {
            max_bytes,
            n_bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn nothing(&self) -> Held<'_> {
        Held {
            budget: self,
            n_bytes: 0,
        }
    }
}

/// What a body takes of the budget until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'b> {
    budget: &'b Budget,
    n_bytes: usize,
}

impl Held<'_> {
    /// Counts a body of which so much is there now.
    fn grow_to(&mut self, n_bytes: usize) -> Result<(), Failure> {
        if n_bytes <= SMALL {
            return Ok(());
        }
        let more = n_bytes - self.n_bytes;
        let Budget {
            max_bytes,
            n_bytes: held,
        } = self.budget;
        let before = held.fetch_add(more, Relaxed);
        self.n_bytes = n_bytes;
        if before + more > *max_bytes {
            let text = format!("the bodies of requests take more than {max_bytes} bytes for now");
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, text).closing());
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.n_bytes > 0 {
            self.budget.n_bytes.fetch_sub(self.n_bytes, Relaxed);
        }
    }
}

/// Whether a body is said to be small.
pub(super) fn is_small(headers: &HeaderMap) -> bool {
    length(headers).is_some_and(|length| length <= SMALL)
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body, which is held as long as `held` is.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    max_bytes: usize,
    timeout: Duration,
    held: &mut Held<'_>,
) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let length = length(headers);
    if length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut reading = pin!(collect(body, length.unwrap_or(0), max_bytes, held));
    // Most bodies come with their head: only for the others is there a timer.
    if let Poll::Ready(body) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await
    {
        return body;
    }
    tokio::time::timeout(timeout, reading)
        .await
        .unwrap_or_else(|_| {
            let text = format!("the body did not come within {} ms", timeout.as_millis());
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, text).closing())
        })
}

/// Reads what is left of a body that nobody wants; whether that is all of it. A client that writes a body while its
/// answer is there already would find its connection closed else.
pub(super) async fn discard<B>(headers: &HeaderMap, body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if body.is_end_stream() {
        return true;
    }
    // Who asks first whether to send it need not send it.
    if headers.contains_key(EXPECT) {
        return false;
    }
    let discarding = async {
        let mut n_bytes = 0;
        while let Ok(part) = part_of(Pin::new(&mut *body)).await {
            match part {
                None => return true,
                Some(part) => n_bytes += part.len(),
            }
            if n_bytes > MAX_DISCARD {
                return false;
            }
        }
        false
    };
    tokio::time::timeout(DISCARD_TIME, discarding)
        .await
        .unwrap_or(false)
}

async fn collect<B>(
    body: B,
    length: usize,
    max_bytes: usize,
    held: &mut Held<'_>,
) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut body = pin!(body);
    let Some(first) = part_of(body.as_mut()).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    held.grow_to(first.len())?;
    let Some(second) = part_of(body.as_mut()).await? else {
        return Ok(first);
    };
    let mut whole = Vec::with_capacity(length.clamp(first.len(), FIRST_RESERVE.max(first.len())));
    whole.extend_from_slice(&first);
    let mut part = Some(second);
    while let Some(data) = part {
        if whole.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        held.grow_to(whole.len() + data.len())?;
        whole.extend_from_slice(&data);
        part = part_of(body.as_mut()).await?;
    }
    Ok(Bytes::from(whole))
}

/// The next part of a body.
async fn part_of<B>(mut body: Pin<&mut B>) -> Result<Option<Bytes>, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    loop {
        let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
        match frame.transpose().map_err(|error| broken(&*error.into()))? {
            None => return Ok(None),
            // The other frames are trailers.
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn too_large(max_bytes: usize) -> Failure {
    let text = format!("the body is larger than {max_bytes} bytes");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text).closing()
}

fn broken(error: &(dyn StdError + Send + Sync)) -> Failure {
    let text = format!("the body cannot be read: {error}");
    Failure::new(StatusCode::BAD_REQUEST, text).closing()
}
