//! The slices of rows in which errors are largest: SliceLine (Sagadeeva and Boehm 2021).
//!
//! A slice is a conjunction of values of columns. Its score weighs how much larger its mean error is against how small it is:
//! `a (mean / mean of all - 1) - (1 - a) (n / rows - 1)`. Slices are made level by level, each of two that differ in one
//! value, and those that can neither have enough rows nor reach the best so far, by the bounds of what they are made of, are
//! left out. What is found is what an exhaustive search would find.

use std::collections::HashMap;

/// The options of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The weight of the errors' size against the slice's size, from 0 to 1.
    pub alpha: f64,
    /// The least rows of a slice.
    pub min_rows: usize,
    /// The most values that a slice is the conjunction of.
    pub max_values: usize,
    /// The number of slices to find.
    pub n_best: usize,
    /// The most slices that are looked at on a level; more are left out, those with the lowest bounds.
    pub max_looked_at: usize,
}

/// A slice of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The values: a column and a code of it, in rising order.
    pub values: Vec<(usize, u32)>,
    /// The score, above 0.
    pub score: f64,
    /// The number of rows.
    pub n_rows: usize,
    /// The sum of their errors.
    pub error: f64,
}

/// A column and a code of it, for each of some columns.
type Values = Vec<(usize, u32)>;

struct Level {
    found: Found,
    rows: Vec<u32>,
    largest: f64,
}

impl Search {
    fn score(&self, error: f64, rows: f64, (n, mean): (f64, f64)) -> f64 {
        self.alpha * (error / rows / mean - 1.0) - (1.0 - self.alpha) * (n / rows - 1.0)
    }

