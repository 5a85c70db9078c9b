//! Dates and times as people and programs write them.

/// Year, month, day: `2013-01-31`.
pub const YMD: u8 = 1;
/// Day, month, year: `31/01/2013`.
pub const DMY: u8 = 2;
/// Month, day, year: `01/31/2013`.
pub const MDY: u8 = 4;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The days since 1970-01-01 that a string stands for by each order of its parts.
#[derive(Clone, Copy, Debug, Default)]
struct Days([Option<i32>; 3]);

impl Days {
    fn orders(self) -> u8 {
        let bit = |at: usize| u8::from(self.0[at].is_some()) << at;
        bit(0) | bit(1) | bit(2)
    }

    fn by(self, order: u8) -> Option<i32> {
        self.0[order.trailing_zeros() as usize % 3]
    }
}

/// Days since 1970-01-01 of a date that there is (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A number of at most `at_most` digits, and the rest.
fn digits(text: &[u8], at_most: usize) -> Option<(i32, usize, &[u8])> {
    let mut value = 0;
    let mut n = 0;
    while let Some(byte) = text.get(n)
        && byte.is_ascii_digit()
    {
        if n == at_most {
            return None;
        }
        value = value * 10 + i32::from(byte - b'0');
        n += 1;
    }
    (n > 0).then(|| (value, n, &text[n..]))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A month by its English name or the first three letters of it.
fn month_name(text: &[u8]) -> Option<(i32, &[u8])> {
    let n = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let (word, rest) = text.split_at(n);
    let month = MONTHS.iter().position(|name| {
        let name = name.as_bytes();
        word.eq_ignore_ascii_case(name)
            || word.eq_ignore_ascii_case(&name[..3])
            || word.eq_ignore_ascii_case(b"sept") && name.starts_with(b"sept")
    })?;
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    Some((month as i32 + 1, rest))
}

/// The date that eight digits are: `20130131`.
fn compact(text: &[u8]) -> Option<i32> {
    let (year, 4, _) = digits(text.get(..4)?, 4)? else {
        return None;
    };
    let (month_and_day, 4, b"") = digits(&text[4..], 4)? else {
        return None;
    };
    days(year, month_and_day / 100, month_and_day % 100)
}

/// Returns true if a string is a date of eight digits from the years 1900 to 2099: `20130131`.
#[must_use]
pub fn is_compact_date(text: &[u8]) -> bool {
    text.len() == 8
        && matches!(text, [b'1', b'9', ..] | [b'2', b'0', ..])
        && compact(text).is_some()
}

/// Returns true if a string is a time of day or a duration: `14:30`, `08:05:00`, `2:30 pm`, `37:12:05`.
#[must_use]
pub fn is_time_of_day(text: &[u8]) -> bool {
    let is_duration = || {
        let (_, _, rest) = digits(text, 4)?;
        let minutes = rest.strip_prefix(b":")?.split_at_checked(2)?;
        Some(time_of_day(&[b"0:", minutes.0, minutes.1].concat()).is_some())
    };
    text.first().is_some_and(u8::is_ascii_digit)
        && (time_of_day(text).is_some() || is_duration() == Some(true))
}

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Returns true if a string looks like a date that is not read: a year of four digits beside the name of a month in any
/// language, a month, a week or a day of a year, or a time with the name of a zone. `January 2013`, `5. Januar 2013`,
/// `2013-01`, `2013-W05`, `2013-031`, `2013-01-31 05:00 CET`.
#[must_use]
pub fn looks_like_date(text: &[u8]) -> bool {
    let n_digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    if text.len() < 7 || n_digits < 4 {
        return false;
    }
    if is_day_of_year(text) || has_zone_name(text) {
        return true;
    }
    let (mut years, mut months, mut numbers, mut words) = (0, 0, 0, 0);
    let mut others = 0;
    let parts = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte < 0x80);
    for part in parts.filter(|part| !part.is_empty()) {
        let is_number = part.iter().all(u8::is_ascii_digit);
        let is_weekday = WEEKDAYS.iter().any(|name| {
            let name = name.as_bytes();
            part.eq_ignore_ascii_case(name) || part.eq_ignore_ascii_case(&name[..3])
        });
        match part {
            [b'1', b'8' | b'9', _, _] | [b'2', b'0' | b'1', _, _] if is_number => years += 1,
            [b'W' | b'w', week @ ..] if is_week(week) => months += 1,
            _ if is_number && part.len() <= 2 => numbers += 1,
            // The offset of a zone.
            [b'0' | b'1', _, _, _] if is_number => words += 1,
            _ if is_number => return false,
            _ if is_weekday => {}
            _ if month_name(part).is_some_and(|(_, rest)| rest.is_empty()) => months += 1,
            // A zone, half of a day.
            _ if part.len() <= 4 => words += 1,
            // A month of another language.
            _ if part.len() <= 12 && !part.iter().any(u8::is_ascii_digit) => others += 1,
            _ => return false,
        }
    }
    let is_foreign_month = months == 0 && words + others == 1 && numbers == 1;
    let has_month = months == 1 && words <= 2 && others == 0
        || is_foreign_month && text[0].is_ascii_digit() && ends_with_year(text);
    let is_month_of_year = words == 0 && numbers == 1 && is_year_and_month(text);
    years == 1 && (has_month || is_month_of_year)
}

