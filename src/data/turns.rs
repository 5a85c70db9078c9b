//! Equal rows counted across parts that are read side by side.
//!
//! The parts take turns of [`TURN`] rows, in the order of the parts, whatever the batches and the threads: which of equal
//! rows is the first does not depend on which thread is faster. A part waits for its turn with one batch in hand.

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::placing::Occurrences;

/// The number of rows of a partition that are numbered before those of the next.
const TURN: usize = 8_192;

/// Some rows of a part.
struct Ask {
    hashes: Vec<u64>,
    /// Whether the turn of the next part follows.
    ends: bool,
    answer: oneshot::Sender<Result<Vec<u64>>>,
}

/// The number of requests of a partition that may wait: it is read on while others have their turn.
const AHEAD: usize = 8;

/// One part's place in the order.
pub(super) struct Turns {
    to: mpsc::Sender<Ask>,
    left: usize,
}

/// Keys that are being counted.
pub(super) struct Keys(Vec<oneshot::Receiver<Result<Vec<u64>>>>);

impl Keys {
    /// Waits for them.
    pub(super) async fn counted(self) -> Result<Vec<u64>> {
        let mut keys = Vec::new();
        for answer in self.0 {
            let mut some = answer.await.map_err(|_| gone())??;
            match keys.is_empty() {
                true => keys = some,
                false => keys.append(&mut some),
            }
        }
        Ok(keys)
    }
}

fn gone() -> Error {
    Error::internal("nobody counts equal rows")
}

impl Turns {
    /// Places for `n_parts` parts. Equal rows are counted until the last of them is dropped, which ends a part's turns.
    pub(super) fn of(n_parts: usize, engine: &Engine) -> Vec<Turns> {
        let (turns, parts): (Vec<_>, Vec<_>) = (0..n_parts)
            .map(|_| {
                let (to, part) = mpsc::channel(AHEAD);
                (Turns { to, left: TURN }, part)
            })
            .unzip();
        let pool = &engine.session().runtime_env().memory_pool;
        let reserved = MemoryConsumer::new("placing of rows").register(pool);
        tokio::spawn(count(parts, reserved));
        turns
    }

    /// Asks for the keys of the part's next rows, given their hashes. They are counted when the part's turn comes.
    pub(super) async fn ask(&mut self, mut hashes: Vec<u64>) -> Result<Keys> {
        let mut keys = Vec::with_capacity(1 + hashes.len() / TURN);
        while !hashes.is_empty() {
            let rest = hashes.split_off(self.left.min(hashes.len()));
            self.left -= hashes.len();
            let ends = self.left == 0;
            if ends {
                self.left = TURN;
            }
            let (answer, answered) = oneshot::channel();
            let ask = Ask {
                hashes: std::mem::replace(&mut hashes, rest),
                ends,
                answer,
            };
            self.to.send(ask).await.map_err(|_| gone())?;
            keys.push(answered);
        }
        Ok(Keys(keys))
    }
}

async fn count(mut parts: Vec<mpsc::Receiver<Ask>>, reserved: MemoryReservation) {
    let mut seen = Occurrences::default();
    while !parts.is_empty() {
        let mut at = 0;
        while let Some(part) = parts.get_mut(at) {
            let Some(Ask {
                mut hashes,
                ends,
                answer,
            }) = part.recv().await
            else {
                drop(parts.remove(at));
                continue;
            };
            seen.number(&mut hashes);
            let grown = reserved.try_resize(seen.size());
            // Whoever does not wait any more has failed, or is not wanted.
            let _ = answer.send(grown.map(|()| hashes).map_err(Error::from));
            at += usize::from(ends);
        }
    }
}
