//! The first rows of files, counted by what their fields can be read as.

use fourfold_kernels::text::json::Tallies;
use fourfold_kernels::text::{Fault, Marks, Tally, csv};

use super::order::{arranged, restored};

/// Collects tallies from chunks of whole records.
pub(super) trait Sample {
    /// The number of columns seen so far.
    fn n_columns(&self) -> usize;

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault>;

    /// Arranges the columns as those of the file that is seen next.
    fn arrange(&mut self, order: &[usize]) {
        let _ = order;
    }

    /// Arranges the columns as those of the table again.
    fn restore(&mut self, order: &[usize]) {
        let _ = order;
    }
}

pub(super) struct CsvSample<'a> {
    pub(super) dialect: csv::Dialect,
    pub(super) marks: &'a Marks,
    pub(super) columns: Vec<Tally>,
}

impl Sample for CsvSample<'_> {
    fn n_columns(&self) -> usize {
        self.columns.len()
    }

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault> {
        csv::tally(
            chunk,
            &self.dialect,
            line,
            at_most,
            self.marks,
            &mut self.columns,
        )
    }

    fn arrange(&mut self, order: &[usize]) {
        self.columns = arranged(std::mem::take(&mut self.columns), order);
    }

    fn restore(&mut self, order: &[usize]) {
        self.columns = restored(std::mem::take(&mut self.columns), order);
    }
}

pub(super) struct JsonSample<'a> {
    pub(super) marks: &'a Marks,
    pub(super) tallies: Tallies,
}

impl Sample for JsonSample<'_> {
    fn n_columns(&self) -> usize {
        self.tallies.columns.len()
    }

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault> {
        self.tallies.see(chunk, line, at_most, self.marks)
    }
}
