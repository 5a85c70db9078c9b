//! Numbers as people and programs write them.

/// Plain numbers: `-12`, `1234.5`, `1e-7`.
pub const PLAIN: u8 = 1;
/// A decimal comma: `1234,5`.
pub const COMMA: u8 = 2;
/// Commas between thousands, a decimal point: `1,234.5`.
pub const COMMA_GROUPS: u8 = 4;
/// Points between thousands, a decimal comma: `1.234,5`.
pub const DOT_GROUPS: u8 = 8;
/// Blanks or apostrophes between thousands, a decimal point: `1 234.5`, `1'234.5`.
pub const BLANK_GROUPS: u8 = 16;
/// Blanks or apostrophes between thousands, a decimal comma: `1 234,5`.
pub const BLANK_GROUPS_COMMA: u8 = 32;
/// All styles.
pub const ANY: u8 = 63;
/// The styles of a decimal comma.
pub const WITH_COMMA: u8 = COMMA | DOT_GROUPS | BLANK_GROUPS_COMMA;

/// The greatest number up to which all integers are exact in double precision.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Text without blanks around it: ASCII white space and the no-break space.
#[must_use]
pub fn trimmed(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    loop {
        let rest = text.strip_prefix(b"\xc2\xa0").unwrap_or(text);
        let rest = rest.strip_suffix(b"\xc2\xa0").unwrap_or(rest).trim_ascii();
        if rest.len() == text.len() {
            return text;
        }
        text = rest;
    }
}

/// A whole number of 64 bits: a sign or none, digits, nothing else.
#[inline]
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // 19 digits fit into 64 bits without a sign.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative {
        (value <= 1 << 63).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// A plain decimal number, correctly rounded; `None` for anything else, and for what is too large to be finite.
