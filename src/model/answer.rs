//! Predictions as values of a user's own types.

use std::fmt;

use ndarray::ArrayView1;
use serde::de::value::{F64Deserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Prediction, Target, Task};
use crate::error::{Error, Result, near_names};

impl Prediction {
    /// The answers as values of a type of yours, one a row. What a type may be:
    ///
    /// | target | structs with fields of | tuples | else |
    /// | --- | --- | --- | --- |
    /// | regression | `value` | `(value,)` | a number |
    /// | binary | `class`, `probability` (of the positive class) | `(class, probability)` | a number (the probability), a class, a `Vec` (the probability of each class) |
    /// | multi-class | `class`, `probabilities` | `(class, probabilities)` | a class, a `Vec` (the probability of each class) |
    ///
    /// Structs may have fields of the model's [extras](Prediction::extra_names) too, such as `lower` and `upper`: numbers.
    ///
    /// A class is a string, a unit variant of an enum, a `bool` or a whole number (if the classes are such);
    /// probabilities are a `Vec` in the order of [`Target::classes`], or a map by class.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the type does not fit, saying what there is.
    pub fn to_rows<P: DeserializeOwned>(&self) -> Result<Vec<P>> {
        (0..self.n_rows()).map(|row| self.to_row(row)).collect()
    }

    /// The answer for a row.
    pub(crate) fn to_row<P: DeserializeOwned>(&self, row: usize) -> Result<P> {
        let answer = Answer {
            target: self.target(),
            outputs: self.outputs().row(row),
            extras: self.extras_of(row),
            is_checked: false,
        };
        answer.to()
    }
}

impl Target {
    /// Checks that a type fits all answers with extras of these names, and that its fields are all fields of answers.
    pub(crate) fn check_answer<P: DeserializeOwned>(&self, extras: &[String]) -> Result<()> {
        let values = vec![0.5; extras.len()];
        let fits = |outputs: &[f64]| {
            let answer = Answer {
                target: self,
                outputs: ArrayView1::from(outputs),
                extras: (extras, ArrayView1::from(&values)),
                is_checked: true,
            };
            answer.to::<P>().map(drop)
        };
        match self.task() {
            Task::Regression => fits(&[0.5]),
            Task::Binary => fits(&[0.0]).and_then(|()| fits(&[1.0])),
            Task::Multiclass => {
                let mut outputs = vec![0.0; self.n_outputs()];
                (0..outputs.len()).try_for_each(|class| {
                    outputs.fill(0.0);
                    outputs[class] = 1.0;
                    fits(&outputs)
                })
            }
        }
    }
}

/// The reason why a prediction does not fit a type.
#[derive(Debug)]
struct Misfit(String);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Misfit(message.to_string())
    }
}

/// The outputs of a row.
#[derive(Clone, Copy)]
struct Answer<'p> {
    target: &'p Target,
    outputs: ArrayView1<'p, f64>,
    /// Names and values.
    extras: (&'p [String], ArrayView1<'p, f64>),
    /// Whether a struct is refused if it has a field that answers lack, even an `Option`.
    is_checked: bool,
}

/// A part of an answer.
enum Part<'p> {
    Class(&'p str),
    Number(f64),
    Probabilities(Answer<'p>),
}

impl<'p> Answer<'p> {
    fn to<P: DeserializeOwned>(self) -> Result<P> {
        P::deserialize(self).map_err(|Misfit(reason)| {
            let fields: Vec<&str> = self.fields().map(|(name, _)| name).collect();
            Error::config(format!(
                "a {} prediction with `{}` does not fit the type that is asked for: {reason}",
                self.target.task(),
                fields.join("` and `")
            ))
        })
    }

    fn class(&self) -> Option<&'p str> {
        self.target.class_of(self.outputs)
    }

    fn number(&self) -> Part<'p> {
        match self.outputs.first() {
            Some(output) if self.outputs.len() == 1 => Part::Number(*output),
            _ => Part::Probabilities(*self),
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&'p str, Part<'p>)> + use<'p> {
        let number = match self.target.task() {
            Task::Regression => "value",
            Task::Binary => "probability",
            Task::Multiclass => "probabilities",
        };
        let class = self.class().map(|class| ("class", Part::Class(class)));
        let (names, values) = self.extras;
        let extras = names.iter().zip(values.to_vec());
        let extras = extras.map(|(name, value)| (name.as_str(), Part::Number(value)));
        class
            .into_iter()
            .chain([(number, self.number())])
            .chain(extras)
    }

    /// The probability of each class; the value of a regression.
    fn probabilities(&self) -> impl Iterator<Item = f64> + use<'p> {
        let negative = match self.target.task() {
            Task::Binary => self.outputs.first().map(|positive| 1.0 - positive),
            _ => None,
        };
        negative.into_iter().chain(self.outputs.to_vec())
    }
}

