//! Reading JSON once, from front to back, without building a document of it.
//!
//! Requests are read field by field into columns. Nothing here calls itself, so depth costs no stack, and nothing is
//! allocated but strings with escapes in them. TensorFlow Serving takes the bare words `NaN`, `Infinity` and
//! `-Infinity` for numbers, which are no JSON: a [`lenient`](Reader::lenient) reader does, too.

use std::borrow::Cow;

use super::column::Element;
use crate::error::{Error, Result};

/// A place in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    lenient: bool,
}

/// The kind of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Object,
    Array,
    /// A text, a number, `true`, `false` or `null`.
    Scalar,
}

impl<'a> Reader<'a> {
    /// At the start of a document.
    pub(super) fn new(json: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(json)
            .map_err(|error| Error::data(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        Ok(Reader {
            text,
            at: 0,
            lenient: false,
        })
    }

    /// Accepts `NaN`, `Infinity` and `-Infinity` as numbers, and numbers past the range of doubles as infinite ones.
    pub(super) fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// The number of bytes left: no value has more elements.
    pub(super) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    fn error(&self, what: &str) -> Error {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        Error::data(format!("{what} at line {line} column {column}"))
    }

    /// The next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn unexpected(&self, wanted: &str) -> Error {
        match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(found) => self.error(&format!("expected {wanted}, found {found:?}")),
            None => self.error(&format!("expected {wanted}, found the end")),
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, wanted: &str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(wanted))
    }

    /// The kind of the next value.
    pub(super) fn next(&mut self) -> Result<Next> {
        match self.peek() {
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(_) => Ok(Next::Scalar),
            None => Err(self.unexpected("a value")),
        }
    }

    /// Enters an object; its keys follow with [`Reader::key`].
    pub(super) fn begin_object(&mut self) -> Result<()> {
        self.take(b'{', "an object")
    }

    /// The next key of an object, before its value; `None` at its end.
    #[inline]
    pub(super) fn key(&mut self, is_first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::take(is_first) {
            self.take(b',', "`,` or `}`")?;
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.string()?;
        self.take(b':', "`:`")?;
        Ok(Some(key))
    }

    /// Enters a list; its elements follow after each [`Reader::element`].
    pub(super) fn begin_array(&mut self) -> Result<()> {
        self.take(b'[', "a list")
    }

    /// Returns `true` if another element of a list follows.
    #[inline]
    pub(super) fn element(&mut self, is_first: &mut bool) -> Result<bool> {
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(is_first) {
            self.take(b',', "`,` or `]`")?;
            if self.peek() == Some(b']') {
                return Err(self.unexpected("a value"));
            }
        }
        Ok(true)
    }

    /// Checks that the document ends here.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        self.string()
    }

