//! The input tensors of a request.

use std::borrow::Cow;

use arrow::array::{ArrayRef, RecordBatch};

use super::request::{in_request, no_shared_memory};
use crate::error::{Error, Result, shortened};
use crate::serving::protocol::Datatype;
use crate::serving::protocol::column::{Column, Element, Layout};
use crate::serving::protocol::json::{Next, Reader};
use crate::serving::protocol::json_fields::{count, named, object, once, scalar};
use crate::serving::protocol::plan::{Input, Plan, Rows};
use crate::serving::protocol::tensor::{TensorData, no_inputs};

/// The most dimensions that a shape may have.
const MAX_DIMENSIONS: usize = 8;

/// Reads the list of inputs.
pub(super) fn read_rows(
    plan: &Plan,
    reader: &mut Reader<'_>,
    mut tail: &[u8],
    null: Option<&str>,
) -> Result<RecordBatch> {
    if reader.next()? != Next::Array {
        return Err(Error::data("`inputs` must be a list of tensors"));
    }
    let mut rows = Rows::new(plan);
    let (mut index, mut is_first) = (0_usize, true);
    reader.begin_array()?;
    while reader
        .element(&mut is_first)
        .map_err(|error| in_request(&error))?
    {
        let mut tensor = Tensor::default();
        tensor
            .read(&mut rows, plan, reader, &mut tail, null)
            .map_err(|fault| tensor.named(index, fault))?;
        index += 1;
    }
    let batch = rows.finish()?.ok_or_else(no_inputs)?;
    if !tail.is_empty() {
        return Err(Error::data(format!(
            "{} bytes of binary data are left over: no `binary_data_size` covers them",
            tail.len()
        )));
    }
    Ok(batch)
}

/// What is wrong with an input.
enum Fault {
    /// Something within it.
    Within(Error),
    /// Something between inputs, which names them.
    Between(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Within(error)
    }
}

/// An input while it is read.
#[derive(Debug, Default)]
struct Tensor<'a> {
    name: Option<Cow<'a, str>>,
    shape: Option<Shape>,
    datatype: Option<Datatype>,
    data: Data<'a>,
    binary_data_size: Option<u64>,
}

/// The elements of an input.
#[derive(Debug, Default)]
enum Data<'a> {
    #[default]
    Missing,
    /// The place of the data in the text, if it precedes shape and datatype.
    At(Reader<'a>),
    Read(Column),
}

#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    sizes: [i64; MAX_DIMENSIONS],
    n: usize,
}

impl Shape {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut shape = Shape::default();
        let mut is_first = true;
        reader.begin_array()?;
        while reader.element(&mut is_first)? {
            let size = match scalar(reader, &mut Cow::Borrowed(""))? {
                Element::Signed(size) => size,
                Element::Unsigned(size) => i64::try_from(size).unwrap_or(i64::MAX),
                other => {
                    return Err(Error::data(format!("{other}, must be whole numbers")));
                }
            };
            *shape
                .sizes
                .get_mut(shape.n)
                .ok_or_else(|| Error::data(format!("more than {MAX_DIMENSIONS} dimensions")))? =
                size;
            shape.n += 1;
        }
        Ok(shape)
    }

    fn sizes(&self) -> &[i64] {
        &self.sizes[..self.n]
    }
}

impl<'a> Tensor<'a> {
    /// An error about it.
    fn named(&self, index: usize, fault: Fault) -> Error {
        let error = match fault {
            Fault::Within(error) => error,
            Fault::Between(error) => return error,
        };
        let which = match &self.name {
            Some(name) => format!("`{}`", shortened(name)),
            None => index.to_string(),
        };
        Error::new(error.kind(), format!("input {which}: {}", error.message()))
    }

