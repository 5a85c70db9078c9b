//! Changes between two schemas.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Field, Schema};

/// The changes from one schema to another, also in words by its `Display`. See [`Schema::diff`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SchemaDiff {
    /// The changes, in the order of the fields.
    pub changes: Vec<SchemaChange>,
}

/// A change from one schema to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SchemaChange {
    /// The field; empty for the schema itself.
    pub field: String,
    /// The requirement, by its path in the file (`domain.range.min`); empty for a whole field.
    pub property: String,
    /// The value before; `None` if there was none.
    pub before: Option<Value>,
    /// The value after; `None` if there is none.
    pub after: Option<Value>,
}

impl SchemaDiff {
    /// Returns true if nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A line for each change.
impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, change) in self.changes.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.property.is_empty() {
            let mark = if self.before.is_none() { '+' } else { '-' };
            return write!(f, "{mark} field `{}`", self.field);
        }
        if self.field.is_empty() {
            write!(f, "~ {}", self.property)?;
        } else {
            write!(f, "~ field `{}`: {}", self.field, self.property)?;
        }
        match (&self.before, &self.after) {
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                let lost = before.iter().filter(|value| !after.contains(value));
                let new = after.iter().filter(|value| !before.contains(value));
                let changes: Vec<String> = lost
                    .map(|value| format!("-{value}"))
                    .chain(new.map(|value| format!("+{value}")))
                    .collect();
                write!(f, " {}", changes.join(" "))
            }
            (Some(before), Some(after)) => write!(f, " {before} -> {after}"),
            (None, Some(after)) => write!(f, " set to {after}"),
            (Some(before), None) => write!(f, " no longer {before}"),
            (None, None) => Ok(()),
        }
    }
}

impl Schema {
    /// Returns the changes from this schema to another. The order of fields takes no part, nor does that of values.
    ///
    /// ```
    /// use fourfold::schema::{Domain, Field, FieldType, Schema};
    ///
    /// let values = |values: &[&str]| Domain::Values(values.iter().map(|value| value.to_string()).collect());
    /// let before = Schema::new([Field::new("road", FieldType::Text).required().domain(values(&["air", "rail"]))]);
    /// let mut after = before.clone();
    /// after.fields[0].min_fraction = 0.99;
    /// after.fields[0].domain = Some(values(&["air", "sea"]));
    /// after.fields.push(Field::new("fare", FieldType::Float));
    /// assert_eq!(
    ///     before.diff(&after).to_string(),
    ///     "~ field `road`: domain.values -\"rail\" +\"sea\"\n\
    ///      ~ field `road`: min_fraction 1.0 -> 0.99\n\
    ///      + field `fare`"
    /// );
    /// ```
    #[must_use]
    pub fn diff(&self, after: &Schema) -> SchemaDiff {
        let mut changes = Vec::new();
        let own = |schema: &Schema| {
            let mut own = tree(&Schema {
                fields: Vec::new(),
                ..schema.clone()
            });
            if let Value::Object(own) = &mut own {
                own.remove("fields");
                own.remove("format_version");
            }
            own
        };
        compare("", "", &own(self), &own(after), &mut changes);
        if self.fields == after.fields {
            return SchemaDiff { changes };
        }
        let find = |schema: &Schema, name: &str| -> Option<Value> {
            let found: Option<&Field> = schema.fields.iter().find(|field| field.name == name);
            found.map(tree)
        };
        for field in &self.fields {
            let before = tree(field);
            match find(after, &field.name) {
                Some(after) => compare(&field.name, "", &before, &after, &mut changes),
                None => changes.push(SchemaChange {
                    field: field.name.clone(),
                    property: String::new(),
                    before: Some(before),
                    after: None,
                }),
            }
        }
        for field in &after.fields {
            if find(self, &field.name).is_none() {
                changes.push(SchemaChange {
                    field: field.name.clone(),
                    property: String::new(),
                    before: None,
                    after: Some(tree(field)),
                });
            }
        }
        SchemaDiff { changes }
    }
}

fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Walks two trees side by side down to what differs.
fn compare(
    field: &str,
    path: &str,
    before: &Value,
    after: &Value,
    changes: &mut Vec<SchemaChange>,
) {
    let mut add = |property: String, before: Option<&Value>, after: Option<&Value>| {
        changes.push(SchemaChange {
            field: field.to_owned(),
            property,
            before: before.cloned(),
            after: after.cloned(),
        });
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(field, &path, old, new, changes),
                    (old, new) => changes.push(SchemaChange {
                        field: field.to_owned(),
                        property: path,
                        before: old.cloned(),
                        after: new.cloned(),
                    }),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let all_in = |a: &[Value], b: &[Value]| a.iter().all(|value| b.contains(value));
            if old.len() != new.len() || !all_in(old, new) || !all_in(new, old) {
                add(path.to_owned(), Some(before), Some(after));
            }
        }
        _ if before != after => add(path.to_owned(), Some(before), Some(after)),
        _ => {}
    }
}
