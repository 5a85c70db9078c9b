//! What CSV files do not say of themselves: their delimiter, the types of their columns, and which values are none.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Decoder;
use arrow::datatypes::{DataType, Date32Type, Field, Schema as ArrowSchema, TimeUnit};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::ident;

use crate::error::{Error, Result};
use crate::schema::{FieldType, micros_of_text};

/// What stands for NULL, beside an empty field.
const MISSING: [&str; 9] = [
    "NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "nan", "?",
];

fn is_mark(text: &str) -> bool {
    text.len() <= 4 && MISSING.contains(&text)
}

/// The delimiter that a line has most of, outside of quotes; a comma if none.
pub(super) fn sniff_delimiter(line: &str) -> u8 {
    let mut best = (0, b',');
    for delimiter in *b",;\t|" {
        let n = fields_of(line, delimiter).count() - 1;
        if n > best.0 {
            best = (n, delimiter);
        }
    }
    best.1
}

/// The fields of a line, without their quotes.
pub(super) fn fields_of(line: &str, delimiter: u8) -> impl Iterator<Item = Cow<'_, str>> {
    let mut quoted = false;
    line.split(move |char| {
        quoted ^= char == '"';
        !quoted && char == char::from(delimiter)
    })
    .map(|field| {
        let inner = field
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        match inner {
            // A quote within quotes stands there twice.
            Some(inner) if inner.contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
            Some(inner) => Cow::Borrowed(inner),
            None => Cow::Borrowed(field),
        }
    })
}

/// Looks at rows to find the columns' types.
pub(super) struct Inference {
    columns: Vec<Seen>,
    delimiter: u8,
    rows_left: usize,
}

/// The columns of a CSV file.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// As the reader is to take them.
    pub(super) read: ArrowSchema,
    /// What they are, with the marks for missing values gone.
    wanted: Vec<DataType>,
    infer_rows: usize,
}

/// What the values of a column have been.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    has_marks: bool,
    boolean: bool,
    integer: bool,
    float: bool,
    date: bool,
    timestamp: Option<TimeUnit>,
    text: bool,
}

impl Inference {
    /// Of columns of these names, by so many rows.
    pub(super) fn new(
        names: impl IntoIterator<Item = impl Into<String>>,
        delimiter: u8,
        infer_rows: usize,
    ) -> Self {
        let columns = names.into_iter().map(|name| Seen {
            name: name.into(),
            has_marks: false,
            boolean: false,
            integer: false,
            float: false,
            date: false,
            timestamp: None,
            text: false,
        });
        Inference {
            columns: columns.collect(),
            delimiter,
            rows_left: infer_rows,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rows_left == 0
    }

    /// A reader of one file's rows as text.
    pub(super) fn file(&self) -> Decoder {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|column| Field::new(&column.name, DataType::Utf8, true))
            .collect();
        ReaderBuilder::new(Arc::new(ArrowSchema::new(fields)))
            .with_delimiter(self.delimiter)
            .with_header(true)
            .with_batch_size(self.rows_left.clamp(1, 1_024))
            .build_decoder()
    }

    /// Looks at some bytes of a file; none are its end. Says whether it wants more.
    pub(super) fn look(&mut self, decoder: &mut Decoder, mut bytes: &[u8]) -> Result<bool> {
        let is_end = bytes.is_empty();
        let failed = |error| Error::from(DataFusionError::from(error));
        while !self.is_done() {
            if bytes.is_empty() && !is_end {
                return Ok(true);
            }
            let n = decoder.decode(bytes).map_err(failed)?;
            bytes = &bytes[n..];
            if decoder.capacity() > 0 && !is_end {
                continue;
            }
            let Some(batch) = decoder.flush().map_err(failed)? else {
                return Ok(!is_end);
            };
            let n_rows = batch.num_rows().min(self.rows_left);
            for (column, seen) in batch
                .slice(0, n_rows)
                .columns()
                .iter()
                .zip(&mut self.columns)
            {
                let values = column.as_string::<i32>();
                values.iter().flatten().for_each(|value| seen.look(value));
            }
            self.rows_left -= n_rows;
        }
        Ok(false)
    }

