//! A sketch of a column of numbers.
//!
//! While a column has few values, they are counted, and everything else follows from the counts, exactly: whole
//! numbers of a small range in an array, other numbers in a table. Once there are more, sketches take over, and the
//! counts continue for whole numbers only, until it shows that no value stands out.

use serde::{Deserialize, Serialize};

use super::distinct::DistinctSketch;
use super::moments::Moments;
use super::quantiles::{self, Points, QuantileSketch, from_order_key, order_key};
use super::top_values::TopValues;
use crate::hash::hash_u64;

/// Values counted in a table: the double of this.
pub const TOP_CAPACITY: usize = 2_048;
/// Values counted in an array: the largest range of whole numbers.
const DENSE_RANGE: i64 = 1 << 14;
/// The number of values past the exact ones after which it is checked whether some value stands out.
const PATIENCE: u64 = 1 << 16;

/// A sketch of a column of numbers. Values are counted by a key that orders as they do: a whole number's value, a float's
/// [order key](super::quantiles::order_key).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberSketch {
    real: bool,
    state: State,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Exact(Counts),
    Sketched(Box<Sketches>),
}

/// All values with their counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Pairs", into = "Pairs")]
enum Counts {
    Dense { low: i64, counts: Vec<u64> },
    Table(TopValues<i64>),
}

/// The serialized form of counts.
#[derive(Serialize, Deserialize)]
struct Pairs {
    dense: bool,
    pairs: Vec<(i64, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sketches {
    moments: Moments,
    quantiles: QuantileSketch,
    distinct: DistinctSketch,
    top: Option<TopValues<i64>>,
    /// Values until it is looked at again whether some value stands out.
    patience: u64,
}

/// Memory to work in, shared by the columns.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) whole: Vec<i64>,
    pub(super) real: Vec<f64>,
    pub(super) present: Vec<f64>,
}

/// Sketches of floats and of whole numbers do not merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherKind;

impl Default for NumberSketch {
    fn default() -> Self {
        NumberSketch::new(false)
    }
}

impl Scratch {
    /// Bytes held beside the struct itself.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        // Eight bytes are a number of either type.
        8 * (self.whole.capacity() + self.real.capacity() + self.present.capacity())
    }
}

#[inline]
fn hash_key(key: i64) -> u64 {
    hash_u64(key as u64)
}

/// The key of a float: -0.0 and 0.0 are one value, and so are all NaNs.
#[inline]
#[must_use]
pub fn real_key(value: f64) -> i64 {
    let value = if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    };
    order_key(value)
}

