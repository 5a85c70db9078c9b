//! Drift, skew and slices.

use super::*;
use crate::statistics::SliceStatistics;

#[test]
fn drift_and_skew_are_measured_alarm_or_not() {
    let now = statistics(vec![("x", words(&["a", "b"]))]);
    let before = statistics(vec![("x", words(&["a", "a", "a", "b"]))]);
    let mut field = x(FieldType::Text);
    field.drift.infinity_norm = Some(0.01);
    let schema = Schema::new([field]);
    let report = Validation::new(&schema)
        .previous(&before)
        .run(&now)
        .unwrap();
    assert_eq!(
        report.to_string(),
        "error COMPARATOR_L_INFTY_HIGH: column `x`: the L-infinity distance to the previous span is 0.25, must be at \
         most 0.01 (fix: allow the L-infinity distance of `x` to the previous span up to 0.25)\n\
         column `x`: the L-infinity distance to the previous span is 0.250000 (threshold 0.01)"
    );
    let relaxed = schema.relax(&report.anomalies).unwrap();
    let again = Validation::new(&relaxed)
        .previous(&before)
        .run(&now)
        .unwrap();
    assert_eq!(again.anomalies, []);

    let repeated = |counts: [usize; 3]| {
        let all: Vec<&str> = ["a", "b", "c"]
            .iter()
            .zip(counts)
            .flat_map(|(value, n)| vec![*value; n])
            .collect();
        statistics(vec![("x", words(&all))])
    };
    let (now, serving) = (repeated([1, 2, 7]), repeated([3, 1, 6]));
    for (threshold, alarms) in [(0.1, 1), (1.0, 0)] {
        let mut field = x(FieldType::Text);
        field.skew.infinity_norm = Some(threshold);
        let schema = Schema::new([field]);
        let report = Validation::new(&schema)
            .serving(&serving)
            .run(&now)
            .unwrap();
        assert_eq!(report.anomalies.len(), alarms);
        assert!((report.comparisons[0].measured - 0.2).abs() < 1e-12);
    }
    // Without a threshold drift is shown too, for strings and for numbers.
    let schema = Schema::new([Field::new("n", FieldType::Integer)]);
    let numbers = |n: i64| statistics(vec![("n", whole(&(n..n + 100).collect::<Vec<_>>()))]);
    let report = Validation::new(&schema)
        .previous(&numbers(0))
        .run(&numbers(1_000))
        .unwrap();
    assert_eq!(
        report.to_string(),
        "no anomalies\ncolumn `n`: the Jensen-Shannon divergence to the previous span is 1.000000"
    );
}

#[test]
fn all_distances_of_a_column() {
    let now = statistics(vec![("x", words(&["a", "b"])), ("n", floats(&[1.0, 2.0]))]);
    let before = statistics(vec![("x", words(&["a", "a"])), ("n", floats(&[5.0, 6.0]))]);
    let all = Comparator {
        infinity_norm: Some(0.1),
        jensen_shannon_divergence: Some(0.1),
        normalized_abs_difference: Some(0.1),
        population_stability_index: Some(0.1),
        kolmogorov_smirnov: None,
    };
    let mut text = x(FieldType::Text);
    text.version_change = all;
    let mut number = Field::new("n", FieldType::Float);
    number.version_change.kolmogorov_smirnov = Some(0.5);
    let schema = Schema::new([text, number]);
    schema.check().unwrap();
    let report = Validation::new(&schema)
        .previous_version(&before)
        .run(&now)
        .unwrap();
    let kinds: Vec<&str> = report
        .anomalies
        .iter()
        .map(|anomaly| anomaly.kind.name())
        .collect();
    assert_eq!(
        kinds,
        [
            "COMPARATOR_L_INFTY_HIGH",
            "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
            "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
            "COMPARATOR_POPULATION_STABILITY_INDEX_HIGH",
            "COMPARATOR_KOLMOGOROV_SMIRNOV_HIGH",
        ]
    );
}

#[test]
fn what_is_compared_with_may_lack_the_column() {
    let mut field = x(FieldType::Text);
    field.drift.infinity_norm = Some(0.1);
    let schema = Schema::new([field]);
    let now = statistics(vec![("x", words(&["a"]))]);
    let message = |column: (&str, ArrayRef)| {
        let before = statistics(vec![column]);
        let report = Validation::new(&schema)
            .previous(&before)
            .run(&now)
            .unwrap();
        report.to_string()
    };
    let prefix = "error COMPARATOR_CONTROL_DATA_MISSING: column `x`:";
    let suffix = "the previous span, so the two cannot be compared";
    assert_eq!(
        message(("y", words(&["a"]))),
        format!("{prefix} is not in {suffix}")
    );
    assert_eq!(
        message(("x", texts(&[None]))),
        format!("{prefix} has no value in {suffix}")
    );
    assert_eq!(
        message(("x", whole(&[1]))),
        format!("{prefix} is of type text, and of type integer in {suffix}")
    );
}

#[test]
fn slices_are_compared_with_slices() {
    let sliced = |slices: &[(&str, &[&str])]| {
        let mut whole = statistics(vec![("foo", words(&["1", "2", "3", "4"]))]);
        whole.slices = slices
            .iter()
            .map(|(slice, values)| SliceStatistics {
                slice: (*slice).to_owned(),
                statistics: statistics(vec![("foo", words(values))]),
            })
            .collect();
        whole
    };
    let mut field = Field::new("foo", FieldType::Text);
    field.drift.infinity_norm = Some(0.3);
    let schema = Schema::new([field]);
    let now = sliced(&[
        ("slice1", &["1", "2"]),
        ("slice2", &["3", "4"]),
        ("new", &["1"]),
    ]);
    let before = sliced(&[
        ("slice1", &["1", "2"]),
        ("slice2", &["1", "2"]),
        ("gone", &["1"]),
    ]);
    let report = Validation::new(&schema)
        .previous(&before)
        .each_slice()
        .run(&now)
        .unwrap();
    let found: Vec<String> = report
        .anomalies
        .iter()
        .map(|anomaly| format!("{} {anomaly}", anomaly.kind))
        .collect();
    assert_eq!(
        found,
        [
            "COMPARATOR_L_INFTY_HIGH column `slice(slice2)::foo`: the L-infinity distance to the previous span \
             is 0.5, must be at most 0.3",
            "SCHEMA_MISSING_COLUMN column `slice(gone)::foo`: is in the previous span and not in the data",
        ]
    );
}
