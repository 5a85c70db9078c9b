//! Deadlines of clients.

use std::time::{Duration, Instant};

use tonic::codegen::http::HeaderMap;

use crate::error::{Error, ErrorKind, Result};

/// The limit that the client set for its call, as `grpc-timeout` says it: up to eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    parse(text).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(16).collect();
        Error::data(format!(
            "the metadata `grpc-timeout` is `{shown}`, must be at most eight digits and one of H, M, S, m, u and n"
        ))
    })
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

/// The instant at this distance from now; `None` where it is beyond the range of the clock.
pub(super) fn after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Checks that the deadline has not passed.
pub(super) fn check(deadline: Option<Instant>) -> Result<()> {
    match deadline {
        Some(deadline) if deadline <= Instant::now() => Err(passed()),
        _ => Ok(()),
    }
}

pub(super) fn passed() -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        "the request was not answered by its deadline",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("999999999n", None),
            ("", None),
            ("m", None),
            ("-1m", None),
            ("+1m", None),
            ("1", None),
            ("1x", None),
            ("1ü", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(after(parse("99999999H")).is_some());
    }
}