    /// Reads the next tensor, and adds its column.
    fn read(
        &mut self,
        rows: &mut Rows<'_>,
        plan: &Plan,
        reader: &mut Reader<'a>,
        tail: &mut &[u8],
        null: Option<&str>,
    ) -> Result<(), Fault> {
        let mut place = None;
        let mut is_first = true;
        reader.begin_object()?;
        while let Some(key) = reader.key(&mut is_first)? {
            match &*key {
                "name" => {
                    let name = reader.text().map_err(|error| named("name", &error))?;
                    once(&mut self.name, name, "name")?;
                    let next = rows.next(self.name.as_deref().unwrap_or_default());
                    place = Some(next.map_err(Fault::Between)?);
                }
                "shape" => {
                    let shape = Shape::read(reader).map_err(|error| named("shape", &error))?;
                    once(&mut self.shape, shape, "shape")?;
                }
                "datatype" => {
                    let datatype = reader.text().map_err(|error| named("datatype", &error))?;
                    once(&mut self.datatype, Datatype::parse(&datatype)?, "datatype")?;
                }
                "parameters" => {
                    let size = &mut self.binary_data_size;
                    object(reader, |key, reader| match key {
                        "binary_data_size" => {
                            *size = count(reader).map_err(|error| named(key, &error))?;
                            Ok(())
                        }
                        "shared_memory_region" => Err(no_shared_memory()),
                        _ => reader.skip(),
                    })?;
                }
                "data" => {
                    if !matches!(self.data, Data::Missing) {
                        return Err(Error::data("duplicate `data`").into());
                    }
                    let input = place.map(|place| (place, &plan.inputs()[place]));
                    match (input, self.shape, self.datatype) {
                        (Some((place, input)), Some(shape), Some(datatype)) => {
                            let column = filled(rows, place, input, &shape, datatype, reader)?;
                            self.data = Data::Read(column);
                        }
                        _ => {
                            self.data = Data::At(*reader);
                            reader.skip()?;
                        }
                    }
                }
                _ => reader.skip()?,
            }
        }
        let missing = |key: &str| Error::data(format!("`{key}` is missing"));
        let place = place.ok_or_else(|| missing("name"))?;
        let shape = self.shape.ok_or_else(|| missing("shape"))?;
        let datatype = self.datatype.ok_or_else(|| missing("datatype"))?;
        let input = &plan.inputs()[place];
        let column = match (std::mem::take(&mut self.data), self.binary_data_size) {
            (Data::Read(column), None) => column,
            (Data::At(mut reader), None) => {
                filled(rows, place, input, &shape, datatype, &mut reader)?
            }
            (Data::Missing, Some(size)) => {
                let (bytes, rest) = usize::try_from(size)
                    .ok()
                    .and_then(|size| tail.split_at_checked(size))
                    .ok_or_else(|| {
                        Error::data(format!(
                            "`binary_data_size` says {size} bytes, the body has {} left",
                            tail.len()
                        ))
                    })?;
                *tail = rest;
                let mut column = empty(rows, place, input, &shape, datatype, bytes.len())?;
                TensorData::Raw(bytes).fill(&mut column)?;
                column
            }
            (Data::Missing, None) => {
                let error = "has neither `data` nor `binary_data_size`, must have one of them";
                return Err(Error::data(error).into());
            }
            (Data::Read(_) | Data::At(_), Some(_)) => {
                let error = "has both `data` and `binary_data_size`, must have one of them";
                return Err(Error::data(error).into());
            }
        };
        let column: ArrayRef = column.finish(null)?;
        rows.push(place, column).map_err(Fault::Between)
    }
}

/// An empty column of the shape and datatype that a tensor claims; no more than `at_most` elements can come.
fn empty(
    rows: &Rows<'_>,
    place: usize,
    input: &Input,
    shape: &Shape,
    datatype: Datatype,
    at_most: usize,
) -> Result<Column, Fault> {
    datatype.check_fits(input)?;
    let layout = Layout::of(shape.sizes(), input)?;
    let checked = rows.check_n_rows(place, layout.n_rows());
    checked.map_err(Fault::Between)?;
    Ok(Column::new(input, datatype, layout, at_most))
}

/// A column filled from the next list.
fn filled(
    rows: &Rows<'_>,
    place: usize,
    input: &Input,
    shape: &Shape,
    datatype: Datatype,
    reader: &mut Reader<'_>,
) -> Result<Column, Fault> {
    let mut column = empty(rows, place, input, shape, datatype, reader.left())?;
    column.fill_from_json(reader)?;
    Ok(column)
}
