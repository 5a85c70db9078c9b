//! Validators of validators: boxed ones, lists, tuples.

use serde::Serialize;

use super::{EvalArgs, Needs, Validator};
use crate::blessing::Verdict;
use crate::error::Result;
use crate::model::Model;

impl<M: Model, V: Validator<M> + ?Sized> Validator<M> for Box<V>
where
    Box<V>: Serialize,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        (**self).validate(args)
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }
}

/// Any number of validators side by side; none at all checks nothing, and so blesses nothing.
impl<M: Model, V: Validator<M>> Validator<M> for Vec<V>
where
    Vec<V>: Serialize,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let mut parts = self.iter().map(|validator| part(validator, args));
        parts.try_fold(Verdict::new(), |verdict, part| Ok(verdict.and(part?)))
    }

    fn needs(&self) -> Needs {
        let parts = self.iter().map(Validator::needs);
        parts.fold(Needs::new(), Needs::and)
    }
}

/// The verdict of one of several validators, which must have checked something.
fn part<M: Model>(validator: &impl Validator<M>, args: EvalArgs<'_, M>) -> Result<Verdict> {
    let name = validator.name();
    let part = validator.validate(args);
    let part = part.map_err(|error| error.in_stage(name))?;
    Ok(match part.checks() {
        [] => part.check(name, false, format!("`{name}` has checked nothing")),
        _ => part,
    })
}

macro_rules! tuple_validator {
    ($($name:ident . $index:tt),+) => {
        impl<M: Model, $($name: Validator<M>),+> Validator<M> for ($($name,)+)
        where
            ($($name,)+): Serialize,
        {
            fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
                let mut verdict = Verdict::new();
                $(verdict = verdict.and(part(&self.$index, args)?);)+
                Ok(verdict)
            }

            fn needs(&self) -> Needs {
                Needs::new() $(.and(self.$index.needs()))+
            }
        }
    };
}
tuple_validator!(A.0, B.1);
tuple_validator!(A.0, B.1, C.2);
