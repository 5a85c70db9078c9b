//! Type inference for columns of strings.
//!
//! One value that cannot be read as the others makes a column text, so that nothing is lost. A remark names that value and
//! its line if nearly all values are numbers or times, and another tells every reading but the plain one. Ambiguous columns
//! stay text.

use fourfold_kernels::text::number::{
    ANY, BLANK_GROUPS, BLANK_GROUPS_COMMA, COMMA, COMMA_GROUPS, DOT_GROUPS, PLAIN,
};
use fourfold_kernels::text::time::{DMY, MDY, YMD};
use fourfold_kernels::text::{First, Kind, Marks, Reading, Tally};

use super::TextOptions;
use super::explain::shown;
use super::places::Places;
use super::remarks::Remark;
use super::words::{ALWAYS, BESIDE_NUMBERS, TOLD_BESIDE_NUMBERS, WORDS};
use crate::schema::FieldType;

/// The minimum count of a null marker that is taken as a value.
const OFTEN: u64 = 5;

/// The minimum share of a text column's values from which a null marker is taken as a value.
const FREQUENT: f64 = 0.05;

/// The minimum number of integers, all of them dates as well, for which a remark is made.
const ENOUGH_DATES: u64 = 3;

/// The minimum share of values of one reading from which a remark names the first value that differs.
const NEARLY_ALL: f64 = 0.9;

const NUMBERS: [Reading; 4] = [
    Reading::Integer,
    Reading::Float,
    Reading::Infinite,
    Reading::Styled,
];
const TIMES: [Reading; 2] = [Reading::Date, Reading::Timestamp];

/// Chooses the types of the columns of a table's files.
pub(in crate::data) struct Inference<'a> {
    options: &'a TextOptions,
    marks: Marks,
    /// Whether the decimal separator of these files is a comma.
    decimal_comma: bool,
    places: Places,
}

/// The type chosen for a column, and the remarks about it.
pub(in crate::data) struct Chosen {
    pub(in crate::data) kind: Kind,
    pub(in crate::data) marks: Marks,
    pub(in crate::data) remarks: Vec<Remark>,
}

impl<'a> Inference<'a> {
    pub(in crate::data) fn new(options: &'a TextOptions) -> Self {
        let marks = match &options.nulls {
            Some(marks) => Marks::new(marks),
            None => Marks::new(
                (ALWAYS.iter().chain(&WORDS))
                    .chain(&BESIDE_NUMBERS)
                    .chain(&TOLD_BESIDE_NUMBERS),
            ),
        };
        Inference {
            options,
            marks,
            decimal_comma: options.decimal_comma,
            places: Places::of("line"),
        }
    }

    /// Counts positions in rows instead of lines.
    pub(in crate::data) fn in_rows(self) -> Self {
        Inference {
            places: Places::of("row"),
            ..self
        }
    }

