use super::*;

fn choose(values: &[&str], options: &TextOptions) -> (Kind, Vec<String>) {
    let mut inference = Inference::new(options);
    let mut tally = Tally::new(inference.marks());
    for (line, value) in (2..).zip(values) {
        tally.see(value.as_bytes(), line, inference.marks());
    }
    inference.look_at_all([&tally]);
    let chosen = inference.choose("x", &tally);
    (
        chosen.kind,
        chosen
            .remarks
            .into_iter()
            .map(|note| note.message)
            .collect(),
    )
}

#[track_caller]
fn check(values: &[&str], kind: Kind, note: Option<&str>) {
    let (found, notes) = choose(values, &TextOptions::default());
    assert_eq!((found, notes.first().map(String::as_str)), (kind, note));
}

#[test]
fn plain_values_are_read_without_a_word() {
    check(&["1", "NA", "?", "-"], Kind::Integer, None);
    check(
        &["1", "-2.5", "1e-3", "1e5", "inf"],
        Kind::Float(PLAIN),
        None,
    );
    check(&[" 1", "2 "], Kind::Integer, None);
    check(&["true", "FALSE"], Kind::Boolean, None);
    check(&["2013-01-31"], Kind::Date(YMD), None);
    check(
        &["2013-01-31", "2013-01-31 05:00"],
        Kind::Timestamp(YMD),
        None,
    );
    check(&["31 Jan 2013"], Kind::Date(YMD), None);
    check(&["a", "1"], Kind::Text, None);
    check(&["", ""], Kind::Text, None);
    check(&["true", "1"], Kind::Text, None);
}

#[test]
fn other_spellings_are_read_and_told() {
    check(
        &["1.867,82", "865,07"],
        Kind::Float(DOT_GROUPS),
        Some(
            "read as numbers with points between thousands and a decimal comma (such as `1.867,82` in line 2)",
        ),
    );
    check(
        &["106,7", "12"],
        Kind::Float(COMMA),
        Some("read as numbers with a decimal comma (such as `106,7` in line 2)"),
    );
    check(
        &["1,234", "12"],
        Kind::Float(COMMA_GROUPS),
        Some("read as numbers with commas between thousands (such as `1,234` in line 2)"),
    );
    check(
        &["5 %", "12"],
        Kind::Float(PLAIN),
        Some("read as numbers where a percent sign is a hundredth (such as `5 %` in line 2)"),
    );
    check(
        &["18/02/2023", "02/03/2023"],
        Kind::Date(DMY),
        Some("read as dates with the day first (such as `18/02/2023` in line 2)"),
    );
}

#[test]
fn what_stays_text_is_told_with_what_spoils_it() {
    let mut values = vec!["1"; 20];
    values[7] = "abc";
    check(
        &values,
        Kind::Text,
        Some("text although 19 of 20 values are numbers; the first that is not is `abc` in line 9"),
    );
    values[7] = "x";
    check(
        &values,
        Kind::Text,
        Some(
            "text although 19 of 20 values are numbers; the first that is not is `x` in line 9, as in a header",
        ),
    );
    check(
        &["02134", "12345"],
        Kind::Text,
        Some("text, not numbers: it has leading zeros (`02134` in line 2)"),
    );
    check(
        &["12E4", "07E2"],
        Kind::Text,
        Some("text, not numbers: it has codes with an `E` (`12E4` in line 2)"),
    );
    check(&["888E050011"], Kind::Text, None);
    check(
        &["1", "18446744073709551615"],
        Kind::Text,
        Some(
            "text, not numbers: it has whole numbers of more than 64 bits (`18446744073709551615` in line 3)",
        ),
    );
    check(
        &["01/02/2023", "02/03/2023"],
        Kind::Text,
        Some(
            "text: its dates may have the day or the month first (such as `01/02/2023` in line 2); a type of date or timestamp reads them with the day first",
        ),
    );
    check(
        &["13/02/2023", "02/13/2023"],
        Kind::Text,
        Some(
            "text although all 2 values look like dates: no one order of day and month reads them all",
        ),
    );
}

#[test]
fn frequent_words_are_values_of_text() {
    let mut values = vec!["None"; 5];
    values.push("Alba");
    check(
        &values,
        Kind::Text,
        Some("`None` in 5 of 6 rows is taken as a value; set null marks to change that"),
    );
    values.extend(["Boreal"; 94]);
    check(
        &values,
        Kind::Text,
        Some("`None` in 5 of 100 rows is taken as a value; set null marks to change that"),
    );
    values.push("Alba");
    check(
        &values,
        Kind::Text,
        Some("`None` in 5 of 101 rows is taken as missing; set null marks to change that"),
    );
}