    pub(super) fn finish(self, infer_rows: usize) -> Columns {
        let mut read = Vec::new();
        let mut wanted = Vec::new();
        for seen in self.columns {
            let data_type = seen.data_type();
            // The reader knows no marks: it would refuse them in a column that is not of text.
            let read_type = if seen.has_marks {
                DataType::Utf8
            } else {
                data_type.clone()
            };
            read.push(Field::new(seen.name, read_type, true));
            wanted.push(data_type);
        }
        Columns {
            read: ArrowSchema::new(read),
            wanted,
            infer_rows,
        }
    }
}

impl Seen {
    fn look(&mut self, value: &str) {
        if value.is_empty() {
            return;
        }
        if is_mark(value) {
            self.has_marks = true;
        } else if self.text {
        } else if is_integer(value) {
            self.integer = true;
        } else if is_float(value) {
            self.float = true;
        } else if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            self.boolean = true;
        } else if value.len() == 10 && Date32Type::parse(value).is_some() {
            self.date = true;
        } else if let Some(unit) = unit_of(value) {
            self.timestamp = self.timestamp.max(Some(unit));
        } else {
            self.text = true;
        }
    }

    fn data_type(&self) -> DataType {
        let is_number = self.integer || self.float;
        let is_time = self.date || self.timestamp.is_some();
        match (self.text, self.boolean, is_number, is_time) {
            (false, true, false, false) => DataType::Boolean,
            (false, false, true, false) if self.float => DataType::Float64,
            (false, false, true, false) => DataType::Int64,
            (false, false, false, true) => match self.timestamp {
                Some(unit) => DataType::Timestamp(unit, None),
                None => DataType::Date32,
            },
            _ => DataType::Utf8,
        }
    }
}

fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i64>().is_ok()
}

fn is_float(value: &str) -> bool {
    let digits = value.contains(['.', 'e', 'E'])
        && !value.starts_with('+')
        && value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    digits && value.parse::<f64>().is_ok() || value == "inf" || value == "-inf"
}

/// The unit that holds a timestamp, as `2013-01-31T05:00:00.123`.
fn unit_of(value: &str) -> Option<TimeUnit> {
    let bytes = value.as_bytes();
    let separated = bytes.get(4) == Some(&b'-') && matches!(bytes.get(10), Some(b'T' | b' '));
    if !separated || bytes.len() < 19 || micros_of_text(value).is_none() {
        return None;
    }
    let digits = match value.get(19..)?.strip_prefix('.') {
        Some(fraction) => fraction.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    Some(match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    })
}

impl Columns {
    /// The columns as they are wanted, of those that are read.
    pub(super) fn select(&self) -> Vec<Expr> {
        let columns = self.read.fields().iter().zip(&self.wanted);
        columns
            .map(|(field, wanted)| {
                let column = ident(field.name());
                if field.data_type() != &DataType::Utf8 {
                    return column;
                }
                let known = KnownValues {
                    column: field.name().clone(),
                    data_type: wanted.clone(),
                    infer_rows: self.infer_rows,
                    signature: Signature::any(1, Volatility::Immutable),
                };
                ScalarUDF::from(known)
                    .call(vec![column])
                    .alias(field.name())
            })
            .collect()
    }
}

/// Text without its marks for missing values, as the type it is then.
#[derive(Debug)]
struct KnownValues {
    column: String,
    data_type: DataType,
    infer_rows: usize,
    signature: Signature,
}

impl PartialEq for KnownValues {
    fn eq(&self, other: &Self) -> bool {
        (&self.column, &self.data_type) == (&other.column, &other.data_type)
    }
}

impl Eq for KnownValues {}

impl Hash for KnownValues {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.column, &self.data_type).hash(state);
    }
}

