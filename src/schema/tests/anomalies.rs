//! Every kind of anomaly, with its text and its fix.

use arrow::array::{BooleanArray, Date32Array, TimestampMicrosecondArray};

use super::*;
use crate::statistics::TextStatistics;

#[test]
fn data_fits_the_schema_inferred_from_it() {
    let statistics = statistics(vec![("a", texts(&[Some("x"), None]))]);
    assert_eq!(Schema::infer(&statistics).validate(&statistics), []);
}

#[test]
fn no_rows() {
    check(
        x(FieldType::Text).required(),
        words(&[]),
        "error DATA_MISSING: there are no rows",
    );
}

#[test]
fn columns_that_are_new_or_missing() {
    let schema = Schema::new([
        Field::new("gone", FieldType::Text).required(),
        Field::new("optional", FieldType::Text),
    ]);
    let statistics = statistics(vec![("new", words(&["a", "b"]))]);
    let report = Validation::new(&schema).run(&statistics).unwrap();
    assert_eq!(
        report.to_string(),
        "error SCHEMA_MISSING_COLUMN: column `gone`: is required but not in the data (fix: mark `gone` as deprecated)\n\
         warning SCHEMA_NEW_COLUMN: column `new`: is not in the schema and is not used (fix: add field `new` of type text)"
    );
    let updated = schema.update(&statistics).unwrap();
    assert_eq!(updated.validate(&statistics), []);
    assert_eq!(updated.version, 1);
    assert_eq!(
        updated.field("new").unwrap().domain,
        Some(values(&["a", "b"]))
    );
}

#[test]
fn another_type() {
    check(
        x(FieldType::Integer),
        words(&["1"]),
        "error UNEXPECTED_DATA_TYPE: column `x`: is of type text, must be integer (fix: mark `x` as deprecated)",
    );
    check(x(FieldType::Float), whole(&[1]), "no anomalies");
    check(
        x(FieldType::Integer),
        floats(&[1.0]),
        "error UNEXPECTED_DATA_TYPE: column `x`: is of type float, must be integer (fix: mark `x` as deprecated)",
    );
}

#[test]
fn presence() {
    check(
        x(FieldType::Text).required(),
        texts(&[Some("a"), None, Some("b"), None]),
        "error FEATURE_TYPE_LOW_FRACTION_PRESENT: column `x`: has a value in 2 of 4 rows, a fraction of 0.5000, must \
         be at least 1 (fix: set min_fraction of `x` to 0.5 and min_count to 0)",
    );
    let mut field = x(FieldType::Text);
    field.min_count = 3;
    check(
        field.clone(),
        words(&["a", "b"]),
        "error FEATURE_TYPE_LOW_NUMBER_PRESENT: column `x`: has a value in 2 rows, must be at least 3 (fix: set \
         min_fraction of `x` to 0 and min_count to 2)",
    );
    check(
        field,
        texts(&[None, None]),
        "error FEATURE_TYPE_NOT_PRESENT: column `x`: has no value in any of 2 rows, but is required (fix: set \
         min_fraction of `x` to 0 and min_count to 0)",
    );
    // One of a hundred thousand: what rounds to all of them is not proposed.
    let mut almost = vec![Some("a"); 100_000];
    almost[7] = None;
    check(
        x(FieldType::Text).required(),
        texts(&almost),
        "error FEATURE_TYPE_LOW_FRACTION_PRESENT: column `x`: has a value in 99999 of 100000 rows, a fraction of \
         1.0000, must be at least 1 (fix: set min_fraction of `x` to 0.9999 and min_count to 0)",
    );
}