/// Returns true if the last four bytes are a number of their own.
fn ends_with_year(text: &[u8]) -> bool {
    matches!(text, [.., before, a, b, c, d]
        if !before.is_ascii_alphanumeric() && [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}

/// `2013-031`, of the years 1800 to 2199.
fn is_day_of_year(text: &[u8]) -> bool {
    let Some((year, 4, [b'-', day @ ..])) = digits(text, 4) else {
        return false;
    };
    let is_day = |(day, n, rest): (i32, usize, &[u8])| n == 3 && day <= 366 && rest.is_empty();
    (1800..2200).contains(&year) && digits(day, 3).is_some_and(is_day)
}

/// `2013-01-31 05:00 CET`, `2013-01-31 05:00 Europe/Berlin`.
fn has_zone_name(text: &[u8]) -> bool {
    let Some(at) = text.iter().rposition(|byte| *byte == b' ') else {
        return false;
    };
    let (before, name) = (text[..at].trim_ascii_end(), &text[at + 1..]);
    name.len() > 1
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || b"/_".contains(byte))
        && orders(before).1
}

fn is_week(text: &[u8]) -> bool {
    digits(text, 2).is_some_and(|(week, _, rest)| (1..=53).contains(&week) && rest.is_empty())
}

/// `2013-01`, `01/2013`.
fn is_year_and_month(text: &[u8]) -> bool {
    let Some(at) = text.iter().position(|byte| b"-/.".contains(byte)) else {
        return false;
    };
    let month = |text: &[u8]| {
        digits(text, 2)
            .is_some_and(|(month, n, rest)| n == 2 && (1..=12).contains(&month) && rest.is_empty())
    };
    let (before, after) = (&text[..at], &text[at + 1..]);
    before.len() == 4 && month(after) || after.len() == 4 && month(before)
}

fn blank_or(text: &[u8], also: u8) -> Option<&[u8]> {
    match text {
        [first, rest @ ..] if *first == b' ' || *first == also => Some(rest.trim_ascii_start()),
        _ => None,
    }
}

/// A string without the day of the week that it begins with: `Thu, `, `Thursday `.
fn without_weekday(text: &[u8]) -> &[u8] {
    if !text.first().is_some_and(u8::is_ascii_alphabetic) {
        return text;
    }
    let n = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let (word, rest) = text.split_at(n);
    let is_weekday = WEEKDAYS.iter().any(|name| {
        let name = name.as_bytes();
        word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3])
    });
    let rest = if is_weekday {
        blank_or(rest, b',')
    } else {
        None
    };
    rest.unwrap_or(text)
}