    /// Reads the string that begins here.
    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at;
        let has_escapes = self.skip_string()?;
        if !has_escapes {
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        match serde_json::from_str::<String>(&self.text[start..self.at]) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => {
                self.at = start;
                Err(self.error("a string with an invalid escape"))
            }
        }
    }

    /// Skips the string that begins here; returns `true` if it has escapes.
    #[inline]
    fn skip_string(&mut self) -> Result<bool> {
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        let mut at = self.at + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                }
                Some(byte) if *byte >= 0x20 => at += 1,
                Some(_) => {
                    self.at = at;
                    return Err(self.error("a control character in a string"));
                }
                None => {
                    self.at = bytes.len();
                    return Err(self.error("an unterminated string"));
                }
            }
        }
        self.at = at + 1;
        Ok(has_escapes)
    }

    /// A string, a number, `true`, `false` or `null`; `text` keeps a string with escapes.
    #[inline]
    pub(super) fn scalar<'t>(&mut self, text: &'t mut Cow<'a, str>) -> Result<Element<'t>>
    where
        'a: 't,
    {
        Ok(match self.peek() {
            Some(b'"') => {
                *text = self.string()?;
                Element::Text(text)
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') if self.word("true") => Element::Boolean(true),
            Some(b'f') if self.word("false") => Element::Boolean(false),
            Some(b'n') if self.word("null") => Element::Null,
            Some(b'N') if self.lenient && self.word("NaN") => Element::Float(f64::NAN),
            Some(b'I') if self.lenient && self.word("Infinity") => Element::Float(f64::INFINITY),
            Some(b'N' | b'I') if !self.lenient => {
                return Err(self.error("NaN and Infinity are not JSON: send null, or binary data,"));
            }
            _ => return Err(self.unexpected("a value")),
        })
    }

    /// Consumes a word, if it is next.
    fn word(&mut self, word: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let stands = rest.starts_with(word.as_bytes());
        if stands {
            self.at += word.len();
        }
        stands
    }

    #[inline]
    fn digits(&mut self, value: &mut Option<u64>) -> Result<()> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = bytes.get(self.at) {
            *value = value
                .and_then(|value| value.checked_mul(10))
                .and_then(|value| value.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a digit"));
        }
        Ok(())
    }

    /// Reads the number that begins here.
    fn number(&mut self) -> Result<Element<'static>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let is_negative = bytes.get(self.at) == Some(&b'-');
        if is_negative {
            self.at += 1;
            if self.lenient && self.word("Infinity") {
                return Ok(Element::Float(f64::NEG_INFINITY));
            }
        }
        let mut whole = Some(0);
        let first = self.at;
        self.digits(&mut whole)?;
        if bytes[first] == b'0' && self.at > first + 1 {
            self.at = first;
            return Err(self.error("a number that begins with 0"));
        }
        let mut is_whole = true;
        if bytes.get(self.at) == Some(&b'.') {
            is_whole = false;
            self.at += 1;
            self.digits(&mut None)?;
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(&mut None)?;
        }
        match whole {
            Some(value) if is_whole && !is_negative => return Ok(Element::Unsigned(value)),
            Some(value) if is_whole && value > 0 => {
                if let Some(value) = 0_i64.checked_sub_unsigned(value) {
                    return Ok(Element::Signed(value));
                }
            }
            _ => {}
        }
        match self.text[start..self.at].parse::<f64>() {
            Ok(value) if value.is_finite() || self.lenient => Ok(Element::Float(value)),
            _ => Err(self.error("number out of range")),
        }
    }

    /// Skips the next value, however deep it is.
    pub(super) fn skip(&mut self) -> Result<()> {
        // The kinds of the lists and objects that are open, as bits of words.
        let mut open = OpenOnes::default();
        let mut text = Cow::Borrowed("");
        loop {
            // A value begins here.
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                    } else {
                        open.push(true);
                        self.skip_key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.peek() == Some(b']') {
                        self.at += 1;
                    } else {
                        open.push(false);
                        continue;
                    }
                }
                Some(b'"') => {
                    if self.string_is_wrong()? {
                        return Err(self.error("a string with an invalid escape"));
                    }
                }
                _ => {
                    self.scalar(&mut text)?;
                }
            }
            // A value has ended here.
            loop {
                let Some(is_object) = open.last() else {
                    return Ok(());
                };
                match (self.peek(), is_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.skip_key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        open.pop();
                    }
                    (_, true) => return Err(self.unexpected("`,` or `}`")),
                    (_, false) => return Err(self.unexpected("`,` or `]`")),
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        self.string()?;
        self.take(b':', "`:`")
    }

    fn string_is_wrong(&mut self) -> Result<bool> {
        let start = self.at;
        let has_escapes = self.skip_string()?;
        let text = &self.text[start..self.at];
        Ok(has_escapes && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err())
    }
}

/// A stack of bits: half a million open lists are 64 KiB.
#[derive(Default)]
struct OpenOnes {
    words: Vec<u64>,
    len: usize,
}

impl OpenOnes {
    fn push(&mut self, bit: bool) {
        let (word, place) = (self.len / 64, self.len % 64);
        if word == self.words.len() {
            self.words.push(0);
        }
        self.words[word] = (self.words[word] & !(1 << place)) | (u64::from(bit) << place);
        self.len += 1;
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    fn last(&self) -> Option<bool> {
        let last = self.len.checked_sub(1)?;
        Some((self.words[last / 64] >> (last % 64)) & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
