//! Tensors as every transport has them.

use arrow::array::{ArrayRef, RecordBatch};

use super::column::{Column, Element, Layout};
use super::datatype::Datatype;
use super::plan::{Input, Plan, Rows};
use crate::error::{Error, Result};

/// An input tensor that has come in whole.
#[derive(Clone, Debug)]
pub(crate) struct InputTensor<'a> {
    pub(crate) name: &'a str,
    /// `FP64`, `BYTES`, ...
    pub(crate) datatype: &'a str,
    pub(crate) shape: &'a [i64],
    pub(crate) data: TensorData<'a>,
}

/// The elements of a tensor, in row-major order.
#[derive(Clone, Debug)]
pub(crate) enum TensorData<'a> {
    /// Little-endian, one after the other; `BYTES` with a length of four bytes before each.
    Raw(&'a [u8]),
    /// `BOOL`.
    Bools(&'a [bool]),
    /// `INT8`, `INT16` and `INT32`.
    Ints(&'a [i32]),
    /// `INT64`.
    Longs(&'a [i64]),
    /// `UINT8`, `UINT16` and `UINT32`.
    Uints(&'a [u32]),
    /// `UINT64`.
    Ulongs(&'a [u64]),
    /// `FP32`.
    Floats(&'a [f32]),
    /// `FP64`.
    Doubles(&'a [f64]),
    /// `BYTES`.
    Texts(Vec<&'a [u8]>),
}

impl TensorData<'_> {
    fn len(&self) -> usize {
        match self {
            TensorData::Raw(bytes) => bytes.len(),
            TensorData::Bools(elements) => elements.len(),
            TensorData::Ints(elements) => elements.len(),
            TensorData::Longs(elements) => elements.len(),
            TensorData::Uints(elements) => elements.len(),
            TensorData::Ulongs(elements) => elements.len(),
            TensorData::Floats(elements) => elements.len(),
            TensorData::Doubles(elements) => elements.len(),
            TensorData::Texts(elements) => elements.len(),
        }
    }

    /// Returns `true` if typed elements are of the type in which a datatype is sent.
    fn is_of(&self, datatype: Datatype) -> bool {
        use Datatype::{Bool, Bytes, Fp32, Fp64, Int8, Int16, Int32, Int64};
        use Datatype::{Uint8, Uint16, Uint32, Uint64};
        match self {
            TensorData::Raw(_) => true,
            TensorData::Bools(_) => datatype == Bool,
            TensorData::Ints(_) => matches!(datatype, Int8 | Int16 | Int32),
            TensorData::Longs(_) => datatype == Int64,
            TensorData::Uints(_) => matches!(datatype, Uint8 | Uint16 | Uint32),
            TensorData::Ulongs(_) => datatype == Uint64,
            TensorData::Floats(_) => datatype == Fp32,
            TensorData::Doubles(_) => datatype == Fp64,
            TensorData::Texts(_) => datatype == Bytes,
        }
    }

    pub(super) fn fill(&self, column: &mut Column) -> Result<()> {
        if column.layout().is_ragged() {
            return Err(Error::data(
                "shape [rows, -1] is for nested lists in JSON: here every row has as many items",
            ));
        }
        let datatype = column.datatype();
        if !self.is_of(datatype) {
            return Err(Error::data(format!(
                "its values are not in the field for datatype {datatype}"
            )));
        }
        match self {
            TensorData::Raw(bytes) => column.fill_from_bytes(bytes),
            TensorData::Bools(elements) => fill(column, elements, |v| Element::Boolean(*v)),
            TensorData::Ints(elements) => fill(column, elements, |v| Element::Signed((*v).into())),
            TensorData::Longs(elements) => fill(column, elements, |v| Element::Signed(*v)),
            TensorData::Uints(elements) => {
                fill(column, elements, |v| Element::Unsigned((*v).into()))
            }
            TensorData::Ulongs(elements) => fill(column, elements, |v| Element::Unsigned(*v)),
            TensorData::Floats(elements) => fill(column, elements, |v| Element::Float((*v).into())),
            TensorData::Doubles(elements) => fill(column, elements, |v| Element::Float(*v)),
            TensorData::Texts(elements) => {
                for (index, bytes) in elements.iter().enumerate() {
                    let text = std::str::from_utf8(bytes)
                        .map_err(|_| Error::data(format!("element {index} is not UTF-8")))?;
                    column.push(Element::Text(text))?;
                }
                Ok(())
            }
        }
    }
}

fn fill<T>(
    column: &mut Column,
    elements: &[T],
    element: impl Fn(&T) -> Element<'static>,
) -> Result<()> {
    elements
        .iter()
        .try_for_each(|value| column.push(element(value)))
}

/// Tensors as rows: the columns in the order they were sent. `null` is the string that stands for NULL in `BYTES`.
pub(crate) fn rows(
    plan: &Plan,
    tensors: &[InputTensor<'_>],
    null: Option<&str>,
) -> Result<RecordBatch> {
    let mut rows = Rows::new(plan);
    for tensor in tensors {
        let place = rows.next(tensor.name)?;
        let input = &plan.inputs()[place];
        let column = tensor
            .column(input, null)
            .map_err(|error| input.named(&error))?;
        rows.push(place, column)?;
    }
    rows.finish()?.ok_or_else(no_inputs)
}

pub(super) fn no_inputs() -> Error {
    Error::data("`inputs` is empty, must have at least one tensor")
}

impl InputTensor<'_> {
    fn column(&self, input: &Input, null: Option<&str>) -> Result<ArrayRef> {
        let datatype = Datatype::parse(self.datatype)?;
        datatype.check_fits(input)?;
        let layout = Layout::of(self.shape, input)?;
        let mut column = Column::new(input, datatype, layout, self.data.len());
        self.data.fill(&mut column)?;
        column.finish(null)
    }
}
