//! Bodies: reading those of requests within limits, and those of answers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use hyper::body::Body;

use super::failure::Failure;
use crate::serving::transport::{BodyError, RequestBody};

/// The most of a body that is read only to keep its connection.
const MAX_DISCARD: usize = 256 << 10;

/// The time within which that must be done.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Bytes allocated for a body before any of it has arrived.
const FIRST_RESERVE: usize = 1 << 20;

/// Bodies of at most this are small: no model is looked up before they are read.
const SMALL: usize = 64 << 10;

/// Returns `true` if the declared length of a body is small.
pub(super) fn is_small(headers: &HeaderMap) -> bool {
    length(headers).is_some_and(|length| length <= SMALL)
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut RequestBody,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, Failure> {
    let length = length(headers);
    if length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut reading = pin!(collect(body, length.unwrap_or(0), max_bytes));
    // Most bodies arrive with their head: a timer is only set for the others.
    if let Poll::Ready(body) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await
    {
        return body;
    }
    tokio::time::timeout(timeout, reading)
        .await
        .unwrap_or_else(|_| {
            let text = format!("the body did not arrive within {} ms", timeout.as_millis());
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, text).closing())
        })
}

/// Reads the rest of an unwanted body; returns `true` if that is all of it. A client that is still writing a body
/// when its answer is sent would otherwise find its connection closed.
pub(in crate::serving) async fn discard(headers: &HeaderMap, body: &mut RequestBody) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // A client that asks first whether to send the body need not send it.
    if headers.contains_key(EXPECT) {
        return false;
    }
    let discarding = async {
        let mut n_bytes = 0;
        while let Ok(part) = part_of(body).await {
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

async fn collect(
    body: &mut RequestBody,
    length: usize,
    max_bytes: usize,
) -> Result<Bytes, Failure> {
    let Some(first) = part_of(body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    let Some(second) = part_of(body).await? else {
        return Ok(first);
    };
    let mut whole = Vec::with_capacity(length.clamp(first.len(), FIRST_RESERVE.max(first.len())));
    whole.extend_from_slice(&first);
    let mut part = Some(second);
    while let Some(data) = part {
        if whole.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&data);
        part = part_of(body).await?;
    }
    Ok(Bytes::from(whole))
}

/// The next part of a body.
async fn part_of(body: &mut RequestBody) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose().map_err(|error| broken(&error))? {
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

fn broken(error: &BodyError) -> Failure {
    let status = match error {
        BodyError::TooMuch(_) => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    Failure::new(status, error.to_string()).closing()
}