#[test]
fn what_is_told_is_done() {
    let options = TextOptions {
        types: [("x".to_owned(), FieldType::Text)].into(),
        nulls: Some(vec!["x".to_owned()]),
        decimal_comma: true,
        ..TextOptions::default()
    };
    assert_eq!(choose(&["1", "2"], &options).0, Kind::Text);
    let options = TextOptions {
        types: Default::default(),
        ..options
    };
    assert_eq!(choose(&["1", "x"], &options).0, Kind::Integer);
    assert_eq!(choose(&["1", "NA"], &options).0, Kind::Text);
    assert_eq!(choose(&["1,234"], &options).0, Kind::Float(COMMA));
    assert_eq!(
        choose(&["1.234", "12.345"], &options).0,
        Kind::Float(DOT_GROUPS)
    );
    assert_eq!(choose(&["1.5"], &options).0, Kind::Float(PLAIN));
}

#[test]
fn years_of_two_digits_are_text_and_told() {
    check(
        &["31/01/13", "01/02/13"],
        Kind::Text,
        Some(
            "text although 2 of 2 values are dates or times: years of two digits are of any century (such as `31/01/13` in line 2)",
        ),
    );
    check(&["31/01/13", "a"], Kind::Text, None);
}

#[test]
fn parentheses_are_a_minus_sign_among_other_numbers() {
    check(
        &["1,200.00", "(35.50)"],
        Kind::Float(COMMA_GROUPS),
        Some(
            "read as numbers with commas between thousands, where parentheses stand for a minus sign (such as `1,200.00` in line 2)",
        ),
    );
    check(
        &["(1)", "(2)"],
        Kind::Text,
        Some(
            "text: all 2 values are numbers in parentheses (such as `(1)` in line 2), which may be negative or labels; a type of float reads them as negative numbers",
        ),
    );
    check(&["(a)", "(b)"], Kind::Text, None);
}

#[test]
fn times_and_dates_that_are_not_read_are_told() {
    check(
        &["14:30", "8:05:00"],
        Kind::Text,
        Some(
            "text although of 2 values 2 look like times of day or durations, for which there is no type (such as `14:30` in line 2)",
        ),
    );
    check(
        &["Jan 2013", "2013-02"],
        Kind::Text,
        Some(
            "text although of 2 values 2 look like dates, in a format that is not read (such as `Jan 2013` in line 2)",
        ),
    );
    check(
        &["20130131", "20130201", "20130202"],
        Kind::Integer,
        Some(
            "read as whole numbers, all 3 of which may be dates (such as `20130131` in line 2); a type of date reads them as such",
        ),
    );
    check(&["20130131", "20130231", "20130202"], Kind::Integer, None);
    let date = TextOptions {
        types: [("x".to_owned(), FieldType::Date)].into(),
        ..TextOptions::default()
    };
    assert_eq!(choose(&["20130131"], &date).0, Kind::Date(YMD));
}

#[test]
fn a_column_of_null_markers_alone_is_told() {
    check(
        &["NA", "none", "NA", ""],
        Kind::Text,
        Some(
            "no value in 4 rows: `NA` (2), `none` (1) are taken as missing; set null marks to change that",
        ),
    );
}

#[test]
fn numbers_that_are_not_read_are_told() {
    check(
        &["5 km", "12 km"],
        Kind::Text,
        Some(
            "text although of 2 values 2 look like numbers with a unit or in a format that is not read (such as `5 km` in line 2)",
        ),
    );
    check(&["1.5", "1.#INF", "-1.#IND"], Kind::Float(PLAIN), None);
    check(
        &["0.7", "<0.5", "1.2"],
        Kind::Text,
        Some(
            "text although of 3 values 2 are numbers and 1 look like numbers with a unit or in a format that is not read (such as `<0.5` in line 3)",
        ),
    );
}

#[test]
fn signs_for_no_value_are_missing_beside_numbers_and_words_are_told() {
    for sign in ["..", ":", "*", "\u{2014}", "(NA)", "#NAME?"] {
        check(&["1", sign, "2"], Kind::Integer, None);
        check(&["a", sign], Kind::Text, None);
    }
    check(&["2013-01-31", "0000-00-00"], Kind::Date(YMD), None);
    check(
        &["1", "unknown", "2.5"],
        Kind::Float(PLAIN),
        Some("`unknown` in 1 of 3 rows is taken as missing; set null marks to change that"),
    );
    check(&["a", "unknown"], Kind::Text, None);
}
