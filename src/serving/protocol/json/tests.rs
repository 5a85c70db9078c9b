//! Tests of the reader of JSON.

use std::borrow::Cow;

use super::Reader;
use crate::serving::protocol::column::Element;

fn is_fine(json: &[u8]) -> bool {
    Reader::new(json)
        .and_then(|mut reader| {
            reader.skip()?;
            reader.end()
        })
        .is_ok()
}

/// It takes the documents that serde_json takes, and no others.
#[test]
fn it_agrees_with_serde_json() {
    let document = br#"{"a": [1, -2.5e3, 0, -0, 1E+2, 0.5, true, false, null, "x\n\u00e9\\", ""], "b\"": {}, "c": [[], [{}]], "d": "Z\u00fcrich"}"#;
    let odd = b"\0\x0b\xff0129\"[]{},:-.+eEnN\\u/ \n\ttf";
    let mut state = 7_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % n as u64).unwrap()
    };
    let (mut fine, mut wrong) = (0, 0);
    for _ in 0..60_000 {
        let mut json = document.to_vec();
        for _ in 0..below(3) {
            let at = below(json.len());
            match below(4) {
                0 => json[at] = odd[below(odd.len())],
                1 => json.insert(at, odd[below(odd.len())]),
                2 => {
                    json.remove(at);
                }
                _ => json.truncate(at.max(1)),
            }
        }
        let expected = serde_json::from_slice::<serde_json::Value>(&json).is_ok();
        assert_eq!(
            is_fine(&json),
            expected,
            "{}",
            String::from_utf8_lossy(&json)
        );
        *(if expected { &mut fine } else { &mut wrong }) += 1;
    }
    assert!(fine > 5_000 && wrong > 5_000, "{fine} {wrong}");
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    for text in [
        "0",
        "-0",
        "-0.0",
        "1",
        "-1",
        "0.1",
        "1e23",
        "9007199254740993",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "5e-324",
        "1.7976931348623157e308",
        "123456789012345678901234567890",
    ] {
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        let mut kept = Cow::Borrowed("");
        let element = reader.scalar(&mut kept).unwrap();
        let expected: serde_json::Value = serde_json::from_str(text).unwrap();
        let same = match element {
            Element::Unsigned(value) => expected.as_u64() == Some(value),
            Element::Signed(value) => expected.as_i64() == Some(value) && !expected.is_f64(),
            Element::Float(value) => {
                expected.is_f64() && expected.as_f64().unwrap().to_bits() == value.to_bits()
            }
            _ => false,
        };
        assert!(same, "{text}: {element:?}, {expected:?}");
    }
    assert!(!is_fine(b"1e999"));
}

#[test]
fn depth_costs_nothing() {
    let deep = format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000));
    assert!(is_fine(deep.as_bytes()));
    let deep = format!("{}1{}", "{\"a\":[".repeat(250_000), "]}".repeat(250_000));
    assert!(is_fine(deep.as_bytes()));
    assert!(!is_fine(&deep.as_bytes()[..deep.len() - 1]));
    assert!(!is_fine("[".repeat(500_000).as_bytes()));
}

#[test]
fn bare_words_are_numbers_to_a_lenient_reader_only() {
    for (text, expected) in [
        ("NaN", f64::NAN),
        ("Infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
        ("1e999", f64::INFINITY),
    ] {
        assert!(!is_fine(text.as_bytes()), "{text}");
        let mut reader = Reader::new(text.as_bytes()).unwrap().lenient();
        let mut kept = Cow::Borrowed("");
        let Element::Float(value) = reader.scalar(&mut kept).unwrap() else {
            panic!("{text}");
        };
        assert!(value == expected || value.is_nan() && expected.is_nan());
    }
}

#[test]
fn errors_say_where() {
    let mut reader = Reader::new(b"{\n \"a\": [1,\n  }").unwrap();
    let error = reader.skip().unwrap_err().to_string();
    assert_eq!(error, "expected a value, found '}' at line 3 column 3");
}