#[test]
fn numbers_of_items() {
    let mut field = x(FieldType::Text);
    check_statistics(
        field.clone(),
        &of_lists(1, 2),
        "error VALUE_NESTEDNESS_MISMATCH: column `x`: is of type list of text, must be text (fix: mark `x` as \
         deprecated)",
    );
    // A schema from before lists had a type.
    check_statistics(
        x(FieldType::Other).required(),
        &of_lists(1, 2),
        "no anomalies",
    );
    field.list = Some(Counts {
        min: Some(1),
        max: Some(2),
    });
    check_statistics(field.clone(), &of_lists(1, 2), "no anomalies");
    check_statistics(
        field.clone(),
        &of_lists(0, 5),
        "error FEATURE_TYPE_LOW_NUMBER_VALUES: column `x`: has rows with down to 0 items, must have from 1 to 2 items \
         (fix: allow from 0 to 5 items in `x`)\n\
         error FEATURE_TYPE_HIGH_NUMBER_VALUES: column `x`: has rows with up to 5 items, must have from 1 to 2 items \
         (fix: allow from 0 to 5 items in `x`)",
    );
    field.list = Some(Counts::within(2, 2));
    check_statistics(
        field.clone(),
        &of_lists(2, 3),
        "error INVALID_FEATURE_SHAPE: column `x`: has rows with up to 3 items, must have 2 items (fix: allow from 2 \
         to 3 items in `x`)",
    );
    check(
        field,
        words(&["a"]),
        "error VALUE_NESTEDNESS_MISMATCH: column `x`: is of type text, must be list of text (fix: mark `x` as \
         deprecated)",
    );
}

#[test]
fn distinct_values() {
    let mut field = x(FieldType::Integer);
    field.unique = Counts {
        min: Some(3),
        max: None,
    };
    check(
        field.clone(),
        whole(&[1, 2, 2]),
        "error FEATURE_TYPE_LOW_UNIQUE: column `x`: has 2 distinct values, must have at least 3 (fix: allow at least \
         2 distinct values in `x`)",
    );
    field.unique = Counts {
        min: None,
        max: Some(1),
    };
    check(
        field,
        whole(&[1, 2, 2]),
        "error FEATURE_TYPE_HIGH_UNIQUE: column `x`: has 2 distinct values, must have at most 1 (fix: allow at most 2 \
         distinct values in `x`)",
    );
    let mut field = x(FieldType::Other);
    field.unique.min = Some(1);
    let mut unknown = statistics(vec![("x", words(&["a"]))]);
    unknown.columns[0].field_type = FieldType::Other;
    unknown.columns[0].distinct = 0;
    check_statistics(
        field,
        &unknown,
        "error FEATURE_TYPE_NO_UNIQUE: column `x`: must have at least 1 distinct values, but their number is unknown \
         (fix: allow any number of distinct values in `x`)",
    );
}

#[test]
fn booleans() {
    check(
        x(FieldType::Integer).domain(BOOLEAN),
        whole(&[-1, 0, 1, 2]),
        "error BOOL_TYPE_SMALL_INT: column `x`: has values down to -1, must be 0 or 1 (fix: allow all values in `x`)\n\
         error BOOL_TYPE_BIG_INT: column `x`: has values up to 2, must be 0 or 1 (fix: allow all values in `x`)",
    );
    check(
        x(FieldType::Float).domain(BOOLEAN),
        floats(&[0.0, 1.0, 0.5]),
        "error BOOL_TYPE_UNEXPECTED_FLOAT: column `x`: has the value 0.5, must be 0 or 1 (fix: allow all values in `x`)",
    );
    let yes_or_no = Domain::Boolean {
        true_value: Some("yes".to_owned()),
        false_value: Some("no".to_owned()),
    };
    check(
        x(FieldType::Text).domain(yes_or_no),
        words(&["yes", "no", "maybe"]),
        "error BOOL_TYPE_UNEXPECTED_STRING: column `x`: has the values `maybe` (1 rows), must be `yes` or `no` (fix: \
         allow all values in `x`)",
    );
}

