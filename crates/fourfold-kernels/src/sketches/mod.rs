//! Sketches: what is learned of many values in bounded memory, in parts that merge.
//!
//! Equal values in equal parts give equal bits, so results do not depend on the number of threads. Sketches are saved
//! with statistics: their serialized form is a format, which the tests of fourfold hold.

mod arrays;
pub mod bytes;
pub(crate) mod comoments;
mod distinct;
mod moments;
pub mod number;
pub mod quantiles;
#[cfg(test)]
mod tests;
pub mod text;
mod top_values;

pub use self::comoments::CoMoments;
pub use self::distinct::DistinctSketch;
pub use self::moments::Moments;
pub use self::number::NumberSketch;
pub use self::quantiles::QuantileSketch;
pub use self::text::TextSketch;
pub use self::top_values::{Counter, TopValues};