/// The class if there is one, else the number.
macro_rules! as_class {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.class() {
                Some(class) => Part::Class(class).$method(visitor),
                None => self.number().$method(visitor),
            }
        })*
    };
}

macro_rules! as_number {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.number().$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Answer<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.target.task() {
            Task::Regression => self.number().deserialize_any(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    as_number! { deserialize_f32 deserialize_f64 }
    as_class! {
        deserialize_bool deserialize_str deserialize_string deserialize_char deserialize_identifier
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if self.is_checked {
            let is_known = |field: &str| self.fields().any(|(name, _)| name == field);
            if let Some(field) = fields.iter().find(|field| !is_known(field)) {
                let near = near_names(field, self.fields().map(|(name, _)| name));
                return Err(Misfit(format!("there is no `{field}`{near}")));
            }
        }
        let parts = self.fields().filter(|(name, _)| fields.contains(name));
        visitor.visit_map(Parts { parts, part: None })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let parts = self.fields();
        visitor.visit_map(Parts { parts, part: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(SeqDeserializer::new(self.probabilities()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let parts = self.fields();
        visitor.visit_seq(Parts { parts, part: None })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.class() {
            Some(class) => Part::Class(class).deserialize_enum(name, variants, visitor),
            None => self.number().deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! { unit unit_struct ignored_any }
}

/// The parts of an answer, one after the other.
struct Parts<'p, I> {
    parts: I,
    part: Option<Part<'p>>,
}

impl<'de, I: Iterator<Item = (&'de str, Part<'de>)>> MapAccess<'de> for Parts<'de, I> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((name, part)) = self.parts.next() else {
            return Ok(None);
        };
        self.part = Some(part);
        let name: StrDeserializer<'de, Misfit> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let part = self.part.take();
        let part = part.ok_or_else(|| Misfit("a value was asked for before its key".to_owned()))?;
        seed.deserialize(part)
    }
}

impl<'de, I: Iterator<Item = (&'de str, Part<'de>)>> SeqAccess<'de> for Parts<'de, I> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let part = self.parts.next();
        part.map(|(_, part)| seed.deserialize(part)).transpose()
    }
}

/// A class that is a number or a flag, read as such.
macro_rules! parsed {
    ($($method:ident $type:ty, $visit:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self {
                Part::Class(class) => match class.parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => visitor.visit_borrowed_str(class),
                },
                part => part.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Part::Class(class) => visitor.visit_borrowed_str(class),
            Part::Number(number) => visitor.visit_f64(number),
            Part::Probabilities(answer) => {
                visitor.visit_seq(SeqDeserializer::new(answer.probabilities()))
            }
        }
    }

    parsed! {
        deserialize_bool bool, visit_bool;
        deserialize_i8 i64, visit_i64;
        deserialize_i16 i64, visit_i64;
        deserialize_i32 i64, visit_i64;
        deserialize_i64 i64, visit_i64;
        deserialize_i128 i128, visit_i128;
        deserialize_u8 u64, visit_u64;
        deserialize_u16 u64, visit_u64;
        deserialize_u32 u64, visit_u64;
        deserialize_u64 u64, visit_u64;
        deserialize_u128 u128, visit_u128;
        deserialize_f32 f64, visit_f64;
        deserialize_f64 f64, visit_f64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Part::Probabilities(answer) => {
                let classes = answer.target.classes().iter().map(String::as_str);
                let shares = classes.zip(answer.probabilities());
                visitor.visit_map(MapDeserializer::new(shares))
            }
            part => part.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self {
            Part::Class(class) => {
                let class: StrDeserializer<'de, Misfit> = class.into_deserializer();
                class.deserialize_enum(name, variants, visitor)
            }
            Part::Number(number) => {
                let number: F64Deserializer<Misfit> = number.into_deserializer();
                number.deserialize_enum(name, variants, visitor)
            }
            part @ Part::Probabilities(_) => part.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct identifier
        ignored_any
    }
}