    /// Shows positions as those of files.
    pub(super) fn in_files<'f>(self, files: impl IntoIterator<Item = &'f str>) -> Self {
        Inference {
            places: Places::in_files(files),
            ..self
        }
    }

    /// The strings that may stand for a missing value.
    pub(in crate::data) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Decides for all columns together whether commas are decimal.
    pub(in crate::data) fn look_at_all<'t>(
        &mut self,
        tallies: impl IntoIterator<Item = &'t Tally>,
    ) {
        let mut tallies = tallies.into_iter();
        self.decimal_comma |= tallies.any(|tally| {
            let numbers = tally.of(&NUMBERS);
            tally.has_decimal_comma() && numbers > 0 && numbers == tally.known()
        });
    }

    /// Chooses the type of a column.
    pub(in crate::data) fn choose(&self, name: &str, tally: &Tally) -> Chosen {
        let mut notes = Vec::new();
        let told = self.options.type_of(name);
        let kind = match told {
            Some(field_type) => self.told(field_type, tally),
            None => self.kind(name, tally, &mut notes),
        };
        let marks = self.marks_of(name, kind, tally, &mut notes);
        Chosen {
            kind,
            marks,
            remarks: notes,
        }
    }

    fn told(&self, field_type: FieldType, tally: &Tally) -> Kind {
        let order = [YMD, DMY, MDY]
            .into_iter()
            .find(|order| tally.orders() & order != 0);
        let order = order.unwrap_or(YMD);
        match field_type {
            FieldType::Boolean => Kind::Boolean,
            FieldType::Integer => Kind::Integer,
            FieldType::Float => Kind::Float(self.style(tally.styles()).unwrap_or(PLAIN)),
            FieldType::Date => Kind::Date(order),
            FieldType::Timestamp => Kind::Timestamp(order),
            FieldType::Text | FieldType::Other => Kind::Text,
        }
    }

    fn kind(&self, name: &str, tally: &Tally, notes: &mut Vec<Remark>) -> Kind {
        let known = tally.known();
        let mut note =
            |code: &str, message: String| notes.push(Remark::of_column(name, code, message));
        if known == 0 {
            if let Some(found) = self.found_marks(tally) {
                note(
                    "mark_is_missing",
                    format!(
                        "no value in {} rows: {found} taken as missing; set null marks to change that",
                        tally.rows()
                    ),
                );
            }
            return Kind::Text;
        }
        if tally.of(&[Reading::Boolean]) == known {
            return Kind::Boolean;
        }
        if tally.of(&[Reading::Integer]) == known {
            if tally.compact_dates() == known && known >= ENOUGH_DATES {
                let example = self.such_as("such as ", tally.first_of(Reading::Integer));
                note(
                    "column_ambiguous",
                    format!(
                        "read as whole numbers, all {known} of which may be dates{example}; a type of date reads them as such"
                    ),
                );
            }
            return Kind::Integer;
        }
        // `1e5` is a number among numbers that are no codes.
        let floats = tally.of(&[Reading::Float]) > 0;
        let numbers = tally.of(&NUMBERS)
            + if floats {
                tally.of(&[Reading::Exponent])
            } else {
                0
            };
        if numbers == known && tally.in_parentheses() == known {
            let example = self.such_as("such as ", tally.first_of(Reading::Styled));
            note(
                "column_ambiguous",
                format!(
                    "text: all {known} values are numbers in parentheses{example}, which may be negative or labels; a type of float reads them as negative numbers"
                ),
            );
            return Kind::Text;
        }
        if numbers == known {
            return match self.style(tally.styles()) {
                Some(style) => {
                    if let Some(how) = self.how_written(style, tally) {
                        note("column_reading", format!("read as numbers {how}"));
                    }
                    Kind::Float(style)
                }
                None => {
                    note(
                        "column_nearly_read",
                        format!(
                            "text although all {known} values look like numbers: they are not of one style{}",
                            self.such_as("", tally.first_of(Reading::Styled))
                        ),
                    );
                    Kind::Text
                }
            };
        }
        if tally.of(&TIMES) == known {
            return self.time(tally, known, &mut note);
        }
        self.tell_what_spoils(name, tally, numbers, known, &mut note);
        Kind::Text
    }

    fn time(&self, tally: &Tally, known: u64, note: &mut impl FnMut(&str, String)) -> Kind {
        let of = |order| match tally.of(&[Reading::Timestamp]) {
            0 => Kind::Date(order),
            _ => Kind::Timestamp(order),
        };
        let example = tally
            .first_of(Reading::Date)
            .or(tally.first_of(Reading::Timestamp));
        let example = self.such_as("such as ", example);
        match tally.orders() {
            orders if orders & YMD != 0 => of(YMD),
            DMY => {
                note(
                    "column_reading",
                    format!("read as dates with the day first{example}"),
                );
                of(DMY)
            }
            MDY => {
                note(
                    "column_reading",
                    format!("read as dates with the month first{example}"),
                );
                of(MDY)
            }
            0 => {
                note(
                    "column_nearly_read",
                    format!(
                        "text although all {known} values look like dates: no one order of day and month reads them all"
                    ),
                );
                Kind::Text
            }
            _ => {
                note(
                    "column_ambiguous",
                    format!(
                        "text: its dates may have the day or the month first{example}; a type of date or timestamp reads them with the day first"
                    ),
                );
                Kind::Text
            }
        }
    }

    /// The style to read numbers in, of those that read all of them.
    fn style(&self, styles: u8) -> Option<u8> {
        let by_preference = if self.decimal_comma {
            [
                COMMA,
                DOT_GROUPS,
                BLANK_GROUPS_COMMA,
                PLAIN,
                COMMA_GROUPS,
                BLANK_GROUPS,
            ]
        } else {
            [
                PLAIN,
                COMMA_GROUPS,
                BLANK_GROUPS,
                COMMA,
                DOT_GROUPS,
                BLANK_GROUPS_COMMA,
            ]
        };
        if styles == ANY {
            return Some(PLAIN);
        }
        by_preference.into_iter().find(|style| styles & style != 0)
    }

    fn tell_what_spoils(
        &self,
        name: &str,
        tally: &Tally,
        numbers: u64,
        known: u64,
        note: &mut impl FnMut(&str, String),
    ) {
        let nested = tally.of(&[Reading::Nested]);
        if nested > 0 && nested < known {
            let other = tally.first_beside(&[Reading::Nested]);
            note(
                "column_mixed",
                format!(
                    "text: {nested} of {known} values are arrays or objects{}, and others are not{}",
                    self.such_as("", tally.first_of(Reading::Nested)),
                    self.such_as("", other)
                ),
            );
            return;
        }
        let codes = [Reading::LeadingZero, Reading::PastRange, Reading::Exponent];
        let zeros = tally.of(&[Reading::LeadingZero]);
        if numbers + tally.of(&codes) == known {
            let why = if zeros > 0 {
                ("leading zeros", Reading::LeadingZero)
            } else if tally.of(&[Reading::PastRange]) > 0 {
                ("whole numbers of more than 64 bits", Reading::PastRange)
            } else {
                ("codes with an `E`", Reading::Exponent)
            };
            note(
                "column_codes",
                format!(
                    "text, not numbers: it has {}{}",
                    why.0,
                    self.such_as("", tally.first_of(why.1))
                ),
            );
            return;
        }
        let nearly = |n: u64| n as f64 >= NEARLY_ALL * known as f64;
        let times = tally.of(&TIMES);
        let short = tally.of(&[Reading::ShortYear]);
        if short > 0 && nearly(times + short) {
            let n = times + short;
            note(
                "column_nearly_read",
                format!(
                    "text although {n} of {known} values are dates or times: years of two digits are of any century{}",
                    self.such_as("such as ", tally.first_of(Reading::ShortYear))
                ),
            );
            return;
        }
        let unread = [
            (
                Reading::TimeOfDay,
                "times of day or durations, for which there is no type",
                (0, ""),
            ),
            (
                Reading::OtherDate,
                "dates, in a format that is not read",
                (times + short, "dates or times"),
            ),
            (
                Reading::OtherNumber,
                "numbers with a unit or in a format that is not read",
                (numbers, "numbers"),
            ),
        ];
        for (reading, what, (n_read, read)) in unread {
            let n = tally.of(&[reading]);
            if n > 0 && nearly(n + n_read) {
                let example = self.such_as("such as ", tally.first_of(reading));
                let beside = match n_read {
                    0 => String::new(),
                    _ => format!("{n_read} are {read} and "),
                };
                note(
                    "column_nearly_read",
                    format!(
                        "text although of {known} values {beside}{n} look like {what}{example}"
                    ),
                );
                return;
            }
        }
        let booleans = tally.of(&[Reading::Boolean]);
        let with_codes = [&NUMBERS[..], &codes[..]].concat();
        let (n, what, readings): (u64, &str, &[Reading]) = if nearly(numbers) {
            (numbers, "numbers", &with_codes)
        } else if nearly(times) {
            (times, "dates or times", &TIMES)
        } else if nearly(booleans) {
            (booleans, "booleans", &[Reading::Boolean])
        } else {
            return;
        };
        let first = tally
            .first_beside(readings)
            .or_else(|| tally.first_beside(&NUMBERS));
        let first = first.map(|first| {
            let header = (first.value == name.as_bytes()).then_some(", as in a header");
            format!(
                "; the first that is not is `{}` in {}{}",
                shown(&first.value),
                self.places.show(first.line),
                header.unwrap_or_default()
            )
        });
        note(
            "column_nearly_read",
            format!(
                "text although {n} of {known} values are {what}{}",
                first.unwrap_or_default()
            ),
        );
    }

    /// The null markers of a column with their counts.
    fn found_marks(&self, tally: &Tally) -> Option<String> {
        let counts = self.marks.words().iter().zip(tally.marked());
        let found: Vec<String> = counts
            .filter(|(_, n)| **n > 0)
            .map(|(word, n)| format!("`{}` ({n})", String::from_utf8_lossy(word)))
            .collect();
        let verb = if found.len() == 1 { "is" } else { "are" };
        (!found.is_empty()).then(|| format!("{} {verb}", found.join(", ")))
    }

    fn such_as(&self, before: &str, first: Option<&First>) -> String {
        first.map_or_else(String::new, |first| {
            format!(
                " ({before}`{}` in {})",
                shown(&first.value),
                self.places.show(first.line)
            )
        })
    }

    /// A description of the number format, unless it is the plain one.
    fn how_written(&self, style: u8, tally: &Tally) -> Option<String> {
        let mut how = Vec::new();
        match style {
            COMMA => how.push("with a decimal comma"),
            COMMA_GROUPS if !tally.is_plain() => how.push("with commas between thousands"),
            DOT_GROUPS => how.push("with points between thousands and a decimal comma"),
            BLANK_GROUPS if !tally.is_plain() => how.push("with blanks between thousands"),
            BLANK_GROUPS_COMMA => how.push("with blanks between thousands and a decimal comma"),
            _ => {}
        }
        if tally.percent() > 0 {
            how.push("where a percent sign is a hundredth");
        }
        if tally.in_parentheses() > 0 {
            how.push("where parentheses stand for a minus sign");
        }
        let first = tally.first_of(Reading::Styled)?;
        (!how.is_empty()).then(|| {
            format!(
                "{}{}",
                how.join(", "),
                self.such_as("such as ", Some(first))
            )
        })
    }

    /// The null markers of a column of a kind.
    fn marks_of(&self, name: &str, kind: Kind, tally: &Tally, notes: &mut Vec<Remark>) -> Marks {
        if self.options.nulls.is_some() || tally.known() == 0 {
            return self.marks.clone();
        }
        if kind != Kind::Text {
            for (word, n) in self.marks.words().iter().zip(tally.marked()) {
                let told = TOLD_BESIDE_NUMBERS.iter();
                if *n > 0
                    && let Some(word) = told.copied().find(|told| told.as_bytes() == word)
                {
                    notes.push(Remark::mark_is_missing(name, word, *n, tally.rows()));
                }
            }
            return self.marks.clone();
        }
        let with_values = (tally.rows() - tally.empty()) as f64;
        let mut marks: Vec<&str> = ALWAYS.to_vec();
        for (word, n) in self.marks.words().iter().zip(tally.marked()) {
            let Some(word) = WORDS
                .iter()
                .find(|known| known.as_bytes() == word.as_slice())
            else {
                continue;
            };
            let is_value = *n >= OFTEN && *n as f64 >= FREQUENT * with_values;
            if *n > 0 && is_value {
                let message = format!(
                    "`{word}` in {n} of {} rows is taken as a value; set null marks to change that",
                    tally.rows()
                );
                notes.push(Remark::of_column(name, "mark_is_value", message));
            } else if *n > 0 {
                notes.push(Remark::mark_is_missing(name, word, *n, tally.rows()));
            }
            if *n == 0 || !is_value {
                marks.push(word);
            }
        }
        Marks::new(marks)
    }
}

#[cfg(test)]
mod tests;