    /// The highest score that a slice within others can have: of at most `rows` rows, a sum of errors of at most `error`, and
    /// no error above `largest`.
    fn bound(&self, rows: f64, error: f64, largest: f64, of_all: (f64, f64)) -> f64 {
        let least = self.min_rows as f64;
        // Up to this many rows all may have the largest error; past it, the sum is spent.
        let turn = (error / largest).clamp(least, rows.max(least));
        [least, turn, rows]
            .into_iter()
            .filter(|rows| *rows >= least)
            .map(|rows| self.score(error.min(rows * largest), rows, of_all))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// The best slices, from the highest score down; only those with a score above 0. `columns` are codes `(n_rows)` each;
    /// `errors` are at least 0 `(n_rows)`.
    #[must_use]
    pub fn run(&self, columns: &[&[u32]], errors: &[f64]) -> Vec<Found> {
        let n = errors.len();
        let total: f64 = errors.iter().sum();
        let of_all = (n as f64, total / n as f64);
        if n == 0 || total.is_nan() || total <= 0.0 {
            return Vec::new();
        }
        let mut best: Vec<Found> = Vec::new();
        let mut level = self.singles(columns, errors, of_all);
        for depth in 1..=self.max_values {
            for slice in &level {
                self.keep(&mut best, &slice.found);
            }
            if depth == self.max_values || level.is_empty() {
                break;
            }
            level = self.next(&level, errors, of_all, &best);
        }
        best
    }

    fn keep(&self, best: &mut Vec<Found>, found: &Found) {
        if found.score <= 0.0 {
            return;
        }
        let place = best.partition_point(|other| {
            other.score > found.score || other.score == found.score && other.values < found.values
        });
        best.insert(place, found.clone());
        best.truncate(self.n_best);
    }

    fn level(
        &self,
        values: Vec<(usize, u32)>,
        rows: Vec<u32>,
        errors: &[f64],
        of_all: (f64, f64),
    ) -> Level {
        let held = rows.iter().map(|row| errors[*row as usize]);
        let (error, largest) = held.fold((0.0, 0.0_f64), |(sum, most), error| {
            (sum + error, most.max(error))
        });
        Level {
            found: Found {
                values,
                score: self.score(error, rows.len() as f64, of_all),
                n_rows: rows.len(),
                error,
            },
            rows,
            largest,
        }
    }

    fn singles(&self, columns: &[&[u32]], errors: &[f64], of_all: (f64, f64)) -> Vec<Level> {
        let mut level = Vec::new();
        for (column, codes) in columns.iter().enumerate() {
            let n_codes = codes.iter().max().map_or(0, |code| *code as usize + 1);
            let mut rows = vec![Vec::new(); n_codes];
            for (row, code) in codes.iter().enumerate() {
                rows[*code as usize].push(row as u32);
            }
            for (code, rows) in rows.into_iter().enumerate() {
                if rows.len() >= self.min_rows {
                    level.push(self.level(vec![(column, code as u32)], rows, errors, of_all));
                }
            }
        }
        level
    }

    /// The slices of one value more.
    fn next(
        &self,
        level: &[Level],
        errors: &[f64],
        of_all: (f64, f64),
        best: &[Found],
    ) -> Vec<Level> {
        let lowest = match best.get(self.n_best.saturating_sub(1)) {
            Some(last) => last.score.max(0.0),
            None => 0.0,
        };
        // Slices are grouped by all values but the last: two with the same beginning make one of the next level.
        let mut beginnings: HashMap<&[(usize, u32)], Vec<usize>> = HashMap::new();
        for (at, slice) in level.iter().enumerate() {
            let values = &slice.found.values;
            beginnings
                .entry(&values[..values.len() - 1])
                .or_default()
                .push(at);
        }
        let known: HashMap<&[(usize, u32)], &Level> = (level.iter())
            .map(|slice| (slice.found.values.as_slice(), slice))
            .collect();
        let mut wanted: Vec<(f64, Values, usize, usize)> = Vec::new();
        for group in beginnings.values() {
            for (at, a) in group.iter().enumerate() {
                for b in &group[at + 1..] {
                    let (first, second) = (&level[*a], &level[*b]);
                    let ends = (first.found.values.last(), second.found.values.last());
                    let (Some(x), Some(y)) = ends else { continue };
                    if x.0 == y.0 {
                        continue;
                    }
                    let mut values = first.found.values.clone();
                    values.push(*y);
                    values.sort_unstable();
                    // Every slice with one value less holds it: the tightest of them bounds it.
                    let mut tightest = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
                    let mut all_there = true;
                    for without in 0..values.len() {
                        let mut parent = values.clone();
                        parent.remove(without);
                        match known.get(parent.as_slice()) {
                            Some(parent) => {
                                tightest.0 = tightest.0.min(parent.rows.len() as f64);
                                tightest.1 = tightest.1.min(parent.found.error);
                                tightest.2 = tightest.2.min(parent.largest);
                            }
                            None => all_there = false,
                        }
                    }
                    let (rows, error, largest) = tightest;
                    let bound = self.bound(rows, error, largest, of_all);
                    if all_there && rows >= self.min_rows as f64 && bound > lowest {
                        wanted.push((bound, values, *a, *b));
                    }
                }
            }
        }
        wanted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        wanted.truncate(self.max_looked_at);
        let made = wanted.into_iter().filter_map(|(_, values, a, b)| {
            let rows = both(&level[a].rows, &level[b].rows);
            (rows.len() >= self.min_rows).then(|| self.level(values, rows, errors, of_all))
        });
        made.collect()
    }
}

/// The rows of both, in rising order.
fn both(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut rows = Vec::new();
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x == y {
            rows.push(**x);
        }
        let (from_a, from_b) = (x <= y, y <= x);
        if from_a {
            a.next();
        }
        if from_b {
            b.next();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize, step: usize, n: usize) -> usize {
        (i * step + 13) % 1_009 % n
    }

    /// Six hundred rows of four columns, with errors that are large in two places.
    fn rows() -> (Vec<Vec<u32>>, Vec<f64>) {
        let n = 600;
        let columns: Vec<Vec<u32>> = [(7_919, 3), (104_729, 4), (611, 5), (1_299, 2)]
            .map(|(step, codes)| (0..n).map(|i| noise(i, step, codes) as u32).collect())
            .into();
        let errors = (0..n).map(|i| {
            let planted = columns[0][i] == 1 && columns[2][i] == 3;
            let other = columns[1][i] == 2;
            0.1 + noise(i, 31, 10) as f64 / 50.0
                + f64::from(u8::from(planted))
                + 0.3 * f64::from(u8::from(other))
        });
        let errors = errors.collect();
        (columns, errors)
    }

    fn exhaustive(search: &Search, columns: &[Vec<u32>], errors: &[f64]) -> Vec<Found> {
        let n = errors.len() as f64;
        let of_all = (n, errors.iter().sum::<f64>() / n);
        let mut slices: HashMap<Vec<(usize, u32)>, (usize, f64)> = HashMap::new();
        for (row, error) in errors.iter().enumerate() {
            for chosen in 1_usize..1 << columns.len() {
                if chosen.count_ones() as usize > search.max_values {
                    continue;
                }
                let values = (0..columns.len()).filter(|at| chosen & (1 << at) != 0);
                let values = values.map(|at| (at, columns[at][row])).collect();
                let held = slices.entry(values).or_default();
                held.0 += 1;
                held.1 += error;
            }
        }
        let mut found: Vec<Found> = slices
            .into_iter()
            .filter(|(_, (rows, _))| *rows >= search.min_rows)
            .map(|(values, (n_rows, error))| Found {
                values,
                score: search.score(error, n_rows as f64, of_all),
                n_rows,
                error,
            })
            .filter(|found| found.score > 0.0)
            .collect();
        found.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.values.cmp(&b.values))
        });
        found.truncate(search.n_best);
        found
    }

    #[test]
    fn nothing_that_an_exhaustive_search_finds_is_missed() {
        let (columns, errors) = rows();
        let views: Vec<&[u32]> = columns.iter().map(Vec::as_slice).collect();
        for alpha in [0.5, 0.8, 0.95, 1.0] {
            for (min_rows, max_values, n_best) in [(6, 3, 10), (20, 2, 4), (40, 4, 30), (1, 4, 500)]
            {
                let search = Search {
                    alpha,
                    min_rows,
                    max_values,
                    n_best,
                    max_looked_at: 10_000,
                };
                let (found, expected) = (
                    search.run(&views, &errors),
                    exhaustive(&search, &columns, &errors),
                );
                assert_eq!(found.len(), expected.len(), "{search:?}");
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a.score - b.score).abs() < 1e-9, "{a:?} {b:?}");
                }
            }
        }
        let search = Search {
            alpha: 0.95,
            min_rows: 10,
            max_values: 3,
            n_best: 1,
            max_looked_at: 10_000,
        };
        assert_eq!(search.run(&views, &errors)[0].values, [(0, 1), (2, 3)]);
    }

    /// Data and results of the tests of SystemDS' `slicefinder` (custom input 1), the authors' own implementation.
    #[test]
    fn the_best_ten_are_those_of_the_authors() {
        let rows = [
            "2112323312",
            "2223412132",
            "2133223114",
            "1221323223",
            "3234334113",
            "4323443411",
            "2224332212",
            "1122332112",
            "4321324243",
            "1314133232",
            "2431241324",
            "3243142341",
            "4124314213",
            "1342431423",
            "2413243142",
            "3241342314",
            "4132414231",
            "1324134243",
            "2413243124",
            "2332142323",
        ];
        let errors = [
            0.159, 0.588, 0.414, 0.305, 0.193, 0.195, 0.878, 0.149, 0.835, 0.344, 0.123, 0.456,
            0.789, 0.987, 0.654, 0.321, 0.246, 0.135, 0.579, 0.802,
        ];
        let digit = |row: &str, at: usize| u32::from(row.as_bytes()[at] - b'0');
        let columns: Vec<Vec<u32>> = (0..10)
            .map(|at| rows.iter().map(|row| digit(row, at)).collect())
            .collect();
        let views: Vec<&[u32]> = columns.iter().map(Vec::as_slice).collect();
        let search = Search {
            alpha: 0.95,
            min_rows: 4,
            max_values: 10,
            n_best: 10,
            max_looked_at: 10_000,
        };
        let found = search.run(&views, &errors);
        let expected = [
            (0.307, 2.807, 4),
            (0.307, 2.807, 4),
            (0.282, 2.759, 4),
            (0.157, 4.046, 7),
            (0.127, 2.956, 5),
            (0.122, 2.942, 5),
            (0.074, 3.298, 6),
            (0.064, 4.197, 8),
            (0.061, 2.796, 5),
            (0.038, 3.194, 6),
        ];
        assert_eq!(found.len(), 10);
        for (found, (score, error, n_rows)) in found.iter().zip(expected) {
            assert!((found.score - score).abs() < 6e-4, "{found:?}");
            assert!((found.error - error).abs() < 6e-4, "{found:?}");
            assert_eq!(found.n_rows, n_rows);
        }
    }

    #[test]
    fn no_errors_have_no_worst_slice() {
        let search = Search {
            alpha: 0.95,
            min_rows: 1,
            max_values: 2,
            n_best: 5,
            max_looked_at: 100,
        };
        assert!(search.run(&[&[0, 1]], &[0.0, 0.0]).is_empty());
        assert!(search.run(&[], &[]).is_empty());
        // All rows alike: no slice is worse than all.
        assert!(search.run(&[&[0, 0]], &[1.0, 1.0]).is_empty());
    }
}