/// The date at the beginning of a string.
fn date_prefix(text: &[u8]) -> Option<(Days, &[u8])> {
    let text = without_weekday(text);
    if let Some(day) = compact(text.get(..8).unwrap_or_default())
        && !text.get(8).is_some_and(u8::is_ascii_digit)
    {
        return Some((Days([Some(day), None, None]), &text[8..]));
    }
    let Some((first, n, rest)) = digits(text, 4) else {
        // January 31, 2013
        let (month, rest) = month_name(text)?;
        let rest = blank_or(rest, b'-')?;
        let (day, _, rest) = digits(rest, 2)?;
        let rest = blank_or(rest, b',')?;
        let (year, 4, rest) = digits(rest, 4)? else {
            return None;
        };
        return Some((Days([days(year, month, day); 3]), rest));
    };
    let (separator, rest) = rest.split_first()?;
    if !b"-/. ".contains(separator) {
        return None;
    }
    if n == 4 {
        if *separator == b' ' {
            return None;
        }
        let (month, _, rest) = digits(rest, 2)?;
        let rest = rest.strip_prefix(std::slice::from_ref(separator))?;
        let (day, _, rest) = digits(rest, 2)?;
        return Some((Days([days(first, month, day), None, None]), rest));
    }
    if n > 2 {
        return None;
    }
    if rest.first().is_some_and(u8::is_ascii_alphabetic) {
        // 31 January 2013, 31-Jan-2013
        let (month, rest) = month_name(rest)?;
        let rest = blank_or(rest, *separator)?;
        let (year, 4, rest) = digits(rest, 4)? else {
            return None;
        };
        return Some((Days([days(year, month, first); 3]), rest));
    }
    if *separator == b' ' {
        return None;
    }
    let (second, _, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(std::slice::from_ref(separator))?;
    let (year, 4, rest) = digits(rest, 4)? else {
        return None;
    };
    // With points the month is never written first.
    let month_first = if *separator == b'.' {
        None
    } else {
        days(year, first, second)
    };
    Some((Days([None, days(year, second, first), month_first]), rest))
}

/// Microseconds of the day, in UTC: below 0 or past the day where a zone makes them so.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let (mut hour, _, rest) = digits(text, 2)?;
    let rest = rest.strip_prefix(b":")?;
    let (minute, 2, mut rest) = digits(rest, 2)? else {
        return None;
    };
    let (mut second, mut micros) = (0, 0);
    if let Some(after) = rest.strip_prefix(b":") {
        let (value, 2, after) = digits(after, 2)? else {
            return None;
        };
        second = value;
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            let n = after
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if n == 0 || n > 18 {
                return None;
            }
            let digits = after[..n].iter().map(|digit| i64::from(digit - b'0'));
            for digit in digits.chain(std::iter::repeat(0)).take(6) {
                micros = micros * 10 + digit;
            }
            rest = &after[n..];
        }
    }
    rest = rest.trim_ascii_start();
    if let [half @ (b'A' | b'a' | b'P' | b'p'), b'M' | b'm', after @ ..] = rest {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12
            + if half.eq_ignore_ascii_case(&b'p') {
                12
            } else {
                0
            };
        rest = after.trim_ascii_start();
    }
    // The end of a day, and a leap second.
    let is_end = (hour, minute, second, micros) == (24, 0, 0, 0);
    if hour > 23 && !is_end || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(hour * 3_600 + minute * 60 + second);
    Some(seconds * 1_000_000 + micros - zone(rest)? * 1_000_000)
}

/// A time of day behind a `T`, which may be written without colons: `05:00:00`, `050000Z`.
fn time_behind_t(text: &[u8]) -> Option<i64> {
    let n = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if n != 4 && n != 6 {
        return time_of_day(text);
    }
    // Longer times are none that people write.
    let mut with_colons = [0_u8; 40];
    let mut length = 0;
    for (at, byte) in text.iter().enumerate() {
        if at == 2 || (at == 4 && n == 6) {
            *with_colons.get_mut(length)? = b':';
            length += 1;
        }
        *with_colons.get_mut(length)? = *byte;
        length += 1;
    }
    time_of_day(&with_colons[..length])
}

