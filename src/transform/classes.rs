//! The label as classes.

use serde::{Deserialize, Serialize};

use super::value::Value;
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// The classes of a label, in the order of first appearance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Classes(Vec<String>);

impl Classes {
    /// The maximum number of classes, as in a classification.
    const MAX: usize = 100;

    /// The names by their places.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    /// The place of a class, which it gets if it has none.
    pub(super) fn place(&mut self, name: &str) -> usize {
        self.0
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.0.push(name.to_owned());
                self.0.len() - 1
            })
    }

    /// The place of the class of each row; none where the label is missing.
    pub(super) fn places(&mut self, label: &Value) -> Result<Vec<Option<usize>>> {
        let mut places = Vec::new();
        let mut add = |name: Option<&str>| {
            // One more than there may be is enough to tell.
            let place = name.filter(|_| self.0.len() <= Self::MAX);
            places.push(place.map(|name| self.place(name)));
        };
        match label {
            Value::Raw(_, FieldType::Float) => label.numbers()?.iter().for_each(|number| {
                let number = number.filter(|number| !number.is_nan());
                add(number.map(|number| number.to_string()).as_deref());
            }),
            label => label.tokens()?.for_each(add),
        }
        self.check()?;
        Ok(places)
    }

    /// The places that the classes of another list have here.
    pub(super) fn merge(&mut self, other: &Classes) -> Result<Vec<usize>> {
        let places = other.0.iter().map(|name| self.place(name)).collect();
        self.check()?;
        Ok(places)
    }

    fn check(&self) -> Result<()> {
        if self.0.len() > Self::MAX {
            return Err(Error::data(format!(
                "the label has more than {} distinct values, must be classes",
                Self::MAX
            )));
        }
        Ok(())
    }

    /// The places in the order of classes: numbers by value, strings by their bytes.
    pub(super) fn sorted(&self) -> Vec<usize> {
        let numbers: Option<Vec<f64>> = self.0.iter().map(|name| name.parse().ok()).collect();
        let mut places: Vec<usize> = (0..self.0.len()).collect();
        match numbers {
            Some(numbers) => places.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b])),
            None => places.sort_by_key(|place| &self.0[*place]),
        }
        places
    }
}
