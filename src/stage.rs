//! Stages of a pipeline: plain structs whose fields are their configuration.
//!
//! ```
//! use fourfold::{Error, ErrorKind, Result, Stage};
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct TopN {
//!     n: usize,
//! }
//!
//! impl Stage for TopN {
//!     fn name(&self) -> &str {
//!         "top_n"
//!     }
//!
//!     fn check(&self) -> Result<()> {
//!         if self.n == 0 {
//!             return Err(Error::new(ErrorKind::Config, "`n` is 0, must be at least 1"));
//!         }
//!         Ok(())
//!     }
//! }
//! assert!(TopN { n: 0 }.check().is_err());
//! ```

use std::fmt;
use std::marker::PhantomData;

use ciborium::Value as Tree;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value, json};

use crate::error::{Error, Result};

/// A named, versioned, serializable unit of work.
///
/// The struct's fields are its configuration. Its serialized form, with [`name`](Stage::name) and
/// [`version`](Stage::version), makes its [`Fingerprint`](crate::fingerprint::Fingerprint).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pipeline stage",
    label = "this is not a `Stage`",
    note = "derive `serde::Serialize` for it and implement `fourfold::Stage` (only `name` is required)"
)]
pub trait Stage: Configuration + Send + Sync + 'static {
    /// The name of the stage: in errors, reports and fingerprints.
    fn name(&self) -> &str;

    /// The version of the code, to be raised when its behaviour changes while its configuration does not.
    fn version(&self) -> u32 {
        1
    }

    /// Checks the configured values; called once by the pipeline's `build()`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the field, the value and the allowed range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Its configuration as a value: the struct's serialized form. A stage that holds fields which cannot change its
    /// result may leave them out here, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it cannot be written as JSON, or holds a number that is not
    /// finite.
    fn configuration(&self) -> Result<Value> {
        self.to_value()
    }

    /// The description that identifies it: `{"name", "version", "configuration"}`.
    ///
    /// # Errors
    /// As [`Stage::configuration`].
    fn describe(&self) -> Result<Value> {
        Ok(json!({
            "name": self.name(),
            "version": self.version(),
            "configuration": self.configuration()?,
        }))
    }
}

/// The serialized form of a value, also where its type is not known: every `Serialize` type has it. It makes `Stage` a
/// trait that can be a trait object.
pub trait Configuration {
    /// The value as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it cannot be written as JSON, or holds a number that is not
    /// finite: JSON has none, and such a number would compare unequal to itself.
    fn to_value(&self) -> Result<Value>;
}

impl<T: Serialize> Configuration for T {
    fn to_value(&self) -> Result<Value> {
        let tree = Tree::serialized(self).map_err(|error| {
            Error::config("a configuration cannot be serialized").with_source(error)
        })?;
        json_of(tree)
    }
}

fn json_of(tree: Tree) -> Result<Value> {
    let odd = |what: String| Error::config(format!("a configuration holds {what}"));
    Ok(match tree {
        Tree::Null => Value::Null,
        Tree::Bool(flag) => Value::Bool(flag),
        Tree::Text(text) => Value::String(text),
        Tree::Bytes(bytes) => bytes.into(),
        Tree::Integer(number) => {
            let number = i128::from(number);
            Number::from_i128(number)
                .map(Value::Number)
                .ok_or_else(|| odd(format!("{number}, must be a number of 64 bits")))?
        }
        Tree::Float(number) => Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| odd(format!("{number}, must be a finite number")))?,
        Tree::Array(items) => Value::Array(items.into_iter().map(json_of).collect::<Result<_>>()?),
        Tree::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let key = match key {
                    Tree::Text(text) => text,
                    Tree::Integer(number) => i128::from(number).to_string(),
                    Tree::Bool(flag) => flag.to_string(),
                    other => return Err(odd(format!("the key {other:?}, must be a string"))),
                };
                Ok((key, json_of(value)?))
            });
            Value::Object(entries.collect::<Result<Map<_, _>>>()?)
        }
        other => return Err(odd(format!("{other:?}, which JSON cannot represent"))),
    })
}

