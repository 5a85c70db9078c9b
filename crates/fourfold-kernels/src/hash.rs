//! All hashes of fourfold but the digests of files, and what depends on each.
//!
//! | hash | used for | part of a stored format |
//! | --- | --- | --- |
//! | [`xxh64`], [`Xxh64`] | keys and places of rows (splits, samples, hold-outs, folds), features of hashed values, traffic and sampling by id | yes: prepared data, saved transforms; servers agree on it |
//! | [`hash_u64`], [`hash_bytes`], [`hash_one`] | counts of values, distinct values, random choices within sketches | yes: saved statistics |
//! | [`FastHasher`], [`FastMap`] | tables in memory | no: it may change in any release |
//!
//! A hash that is part of a format gives the same number for a value in every build, on every machine; tests pin it.
//! (The hashes of the standard library and of most crates may change.) Digests of files and fingerprints of
//! configurations are SHA-256 and are in fourfold itself.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The hasher of [`xxh64`], for bytes that come in pieces. Part of stored formats.
pub use twox_hash::XxHash64 as Xxh64;

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xbf58_476d_1ce4_e5b9;
const C: u64 = 0x94d0_49bb_1331_11eb;

/// XXH64 of bytes with a seed (Collet, 2012). Part of stored formats.
#[must_use]
pub fn xxh64(seed: u64, bytes: &[u8]) -> u64 {
    Xxh64::oneshot(seed, bytes)
}

/// The upper 53 bits of a hash as a number from 0 to below 1: as many bits as a float holds exactly.
#[inline]
#[must_use]
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), a permutation of the 64-bit numbers.
#[inline]
#[must_use]
pub fn finalize(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(B);
    z = (z ^ (z >> 27)).wrapping_mul(C);
    z ^ (z >> 31)
}

/// The hash of an integer: a step of SplitMix64. Part of the format of saved statistics.
#[inline]
#[must_use]
pub fn hash_u64(value: u64) -> u64 {
    finalize(value.wrapping_add(A))
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

/// The hash of a string or of bytes. Part of the format of saved statistics.
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

/// The hash of a value: that of [`hash_u64`] for an integer, that of [`hash_bytes`] for a string. Part of the format of
/// saved statistics.
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

    /// The end mark of a string adds nothing.
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

/// A map with a fast hash, for keys that no client chooses or whose number is bounded.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// A hash of one multiplication for each eight bytes, built as rustc's `FxHasher` is. Not part of any stored format.
#[derive(Clone, Copy, Debug, Default)]
pub struct FastHasher(u64);

impl FastHasher {
    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56));
        }
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    #[inline]
    fn write_i64(&mut self, word: i64) {
        self.add(word as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The low bits of a product are its weakest, and choose the slot.
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_is_the_published_one() {
        // The test vectors of the reference implementation (xxhsum of nothing, and of "a", "abc" by its tools).
        assert_eq!(xxh64(0, b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(0, b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(0, b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn stored_hashes_are_pinned() {
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
    fn strings_that_differ_in_a_byte_have_other_hashes() {
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
