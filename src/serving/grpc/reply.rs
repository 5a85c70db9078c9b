//! Messages of answers, framed.

use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use tonic::Status;

use super::body::HEAD;

/// A message with its prefix.
///
/// # Errors
/// If it is larger than a message may be.
pub(super) fn framed(message: &impl Message, max_bytes: usize) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let head = u32::try_from(length).ok().filter(|_| length <= max_bytes);
    let Some(head) = head else {
        return Err(Status::out_of_range(format!(
            "the answer has {length} bytes, must have at most {max_bytes}"
        )));
    };
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(head);
    message.encode_raw(&mut bytes);
    Ok(bytes.freeze())
}