/// Serializes a stage within a stage with its name and version, which its fields alone do not tell. For the fields of
/// stages that hold others:
///
/// ```
/// use fourfold::Stage;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Twice<S: Stage> {
///     #[serde(serialize_with = "fourfold::serialize_stage")]
///     of: S,
/// }
/// # #[derive(Serialize)]
/// # struct Once {}
/// # impl Stage for Once {
/// #     fn name(&self) -> &str {
/// #         "once"
/// #     }
/// # }
/// impl<S: Stage> Stage for Twice<S> {
///     fn name(&self) -> &str {
///         "twice"
///     }
/// }
/// let configuration = Twice { of: Once {} }.configuration()?;
/// assert_eq!(configuration["of"]["name"], "once");
/// # Ok::<(), fourfold::Error>(())
/// ```
///
/// Boxed stages, such as a `Box<dyn Trainer<Model = M>>`, are serialized so without it.
///
/// # Errors
/// If the stage's configuration cannot be had, see [`Stage::configuration`].
pub fn serialize_stage<T: Stage + ?Sized, S: Serializer>(
    stage: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    stage
        .describe()
        .map_err(S::Error::custom)?
        .serialize(serializer)
}

/// A boxed stage is the stage.
impl<S: Stage + ?Sized> Stage for Box<S>
where
    Box<S>: Configuration,
{
    fn name(&self) -> &str {
        (**self).name()
    }

    fn version(&self) -> u32 {
        (**self).version()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn configuration(&self) -> Result<Value> {
        (**self).configuration()
    }
}

/// Any number of stages side by side are a stage.
impl<S: Stage> Stage for Vec<S>
where
    Vec<S>: Configuration,
{
    fn name(&self) -> &str {
        ALL_OF
    }

    fn check(&self) -> Result<()> {
        self.iter().try_for_each(|stage| {
            let in_stage = |error: Error| error.in_stage(stage.name());
            stage.check().map_err(in_stage)
        })?;
        let described = self.iter().map(Stage::describe);
        differ(&described.collect::<Result<Vec<_>>>()?)
    }

    fn configuration(&self) -> Result<Value> {
        self.iter().map(Stage::describe).collect()
    }
}

const ALL_OF: &str = "all_of";

/// Checks that no two stages side by side have the same name, version and configuration: closures have nothing else to tell
/// them apart, and what is kept of one would be taken for the other's.
fn differ(described: &[Value]) -> Result<()> {
    let twice = (1..described.len()).find(|at| described[..*at].contains(&described[*at]));
    match twice {
        Some(at) => Err(Error::config(format!(
            "duplicate stage {}: another one has the same name, version and configuration; change its name or version",
            described[at]["name"]
        ))),
        None => Ok(()),
    }
}

/// Stages side by side are a stage: `(A, B)` and `(A, B, C)`.
macro_rules! tuple_stage {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: Stage),+> Stage for ($($name,)+)
        where
            ($($name,)+): Configuration,
        {
            fn name(&self) -> &str {
                ALL_OF
            }

            fn check(&self) -> Result<()> {
                $(self.$index.check().map_err(|error| error.in_stage(self.$index.name()))?;)+
                differ(&[$(self.$index.describe()?),+])
            }

            fn configuration(&self) -> Result<Value> {
                [$(self.$index.describe()),+].into_iter().collect()
            }
        }
    };
}
tuple_stage!(A.0, B.1);
tuple_stage!(A.0, B.1, C.2);

/// A closure as a stage, with a name and a version: these are all there is to take a fingerprint of, so raise the
/// version when the code changes. `M` is the model that the closure makes or judges.
///
/// Made by [`train_with`](crate::pipeline::PipelineBuilder::train_with) and
/// [`validate_with`](crate::pipeline::PipelineBuilder::validate_with).
pub struct StageFn<F, M> {
    name: String,
    version: u32,
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "only trainers and validators may be closures")
    )]
    pub(crate) call: F,
    model: PhantomData<fn() -> M>,
}

impl<F, M> StageFn<F, M> {
    /// Names a closure.
    #[must_use]
    pub fn new(name: impl Into<String>, version: u32, call: F) -> Self {
        StageFn {
            name: name.into(),
            version,
            call,
            model: PhantomData,
        }
    }
}

impl<F, M> fmt::Debug for StageFn<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageFn({} v{})", self.name, self.version)
    }
}

impl<F, M> Serialize for StageFn<F, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.version).serialize(serializer)
    }
}

impl<F, M> Stage for StageFn<F, M>
where
    F: Send + Sync + 'static,
    M: 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }
}