/// The number of seconds that a zone is ahead of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    // An offset has the name of its zone behind it, as Java writes it: `+01:00[Europe/Berlin]`.
    let text = match text.iter().position(|byte| *byte == b'[') {
        Some(at) if at > 0 && text.ends_with(b"]") => &text[..at],
        _ => text,
    };
    let (east, rest) = match text {
        b"" | b"Z" | b"z" | b"UTC" | b"GMT" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (rest, &b"00"[..]),
        [_, _, b':', _, _] => (&rest[..2], &rest[3..]),
        [_, _, _, _] => rest.split_at(2),
        _ => return None,
    };
    let (hours, 2, b"") = digits(hours, 2)? else {
        return None;
    };
    let (minutes, 2, b"") = digits(minutes, 2)? else {
        return None;
    };
    (hours < 24 && minutes < 60).then(|| east * i64::from(hours * 3_600 + minutes * 60))
}

/// A date, and nothing behind it, in days since 1970-01-01.
#[must_use]
pub fn date(text: &[u8], order: u8) -> Option<i32> {
    match date_prefix(text)? {
        (days, b"") => days.by(order),
        _ => None,
    }
}

/// A date, or a date and a time, in microseconds since 1970-01-01 in UTC. Without a zone it is in UTC; of a second,
/// digits past the sixth are dropped.
///
/// `2013-01-31`, `2013-01-31T05:00`, `2013-01-31 05:00:00.5+01:00`, `31/01/2013 5:00 pm`, `31 Jan 2013 05:00 UTC`.
#[must_use]
pub fn timestamp(text: &[u8], order: u8) -> Option<i64> {
    let (days, rest) = date_prefix(text)?;
    let day = i64::from(days.by(order)?) * MICROS_A_DAY;
    match rest {
        [] => Some(day),
        [b'T' | b't', rest @ ..] => Some(day + time_behind_t(rest)?),
        [b' ', rest @ ..] => Some(day + time_of_day(rest.trim_ascii_start())?),
        _ => None,
    }
}

/// The orders by which a string is a date or a date and a time, 0 if it is none; and whether it has a time.
#[must_use]
pub fn orders(text: &[u8]) -> (u8, bool) {
    // Every one of them has 8 characters or more, and a digit among the first.
    if text.len() < 8 || !text[0].is_ascii_alphanumeric() {
        return (0, false);
    }
    let Some((days, rest)) = date_prefix(text) else {
        return (0, false);
    };
    let has_time = match rest {
        [] => false,
        [b'T' | b't', rest @ ..] if time_behind_t(rest).is_some() => true,
        [b' ', rest @ ..] if time_of_day(rest.trim_ascii_start()).is_some() => true,
        _ => return (0, false),
    };
    (days.orders(), has_time)
}

/// Returns true if a string is a date, or a date and a time, whose year has two digits: `31/01/13`, `31-Jan-13 05:00`.
/// The century is unknown. With points, day and month have two digits too: `1.2.34` is a version.
#[must_use]
pub fn has_short_year(text: &[u8]) -> bool {
    short_year(text).is_some_and(|rest| match rest {
        [] => true,
        [b'T' | b't' | b' ', rest @ ..] => time_of_day(rest.trim_ascii_start()).is_some(),
        _ => false,
    })
}

