//! Bytes in JSON.

/// The bytes of a base64 string of the standard alphabet, with or without `=` at its end; `None` if it is invalid.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for symbol in group {
            let value = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = (bits << 6) | u32::from(value);
        }
        let missing = 4 - group.len();
        bits <<= 6 * missing;
        let [_, group @ ..] = bits.to_be_bytes();
        match missing {
            0 => bytes.extend_from_slice(&group),
            1 => bytes.extend_from_slice(&group[..2]),
            2 => bytes.extend_from_slice(&group[..1]),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn texts_come_back() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("aGVsbG8=", b"hello"),
            ("aGVsbG8", b"hello"),
            ("AA==", b"\0"),
            ("//79", b"\xff\xfe\xfd"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["a", "aGV$", "aGVsb", "aG=s", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
