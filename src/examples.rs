//! One split of the data: a schema and rows that are read when needed.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::prelude::{DataFrame, ParquetReadOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::accumulate::Accumulate;
use crate::engine::{Batches, Engine};
use crate::error::{Error, Result};

/// The column that the files of examples have beside those of their schema: each row's key, by which it is
/// [placed](crate::data::Split). Copies of a row share the key.
pub(crate) const ROW_KEY: &str = "fourfold:row_key";

/// A schema with the column of keys behind the others.
pub(crate) fn with_row_key(schema: &SchemaRef) -> SchemaRef {
    let key = Arc::new(Field::new(ROW_KEY, DataType::UInt64, false));
    let fields = schema.fields().iter().cloned().chain([key]);
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// A schema without the column of keys.
pub(crate) fn without_row_key(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.filter(|field| field.name() != ROW_KEY).cloned();
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// Rows of one schema, in Parquet files or in memory. Cheap to clone.
///
/// Column types are the physical ones of [`FieldType`](crate::schema::FieldType).
#[derive(Clone, Debug)]
pub struct Examples {
    schema: SchemaRef,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    Files(Arc<[ExampleFile]>),
    Batches(Arc<[RecordBatch]>),
}

/// A Parquet file of examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleFile {
    /// The path.
    pub path: PathBuf,
    /// The number of rows.
    pub n_rows: usize,
}

impl Examples {
    /// Examples in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a batch has another schema.
    pub fn from_batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        if let Some(other) = batches.iter().find(|batch| batch.schema() != schema) {
            return Err(Error::data(format!(
                "a batch of schema {} among examples of schema {}",
                columns_text(&other.schema()),
                columns_text(&schema)
            )));
        }
        Ok(Examples {
            schema,
            rows: Rows::Batches(batches.into()),
        })
    }

    pub(crate) fn from_files(schema: SchemaRef, files: Vec<ExampleFile>) -> Self {
        Examples {
            schema,
            rows: Rows::Files(files.into()),
        }
    }

    /// The Arrow schema.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match &self.rows {
            Rows::Files(files) => files.iter().map(|file| file.n_rows).sum(),
            Rows::Batches(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
        }
    }

    /// The rows as a plan, for [`Engine::accumulate`] and everything else that DataFusion does.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if a file cannot be read.
    pub async fn data_frame(&self, engine: &Engine) -> Result<DataFrame> {
        let session = engine.session();
        match &self.rows {
            Rows::Files(files) if !files.is_empty() => {
                let paths: Vec<String> = files
                    .iter()
                    .map(|file| file.path.to_string_lossy().into_owned())
                    .collect();
                let options = ParquetReadOptions::default().schema(&self.schema);
                Ok(session.read_parquet(paths, options).await?)
            }
            Rows::Files(_) => {
                Ok(session.read_batch(RecordBatch::new_empty(Arc::clone(&self.schema)))?)
            }
            Rows::Batches(batches) if batches.is_empty() => {
                Ok(session.read_batch(RecordBatch::new_empty(Arc::clone(&self.schema)))?)
            }
            Rows::Batches(batches) => Ok(session.read_batches(batches.iter().cloned())?),
        }
    }

    /// Runs an analysis over all rows, with these columns (all if none are named) in the order of the schema.
    ///
    /// # Errors
    /// Those of reading the rows and of the analysis.
    pub(crate) async fn accumulate<A: Accumulate>(
        &self,
        engine: &Engine,
        columns: &[&str],
        prototype: A,
    ) -> Result<A> {
        let columns: Arc<[String]> = columns.iter().map(|name| (*name).to_owned()).collect();
        let parts = self.pieces(engine.partitions()).into_iter().map(|pieces| {
            let (examples, columns) = (self.clone(), Arc::clone(&columns));
            move || -> Batches {
                Box::new(
                    pieces
                        .into_iter()
                        .flat_map(move |piece| examples.read_piece(&piece, &columns)),
                )
            }
        });
        engine.accumulate_batches(parts, prototype).await
    }

    /// All rows in the order of the files, divided into about `n` parts of about equal numbers of rows. They depend on the files
    /// only.
    fn pieces(&self, n: usize) -> Vec<Vec<Piece>> {
        let n_rows: Vec<usize> = match &self.rows {
            Rows::Files(files) => files.iter().map(|file| file.n_rows).collect(),
            Rows::Batches(batches) => batches.iter().map(RecordBatch::num_rows).collect(),
        };
        let of_part = n_rows.iter().sum::<usize>().div_ceil(n).max(1);
        let (mut parts, mut part, mut held) = (Vec::new(), Vec::new(), 0);
        for (at, n_rows) in n_rows.into_iter().enumerate() {
            // Batches in memory are small enough as they are.
            let of = match &self.rows {
                Rows::Files(_) => n_rows.div_ceil(of_part).max(1),
                Rows::Batches(_) => 1,
            };
            for number in 0..of {
                part.push(Piece { at, number, of });
                held += n_rows / of;
                if held >= of_part {
                    parts.push(std::mem::take(&mut part));
                    held = 0;
                }
            }
        }
        if !part.is_empty() {
            parts.push(part);
        }
        parts
    }

    /// The batches of a piece.
    fn read_piece(&self, piece: &Piece, columns: &[String]) -> Batches {
        let columns: HashSet<&str> = columns.iter().map(String::as_str).collect();
        let wanted = |name: &str| match columns.is_empty() {
            true => name != ROW_KEY,
            false => columns.contains(name),
        };
        match &self.rows {
            Rows::Files(files) => match read_file(&files[piece.at].path, &wanted, piece) {
                Ok(batches) => Box::new(batches),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
            Rows::Batches(batches) => {
                let fields = self.schema.fields().iter().enumerate();
                let places: Vec<usize> = fields
                    .filter(|(_, field)| wanted(field.name()))
                    .map(|(place, _)| place)
                    .collect();
                let projected = batches[piece.at].project(&places).map_err(Error::from);
                Box::new(std::iter::once(projected))
            }
        }
    }

    /// The parts that can be read side by side: each file, or all that is in memory. Their order is that of the
    /// rows.
    #[must_use]
    pub fn parts(&self) -> Vec<ExamplePart<'_>> {
        match &self.rows {
            Rows::Files(files) => files.iter().map(ExamplePart::File).collect(),
            Rows::Batches(batches) => vec![ExamplePart::Batches(batches)],
        }
    }

    /// All rows, batch by batch, with these columns only (all if none are named).
    pub fn batches<'a>(
        &'a self,
        columns: &'a [&'a str],
    ) -> impl Iterator<Item = Result<RecordBatch>> + 'a {
        self.parts()
            .into_iter()
            .flat_map(move |part| part.batches(columns))
    }
}

