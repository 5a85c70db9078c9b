//! CSV and JSON: whatever the bytes are, rows or a fault, and the same rows however they are cut into chunks.
#![no_main]

use fourfold_kernels::text::csv::{self, Dialect};
use fourfold_kernels::text::json::{self, Fields, Tallies};
use fourfold_kernels::text::{Column, Kind, Marks, Tally, Values, number, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [how, bytes @ ..] = bytes else {
        return;
    };
    // What is not UTF-8 is refused before.
    if std::str::from_utf8(bytes).is_err() {
        return;
    }
    values(bytes);
    match how % 2 {
        0 => as_csv(*how, bytes),
        _ => as_json(bytes),
    }
});

fn values(bytes: &[u8]) {
    let _ = (number::integer(bytes), number::infinity(bytes));
    let std = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<f64>().ok());
    if let Some(value) = number::float(bytes) {
        assert_eq!(Some(value.to_bits()), std.map(f64::to_bits));
    }
    for style in [1, 2, 4, 8, 16, 32] {
        let _ = number::number(bytes, style);
    }
    for order in [time::YMD, time::DMY, time::MDY] {
        let _ = (time::date(bytes, order), time::timestamp(bytes, order));
    }
    let _ = (time::looks_like_date(bytes), time::is_time_of_day(bytes), time::is_compact_date(bytes));
    let _ = number::looks_like_number(bytes);
}

fn as_csv(how: u8, bytes: &[u8]) {
    let dialect = Dialect {
        delimiter: b",;\t|"[usize::from(how >> 1) % 4],
        terminator: if how & 8 == 0 { b'\n' } else { b'\r' },
        skip_blanks: how & 16 != 0,
    };
    let marks = Marks::new(["NA"]);
    let n = csv::records(bytes, &dialect, 1).first().map_or(1, |(_, record)| record.len());
    let mut tallies = vec![Tally::new(&marks); n];
    let seen = csv::tally(bytes, &dialect, 1, usize::MAX, &marks, &mut tallies);
    let columns = || vec![Column::new(Kind::Text, Marks::default()); n];
    let mut whole = columns();
    let read = csv::read(bytes, &dialect, &mut whole);
    assert_eq!(seen.is_ok(), read.is_ok());
    let (Ok(n_rows), Some(end)) = (read, csv::cut(bytes, &dialect)) else {
        return;
    };
    let mut parts = columns();
    let mut n_of_parts = 0;
    for part in [&bytes[..end], &bytes[end..]] {
        n_of_parts += csv::read(part, &dialect, &mut parts).expect("a cut is the end of a record");
    }
    assert_eq!(n_rows, n_of_parts);
    assert_eq!(taken(&mut whole), taken(&mut parts));
}

fn as_json(bytes: &[u8]) {
    let marks = Marks::new(["NA"]);
    let mut tallies = Tallies::default();
    let seen = tallies.see(bytes, 1, usize::MAX, &marks);
    let names = tallies.fields.names();
    if names.len() > 64 {
        return;
    }
    let fields = Fields::new(names.iter().cloned());
    let mut columns = vec![Column::new(Kind::Text, Marks::default()); names.len()];
    if let Ok(n_rows) = seen {
        assert_eq!(json::read(bytes, &fields, &mut columns), Ok(n_rows));
        assert!(columns.iter().all(|column| column.len() == n_rows));
    }
    let _ = (json::cut(bytes, false), json::is_lines(bytes));
}

fn taken(columns: &mut [Column]) -> Vec<(Values, Option<Vec<u8>>)> {
    let take = |column: &mut Column| {
        let (values, valid) = column.take();
        (values, valid.map(|valid| valid.bytes))
    };
    columns.iter_mut().map(take).collect()
}
