//! Fitting and applying whole transforms, by subject.

mod steps;
mod target;
mod text;
mod vocabulary;
