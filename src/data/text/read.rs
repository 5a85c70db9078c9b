//! Reading the rows of pieces of files as batches.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::ObjectStore;
use fourfold_kernels::text::{Bits, Column, Kind, Marks, Values};

use super::blocks::Blocks;
use super::explain::{Place, failed, shown};
use super::order::{Order, arranged, restored};
use super::{LONGEST_RECORD, TextColumn, TextTable, nested};
use crate::error::{Error, Result};

/// The maximum size of a batch, in rows and in bytes of text.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 1 << 22;

/// A part of a file that begins and ends with a record.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) file: PartitionedFile,
    pub(super) shown: Arc<str>,
    /// `None` for all behind `skip` bytes.
    pub(super) range: Option<Range<u64>>,
    pub(super) skip: u64,
    /// The line it begins with.
    pub(super) line: u64,
    pub(super) lines: bool,
    /// The order of its columns.
    pub(super) order: Order,
}

impl Piece {
    /// The columns of the table in the order of the file.
    fn arranged<'c>(&self, columns: &'c [TextColumn]) -> Cow<'c, [TextColumn]> {
        match &self.order {
            Some(order) => Cow::Owned(arranged(columns.to_vec(), order)),
            None => Cow::Borrowed(columns),
        }
    }
}

/// The rows of pieces, one after the other.
pub(super) struct Rows {
    table: Arc<TextTable>,
    store: Arc<dyn ObjectStore>,
    compression: FileCompressionType,
    pieces: std::vec::IntoIter<Piece>,
    open: Option<Open>,
    /// One for each column of the files.
    columns: Vec<Column>,
    /// The columns of batches: places among the files' columns, and behind them among the folders'.
    wanted: Vec<usize>,
    schema: SchemaRef,
    n_rows: usize,
    n_bytes: usize,
}

struct Open {
    piece: Piece,
    blocks: Blocks,
    buffer: Vec<u8>,
    line: u64,
}

impl Rows {
    /// Batches of a schema, whose columns are at these places.
    pub(super) fn new(
        table: Arc<TextTable>,
        store: Arc<dyn ObjectStore>,
        compression: FileCompressionType,
        pieces: Vec<Piece>,
        wanted: Vec<usize>,
        schema: SchemaRef,
    ) -> Self {
        let mut columns: Vec<Column> = table
            .columns
            .iter()
            .map(|column| match column.kind {
                Kind::Empty => Column::new(Kind::Empty, Marks::default()),
                _ => Column::new(Kind::Skip, Marks::default()),
            })
            .collect();
        for at in &wanted {
            let Some(column) = table.columns.get(*at) else {
                continue;
            };
            columns[*at] = Column::new(column.kind, column.marks.clone());
        }
        Rows {
            table,
            store,
            compression,
            pieces: pieces.into_iter(),
            open: None,
            columns,
            wanted,
            schema,
            n_rows: 0,
            n_bytes: 0,
        }
    }