impl KnownValues {
    fn convert(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let values = cast(values, &DataType::Utf8)?;
        let values = values.as_string::<i32>();
        let known = if values.iter().flatten().any(is_mark) {
            let is_known = values
                .iter()
                .map(|value| value.is_some_and(|value| !is_mark(value)));
            let nulls: NullBuffer = is_known.collect::<Vec<bool>>().into();
            StringArray::new(
                values.offsets().clone(),
                values.values().clone(),
                Some(nulls),
            )
        } else {
            values.clone()
        };
        if self.data_type == DataType::Utf8 {
            return Ok(Arc::new(known));
        }
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        if let Ok(typed) = cast_with_options(&known, &self.data_type, &strict) {
            return Ok(typed);
        }
        let typed = cast(&known, &self.data_type)?;
        let odd = (0..known.len()).find(|row| known.is_valid(*row) && typed.is_null(*row));
        Err(Error::data(format!(
            "column `{}` is `{}`, must be of type {} as the first {} rows are; `infer_rows` says how many are looked at",
            self.column,
            odd.map_or("", |row| known.value(row)),
            FieldType::of(&self.data_type),
            self.infer_rows
        )))
    }
}

impl ScalarUDFImpl for KnownValues {
    fn name(&self) -> &str {
        "known_values"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let values = ColumnarValue::values_to_arrays(&args.args)?;
        let values = values
            .first()
            .ok_or_else(|| DataFusionError::Internal("no column".to_owned()))?;
        self.convert(values)
            .map(ColumnarValue::Array)
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::csv::reader::Format;

    fn by_arrow(values: &[&str]) -> DataType {
        let text = format!("a,b\n{},x\n", values.join(",x\n"));
        let format = Format::default().with_header(true);
        let (schema, _) = format.infer_schema(text.as_bytes(), None).unwrap();
        match schema.field(0).data_type() {
            DataType::Null => DataType::Utf8,
            other => other.clone(),
        }
    }

    fn by_us(values: &[&str]) -> DataType {
        let mut inference = Inference::new(["a", "b"], b',', 100);
        let text = format!("a,b\n{},x\n", values.join(",x\n"));
        let mut decoder = inference.file();
        // In pieces, as a network has them.
        for bytes in text.as_bytes().chunks(3) {
            inference.look(&mut decoder, bytes).unwrap();
        }
        inference.look(&mut decoder, &[]).unwrap();
        inference.finish(100).wanted.swap_remove(0)
    }

    #[test]
    fn quotes_of_names_are_taken_off_once() {
        let line = r#"a,"b,c","a ""b""","",""""#;
        let fields: Vec<_> = fields_of(line, b',').collect();
        assert_eq!(fields, ["a", "b,c", "a \"b\"", "", "\""]);
    }

    #[test]
    fn types_are_those_that_arrow_infers() {
        let values = [
            "1",
            "-1",
            "007",
            "+1",
            "1.5",
            ".5",
            "5.",
            "-1e3",
            "1E-3",
            "1e",
            "e5",
            "-",
            ".",
            "1-2",
            "9223372036854775807",
            "99999999999999999999",
            "true",
            "FALSE",
            "True",
            "yes",
            "2013-01-31",
            "2013-1-31",
            "2013-13-31",
            "2013-01-31T05:00:00",
            "2013-01-31 05:00:00",
            "2013-01-31T05:00:00Z",
            "2013-01-31T05:00:00.1",
            "2013-01-31T05:00:00.1234Z",
            "2013-01-31T05:00:00.123456789",
            "x",
            "",
            "0x1",
            "1_000",
            "inf",
            "-inf",
            "2013-01-31T05",
        ];
        for a in values {
            for b in values {
                // What looks like a date or a time to Arrow, and is none, fails when it is read: ours is text.
                if [a, b].contains(&"2013-13-31") {
                    continue;
                }
                assert_eq!(by_us(&[a, b]), by_arrow(&[a, b]), "{a:?} {b:?}");
            }
        }
        assert_eq!(by_us(&["2013-13-31"]), DataType::Utf8);
    }

    #[test]
    fn marks_are_no_values() {
        assert_eq!(by_us(&["1", "NA", "?"]), DataType::Int64);
        assert_eq!(by_us(&["NA", "null"]), DataType::Utf8);
        assert_eq!(by_us(&["Name", "1"]), DataType::Utf8);
    }
}
