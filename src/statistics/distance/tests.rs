//! The numbers are those of the reference's own tests, or computed by hand where they differ.

use super::*;
use crate::statistics::Bucket;

fn categories(counts: &[(&str, f64)]) -> Categories {
    Categories::new(counts.iter().copied())
}

fn histogram(buckets: &[(f64, f64, f64)]) -> Histogram {
    let bucket = |(low, high, count): &(f64, f64, f64)| Bucket {
        low: *low,
        high: *high,
        count: *count,
    };
    Histogram {
        buckets: buckets.iter().map(bucket).collect(),
    }
}

#[track_caller]
fn check(distance: Distance, a: &[(&str, f64)], b: &[(&str, f64)], expect: f64) {
    let (a, b) = (categories(a), categories(b));
    for (a, b) in [(&a, &b), (&b, &a)] {
        let found = distance.of_categories(a, b).unwrap();
        assert!((found - expect).abs() < 1e-9, "{found}, not {expect}");
    }
}

#[track_caller]
fn check_histograms(a: &[(f64, f64, f64)], b: &[(f64, f64, f64)], nan: (f64, f64), expect: f64) {
    let (a, b) = (histogram(a), histogram(b));
    for (a, b) in [((&a, nan.0), (&b, nan.1)), ((&b, nan.1), (&a, nan.0))] {
        let found = jensen_shannon_of_histograms(a, b).unwrap();
        assert!((found - expect).abs() < 1e-9, "{found}, not {expect}");
    }
}

#[test]
fn l_infinity() {
    let distance = Distance::InfinityNorm;
    check(
        distance,
        &[("hello", 0.1), ("world", 0.9)],
        &[("hello", 0.3), ("world", 0.7)],
        0.2,
    );
    check(
        distance,
        &[("b", 0.9), ("c", 0.1)],
        &[("a", 0.3), ("b", 0.7)],
        0.3,
    );
    check(distance, &[], &[], 0.0);
    check(
        distance,
        &[("a", 1.0), ("b", 1.0)],
        &[("a", 3.0), ("b", 1.0)],
        0.25,
    );
    check(
        distance,
        &[("a", 1.0), ("b", 2.0), ("c", 7.0)],
        &[("a", 3.0), ("b", 1.0), ("c", 6.0)],
        0.2,
    );
}

#[test]
fn normalised_absolute_difference() {
    let distance = Distance::NormalizedAbsDifference;
    check(
        distance,
        &[("hello", 0.1), ("world", 0.9)],
        &[("hello", 0.3), ("world", 0.7)],
        0.1,
    );
    check(
        distance,
        &[("hello", 1.0), ("world", 5.0)],
        &[("hello", 10.0), ("world", 50.0)],
        45.0 / 66.0,
    );
    check(distance, &[], &[], 0.0);
}

#[test]
fn jensen_shannon_of_texts() {
    check(
        Distance::JensenShannonDivergence,
        &[("b", 2.0), ("a", 2.0), ("c", 1.0)],
        &[("a", 2.0), ("Z", 1.0), ("Y", 1.0), ("X", 1.0)],
        0.6,
    );
    let error = Distance::JensenShannonDivergence
        .of_categories(&categories(&[]), &categories(&[("a", 1.0)]))
        .unwrap_err();
    assert_eq!(error.to_string(), "there are no values to compare");
}