///
/// Up to 2^53 and 10^22 a product or a quotient of two exact numbers is rounded once (Clinger 1990); the rest is left
/// to the standard library.
#[inline]
#[must_use]
pub fn float(text: &[u8]) -> Option<f64> {
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut mantissa = 0_u64;
    let mut n_digits = 0_usize;
    let mut exponent = 0_i32;
    let mut exact = true;
    let mut is_fraction = false;
    loop {
        match rest {
            [b'0'..=b'9', ..] => {
                n_digits += 1;
                if mantissa < 100_000_000_000_000_000 {
                    mantissa = mantissa * 10 + u64::from(rest[0] - b'0');
                    exponent -= i32::from(is_fraction);
                } else {
                    exact = false;
                }
            }
            [b'.', ..] if !is_fraction => is_fraction = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    if n_digits == 0 {
        return None;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let (down, digits) = match after {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            _ => (false, after),
        };
        if digits.is_empty() {
            return None;
        }
        let mut value = 0_i32;
        for byte in digits {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = (value * 10 + i32::from(byte - b'0')).min(100_000);
        }
        exponent += if down { -value } else { value };
        rest = &[];
    }
    if !rest.is_empty() {
        return None;
    }
    let value = if exact && mantissa <= 1 << 53 && exponent.unsigned_abs() <= 22 {
        let power = POWERS[exponent.unsigned_abs() as usize];
        if exponent < 0 {
            mantissa as f64 / power
        } else {
            mantissa as f64 * power
        }
    } else {
        return by_std(text);
    };
    Some(if negative { -value } else { value })
}

#[cold]
fn by_std(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// `inf`, `-Infinity`, `+INF`, `∞`, `1.#INF` (of old Windows programs), ..
#[must_use]
pub fn infinity(text: &[u8]) -> Option<f64> {
    let (negative, word) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let is_one = word.eq_ignore_ascii_case(b"inf")
        || word.eq_ignore_ascii_case(b"infinity")
        || word.eq_ignore_ascii_case(b"1.#inf")
        || word == "∞".as_bytes();
    is_one.then_some(if negative {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    })
}

/// A number of a style; with blanks around it, a percent sign behind it, a currency sign on either side, or in the
/// parentheses that stand for a minus sign in accounts.
#[must_use]
pub fn number(text: &[u8], style: u8) -> Option<f64> {
    let text = trimmed(text);
    if style == PLAIN
        && let Some(value) = float(text)
    {
        return Some(value);
    }
    written(text, style)
        .map(|(value, ..)| value)
        .or_else(|| infinity(text))
}

/// The styles that text without blanks around it is a number in, and whether it has a percent or a currency sign.
#[must_use]
pub fn styles(text: &[u8]) -> (u8, bool, bool) {
    let mut found = 0;
    let (mut percent, mut currency) = (false, false);
    for style in [
        PLAIN,
        COMMA,
        COMMA_GROUPS,
        DOT_GROUPS,
        BLANK_GROUPS,
        BLANK_GROUPS_COMMA,
    ] {
        if let Some((_, has_percent, has_currency)) = written(text, style) {
            found |= style;
            percent = has_percent;
            currency = has_currency;
        }
    }
    (found, percent, currency)
}

/// The styles of a plain float: its point may be one between thousands.
#[must_use]
pub fn styles_of_float(text: &[u8]) -> u8 {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let grouped = matches!(digits, [.., b'.', a, b, c]
        if (4..=7).contains(&digits.len()) && [a, b, c].iter().all(|byte| byte.is_ascii_digit()));
    let commas = if grouped { DOT_GROUPS } else { 0 };
    PLAIN | COMMA_GROUPS | BLANK_GROUPS | commas
}

/// Units that are written without a blank before them.
const UNITS: [&str; 45] = [
    "km", "m", "cm", "mm", "kg", "g", "mg", "lb", "lbs", "oz", "h", "hr", "hrs", "min", "s", "sec",
    "ms", "l", "ml", "k", "kB", "KB", "MB", "GB", "TB", "px", "pt", "mph", "km/h", "kmh", "in",
    "ft", "sqft", "m2", "m\u{b2}", "kW", "kWh", "hp", "bhp", "cc", "CC", "\u{b0}", "\u{b0}C",
    "\u{b0}F", "x",
];

/// Returns true if a string looks like a number that is not read: with a unit or the code of a currency, such as
/// `5 km`, `EUR 3.50`; with a relation, such as `<0.5`; with a minus sign behind it; in quotes; with the exponent of
/// Fortran; or with groups of other than three digits, such as `1,23,456`.
#[must_use]
pub fn looks_like_number(text: &[u8]) -> bool {
    if !text.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let is_number = |text: &[u8]| styles(text).0 != 0;
    has_word(text, is_number)
        || has_sign_or_quotes(text, is_number)
        || has_fortran_exponent(text)
        || has_odd_groups(text, is_number)
}

/// A word beside a number.
fn has_word(text: &[u8], is_number: impl Fn(&[u8]) -> bool) -> bool {
    let is_word = |word: &[u8]| {
        (1..=5).contains(&word.len())
            && word
                .iter()
                .all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
    };
    if let Some(at) = text.iter().position(|byte| *byte == b' ') {
        let (first, last) = (&text[..at], text[at..].trim_ascii_start());
        return is_word(first) && is_number(last) || is_number(first) && is_word(last);
    }
    let ends = |unit: &&str| text.strip_suffix(unit.as_bytes()).is_some_and(&is_number);
    UNITS.iter().any(ends)
}

fn has_sign_or_quotes(text: &[u8], is_number: impl Fn(&[u8]) -> bool) -> bool {
    let rest = match text {
        [b'<' | b'>', b'=', rest @ ..] | [b'<' | b'>' | b'~', rest @ ..] => rest,
        // Of at most and at least.
        [0xe2, 0x89, 0xa4 | 0xa5, rest @ ..] => rest,
        [b'=', b'"', rest @ .., b'"'] | [b'\'', rest @ .., b'\''] | [b'\'', rest @ ..] => rest,
        [b'-', ..] => return false,
        [rest @ .., b'-'] => rest,
        _ => return false,
    };
    is_number(trimmed(rest))
}

/// `1.5D+02`.
fn has_fortran_exponent(text: &[u8]) -> bool {
    let Some(at) = text.iter().position(|byte| matches!(byte, b'D' | b'd')) else {
        return false;
    };
    let (before, after) = (&text[..at], &text[at + 1..]);
    before.contains(&b'.')
        && float(before).is_some()
        && (1..=4).contains(&after.len())
        && integer(after).is_some()
}

/// `1,23,456`, `1_234`.
fn has_odd_groups(text: &[u8], is_number: impl Fn(&[u8]) -> bool) -> bool {
    let mark = if text.contains(&b'_') { b'_' } else { b',' };
    let mut groups = text.split(|byte| *byte == mark);
    let is_group =
        |group: &[u8]| (1..=3).contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    let Some(last) = groups.next_back() else {
        return false;
    };
    let whole = last.split(|byte| *byte == b'.').next().unwrap_or_default();
    let mut n = 0;
    whole.len() == 3
        && is_number(last)
        && groups.all(|group| {
            n += 1;
            is_group(group)
        })
        && n > 0
}

const CURRENCIES: [&[u8]; 4] = [b"$", "€".as_bytes(), "£".as_bytes(), "¥".as_bytes()];

/// Separators of thousands beside points and commas: blanks, no-break and thin ones, apostrophes.
const BLANKS: [&[u8]; 6] = [
    b" ",
    b"'",
    "\u{a0}".as_bytes(),
    "\u{202f}".as_bytes(),
    "\u{2009}".as_bytes(),
    "\u{2019}".as_bytes(),
];

fn without_currency(text: &[u8]) -> Option<&[u8]> {
    CURRENCIES.iter().find_map(|sign| text.strip_prefix(*sign))
}

/// The number of bytes of a separator of thousands here, if there is one.
fn separator(text: &[u8], style: u8) -> usize {
    let first = |bytes: &[u8]| usize::from(text.starts_with(bytes)) * bytes.len();
    match style {
        COMMA_GROUPS => first(b","),
        DOT_GROUPS => first(b"."),
        BLANK_GROUPS | BLANK_GROUPS_COMMA => {
            let found = BLANKS.iter().find(|blank| text.starts_with(blank));
            found.map_or(0, |blank| blank.len())
        }
        _ => 0,
    }
}

/// The value, and whether a percent or a currency sign was there.
fn written(text: &[u8], style: u8) -> Option<(f64, bool, bool)> {
    // Longer numbers are none that people write.
    let mut plain = [0_u8; 64];
    let mut n = 0;
    let mut put = |byte: u8| {
        *plain.get_mut(n)? = byte;
        n += 1;
        Some(())
    };
    let mut rest = text;
    let (mut percent, mut currency) = (false, false);
    if let Some(after) = without_currency(rest) {
        currency = true;
        rest = after.trim_ascii_start();
    }
    match rest {
        [b'(', inner @ .., b')'] => {
            put(b'-')?;
            rest = inner.trim_ascii();
        }
        [b'-', after @ ..] | [0xe2, 0x88, 0x92, after @ ..] => {
            put(b'-')?;
            rest = after;
        }
        [b'+', after @ ..] => rest = after,
        _ => {}
    }
    if !currency && let Some(after) = without_currency(rest) {
        currency = true;
        rest = after.trim_ascii_start();
    }
    let (mut run, mut any, mut grouped) = (0, false, false);
    while let [first, after @ ..] = rest {
        if first.is_ascii_digit() {
            put(*first)?;
            run += 1;
            any = true;
            rest = after;
            continue;
        }
        let length = separator(rest, style);
        let then_digit = rest.get(length).is_some_and(u8::is_ascii_digit);
        if length == 0 || !then_digit {
            break;
        }
        if if grouped {
            run != 3
        } else {
            !(1..=3).contains(&run)
        } {
            return None;
        }
        grouped = true;
        run = 0;
        rest = &rest[length..];
    }
    if grouped && run != 3 {
        return None;
    }
    let decimal = if style & WITH_COMMA == 0 { b'.' } else { b',' };
    if let [first, after @ ..] = rest
        && *first == decimal
    {
        put(b'.')?;
        rest = after;
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            put(*digit)?;
            any = true;
            rest = after;
        }
    }
    if !any {
        return None;
    }
    let mut has_exponent = false;
    if let [b'e' | b'E', after @ ..] = rest
        && !grouped
    {
        has_exponent = true;
        put(b'e')?;
        rest = after;
        if let [sign @ (b'-' | b'+'), after @ ..] = rest {
            put(*sign)?;
            rest = after;
        }
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            put(*digit)?;
            rest = after;
        }
    }
    rest = trimmed(rest);
    if !currency && let Some(after) = without_currency(rest) {
        currency = true;
        rest = after;
    }
    if let [b'%'] = rest
        && !has_exponent
        && !currency
    {
        percent = true;
        // A hundredth, rounded once.
        put(b'e')?;
        put(b'-')?;
        put(b'2')?;
        rest = &[];
    }
    if !rest.is_empty() {
        return None;
    }
    float(&plain[..n]).map(|value| (value, percent, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_64_bits() {
        for (text, value) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("+7", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("9999999999999999999", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("1 ", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn floats_are_those_of_the_standard_library() {
        let mut state = 1_u64;
        let mut next = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..20_000 {
            let mut text = String::new();
            if next(2) == 0 {
                text.push('-');
            }
            for _ in 0..next(20) {
                text.push(char::from(b'0' + next(10) as u8));
            }
            if next(3) > 0 {
                text.push('.');
            }
            for _ in 0..next(22) {
                text.push(char::from(b'0' + next(10) as u8));
            }
            if next(3) == 0 {
                text.push_str(["e", "e-", "E+"][next(3) as usize]);
                text.push_str(&next(330).to_string());
            }
            let std = text.parse::<f64>().ok().filter(|value| value.is_finite());
            let ours = float(text.as_bytes());
            assert_eq!(ours.map(f64::to_bits), std.map(f64::to_bits), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "1e",
            "e5",
            "1-2",
            "1..2",
            "1.2.3",
            "inf",
            "nan",
            "0x1",
            "1_0",
            "888E050011",
            " 1",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(float(b"-0.0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(float(b"1e-400"), Some(0.0));
    }

    #[test]
    fn numbers_are_read_in_their_style() {
        let of = |text: &str, style| number(text.as_bytes(), style);
        assert_eq!(of("1.867,82", DOT_GROUPS), Some(1867.82));
        assert_eq!(of("865,07", DOT_GROUPS), Some(865.07));
        assert_eq!(of("1.86,82", DOT_GROUPS), None);
        assert_eq!(of("12.345.678", DOT_GROUPS), Some(12_345_678.0));
        assert_eq!(of("1,234.5", COMMA_GROUPS), Some(1234.5));
        assert_eq!(of("1,234,567", COMMA_GROUPS), Some(1_234_567.0));
        assert_eq!(of("1,23", COMMA_GROUPS), None);
        assert_eq!(of("1,23", COMMA), Some(1.23));
        assert_eq!(of("1 234,5", BLANK_GROUPS_COMMA), Some(1234.5));
        assert_eq!(of("1\u{a0}234.5", BLANK_GROUPS), Some(1234.5));
        assert_eq!(of("1'234.5", BLANK_GROUPS), Some(1234.5));
        assert_eq!(of(" +1.5\t", PLAIN), Some(1.5));
        assert_eq!(of("5.3 %", PLAIN), Some(0.053));
        assert_eq!(of("5,3%", COMMA), Some(0.053));
        assert_eq!(of("-$5.25", PLAIN), Some(-5.25));
        assert_eq!(of("5,25 €", COMMA), Some(5.25));
        assert_eq!(of("\u{2212}3", PLAIN), Some(-3.0));
        assert_eq!(of("(1,234.5)", COMMA_GROUPS), Some(-1234.5));
        assert_eq!(of("$ (5.25)", PLAIN), Some(-5.25));
        assert_eq!(of("( $5.25 )", PLAIN), Some(-5.25));
        assert_eq!(of("(5,3 %)", COMMA), Some(-0.053));
        assert_eq!(of("-Infinity", PLAIN), Some(f64::NEG_INFINITY));
        assert_eq!(of("-1.#INF", PLAIN), Some(f64::NEG_INFINITY));
        for text in [
            "", "%", "$", "1 2", "5 % %", "12,", "1,2,3", "a", "()", "(-5)", "-(5)", "(5", "5)",
            "((5))", "(5)(6)",
        ] {
            assert_eq!(of(text, PLAIN), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_not_read_are_seen() {
        for text in [
            "5 km",
            "EUR 3.50",
            "1,234 USD",
            "1,23,456",
            "12,34,567.50",
            "20 °C",
            "5km",
            "20°C",
            "1.5k",
            "<0.5",
            ">= 1,000",
            "≤5",
            "5.3-",
            "=\"5.3\"",
            "'5.3'",
            "'5.3",
            "1.5D+02",
            "1_234",
        ] {
            assert!(looks_like_number(text.as_bytes()), "{text}");
        }
        for text in [
            "5A",
            "M5",
            "-5-",
            "<a",
            "D5",
            "1D5",
            "1_2",
            "",
            " ",
            "km",
            "a b",
            "1,2",
            "1,23",
            "x,345",
            "5 kilometres",
            "room 5 b",
            "5 6",
            "12-345",
        ] {
            assert!(!looks_like_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn one_value_may_be_of_several_styles() {
        let of = |text: &str| styles(text.as_bytes()).0;
        assert_eq!(of("1234"), ANY);
        assert_eq!(
            of("1,234"),
            COMMA | COMMA_GROUPS | DOT_GROUPS | BLANK_GROUPS_COMMA
        );
        assert_eq!(of("1.234,5"), DOT_GROUPS);
        assert_eq!(
            of("1.234"),
            PLAIN | COMMA_GROUPS | DOT_GROUPS | BLANK_GROUPS
        );
        assert_eq!(of("1.23"), PLAIN | COMMA_GROUPS | BLANK_GROUPS);
        for text in ["1.234", "1.23", "-12.345", "1234.567", ".5", "0.1234"] {
            assert_eq!(of(text), styles_of_float(text.as_bytes()), "{text}");
        }
    }
}