#[test]
fn ranges() {
    check(
        x(FieldType::Integer).domain(range(0.0, 10.0)),
        whole(&[-1, 12]),
        "error INT_TYPE_SMALL_INT: column `x`: has values down to -1, must be from 0 to 10 (fix: change the rule of `x` to: \
          must be from -1 to 12)\n\
         error INT_TYPE_BIG_INT: column `x`: has values up to 12, must be from 0 to 10 (fix: change the rule of `x` to: \
         must be from -1 to 12)",
    );
    // Oracle: observed 2.5..4.5 against 3..5 proposes 2.5..5.
    check(
        x(FieldType::Float).domain(range(3.0, 5.0)),
        floats(&[2.5, 4.5]),
        "error FLOAT_TYPE_SMALL_FLOAT: column `x`: has values down to 2.5, must be from 3 to 5 (fix: change the rule of `x` to: \
          must be from 2.5 to 5)",
    );
    check(
        x(FieldType::Float).domain(range(3.0, 5.0)),
        floats(&[3.5, 4.5, f64::NAN]),
        "no anomalies",
    );
    check(
        x(FieldType::Float).domain(range(0.0, 5.0)),
        floats(&[f64::INFINITY]),
        "error FLOAT_TYPE_BIG_FLOAT: column `x`: has values up to inf, must be from 0 to 5 (fix: change the rule of `x` to: \
          must be at least 0)",
    );
}

#[test]
fn not_finite() {
    let mut field = x(FieldType::Float);
    field.disallow_nan = true;
    field.disallow_inf = true;
    check(
        field,
        floats(&[1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        "error FLOAT_TYPE_HAS_NAN: column `x`: has 1 values that are NaN, must have none (fix: allow NaN in `x`)\n\
         error FLOAT_TYPE_HAS_INF: column `x`: has 2 values that are infinite, must have none (fix: allow infinite \
         numbers in `x`)",
    );
}

#[test]
fn numbers_in_texts() {
    let integers = |min| Domain::IntegerText { min, max: None };
    check(
        x(FieldType::Text).domain(integers(Some(0.0))),
        words(&["1", "-1", "one"]),
        "error INT_TYPE_SMALL_INT: column `x`: has the values `-1` (1 rows), must be at least 0 (fix: allow all values \
         in `x`)\n\
         error INT_TYPE_NOT_INT_STRING: column `x`: has the values `one` (1 rows), must be at least 0 (fix: allow all \
         values in `x`)",
    );
    let numbers = Domain::FloatText {
        min: None,
        max: None,
    };
    check(
        x(FieldType::Text).domain(numbers),
        words(&["1.5", "1e3", "much"]),
        "error FLOAT_TYPE_STRING_NOT_FLOAT: column `x`: has the values `much` (1 rows), must be a number (fix: allow \
         all values in `x`)",
    );
}

#[test]
fn texts_that_are_not_listed_may_be_wrong() {
    let many: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    let many: ArrayRef = Arc::new(StringArray::from_iter_values(&many));
    let statistics = statistics(vec![("x", many)]);
    let n = statistics.columns[0].top_values.len();
    let integers = Domain::IntegerText {
        min: None,
        max: None,
    };
    let mut field = x(FieldType::Text).domain(integers);
    let report = |field: &Field| {
        let schema = Schema::new([field.clone()]);
        Validation::new(&schema).run(&statistics).unwrap()
    };
    assert_eq!(
        report(&field).to_string(),
        format!(
            "warning STATS_NOT_AVAILABLE: column `x`: is compared with the {n} values that the statistics list; there \
             are others"
        )
    );
    assert!(report(&field).is_valid());
    let kind = AnomalyKind::StatsNotAvailable;
    field.severities.insert(kind, Severity::Error);
    assert_eq!(report(&field).anomalies[0].severity, Severity::Error);
}

#[test]
fn whole_numbers_for_a_boolean_float() {
    check(
        x(FieldType::Float).domain(BOOLEAN),
        whole(&[0, 1, 2]),
        "error BOOL_TYPE_UNEXPECTED_FLOAT: column `x`: has the value 2, must be 0 or 1 (fix: allow all values in `x`)",
    );
}

#[test]
fn times() {
    let domain = Domain::Times {
        from: Some("2013-01-01".to_owned()),
        to: Some("2013-12-31".to_owned()),
    };
    let days: ArrayRef = Arc::new(Date32Array::from(vec![15_706, 15_800, 16_100]));
    check(
        x(FieldType::Date).domain(domain),
        days,
        "error OUT_OF_RANGE: column `x`: has values up to 2014-01-30, must be from 2013-01-01 to 2013-12-31 (fix: \
         change the rule of `x` to: must be from 2013-01-01 to 2014-01-30)",
    );
    let domain = Domain::Times {
        from: Some("1970-01-02T00:00:00Z".to_owned()),
        to: None,
    };
    let early: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 86_400_000_000]));
    check(
        x(FieldType::Timestamp).domain(domain),
        early,
        "error OUT_OF_RANGE: column `x`: has values from 1970-01-01T00:00:00.000001Z on, must be at \
         1970-01-02T00:00:00Z or later (fix: change the rule of `x` to: must be at 1970-01-01T00:00:00.000001Z or later)",
    );
}

