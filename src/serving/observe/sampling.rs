//! Sampling of requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fourfold_kernels::hash::{unit, xxh64};

use crate::error::{Error, Result};

/// A share of the requests, drawn by their ids: servers that share an id agree, and a repeated request is drawn again.
/// Requests without an id are drawn by their number.
#[derive(Debug)]
pub(super) struct Sampling {
    share: f64,
    models: BTreeMap<String, f64>,
    n_seen: AtomicU64,
}

impl Sampling {
    pub(super) fn new(share: f64, models: &BTreeMap<String, f64>) -> Result<Self> {
        let check = |what: &str, share: f64| {
            if (0.0..=1.0).contains(&share) {
                return Ok(());
            }
            Err(Error::config(format!(
                "{what} is {share}, must be from 0 to 1"
            )))
        };
        check("`share`", share)?;
        for (model, share) in models {
            check(&format!("the share of model `{model}`"), *share)?;
        }
        Ok(Sampling {
            share,
            models: models.clone(),
            n_seen: AtomicU64::new(0),
        })
    }

    pub(super) fn takes(&self, model: &str, id: Option<&str>) -> bool {
        let share = self.models.get(model).copied().unwrap_or(self.share);
        if share >= 1.0 {
            return true;
        }
        if share <= 0.0 {
            return false;
        }
        let hash = match id {
            Some(id) => xxh64(0, id.as_bytes()),
            None => {
                let number = self.n_seen.fetch_add(1, Ordering::Relaxed);
                xxh64(1, &number.to_le_bytes())
            }
        };
        unit(hash) < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_and_an_id_decides_alike_everywhere() {
        let models = BTreeMap::from([("all".to_owned(), 1.0), ("none".to_owned(), 0.0)]);
        let (here, there) = (
            Sampling::new(0.25, &models).unwrap(),
            Sampling::new(0.25, &models).unwrap(),
        );
        let ids: Vec<String> = (0..10_000).map(|i| format!("request {i}")).collect();
        let taken = ids
            .iter()
            .filter(|id| here.takes("some", Some(id.as_str())))
            .count();
        assert!((2_300..2_700).contains(&taken), "{taken} of 10,000");
        for id in &ids {
            let id = Some(id.as_str());
            assert_eq!(here.takes("some", id), there.takes("some", id));
            assert!(here.takes("all", id) && !here.takes("none", id));
        }
        let numbered = (0..10_000).filter(|_| here.takes("some", None)).count();
        assert!((2_300..2_700).contains(&numbered), "{numbered} of 10,000");
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        for share in [-0.1, 1.1, f64::NAN] {
            let models = BTreeMap::from([("flights".to_owned(), share)]);
            assert!(Sampling::new(share, &BTreeMap::new()).is_err());
            let error = Sampling::new(1.0, &models).unwrap_err();
            assert!(error.to_string().contains("`flights`"), "{error}");
        }
    }
}
