//! The `data` of a tensor in JSON.

use std::borrow::Cow;

use super::column::Column;
use super::datatype::Datatype;
use super::json::{Next, Reader};
use crate::error::{Error, Result};

/// The most levels of lists within `data`.
const MAX_DEPTH: usize = 16;

impl Column {
    /// Fills it from a list, flat or nested in row-major order; a ragged column from a list (or null) a row.
    pub(super) fn fill_from_json(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        if reader.next()? != Next::Array {
            return Err(Error::data("`data` must be a list"));
        }
        let datatype = self.datatype();
        if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
            return Err(Error::data(format!(
                "datatype {datatype} has no form in JSON: send FP32, or binary data"
            )));
        }
        if self.layout().is_ragged() {
            return self.fill_rows(reader);
        }
        let width = self.layout().width();
        let mut text = Cow::Borrowed("");
        let (mut depth, mut is_first, mut row_starts) = (0, true, 0);
        loop {
            if depth > 0 && !reader.element(&mut is_first)? {
                if depth == 2 && width.is_some_and(|width| self.filled() - row_starts != width) {
                    return Err(Error::data(format!(
                        "a row of {} items, its shape says {} in each",
                        self.filled() - row_starts,
                        width.unwrap_or_default()
                    )));
                }
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                is_first = false;
                continue;
            }
            match reader.next()? {
                Next::Array => {
                    reader.begin_array()?;
                    depth += 1;
                    is_first = true;
                    if depth == 2 {
                        row_starts = self.filled();
                    }
                    if depth > MAX_DEPTH {
                        return Err(Error::data(format!(
                            "`data` is nested deeper than {MAX_DEPTH} lists"
                        )));
                    }
                }
                _ => self.push_json(reader, &mut text)?,
            }
        }
    }

    /// Fills a ragged column from a list of lists.
    fn fill_rows(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        reader.begin_array()?;
        let (mut row, mut is_first) = (0_usize, true);
        while reader.element(&mut is_first)? {
            self.fill_row(reader)
                .map_err(|error| Error::data(format!("row {row}: {}", error.message())))?;
            row += 1;
        }
        Ok(())
    }

    /// Fills a row of a ragged column from a list, or null.
    pub(super) fn fill_row(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let mut text = Cow::Borrowed("");
        if reader.next()? == Next::Array {
            reader.begin_array()?;
            let mut is_first = true;
            while reader.element(&mut is_first)? {
                if reader.next()? == Next::Array {
                    return Err(Error::data("a list within its list, must be flat"));
                }
                self.push_json(reader, &mut text)?;
            }
            return self.end_row(false);
        }
        match reader.scalar(&mut text)? {
            super::column::Element::Null => self.end_row(true),
            other => Err(Error::data(format!("{other}, must be a list or null"))),
        }
    }

    /// Adds the next value.
    #[inline]
    pub(super) fn push_json<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        text: &mut Cow<'a, str>,
    ) -> Result<()> {
        if reader.next()? == Next::Object {
            return Err(Error::data(format!(
                "element {} is an object, must be {}",
                self.filled(),
                self.datatype()
            )));
        }
        let element = reader.scalar(text)?;
        self.push(element)
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::Layout;
    use super::super::plan::Input;
    use super::*;
    use crate::schema::FieldType;
    use arrow::array::{Array, ArrayRef, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};

    fn read_as(datatype: Datatype, input: &Input, shape: &[i64], json: &str) -> Result<ArrayRef> {
        let layout = Layout::of(shape, input)?;
        let mut column = Column::new(input, datatype, layout, json.len());
        let mut reader = Reader::new(json.as_bytes())?;
        column.fill_from_json(&mut reader)?;
        reader.end()?;
        column.finish(Some("None"))
    }

    fn read(datatype: Datatype, n_rows: i64, json: &str) -> Result<ArrayRef> {
        let field_type = match datatype {
            Datatype::Bool => FieldType::Boolean,
            Datatype::Bytes => FieldType::Text,
            _ if datatype.whole_range().is_some() => FieldType::Integer,
            _ => FieldType::Float,
        };
        read_as(datatype, &Input::scalar("x", field_type), &[n_rows], json)
    }

    #[test]
    fn flat_and_nested_lists_are_the_same() {
        let flat = read(Datatype::Int64, 3, "[1, -2, null]").unwrap();
        let nested = read(Datatype::Int64, 3, "[[1], [-2], [null]]").unwrap();
        assert_eq!(&flat, &nested);
        assert_eq!(flat.as_primitive::<Int64Type>().value(1), -2);
        assert!(flat.is_null(2));
        let texts = read(Datatype::Bytes, 3, r#"["a", null, "None"]"#).unwrap();
        assert_eq!(texts.null_count(), 2);
        assert_eq!(read(Datatype::Fp64, 0, "[]").unwrap().len(), 0);
    }

    #[test]
    fn numbers_are_those_of_their_datatype() {
        let floats = read(Datatype::Fp32, 2, "[0.1, 3]").unwrap();
        assert_eq!(
            floats.as_primitive::<Float64Type>().values(),
            &[f64::from(0.1_f32), 3.0]
        );
        let doubles = read(Datatype::Fp64, 2, "[0.1, 18446744073709551615]").unwrap();
        assert_eq!(
            doubles.as_primitive::<Float64Type>().values(),
            &[0.1, 18_446_744_073_709_552_000.0]
        );
    }

    #[test]
    fn lists_are_of_one_length_or_of_their_own() {
        let tags = Input::list("tags", FieldType::Integer);
        let read = |shape: &[i64], json| read_as(Datatype::Int64, &tags, shape, json);
        let fixed = read(&[2, 2], "[[1, 2], [3, null]]").unwrap();
        assert_eq!(&fixed, &read(&[2, 2], "[1, 2, 3, null]").unwrap());
        assert_eq!(&fixed, &read(&[2, -1], "[[1, 2], [3, null]]").unwrap());
        let ragged = read(&[4, -1], "[[1, 2, 3], [], null, [4]]").unwrap();
        let lists = ragged.as_list::<i32>();
        assert_eq!(lists.value_length(0), 3);
        assert_eq!(lists.value_length(1), 0);
        assert!(lists.is_null(2) && !lists.is_null(1));
        assert_eq!(
            lists.value(3).as_primitive::<Int64Type>().values(),
            &[4][..]
        );
        assert_eq!(read(&[2, 0], "[[], []]").unwrap().len(), 2);
        for (shape, json, problem) in [
            (&[2][..], "[1, 2]", "shape [2], must be [rows, items]"),
            (&[2, -2], "[1, 2]", "shape [2, -2], must be"),
            (&[-1, -1], "[[1]]", "shape [-1, -1], must be"),
            (
                &[2, 2],
                "[[1, 2, 3], [4]]",
                "a row of 3 items, its shape says 2 in each",
            ),
            (&[2, 2], "[[1, 2], [3]]", "a row of 1 items"),
            (&[1, 2], "[[1, 2], [3, 4]]", "more elements than the 2"),
            (&[2, -1], "[[1]]", "1 rows, its shape has 2"),
            (&[1, -1], "[[1], [2]]", "row 1: more rows than the 1"),
            (&[1, -1], "[[[1]]]", "row 0: a list within its list"),
            (&[1, -1], "[7]", "row 0: 7, must be a list or null"),
            (
                &[100_000, 9_223_372_036_854_775_807],
                "[1]",
                "must be fewer than 2^31",
            ),
        ] {
            let error = read(shape, json).unwrap_err().to_string();
            assert!(error.contains(problem), "{json}: {error}");
        }
        // A claim of many elements takes no memory.
        assert!(read(&[100_000, 20_000], "[1]").is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (datatype, json, problem) in [
            (
                Datatype::Int8,
                "[0, 128]",
                "element 1 is 128, must be from -128 to 127 (INT8)",
            ),
            (
                Datatype::Uint8,
                "[0, -1]",
                "element 1 is -1, must be from 0 to 255 (UINT8)",
            ),
            (
                Datatype::Uint64,
                "[0, 9223372036854775808]",
                "must be from 0 to 9223372036854775807",
            ),
            (
                Datatype::Int64,
                "[1.5, 2]",
                "element 0 is 1.5, must be a whole number (INT64)",
            ),
            (
                Datatype::Int64,
                "[\"1\", 2]",
                "element 0 is a string, must be a whole number",
            ),
            (
                Datatype::Fp64,
                "[1, true]",
                "element 1 is true, must be a number (FP64)",
            ),
            (
                Datatype::Fp32,
                "[1, 1e39]",
                "element 1 is 1e39, must be within the range of FP32",
            ),
            (Datatype::Fp64, "[1, 1e999]", "number out of range"),
            (
                Datatype::Bool,
                "[1, true]",
                "element 0 is 1, must be true or false (BOOL)",
            ),
            (
                Datatype::Bytes,
                "[\"a\", 1]",
                "element 1 is 1, must be a string (BYTES)",
            ),
            (Datatype::Fp64, "[{}, 1]", "element 0 is an object"),
            (Datatype::Fp64, "[1]", "1 elements, its shape has 2"),
            (
                Datatype::Fp64,
                "[1, 2, 3]",
                "more elements than the 2 of its shape",
            ),
            (Datatype::Fp64, "[1, NaN]", "NaN and Infinity are not JSON"),
            (Datatype::Fp64, "1", "`data` must be a list"),
            (Datatype::Fp16, "[1, 2]", "FP16 has no form in JSON"),
            (Datatype::Bf16, "[1, 2]", "BF16 has no form in JSON"),
            (Datatype::Fp64, deep.as_str(), "nested deeper than 16 lists"),
        ] {
            let error = read(datatype, 2, json).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