#[test]
fn lists_of_values() {
    check(
        x(FieldType::Text).domain(values(&["A", "B", "C"])),
        words(&["D"]),
        "error ENUM_TYPE_UNEXPECTED_STRING_VALUES: column `x`: has values outside of the 3 allowed: `D` (1 rows) (fix: \
         add `D` to the values of `x`)",
    );
    check(
        x(FieldType::Integer).domain(values(&["1", "2"])),
        whole(&[1, 2, 3]),
        "error ENUM_TYPE_UNEXPECTED_STRING_VALUES: column `x`: has values outside of the 2 allowed: `3` (1 rows) (fix: \
         add `3` to the values of `x`)",
    );
    let mut invalid = statistics(vec![("x", words(&["A"]))]);
    let text = invalid.columns[0].text.as_mut().unwrap();
    *text = TextStatistics {
        invalid_utf8: 2,
        ..text.clone()
    };
    check_statistics(
        x(FieldType::Text).domain(values(&["A"])),
        &invalid,
        "error ENUM_TYPE_INVALID_UTF8: column `x`: has 2 values that are not UTF-8, must be text (fix: allow all \
         values in `x`)",
    );
    // More values than are listed: the domain is dropped rather than extended forever.
    let many: Vec<String> = (0..3_000).map(|i| format!("v{i:04}")).collect();
    let many: ArrayRef = Arc::new(StringArray::from(many));
    let statistics = statistics(vec![("x", many)]);
    let schema = Schema::new([x(FieldType::Text).domain(values(&["a"]))]);
    let found = schema.validate(&statistics);
    assert_eq!(found[0].kind, AnomalyKind::EnumTypeUnexpectedStringValues);
    let no_domain = Fix::SetDomain {
        column: "x".to_owned(),
        domain: None,
    };
    assert_eq!(found[0].fix, Some(no_domain));
}

#[test]
fn a_share_of_the_values_may_be_outside() {
    let column = |inside: usize, outside: usize| -> ArrayRef {
        let all = [vec!["a"; inside], vec!["?"; outside]].concat();
        Arc::new(StringArray::from(all))
    };
    let mut field = x(FieldType::Text).domain(values(&["a", "empty"]));
    field.distribution.min_domain_mass = Some(0.8);
    check(field.clone(), column(9, 1), "no anomalies");
    check(field.clone(), column(80, 20), "no anomalies");
    check(
        field.clone(),
        column(799, 201),
        "error ENUM_TYPE_UNEXPECTED_STRING_VALUES: column `x`: has values outside of the 2 allowed: `?` (201 rows); a \
         share of 0.7990 is inside, must be at least 0.8 (fix: add `?` to the values of `x`)",
    );
    field.distribution.min_domain_mass = Some(1.0);
    let schema = Schema::new([field]);
    let found = schema.validate(&statistics(vec![("x", column(100_000, 1))]));
    assert_eq!(found.len(), 1, "one of a hundred thousand is too many");
}

