//! The options of reading files.

use super::file_format::FileFormat;
use super::file_source::FileSource;
use super::spans::Spans;
use crate::schema::{Field, FieldType, Schema};

impl FileSource {
    /// The delimiter of a CSV file, such as `b';'`.
    #[must_use]
    pub fn delimiter(mut self, byte: u8) -> Self {
        if let FileFormat::Csv { delimiter, .. } = &mut self.format {
            *delimiter = Some(byte);
        }
        self
    }

    /// Reads CSV files whose first line is a row: the columns are `column_1`, `column_2`, and so on.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.text.no_header = true;
        self
    }

    /// The number of rows of a CSV or JSON file that types are inferred from.
    #[must_use]
    pub fn infer_rows(mut self, n: usize) -> Self {
        if let FileFormat::Csv { infer_rows, .. } | FileFormat::Json { infer_rows } =
            &mut self.format
        {
            *infer_rows = n;
        }
        self
    }

    /// The words for a missing value in CSV and JSON files, beside an empty field, instead of the usual ones.
    #[must_use]
    pub fn null_marks<M: Into<String>>(mut self, marks: impl IntoIterator<Item = M>) -> Self {
        self.text.nulls = Some(marks.into_iter().map(Into::into).collect());
        self
    }

    /// The type of a column of CSV and JSON files, which is then not inferred. A value that is not of it is an error.
    #[must_use]
    pub fn column_type(mut self, column: impl Into<String>, field_type: FieldType) -> Self {
        self.text.types.insert(column.into(), field_type);
        self
    }

    /// Reads the columns of a schema as its types, such as those of a saved model for rows to be evaluated or scored: a few
    /// rows may suggest other types than the training data did. Columns that the files lack are ignored.
    #[must_use]
    pub fn typed_as(mut self, schema: &Schema) -> Self {
        let plain = |field: &&Field| field.list.is_none() && field.field_type != FieldType::Other;
        let typed = |field: &Field| (field.name.clone(), field.field_type);
        let expected = schema.fields.iter().filter(plain).map(typed);
        self.text.expected.extend(expected);
        self
    }

    /// Columns that are not read at all. They are then no keys of a split and no slices either: to keep a column from the
    /// features only, see [`DataPipeline::exclude`](super::DataPipeline::exclude).
    #[must_use]
    pub fn leave_out<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.text
            .leave_out
            .extend(columns.into_iter().map(Into::into));
        self
    }

    /// Takes commas in the numbers of CSV and JSON files for decimal ones, and points for those between thousands,
    /// wherever that reads all numbers of a column.
    #[must_use]
    pub fn decimal_comma(mut self) -> Self {
        self.text.decimal_comma = true;
        self
    }

    /// Sets which spans are read, of a path with the tokens of spans; the newest by default.
    #[must_use]
    pub fn spans(mut self, spans: Spans) -> Self {
        self.spans = spans;
        self
    }
}
