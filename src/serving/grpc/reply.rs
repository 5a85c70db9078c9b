//! Bodies of answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use super::activity::InFlight;
use super::body::HEAD;

/// The body of an answer: mostly one message, without a box. The call is over when it is dropped.
#[derive(Debug)]
pub(super) struct Reply {
    kind: Kind,
    pub(super) call: Option<InFlight>,
}

#[derive(Debug)]
enum Kind {
    Message(Bytes),
    /// The message is sent.
    Trailers,
    Ended,
    Any(Body),
}

impl Reply {
    /// Of one message.
    pub(super) fn of(message: &impl Message, max_bytes: usize) -> Result<Self, Status> {
        let length = message.encoded_len();
        let head = u32::try_from(length).ok().filter(|_| length <= max_bytes);
        let Some(head) = head else {
            return Err(Status::out_of_range(format!(
                "the answer has {length} bytes, must be at most {max_bytes}"
            )));
        };
        let mut bytes = BytesMut::with_capacity(HEAD + length);
        bytes.put_u8(0);
        bytes.put_u32(head);
        message.encode_raw(&mut bytes);
        Ok(Reply {
            kind: Kind::Message(bytes.freeze()),
            call: None,
        })
    }

    pub(super) fn any(body: Body) -> Self {
        Reply {
            kind: Kind::Any(body),
            call: None,
        }
    }
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (frame, next) = match &mut self.kind {
            Kind::Any(body) => return Pin::new(body).poll_frame(context),
            Kind::Ended => return Poll::Ready(None),
            Kind::Message(bytes) => (Frame::data(std::mem::take(bytes)), Kind::Trailers),
            Kind::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Kind::Ended)
            }
        };
        self.kind = next;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Any(body) => body.is_end_stream(),
            Kind::Ended => true,
            Kind::Message(_) | Kind::Trailers => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Any(body) => body.size_hint(),
            // A length in the head of the answer would be another thing to write, and nobody needs it.
            Kind::Message(_) | Kind::Trailers | Kind::Ended => SizeHint::default(),
        }
    }
}