#[test]
fn jensen_shannon_of_histograms_is_the_references() {
    let none = (0.0, 0.0);
    check_histograms(
        &[(1.0, 2.0, 2.0), (2.0, 3.0, 2.0)],
        &[(2.0, 4.0, 2.0), (4.0, 6.0, 2.0)],
        none,
        0.655_639_062_22,
    );
    check_histograms(&[(1.0, 2.0, 2.0)], &[(2.0, 3.0, 5.0)], none, 1.0);
    check_histograms(
        &[(1.0, 2.0, 2.0), (2.0, 3.0, 1.0)],
        &[(1.0, 2.0, 4.0), (2.0, 3.0, 2.0)],
        none,
        0.0,
    );
    check_histograms(
        &[(1.0, 2.0, 3.0)],
        &[(1.0, 2.0, 4.0)],
        (1.0, 0.0),
        0.137_925_380_96,
    );
    // Points meet equal points only.
    check_histograms(
        &[(0.0, 0.0, 1.0), (1.0, 1.0, 1.0)],
        &[(0.0, 0.0, 1.0), (2.0, 2.0, 1.0)],
        none,
        0.5,
    );
    check_histograms(
        &[(0.0, 0.0, 1.0), (1.0, 2.0, 1.0)],
        &[(1.0, 1.0, 1.0), (2.0, 2.0, 1.0)],
        none,
        1.0,
    );
    check_histograms(
        &[(10.0, 10.0, 21.0)],
        &[(0.0, 4.0, 150.0), (4.0, 12.0, 200.0), (12.0, 20.0, 20.0)],
        none,
        1.0,
    );
}

#[test]
fn what_is_not_finite_matches_itself_unlike_in_the_reference() {
    let infinite = [
        (f64::NEG_INFINITY, f64::NEG_INFINITY, 2.0),
        (0.0, 1.0, 3.0),
        (f64::INFINITY, f64::INFINITY, 1.0),
    ];
    check_histograms(&infinite, &infinite, (0.0, 0.0), 0.0);
    check_histograms(&[], &[], (3.0, 5.0), 0.0);
    check_histograms(&[(f64::INFINITY, f64::INFINITY, 1.0)], &[], (0.0, 1.0), 1.0);
    let error = jensen_shannon_of_histograms((&histogram(&[]), 0.0), (&histogram(&infinite), 0.0));
    assert_eq!(
        error.unwrap_err().to_string(),
        "there are no values to compare"
    );
}

#[test]
fn the_stability_index_is_its_formula() {
    let (p, q): (f64, f64) = (0.5, 0.75);
    let expect = (p - q) * (p / q).ln() + (q - p) * ((1.0 - p) / (1.0 - q)).ln();
    check(
        Distance::PopulationStabilityIndex,
        &[("a", 1.0), ("b", 1.0)],
        &[("a", 3.0), ("b", 1.0)],
        expect,
    );
    // A value that is gone counts as one in ten thousand.
    let gone = (0.5 - 1e-4) * (0.5_f64 / 1e-4).ln() + 0.5 * 2.0_f64.ln();
    check(
        Distance::PopulationStabilityIndex,
        &[("a", 1.0), ("b", 1.0)],
        &[("a", 1.0)],
        gone,
    );
}

#[test]
fn a_list_that_is_cut_off_makes_no_difference_of_its_own() {
    // A thousand values of equal share; each side lists another half of two hundred.
    let side = |from: usize| Categories {
        counts: (from..from + 100)
            .map(|i| (format!("{i:03}"), 5.0))
            .collect(),
        rest: 500.0,
        hidden: 5.0,
    };
    for distance in [
        Distance::InfinityNorm,
        Distance::NormalizedAbsDifference,
        Distance::JensenShannonDivergence,
        Distance::PopulationStabilityIndex,
    ] {
        let found = distance.of_categories(&side(0), &side(100)).unwrap();
        assert!(found.abs() < 1e-12, "{distance}: {found}");
    }
    // A value that cannot hide there is new.
    let mut new = side(0);
    new.counts.insert("new".to_owned(), 105.0);
    new.rest -= 105.0;
    let found = Distance::InfinityNorm
        .of_categories(&new, &side(100))
        .unwrap();
    assert!((0.1..=0.105).contains(&found), "{found}");
}

#[test]
fn a_distance_of_categories_is_none_of_numbers() {
    let error = Distance::InfinityNorm
        .of_numbers(&Statistics::default(), &Statistics::default(), "fare")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the L-infinity distance is of categories, column `fare` is of numbers; use the Jensen-Shannon divergence"
    );
    let error = Distance::KolmogorovSmirnov
        .of_categories(&categories(&[]), &categories(&[]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Kolmogorov-Smirnov distance is of numbers, not of categories"
    );
}