impl NumberSketch {
    /// Bytes held beside the struct itself.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Exact(Counts::Dense { counts, .. }) => counts.capacity() * size_of::<u64>(),
            State::Exact(Counts::Table(table)) => table.held_bytes(|_| 0),
            State::Sketched(sketches) => {
                let top = sketches.top.as_ref();
                size_of::<Sketches>()
                    + sketches.quantiles.held_bytes()
                    + sketches.distinct.held_bytes()
                    + top.map_or(0, |top| top.held_bytes(|_| 0))
            }
        }
    }

    /// For floats, or for whole numbers (and what is counted as such).
    #[must_use]
    pub fn new(real: bool) -> Self {
        let counts = if real {
            Counts::Table(TopValues::new(TOP_CAPACITY))
        } else {
            Counts::Dense {
                low: 0,
                counts: Vec::new(),
            }
        };
        NumberSketch {
            real,
            state: State::Exact(counts),
        }
    }

    /// Takes in whole numbers.
    pub fn update_whole(&mut self, values: &[i64], scratch: &mut Scratch) {
        self.take_whole(values, &mut scratch.real);
    }

    pub(super) fn take_whole(&mut self, values: &[i64], floats: &mut Vec<f64>) {
        let mut rest = values;
        if let State::Exact(counts) = &mut self.state {
            rest = counts.take_whole(rest);
        }
        if rest.is_empty() {
            return;
        }
        let sketches = self.sketches();
        floats.clear();
        floats.extend(rest.iter().map(|value| *value as f64));
        sketches.moments.update_slice(floats);
        sketches.quantiles.update_slice(floats);
        match &mut sketches.top {
            None => rest
                .iter()
                .for_each(|value| sketches.distinct.update(hash_key(*value))),
            Some(top) => {
                for value in rest {
                    let hash = hash_key(*value);
                    sketches.distinct.update(hash);
                    top.add_hashed(hash, value, 1);
                }
                sketches.look(rest.len() as u64);
            }
        }
    }

    /// Takes in floats.
    pub(super) fn take_real(&mut self, values: &[f64], floats: &mut Vec<f64>) {
        let mut rest = values;
        if let State::Exact(Counts::Table(counts)) = &mut self.state {
            let mut taken = 0;
            for value in values {
                let key = real_key(*value);
                if counts.is_full() && counts.count(&key).is_none() {
                    break;
                }
                counts.add_hashed(hash_key(key), &key, 1);
                taken += 1;
            }
            rest = values.get(taken..).unwrap_or_default();
        }
        if rest.is_empty() {
            return;
        }
        let sketches = self.sketches();
        let nan = sketches.moments.nan();
        sketches.moments.update_slice(rest);
        if sketches.moments.nan() == nan {
            sketches.quantiles.update_slice(rest);
        } else {
            floats.clear();
            floats.extend(rest.iter().filter(|value| !value.is_nan()));
            sketches.quantiles.update_slice(floats);
        }
        for value in rest {
            sketches.distinct.update(hash_key(real_key(*value)));
        }
    }

    /// The sketches; if there were only counts, they are poured into new ones.
    fn sketches(&mut self) -> &mut Sketches {
        if let State::Exact(counts) = &self.state {
            let mut sketches = Box::new(Sketches {
                moments: Moments::default(),
                quantiles: QuantileSketch::default(),
                distinct: DistinctSketch::default(),
                top: (!self.real).then(|| TopValues::new(TOP_CAPACITY)),
                patience: PATIENCE,
            });
            sketches.pour(&counts.sorted(), self.real);
            self.state = State::Sketched(sketches);
        }
        match &mut self.state {
            State::Sketched(sketches) => sketches,
            State::Exact(_) => unreachable!("the counts have been poured out"),
        }
    }

    /// Takes in what was learned of other values.
    ///
    /// # Errors
    /// If one is of floats and the other of whole numbers.
    pub fn merge(&mut self, other: Self) -> Result<(), OtherKind> {
        if self.real != other.real {
            return Err(OtherKind);
        }
        match other.state {
            State::Exact(theirs) => {
                let pairs = theirs.sorted();
                let left = match &mut self.state {
                    State::Exact(mine) => mine.take_pairs(&pairs),
                    State::Sketched(_) => pairs.as_slice(),
                };
                if !left.is_empty() {
                    let left = left.to_vec();
                    let real = self.real;
                    self.sketches().pour(&left, real);
                }
            }
            State::Sketched(theirs) => {
                let mine = self.sketches();
                mine.moments.merge(&theirs.moments);
                mine.quantiles.merge(&theirs.quantiles);
                mine.distinct.merge(&theirs.distinct);
                mine.patience = mine.patience.min(theirs.patience);
                mine.top = match (mine.top.take(), theirs.top) {
                    (Some(mut top), Some(theirs)) => {
                        top.merge(theirs);
                        Some(top)
                    }
                    _ => None,
                };
            }
        }
        Ok(())
    }

    /// Returns true if it is a sketch of floats.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.real
    }

    /// The moments of all values.
    #[must_use]
    pub fn moments(&self) -> Moments {
        match &self.state {
            State::Sketched(sketches) => sketches.moments,
            State::Exact(counts) => {
                let mut moments = Moments::default();
                for (key, n) in counts.sorted() {
                    moments.update_n(number(key, self.real), n);
                }
                moments
            }
        }
    }

    /// The values but NaN with their counts: all, or those of the sketch.
    #[must_use]
    pub fn points(&self) -> Points {
        match &self.state {
            State::Sketched(sketches) => quantiles::points(&sketches.quantiles),
            State::Exact(counts) => {
                let points: Vec<(f64, f64)> = counts
                    .sorted()
                    .into_iter()
                    .map(|(key, n)| (number(key, self.real), n as f64))
                    .filter(|(value, _)| !value.is_nan())
                    .collect();
                let range = match (points.first(), points.last()) {
                    (Some(first), Some(last)) => (first.0, last.0),
                    _ => (f64::INFINITY, f64::NEG_INFINITY),
                };
                Points::new(points, true, range)
            }
        }
    }

    /// The quantiles of all values but NaN.
    #[must_use]
    pub fn quantile_sketch(&self) -> QuantileSketch {
        match &self.state {
            State::Sketched(sketches) => sketches.quantiles.clone(),
            State::Exact(counts) => {
                let mut sketch = QuantileSketch::default();
                for (key, n) in counts.sorted() {
                    let value = number(key, self.real);
                    if !value.is_nan() {
                        sketch.update_n(value, n);
                    }
                }
                sketch
            }
        }
    }

    /// The number of distinct values, exact or estimated.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        match &self.state {
            State::Sketched(sketches) => sketches.distinct.estimate(),
            State::Exact(counts) => counts.len() as u64,
        }
    }

    /// The most frequent keys, and whether they are all there are; `None` if they are not known any more.
    #[must_use]
    pub fn top(&self, n: usize) -> Option<(Vec<(i64, u64)>, bool)> {
        match &self.state {
            State::Sketched(sketches) => sketches.top.as_ref().map(|top| (top.top(n), false)),
            State::Exact(counts) => {
                let mut pairs = counts.sorted();
                let all = pairs.len() <= n;
                // Stable: equal counts stay in the order of values.
                pairs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                pairs.truncate(n);
                Some((pairs, all))
            }
        }
    }

    /// Returns true if what was read from outside is valid.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match &self.state {
            State::Sketched(sketches) => {
                sketches.distinct.is_whole() && quantiles::is_whole(&sketches.quantiles)
            }
            State::Exact(_) => true,
        }
    }
}