    /// The next batch, if there is one.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.pieces.next() {
                    Some(piece) => begin(&self.store, self.compression, piece).await?,
                    None => return Ok(None),
                },
            };
            let more = open.blocks.next(&mut open.buffer).await?;
            self.read(&mut open, more)?;
            let is_full = self.n_rows >= BATCH_ROWS || self.n_bytes >= BATCH_BYTES;
            let batch = if self.n_rows > 0 && (is_full || !more) {
                Some(self.take(&open.piece, open.line)?)
            } else {
                None
            };
            if more {
                self.open = Some(open);
            }
            if batch.is_some() {
                return Ok(batch);
            }
        }
    }

    /// Reads the whole records of the buffer.
    fn read(&mut self, open: &mut Open, more: bool) -> Result<()> {
        let format = &self.table.format;
        let place = |chunk| Place {
            file: &open.piece.shown,
            line: open.line,
            chunk,
            format,
            lines: open.piece.lines,
        };
        let end = match format.cut(&open.buffer, open.piece.lines) {
            Some(end) if more => end,
            None if more && open.buffer.len() > LONGEST_RECORD => {
                return Err(place(&open.buffer).endless());
            }
            None if more => return Ok(()),
            _ => open.buffer.len(),
        };
        let chunk = &open.buffer[..end];
        let columns = || open.piece.arranged(&self.table.columns);
        if let Err(error) = std::str::from_utf8(chunk) {
            return Err(place(chunk).not_utf8(error.valid_up_to(), &columns()));
        }
        let order = open.piece.order.as_deref();
        if let Some(order) = order {
            self.columns = arranged(std::mem::take(&mut self.columns), order);
        }
        let read = format.read(chunk, &mut self.columns);
        if let Some(order) = order {
            self.columns = restored(std::mem::take(&mut self.columns), order);
        }
        match read {
            Ok(n) => self.n_rows += n,
            Err(fault) => {
                return Err(place(chunk).fault(
                    fault.at,
                    &fault.kind,
                    &columns(),
                    self.table.infer_rows,
                ));
            }
        }
        self.n_bytes += end;
        open.line += format.lines(chunk);
        open.buffer.drain(..end);
        Ok(())
    }

    /// The rows read so far as a batch.
    fn take(&mut self, piece: &Piece, line: u64) -> Result<RecordBatch> {
        let n_rows = std::mem::take(&mut self.n_rows);
        self.n_bytes = 0;
        let n_columns = self.columns.len();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.wanted.len());
        for at in &self.wanted {
            let array = match self.columns.get_mut(*at) {
                Some(column) => array(column, &self.table.columns[*at], &piece.shown, line)?,
                None => {
                    let value: &ScalarValue = piece
                        .file
                        .partition_values
                        .get(at - n_columns)
                        .ok_or_else(|| Error::internal("a folder without its value"))?;
                    value.to_array_of_size(n_rows)?
                }
            };
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}

async fn begin(
    store: &Arc<dyn ObjectStore>,
    compression: FileCompressionType,
    piece: Piece,
) -> Result<Open> {
    let meta = &piece.file.object_meta;
    let mut blocks = Blocks::open(store, meta, compression, piece.range.clone()).await?;
    let mut buffer = Vec::new();
    let skip = piece.skip as usize;
    blocks.fill(&mut buffer, skip).await?;
    buffer.drain(..skip.min(buffer.len()));
    Ok(Open {
        line: piece.line,
        piece,
        blocks,
        buffer,
    })
}

fn bits(bits: Bits) -> BooleanBuffer {
    BooleanBuffer::new(Buffer::from_vec(bits.bytes), 0, bits.len)
}

fn array(column: &mut Column, of: &TextColumn, file: &str, line: u64) -> Result<ArrayRef> {
    let array = array_of(column)?;
    match &of.nested {
        None => Ok(array),
        Some(data_type) => {
            let texts = array.as_string();
            nested::array(texts, data_type)
                .map_err(|error| odd_one(texts, of, file, line).with_source(error))
        }
    }
}

/// The rows of a column, taken out of it.
pub(in crate::data) fn array_of(column: &mut Column) -> Result<ArrayRef> {
    let kind = column.kind();
    let (values, valid) = column.take();
    let nulls = valid.map(|valid| NullBuffer::new(bits(valid)));
    Ok(match values {
        Values::Boolean(values) => Arc::new(BooleanArray::new(bits(values), nulls)),
        Values::Integer(values) if matches!(kind, Kind::Timestamp(_)) => {
            Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
        }
        Values::Integer(values) => Arc::new(Int64Array::new(values.into(), nulls)),
        Values::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
        Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
        Values::Text(offsets, bytes) => {
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Arc::new(StringArray::try_new(
                offsets,
                Buffer::from_vec(bytes),
                nulls,
            )?)
        }
        Values::None => return Err(Error::internal("a column that is not read")),
    })
}

/// The error of the array or object that is not of the type.
fn odd_one(texts: &StringArray, column: &TextColumn, file: &str, line: u64) -> Error {
    let wanted = column.data_type();
    let what = match wanted {
        DataType::List(_) => "an array",
        _ => "an object",
    };
    let odd = (0..texts.len()).find(|row| nested::array(&texts.slice(*row, 1), &wanted).is_err());
    let value = odd.map_or("", |row| texts.value(row));
    failed(
        file,
        format!(
            "column `{}` is `{}` before line {line}, must be {what} like those of the first rows; `infer_rows` says how many are looked at",
            column.name,
            shown(value.as_bytes())
        ),
    )
}
