//! Command line options: the reading of files.

use std::path::Path;

use fourfold::data::FileSource;
use fourfold::schema::FieldType;
use fourfold::{Error, Result};

/// The reading of files.
#[derive(clap::Args)]
pub(crate) struct Reading {
    /// A string that marks a missing value in CSV and JSON files, instead of the default ones (may be repeated).
    #[arg(long = "null", value_name = "MARK")]
    nulls: Vec<String>,
    /// The type of a column: boolean, integer, float, text, date or timestamp (may be repeated).
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = column_type)]
    types: Vec<(String, FieldType)>,
    /// The delimiter of CSV files, one character or `tab`; by default, the one by which the first rows are a table.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The first line of CSV files is a row; columns are named column_1 and so on.
    #[arg(long)]
    no_header: bool,
    /// The number of rows of CSV and JSON files that types are inferred from.
    #[arg(long, value_name = "N")]
    infer_rows: Option<usize>,
    /// Numbers have decimal commas, and points between thousands.
    #[arg(long)]
    decimal_comma: bool,
}

impl Reading {
    /// The source of a file or a directory.
    pub(crate) fn source(&self, path: &Path) -> Result<FileSource> {
        let mut source = match self.delimiter {
            // Whatever its name ends in, the file is CSV.
            Some(byte) => FileSource::csv(path).delimiter(byte),
            None => FileSource::detect(path)?,
        };
        if !self.nulls.is_empty() {
            source = source.null_marks(self.nulls.iter().cloned());
        }
        for (column, field_type) in &self.types {
            source = source.column_type(column, *field_type);
        }
        if let Some(n) = self.infer_rows {
            source = source.infer_rows(n);
        }
        if self.no_header {
            source = source.without_header();
        }
        if self.decimal_comma {
            source = source.decimal_comma();
        }
        Ok(source)
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] => Ok(*byte),
        _ => Err(format!("`{text}` must be one character, or `tab`")),
    }
}

/// A column and its type, such as `zip=text`.
fn column_type(told: &str) -> Result<(String, FieldType), String> {
    let (column, name) = told
        .rsplit_once('=')
        .ok_or("must be a column, `=` and a type, such as `zip=text`")?;
    let field_type = name.parse::<FieldType>();
    Ok((
        column.to_owned(),
        field_type.map_err(|error| error.to_string())?,
    ))
}

/// An error that names the options of the command line.
pub(crate) fn in_options(error: Error) -> Error {
    if !error.message().contains("`infer_rows`") {
        return error;
    }
    let message = error.message().replace(
        "`infer_rows` says how many are looked at",
        "`--infer-rows` says how many are looked at, and `--type` of what type a column is",
    );
    let told = Error::new(error.kind(), message);
    match error.stage().map(str::to_owned) {
        Some(stage) => told.in_stage(&stage),
        None => told,
    }
}