/// The number of a key.
#[must_use]
pub fn number(key: i64, real: bool) -> f64 {
    if real {
        from_order_key(key)
    } else {
        key as f64
    }
}

impl Sketches {
    fn pour(&mut self, pairs: &[(i64, u64)], real: bool) {
        for (key, n) in pairs {
            let value = number(*key, real);
            self.moments.update_n(value, *n);
            if !value.is_nan() {
                self.quantiles.update_n(value, *n);
            }
            let hash = hash_key(*key);
            self.distinct.update(hash);
            if let Some(top) = &mut self.top {
                top.add_hashed(hash, key, *n);
            }
        }
    }

    /// Gives up counting where no value stands out.
    fn look(&mut self, n: u64) {
        self.patience = self.patience.saturating_sub(n);
        if self.patience == 0 {
            self.patience = PATIENCE;
            if self.top.as_ref().is_some_and(stands_out_not) {
                self.top = None;
            }
        }
    }
}

/// Returns true if the counts of values have no meaning: none exceeds four times the error by which it may be too low.
#[must_use]
pub fn stands_out_not<K: Eq + std::hash::Hash + Ord + Clone>(top: &TopValues<K>) -> bool {
    top.error() > 0 && top.highest() <= 4 * top.error()
}

impl Counts {
    fn len(&self) -> usize {
        match self {
            Counts::Dense { counts, .. } => counts.iter().filter(|count| **count > 0).count(),
            Counts::Table(table) => table.len(),
        }
    }

    /// The counts, sorted by key.
    fn sorted(&self) -> Vec<(i64, u64)> {
        match self {
            Counts::Dense { low, counts } => (counts.iter().enumerate())
                .filter(|(_, count)| **count > 0)
                .map(|(at, count)| (low.wrapping_add(at as i64), *count))
                .collect(),
            Counts::Table(table) => {
                let mut pairs: Vec<(i64, u64)> = table.iter().map(|(key, n)| (*key, n)).collect();
                pairs.sort_unstable();
                pairs
            }
        }
    }

