//! The strings that stand for a missing value by default.

/// The strings that always stand for a missing value.
pub(super) const ALWAYS: [&str; 10] = [
    "NaN", "nan", "-NaN", "-nan", "?", "<NA>", "#N/A", "NaT", "\\N", "#NA",
];

/// The strings that stand for a missing value unless they are frequent in a text column, where they may be a category.
pub(super) const WORDS: [&str; 7] = ["NA", "N/A", "n/a", "null", "NULL", "None", "nil"];

/// The strings that stand for a missing value in columns of numbers and times, and are values in text columns: signs,
/// errors of spreadsheets, what statistical offices write, the zero of dates of MySQL.
pub(super) const BESIDE_NUMBERS: [&str; 32] = [
    "-",
    "--",
    "\u{2013}",
    "\u{2014}",
    ".",
    "..",
    "...",
    ":",
    "*",
    "N.A.",
    "n.a.",
    "none",
    "na",
    "Null",
    "Nan",
    "NAN",
    "(NA)",
    "(null)",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NUM!",
    "#NAME?",
    "#NULL!",
    "1.#IND",
    "-1.#IND",
    "1.#QNAN",
    "-1.#QNAN",
    "-nan(ind)",
    "undefined",
    "0000-00-00",
    "0000-00-00 00:00:00",
];

/// The words that stand for a missing value in columns of numbers and times, which is told.
pub(super) const TOLD_BESIDE_NUMBERS: [&str; 7] = [
    "missing",
    "Missing",
    "MISSING",
    "unknown",
    "Unknown",
    "UNKNOWN",
    "not available",
];
