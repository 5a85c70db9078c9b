//! Ranges of a file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt};

use crate::data::location::Found;
use crate::error::{Error, Result};

/// Reads ranges of a file.
pub(super) struct Bytes<'a> {
    store: &'a Arc<dyn ObjectStore>,
    file: &'a Found,
    local: Option<File>,
}

impl<'a> Bytes<'a> {
    pub(super) async fn open(store: &'a Arc<dyn ObjectStore>, file: &'a Found) -> Result<Self> {
        // A small file of this machine is opened, of an object store asked for its first byte.
        let options = GetOptions {
            range: Some((0..file.meta.size.min(1)).into()),
            ..Default::default()
        };
        let got = store.get_opts(&file.meta.location, options).await;
        let got = got.map_err(DataFusionError::from)?;
        Ok(Bytes {
            store,
            file,
            local: match got.payload {
                GetResultPayload::File(file, _) => Some(file),
                GetResultPayload::Stream(_) => None,
            },
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.file.meta.size
    }

    /// The bytes of a range, which must be in the file; `None` if it is not.
    pub(super) async fn at(&mut self, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        if range.start > range.end || range.end > self.size() {
            return Ok(None);
        }
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let Some(file) = &mut self.local else {
            let got = self.store.get_range(&self.file.meta.location, range).await;
            return Ok(Some(got.map_err(DataFusionError::from)?.to_vec()));
        };
        let failed = |error| Error::io(format!("reading `{}`", self.file.shown), error);
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let mut bytes = Vec::new();
        let n = range.end - range.start;
        let read = file.take(n).read_to_end(&mut bytes).map_err(failed)?;
        Ok((read as u64 == n).then_some(bytes))
    }
}
