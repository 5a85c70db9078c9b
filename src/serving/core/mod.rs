//! How a question is answered, whatever protocol it came by.

mod exchange;
mod observer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::exchange::Exchange;
pub use self::observer::{Observation, Observer};
use super::{Manager, VersionChoice};
use crate::error::{Error, Result};

/// What the protocols stand on: finds the model, keeps the limits, batches, predicts, counts and observes.
///
/// Cheap to clone. HTTP and gRPC servers of one application share one.
#[derive(Clone, Debug)]
pub struct ServerCore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    manager: Arc<Manager>,
    observers: Vec<Arc<dyn Observer>>,
}

/// A request, without its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call<'a> {
    /// The model's name.
    pub(crate) model: &'a str,
    /// Which version.
    pub(crate) version: VersionChoice<'a>,
    /// What a traffic split by key goes by.
    pub(crate) routing_key: Option<&'a str>,
    /// The request's id, for logs.
    pub(crate) id: Option<&'a str>,
    /// When the client no longer waits.
    pub(crate) deadline: Option<Instant>,
    /// The size of the request's body: small ones may be answered on the thread that took them.
    pub(crate) n_bytes: usize,
}

impl ServerCore {
    /// With the defaults.
    #[must_use]
    pub fn new(manager: Arc<Manager>) -> Self {
        ServerCore {
            inner: Arc::new(Inner {
                manager,
                observers: Vec::new(),
            }),
        }
    }

    /// What is served.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        &self.inner.manager
    }

    /// Answers a request: finds the version, decodes the rows with its schema, predicts, encodes.
    pub(crate) async fn answer<E: Exchange>(
        &self,
        call: Call<'_>,
        mut exchange: E,
    ) -> Result<E::Reply> {
        let predictor = self.inner.manager.get(call.model, call.version)?;
        let mut answer = || {
            let rows = exchange.rows(&predictor)?;
            let prediction = predictor.predict(&rows)?;
            let reply = exchange.reply(&predictor, &prediction)?;
            let observation = Observation::new(&predictor, &rows, &prediction, call.id);
            for observer in &self.inner.observers {
                observer.observe(&observation);
            }
            Ok(reply)
        };
        catch_unwind(AssertUnwindSafe(&mut answer))
            .unwrap_or_else(|_| Err(Error::model(format!("model `{}` panicked", call.model))))
    }
}

impl From<Arc<Manager>> for ServerCore {
    fn from(manager: Arc<Manager>) -> Self {
        ServerCore::new(manager)
    }
}