#[test]
fn distributions() {
    let mut field = x(FieldType::Float);
    field.distribution.mean = Bounds::within(0.0, 2.0);
    field.distribution.std = Bounds::at_most(1.0);
    field.distribution.zeros = Bounds::at_most(0.1);
    field.distribution.quantiles = vec![QuantileBounds {
        rank: 0.5,
        min: Some(4.0),
        max: None,
    }];
    check(
        field,
        floats(&[0.0, 2.0, 7.0]),
        "error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a mean of 3, must be from 0 to 2 (fix: allow from 0 to 3 \
         for the mean of `x`)\n\
         error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a standard deviation of 2.943920288775949, must be at most \
         1 (fix: allow at most 2.943920288775949 for the standard deviation of `x`)\n\
         error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a share of zeros of 0.3333333333333333, must be at most 0.1 \
         (fix: allow at most 0.3333333333333333 for the share of zeros of `x`)\n\
         error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a quantile of rank 0.5 of 2, must be at least 4 (fix: allow \
         at least 2 for the quantile of rank 0.5 of `x`)",
    );
    let mut label = x(FieldType::Boolean);
    let shares = &mut label.distribution.shares;
    shares.insert("true".to_owned(), Bounds::within(0.1, 0.4));
    label.distribution.missing = Bounds::at_most(0.1);
    let late: ArrayRef = Arc::new(BooleanArray::from(vec![
        Some(true),
        Some(true),
        Some(false),
        None,
    ]));
    check(
        label,
        late,
        "error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a share of rows without a value of 0.25, must be at most \
         0.1 (fix: allow at most 0.25 for the share of rows without a value of `x`)\n\
         error DISTRIBUTION_OUT_OF_BOUNDS: column `x`: has a share of `true` of 0.6666666666666666, must be from 0.1 \
         to 0.4 (fix: allow from 0.1 to 0.6666666666666666 for the share of `true` of `x`)",
    );
}

#[test]
fn statistics_that_do_not_tell() {
    let mut stripped = statistics(vec![("x", floats(&[1.0]))]);
    stripped.columns[0].numeric = None;
    check_statistics(
        x(FieldType::Float).domain(range(0.0, None)),
        &stripped,
        "error STATS_NOT_AVAILABLE: column `x`: has limits of numbers, which the statistics do not contain",
    );
}

#[test]
fn numbers_of_rows() {
    let mut schema = Schema::new([x(FieldType::Integer)]);
    schema.dataset.rows = Counts::within(3, 4);
    schema.dataset.drift_ratio = Bounds::within(0.5, 2.0);
    let rows = |n: i64| statistics(vec![("x", whole(&(0..n).collect::<Vec<_>>()))]);
    let report = |now: i64, before: i64| {
        let (now, before) = (rows(now), rows(before));
        let report = Validation::new(&schema)
            .previous(&before)
            .run(&now)
            .unwrap();
        let relaxed = schema.relax(&report.anomalies).unwrap();
        let again = Validation::new(&relaxed)
            .previous(&before)
            .run(&now)
            .unwrap();
        assert_eq!(again.anomalies, []);
        let lines: Vec<String> = report
            .anomalies
            .iter()
            .map(|anomaly| format!("{} {anomaly}", anomaly.kind))
            .collect();
        lines.join("\n")
    };
    assert_eq!(report(3, 3), "");
    assert_eq!(
        report(2, 5),
        "DATASET_LOW_NUM_EXAMPLES there are 2 rows, must be from 3 to 4\n\
         COMPARATOR_LOW_NUM_EXAMPLES there are 2 rows, 0.4 times the 5 of the previous span, must be from 0.5 to 2 times"
    );
    assert_eq!(
        report(6, 2),
        "DATASET_HIGH_NUM_EXAMPLES there are 6 rows, must be from 3 to 4\n\
         COMPARATOR_HIGH_NUM_EXAMPLES there are 6 rows, 3 times the 2 of the previous span, must be from 0.5 to 2 times"
    );
    // The most rows are held without a least number, too.
    schema.dataset.rows = Counts {
        min: None,
        max: Some(1),
    };
    assert_eq!(
        schema.validate(&rows(2))[0].kind,
        AnomalyKind::DatasetHighNumExamples
    );
}
