//! Places of values in files, for remarks.

/// The bits of a number that are the line; those above are the file.
const LINE_BITS: u32 = 40;

/// A line of one of several files, as one number by which places are ordered.
pub(super) fn place(file: usize, line: u64) -> u64 {
    ((file as u64) << LINE_BITS) | line
}

/// The names by which places are shown.
#[derive(Clone, Debug)]
pub(super) struct Places {
    unit: &'static str,
    files: Vec<String>,
}

impl Places {
    /// Places in a file or in none.
    pub(super) fn of(unit: &'static str) -> Self {
        Places {
            unit,
            files: Vec::new(),
        }
    }

    /// Lines of files.
    pub(super) fn in_files<'f>(files: impl IntoIterator<Item = &'f str>) -> Self {
        Places {
            unit: "line",
            files: files.into_iter().map(str::to_owned).collect(),
        }
    }

    /// A place as it is shown: `line 7`, or of several files ``line 7 of `b.csv` ``.
    pub(super) fn show(&self, place: u64) -> String {
        let line = place & ((1 << LINE_BITS) - 1);
        match self.files.get((place >> LINE_BITS) as usize) {
            Some(file) if self.files.len() > 1 => format!("line {line} of `{file}`"),
            _ => format!("{} {line}", self.unit),
        }
    }
}