/// "(`a` Int64, `b` Utf8 not null)", for messages.
pub(crate) fn columns_text(schema: &SchemaRef) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " not null" };
            format!("`{}` {}{not_null}", field.name(), field.data_type())
        })
        .collect();
    format!("({})", columns.join(", "))
}

/// A part of [`Examples`].
#[derive(Clone, Copy, Debug)]
pub enum ExamplePart<'a> {
    /// A file.
    File(&'a ExampleFile),
    /// Batches in memory.
    Batches(&'a [RecordBatch]),
}

impl<'a> ExamplePart<'a> {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            ExamplePart::File(file) => file.n_rows,
            ExamplePart::Batches(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
        }
    }

    /// Its rows, batch by batch, with these columns only (all if none are named). An error ends them.
    #[must_use]
    pub fn batches(
        self,
        columns: &'a [&'a str],
    ) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
        let columns: HashSet<&str> = columns.iter().copied().collect();
        self.read(&|name| match columns.is_empty() {
            true => name != ROW_KEY,
            false => columns.contains(name),
        })
    }

    /// Its rows with all columns, and the [`ROW_KEY`] of those in files.
    pub(crate) fn batches_with_keys(self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
        self.read(&|_| true)
    }

    /// Its rows with the columns of some names, in the order of the schema.
    pub(crate) fn read(
        self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
        match self {
            ExamplePart::File(file) => match read_file(&file.path, wanted, &Piece::WHOLE) {
                Ok(batches) => Box::new(batches),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
            ExamplePart::Batches(batches) => {
                let fields = batches.first().map(RecordBatch::schema);
                let fields = fields.iter().flat_map(|schema| schema.fields());
                let places: Vec<usize> = fields
                    .enumerate()
                    .filter(|(_, field)| wanted(field.name()))
                    .map(|(place, _)| place)
                    .collect();
                let batches = batches.iter();
                Box::new(batches.map(move |batch| Ok(batch.project(&places)?)))
            }
        }
    }
}

/// One of `of` pieces of the file or the batch at a place: as many of its row groups.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    number: usize,
    of: usize,
}

impl Piece {
    const WHOLE: Self = Piece {
        at: 0,
        number: 0,
        of: 1,
    };
}

fn read_file(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    piece: &Piece,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let shown = path.display().to_string();
    let unreadable = |error: parquet::errors::ParquetError| {
        Error::corrupt(format!("`{shown}` is not a readable Parquet file")).with_source(error)
    };
    let file = File::open(path).map_err(|error| Error::io(format!("reading `{shown}`"), error))?;
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(unreadable)?
        .with_batch_size(8_192);
    // Columns are selected by place: in a path of Parquet, a dot in a name would mean a field of a struct.
    let fields = builder.schema().fields().iter().enumerate();
    let places = fields
        .filter(|(_, field)| wanted(field.name()))
        .map(|(place, _)| place)
        .collect::<Vec<_>>();
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    builder = builder.with_projection(mask);
    if piece.of > 1 {
        let n_groups = builder.metadata().num_row_groups();
        let begin = |number| number * n_groups / piece.of;
        let groups = begin(piece.number)..begin(piece.number + 1);
        builder = builder.with_row_groups(groups.collect());
    }
    let reader = builder.build().map_err(unreadable)?;
    Ok(reader.map(move |batch| {
        batch.map_err(|error| {
            Error::corrupt(format!("`{shown}` cannot be decoded")).with_source(error)
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow::array::{ArrayRef, Int64Array};
    use parquet::arrow::ArrowWriter;

    #[test]
    fn names_with_dots_are_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part-00000.parquet");
        let column = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let columns = [("a", column(1)), ("a.b", column(2)), ("c", column(3))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = ExampleFile { path, n_rows: 1 };
        let read = |columns: &[&str]| {
            let mut batches = ExamplePart::File(&file).batches(columns);
            batches.next().unwrap().unwrap()
        };
        assert_eq!(read(&["a.b"]), batch.project(&[1]).unwrap());
        assert_eq!(read(&["a"]), batch.project(&[0]).unwrap());
        assert_eq!(read(&[]), batch);
    }
}