/// The rest after a date of two digits each, or after one with the name of a month.
fn short_year(text: &[u8]) -> Option<&[u8]> {
    let (first, n, rest) = digits(text, 2)?;
    let (separator, rest) = rest.split_first()?;
    if !b"-/. ".contains(separator) {
        return None;
    }
    let (second, m, rest) = match month_name(rest) {
        Some((month, rest)) => (month, 2, rest),
        None if *separator != b' ' => digits(rest, 2)?,
        None => return None,
    };
    let rest = rest.strip_prefix(std::slice::from_ref(separator))?;
    let (year, 2, rest) = digits(rest, 2)? else {
        return None;
    };
    // 2000 has every day.
    let is_day = [(first, second), (second, first), (year, second)];
    let is_day = is_day
        .iter()
        .any(|(day, month)| days(2000, *month, *day).is_some());
    (is_day && (*separator != b'.' || n + m == 4)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_of_two_digits_are_seen() {
        for (text, is_short) in [
            ("31/01/13", true),
            ("1/31/13", true),
            ("31-Jan-13", true),
            ("31.01.13", true),
            ("31/01/13 05:00", true),
            ("31/01/2013", false),
            ("31/31/13", false),
            ("1.2.34", false),
            ("31/01/13 x", false),
            ("31/01-13", false),
            ("12", false),
            ("", false),
        ] {
            assert_eq!(has_short_year(text.as_bytes()), is_short, "{text}");
        }
    }

    #[test]
    fn dates_that_are_not_read_are_seen() {
        for text in [
            "January 2013",
            "Jan-2013",
            "2013-01",
            "01/2013",
            "2013-W05",
            "Thu, 31 Jan 2013 05:00:00 EST",
            "2013-031",
            "2013-W05-3",
            "2013-01-31 05:00:00 CET",
            "2013-01-31 05:00 Europe/Berlin",
            "5. Januar 2013",
            "5 mars 2013",
            "31 d\u{e9}cembre 2013",
            "Thu Jan 31 05:00:00 EST 2013",
            "Thu Jan 31 05:00:00 +0000 2013",
            "2013 Jan 31",
        ] {
            assert!(looks_like_date(text.as_bytes()), "{text}");
            assert_eq!(orders(text.as_bytes()).0, 0, "{text}");
        }
        for text in [
            "",
            "2013",
            "March",
            "2013-13",
            "2013-1",
            "model 2013",
            "Jan 31",
            "12-34",
            "1999-2000",
            "W05",
            "1.2013",
            "x 2013 Jan 31 of something",
            "2013-367",
            "4321-031",
            "room 5 of 2013",
            "summer 2013",
            "12 long names 2013",
        ] {
            assert!(!looks_like_date(text.as_bytes()), "{text}");
        }
        for (text, is_time) in [
            ("14:30", true),
            ("8:05:00", true),
            ("2:30 pm", true),
            ("24:00", true),
            ("37:12:05", true),
            ("120:59.5", false),
            ("120:60", false),
            ("16:9", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_time_of_day(text.as_bytes()), is_time, "{text}");
        }
        for (text, is_date) in [
            ("20130131", true),
            ("19991231", true),
            ("20130132", false),
            ("21000101", false),
            ("2013013", false),
            ("201301311", false),
        ] {
            assert_eq!(is_compact_date(text.as_bytes()), is_date, "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, order, value) in [
            ("1970-01-01", YMD, Some(0)),
            ("2000-02-29", YMD, Some(11_016)),
            ("1900-02-29", YMD, None),
            ("2023-02-29", YMD, None),
            ("0000-01-01", YMD, Some(-719_528)),
            ("9999-12-31", YMD, Some(2_932_896)),
            ("2013-1-31", YMD, Some(15_736)),
            ("2013/01/31", YMD, Some(15_736)),
            ("31/01/2013", DMY, Some(15_736)),
            ("31/01/2013", MDY, None),
            ("01/31/2013", MDY, Some(15_736)),
            ("31.1.2013", DMY, Some(15_736)),
            ("1.2.2013", MDY, None),
            ("31 Jan 2013", YMD, Some(15_736)),
            ("31-JAN-2013", DMY, Some(15_736)),
            ("January 31, 2013", MDY, Some(15_736)),
            ("31/01/13", DMY, None),
            ("2013-01-31 ", YMD, None),
            ("2013-01/31", YMD, None),
            ("20130131", YMD, Some(15_736)),
            ("20130132", YMD, None),
            ("201301310", YMD, None),
            ("20130131", DMY, None),
        ] {
            assert_eq!(date(text.as_bytes(), order), value, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_their_zone() {
        let day = 15_736 * MICROS_A_DAY;
        let hour = 3_600_000_000;
        for (text, order, value) in [
            ("2013-01-31", YMD, Some(day)),
            ("20130131 05:00", YMD, Some(day + 5 * hour)),
            ("20130131T050000Z", YMD, Some(day + 5 * hour)),
            ("2013-01-31T0500+0100", YMD, Some(day + 4 * hour)),
            ("2013-01-31T050000.5", YMD, Some(day + 5 * hour + 500_000)),
            ("2013-01-31T05000", YMD, None),
            ("2013-01-31 0500", YMD, None),
            ("2013-01-31T05:00", YMD, Some(day + 5 * hour)),
            ("2013-01-31 05:00:00", YMD, Some(day + 5 * hour)),
            ("2013-01-31 5:00", YMD, Some(day + 5 * hour)),
            (
                "2013-01-31T05:00:00.5Z",
                YMD,
                Some(day + 5 * hour + 500_000),
            ),
            (
                "2013-01-31T05:00:00,123",
                YMD,
                Some(day + 5 * hour + 123_000),
            ),
            (
                "2013-01-31T05:00:00.123456789Z",
                YMD,
                Some(day + 5 * hour + 123_456),
            ),
            ("2013-01-31T05:00:00+01:00", YMD, Some(day + 4 * hour)),
            (
                "2013-01-31T05:00:00-0130",
                YMD,
                Some(day + 6 * hour + hour / 2),
            ),
            ("2013-01-31 05:00:00+00", YMD, Some(day + 5 * hour)),
            ("2013-01-31 05:00:00 UTC", YMD, Some(day + 5 * hour)),
            ("31/01/2013 05:00 PM", DMY, Some(day + 17 * hour)),
            ("31/01/2013 12:00 am", DMY, Some(day)),
            ("2013-01-31T24:00", YMD, Some(day + 24 * hour)),
            ("2013-01-31T24:01", YMD, None),
            ("2013-01-31T23:59:60Z", YMD, Some(day + 24 * hour)),
            ("2013-01-31T23:59:61Z", YMD, None),
            (
                "2013-01-31T05:00+01:00[Europe/Berlin]",
                YMD,
                Some(day + 4 * hour),
            ),
            ("2013-01-31T05:00[Europe/Berlin]", YMD, None),
            ("Thu, 31 Jan 2013 05:00:00 GMT", YMD, Some(day + 5 * hour)),
            ("Thursday, January 31, 2013", YMD, Some(day)),
            ("Foo, 31 Jan 2013", YMD, None),
            ("2013-01-31T05:60", YMD, None),
            ("2013-01-31T05", YMD, None),
            ("2013-01-31T05:00:00X", YMD, None),
            ("2013-01-31 13:00 PM", YMD, None),
        ] {
            assert_eq!(timestamp(text.as_bytes(), order), value, "{text}");
        }
    }

    #[test]
    fn a_date_may_be_of_two_orders() {
        assert_eq!(orders(b"02/03/2013"), (DMY | MDY, false));
        assert_eq!(orders(b"13/03/2013"), (DMY, false));
        assert_eq!(orders(b"2.3.2013 10:00"), (DMY, true));
        assert_eq!(orders(b"2013-03-02T10:00"), (YMD, true));
        assert_eq!(orders(b"2 Mar 2013"), (YMD | DMY | MDY, false));
        for text in [
            "",
            "1",
            "12:30:00",
            "2013-13-01",
            "March",
            "1.5.2",
            "192.168.1.12",
            "\u{e9}t\u{e9} 2013",
        ] {
            assert_eq!(orders(text.as_bytes()).0, 0, "{text}");
        }
    }
}