    /// Counts as many values as there is room for; returns the rest.
    fn take_whole<'a>(&mut self, values: &'a [i64]) -> &'a [i64] {
        let low = values.iter().copied().min();
        let high = values.iter().copied().max();
        if let (Some(min), Some(max)) = (low, high)
            && self.make_room(min, max)
            && let Counts::Dense { low, counts } = self
        {
            let low = *low;
            for value in values {
                if let Some(count) = counts.get_mut(value.wrapping_sub(low) as usize) {
                    *count += 1;
                }
            }
            return &[];
        }
        match self {
            Counts::Dense { .. } => values,
            Counts::Table(table) => {
                let full = |table: &TopValues<i64>, value: &i64| {
                    table.is_full() && table.count(value).is_none()
                };
                let mut rest = values;
                while let [value, more @ ..] = rest
                    && !full(table, value)
                {
                    table.add_hashed(hash_key(*value), value, 1);
                    rest = more;
                }
                rest
            }
        }
    }

    /// The same with counts.
    fn take_pairs<'a>(&mut self, pairs: &'a [(i64, u64)]) -> &'a [(i64, u64)] {
        if let (Some((min, _)), Some((max, _))) = (pairs.first(), pairs.last())
            && self.make_room(*min, *max)
            && let Counts::Dense { low, counts } = self
        {
            for (value, n) in pairs {
                if let Some(count) = counts.get_mut(value.wrapping_sub(*low) as usize) {
                    *count = count.saturating_add(*n);
                }
            }
            return &[];
        }
        let Counts::Table(table) = self else {
            return pairs;
        };
        let mut rest = pairs;
        while let [(value, n), more @ ..] = rest
            && !(table.is_full() && table.count(value).is_none())
        {
            table.add_hashed(hash_key(*value), value, *n);
            rest = more;
        }
        rest
    }

    /// Makes that the array reaches from `min` to `max`; if the range is too large, counts go into a table, as far as
    /// it can hold them.
    fn make_room(&mut self, min: i64, max: i64) -> bool {
        let Counts::Dense { low, counts } = self else {
            return false;
        };
        let (mut from, mut to) = (min, max);
        if !counts.is_empty() {
            from = from.min(*low);
            to = to.max(low.saturating_add(counts.len() as i64 - 1));
        }
        match to.checked_sub(from) {
            Some(range) if range < DENSE_RANGE => {
                let range = range as usize + 1;
                if counts.is_empty() {
                    *low = from;
                }
                let before = low.wrapping_sub(from) as usize;
                if before > 0 {
                    counts.splice(0..0, std::iter::repeat_n(0, before));
                    *low = from;
                }
                if counts.len() < range {
                    counts.resize(range, 0);
                }
                true
            }
            _ => {
                let pairs = self.sorted();
                if pairs.len() <= 2 * TOP_CAPACITY {
                    let mut table = TopValues::new(TOP_CAPACITY);
                    for (key, n) in pairs {
                        table.add_hashed(hash_key(key), &key, n);
                    }
                    *self = Counts::Table(table);
                }
                false
            }
        }
    }
}

impl From<Counts> for Pairs {
    fn from(counts: Counts) -> Self {
        Pairs {
            dense: matches!(counts, Counts::Dense { .. }),
            pairs: counts.sorted(),
        }
    }
}

impl From<Pairs> for Counts {
    fn from(Pairs { dense, mut pairs }: Pairs) -> Self {
        pairs.sort_unstable();
        let mut counts = if dense {
            Counts::Dense {
                low: 0,
                counts: Vec::new(),
            }
        } else {
            Counts::Table(TopValues::new(TOP_CAPACITY.max(pairs.len())))
        };
        counts.take_pairs(&pairs);
        counts
    }
}
