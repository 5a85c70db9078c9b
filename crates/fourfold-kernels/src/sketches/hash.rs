//! The hash behind counts of values and of distinct values.
//!
//! It is part of the format of saved statistics: a value must have the same hash in every build, on every machine.
//! A test pins it. (The standard library's and most crates' fast hashes are free to change.)

use std::hash::{Hash, Hasher};

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xbf58_476d_1ce4_e5b9;
const C: u64 = 0x94d0_49bb_1331_11eb;

/// A permutation of the 64-bit numbers: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
#[inline]
#[must_use]
pub fn hash_u64(value: u64) -> u64 {
    let mut z = value.wrapping_add(A);
    z = (z ^ (z >> 30)).wrapping_mul(B);
    z = (z ^ (z >> 27)).wrapping_mul(C);
    z ^ (z >> 31)
}

/// Both halves of a product of 128 bits, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn read_8(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[inline]
fn read_4(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u64::from(u32::from_le_bytes(*chunk)))
}

/// The hash of a text or of bytes.
#[inline]
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    let mut state = A ^ (n as u64).wrapping_mul(B);
    let mut rest = bytes;
    while rest.len() > 16 {
        state = fold(read_8(rest) ^ state, read_8(&rest[8..]) ^ C);
        rest = &rest[16..];
    }
    let n = rest.len();
    let (low, high) = if n >= 8 {
        (read_8(rest), read_8(&rest[n - 8..]))
    } else if n >= 4 {
        (read_4(rest), read_4(&rest[n - 4..]))
    } else if n > 0 {
        let middle = u64::from(rest[n / 2]) << 8;
        (u64::from(rest[0]) | middle, u64::from(rest[n - 1]))
    } else {
        (0, 0)
    };
    hash_u64(fold(low ^ state, high ^ C))
}

/// The hash of a value: that of [`hash_u64`] for an integer, that of [`hash_bytes`] for a text.
#[inline]
pub fn hash_one<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = StableHasher(0);
    value.hash(&mut hasher);
    hasher.finish()
}

struct StableHasher(u64);

impl Hasher for StableHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let hash = hash_bytes(bytes);
        self.0 = match self.0 {
            0 => hash,
            state => hash_u64(state ^ hash),
        };
    }

    /// The end mark of a text adds nothing.
    #[inline]
    fn write_u8(&mut self, value: u8) {
        if value != 0xff {
            self.write_u64(u64::from(value));
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = hash_u64(self.0 ^ value);
    }

    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pinned() {
        assert_eq!(hash_u64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(hash_one(&7_i64), hash_u64(7));
        for text in [
            "",
            "a",
            "abc",
            "abcd",
            "abcdefgh",
            "abcdefghijklmnopqrstuvwxyz",
        ] {
            assert_eq!(hash_one(text), hash_bytes(text.as_bytes()));
            assert_eq!(hash_one(&text.to_owned()), hash_bytes(text.as_bytes()));
        }
        let texts: Vec<String> = (0..3)
            .map(|i| {
                format!(
                    "{:016x}",
                    hash_bytes(&b"the quick brown fox jumps"[i * 8..])
                )
            })
            .collect();
        assert_eq!(texts, PINNED);
    }

    const PINNED: [&str; 3] = ["5d18b974c4376b45", "f9ba2e3cdffe74d2", "23a9a2d5f40ad32d"];

    #[test]
    fn texts_that_differ_in_a_byte_differ() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..40 {
            let mut text = vec![b'x'; length];
            assert!(seen.insert(hash_bytes(&text)));
            for at in 0..length {
                text[at] = b'y';
                assert!(seen.insert(hash_bytes(&text)), "{length} {at}");
                text[at] = b'x';
            }
        }
    }
}
