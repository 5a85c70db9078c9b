//! The queue of a model's requests: who waits, and whose place another takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::admission::Weight;

/// The queued requests of a model. Permits are given in the order of arrival; this counts who waits for one.
///
/// A client may fill the whole queue as long as others leave it to it. Where the queue is full and another client
/// has fewer requests in it, its next one takes the place of the last request of the client that has the most.
#[derive(Debug)]
pub(super) struct Line {
    max: usize,
    gauge: Gauge,
    queued: Mutex<Queued>,
}

#[derive(Debug, Default)]
struct Queued {
    n_light: usize,
    n_heavy: usize,
    next: u64,
    /// By client, and by number in the order of arrival.
    by_client: HashMap<u64, BTreeMap<u64, Entry>>,
}

/// A queued request.
#[derive(Debug)]
struct Entry {
    weight: Weight,
    /// Dropped where another takes its place; `None` for a request that has begun.
    place: Option<oneshot::Sender<()>>,
}

/// The place of a request in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    line: &'a Line,
    client: u64,
    number: u64,
    lost: Option<oneshot::Receiver<()>>,
}

impl Line {
    pub(super) fn new(max: usize, gauge: Gauge) -> Self {
        Line {
            max,
            gauge,
            queued: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn n_waiting(&self) -> usize {
        let queued = self.lock();
        queued.n_light + queued.n_heavy
    }

    /// Queues a request of a client; `None` if too many are queued.
    pub(super) fn join(&self, weight: Weight, client: u64) -> Option<Place<'_>> {
        let mut queued = self.lock();
        // Light requests may fill the whole queue, heavy ones half of it.
        let is_full = match weight {
            Weight::Light => queued.n_light + queued.n_heavy >= self.max,
            Weight::Heavy => queued.n_heavy >= self.max - self.max / 2,
        };
        if is_full {
            let (greatest, number) = queued.greatest_beside(weight, client)?;
            drop(queued.remove(greatest, number));
            self.gauge.dec();
        }
        let (place, lost) = oneshot::channel();
        let number = queued.add(weight, client, Some(place));
        drop(queued);
        Some(self.place(client, number, Some(lost)))
    }

    /// Queues a request that has begun, however many are queued.
    pub(super) fn stay(&self, weight: Weight, client: u64) -> Place<'_> {
        let number = self.lock().add(weight, client, None);
        self.place(client, number, None)
    }

    fn place(&self, client: u64, number: u64, lost: Option<oneshot::Receiver<()>>) -> Place<'_> {
        self.gauge.inc();
        Place {
            line: self,
            client,
            number,
            lost,
        }
    }
}

impl Queued {
    fn count(&mut self, weight: Weight) -> &mut usize {
        match weight {
            Weight::Light => &mut self.n_light,
            Weight::Heavy => &mut self.n_heavy,
        }
    }

    fn add(&mut self, weight: Weight, client: u64, place: Option<oneshot::Sender<()>>) -> u64 {
        let number = self.next;
        self.next += 1;
        *self.count(weight) += 1;
        let entries = self.by_client.entry(client).or_default();
        entries.insert(number, Entry { weight, place });
        number
    }

    /// The client that has the most requests in the way of one of this weight, and the last of them; `None` if another
    /// place would not leave it as many as `client` has then.
    fn greatest_beside(&self, weight: Weight, client: u64) -> Option<(u64, u64)> {
        let in_way = |entry: &&Entry| {
            entry.place.is_some() && (weight == Weight::Light || entry.weight == Weight::Heavy)
        };
        let n_in_way = |entries: &BTreeMap<u64, Entry>| entries.values().filter(in_way).count();
        let own = self.by_client.get(&client).map_or(0, n_in_way);
        let (greatest, entries) = self
            .by_client
            .iter()
            .max_by_key(|(_, entries)| n_in_way(entries))?;
        let (last, _) = entries.iter().rfind(|(_, entry)| in_way(entry))?;
        (n_in_way(entries) > own + 1).then_some((*greatest, *last))
    }

    fn remove(&mut self, client: u64, number: u64) -> Option<Entry> {
        let entries = self.by_client.get_mut(&client)?;
        let entry = entries.remove(&number)?;
        if entries.is_empty() {
            self.by_client.remove(&client);
        }
        *self.count(entry.weight) -= 1;
        Some(entry)
    }
}

impl Place<'_> {
    /// Returns once another has taken it.
    pub(super) async fn lost(&mut self) {
        match &mut self.lost {
            Some(lost) => _ = lost.await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.line.lock().remove(self.client, self.number).is_some() {
            self.line.gauge.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_lost(place: &mut Place<'_>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(place.lost()).poll(&mut context).is_ready()
    }

    #[test]
    fn a_client_that_fills_the_queue_makes_room_for_another() {
        let line = Line::new(4, Gauge::default());
        let mut first: Vec<Place<'_>> = (0..4)
            .map(|_| line.join(Weight::Light, 1).unwrap())
            .collect();
        assert!(line.join(Weight::Light, 1).is_none(), "nobody else waits");
        let mut second = line.join(Weight::Light, 2).unwrap();
        let _third = line.join(Weight::Light, 2).unwrap();
        assert!(line.join(Weight::Light, 2).is_none(), "both have two");
        let lost: Vec<bool> = first.iter_mut().map(is_lost).collect();
        assert_eq!(lost, [false, false, true, true], "the last ones go");
        assert!(!is_lost(&mut second));
        assert_eq!((line.n_waiting(), line.gauge.get()), (4, 4));
        drop(first);
        assert_eq!((line.n_waiting(), line.gauge.get()), (2, 2));
        assert!(line.join(Weight::Light, 2).is_some());
    }

    #[test]
    fn heavy_requests_leave_half_of_the_queue_and_what_has_begun_stays() {
        let line = Line::new(4, Gauge::default());
        let _heavy = [(); 2].map(|()| line.join(Weight::Heavy, 1).unwrap());
        assert!(line.join(Weight::Heavy, 1).is_none());
        let _light = [(); 2].map(|()| line.join(Weight::Light, 1).unwrap());
        assert!(line.join(Weight::Light, 1).is_none());
        // Light requests are in no way of heavy ones.
        let _other = line.join(Weight::Heavy, 2).unwrap();
        assert!(line.join(Weight::Heavy, 2).is_none());

        let line = Line::new(1, Gauge::default());
        let mut begun = [(); 3].map(|()| line.stay(Weight::Light, 1));
        assert!(line.join(Weight::Light, 2).is_none());
        assert!(!begun.iter_mut().any(is_lost));
        assert_eq!(line.n_waiting(), 3);
        drop(begun);
        assert!(line.join(Weight::Light, 2).is_some());
        assert!(
            Line::new(0, Gauge::default())
                .join(Weight::Light, 1)
                .is_none()
        );
    }
}
