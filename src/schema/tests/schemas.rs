//! Environments, stages, severities, inference and self-checks.

use arrow::array::BooleanArray;

use super::*;

#[test]
fn environments() {
    let mut schema = Schema::new([
        Field::new("fare", FieldType::Float).required(),
        Field::new("late", FieldType::Boolean).required(),
    ])
    .training_only(["late"]);
    let serving = statistics(vec![("fare", floats(&[1.0]))]);
    let late: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let training = statistics(vec![("fare", floats(&[1.0])), ("late", late)]);
    let run = |schema: &Schema, name: &str, statistics: &Statistics| {
        Validation::new(schema)
            .environment(name)
            .run(statistics)
            .map(|report| report.to_string())
    };
    assert_eq!(run(&schema, "training", &training).unwrap(), "no anomalies");
    assert_eq!(run(&schema, "serving", &serving).unwrap(), "no anomalies");
    assert_eq!(
        run(&schema, "serving", &training).unwrap(),
        "warning SCHEMA_NEW_COLUMN: column `late`: is not in environment `serving` and is not used (fix: add `late` to \
         environment `serving`)"
    );
    assert_eq!(
        run(&schema, "training", &serving).unwrap(),
        "error SCHEMA_MISSING_COLUMN: column `late`: is required but not in the data (fix: mark `late` as deprecated)"
    );
    assert_eq!(
        run(&schema, "servin", &serving).unwrap_err().to_string(),
        "the schema has no environment `servin`; did you mean `serving`?"
    );
    assert_eq!(schema.environment("serving").unwrap().fields.len(), 1);

    // The environments of a field override the defaults, and membership overrides exclusion.
    schema.default_environments = vec!["batch".to_owned()];
    assert_eq!(schema.environment("training").unwrap().fields.len(), 0);
    assert_eq!(schema.environment("batch").unwrap().fields.len(), 2);
    schema.fields[0].in_environment = vec!["training".to_owned()];
    assert_eq!(schema.environment("training").unwrap().fields.len(), 1);
}

#[test]
fn fields_of_some_stages_are_not_checked() {
    let statistics = statistics(vec![("new", words(&["a"])), ("old", words(&["a"]))]);
    for (lifecycle, checked) in [
        (Lifecycle::Planned, false),
        (Lifecycle::Alpha, false),
        (Lifecycle::Beta, true),
        (Lifecycle::Production, true),
        (Lifecycle::DebugOnly, false),
        (Lifecycle::Deprecated, false),
        (Lifecycle::Disabled, false),
    ] {
        let field = |name: &str| Field {
            lifecycle,
            ..Field::new(name, FieldType::Integer).required()
        };
        let schema = Schema::new([field("old"), field("gone"), field("new")]);
        assert_eq!(
            schema.validate(&statistics).len(),
            if checked { 3 } else { 0 },
            "{lifecycle:?}"
        );
        assert_eq!(lifecycle.is_validated(), checked);
    }
}

#[test]
fn the_nearest_severity_wins() {
    let kind = AnomalyKind::EnumTypeUnexpectedStringValues;
    let statistics = statistics(vec![("x", words(&["b"]))]);
    let mut schema = Schema::new([x(FieldType::Text).domain(values(&["a"]))]);
    let severity = |schema: &Schema| schema.validate(&statistics)[0].severity;
    assert_eq!(severity(&schema), Severity::Error);
    schema.severities.insert(kind, Severity::Warning);
    assert_eq!(severity(&schema), Severity::Warning);
    schema.fields[0].severity = Some(Severity::Error);
    assert_eq!(severity(&schema), Severity::Error);
    schema.fields[0].severities.insert(kind, Severity::Warning);
    assert_eq!(severity(&schema), Severity::Warning);
    let report = Validation::new(&schema).run(&statistics).unwrap();
    assert!(report.is_valid() && !report.anomalies.is_empty());
}

#[test]
fn infers_presence_and_numbers_of_items() {
    let seven = |missing: usize| {
        let mut column = vec![Some("a"); 7];
        column
            .iter_mut()
            .take(missing)
            .for_each(|value| *value = None);
        statistics(vec![("x", texts(&column))])
    };
    let inferred = |mut statistics: Statistics, valency: Option<(u64, u64)>| {
        if let Some((min, max)) = valency {
            statistics.columns[0].valency = of_lists(min, max).columns[0].valency.clone();
        }
        let field = Schema::infer(&statistics).fields.remove(0);
        (field.min_fraction, field.min_count, field.list)
    };
    let fixed = Some(Counts::within(1, 1));
    assert_eq!(inferred(seven(0), None), (1.0, 1, None));
    assert_eq!(inferred(seven(0), Some((1, 1))), (1.0, 1, fixed));
    assert_eq!(inferred(seven(2), Some((1, 1))), (0.0, 1, fixed));
    assert_eq!(
        inferred(seven(0), Some((0, 1))),
        (1.0, 1, Some(Counts::default()))
    );
    let some = Counts {
        min: Some(1),
        max: None,
    };
    assert_eq!(inferred(seven(0), Some((1, 4))), (1.0, 1, Some(some)));
    assert_eq!(inferred(seven(7), None), (0.0, 0, None));

    let options = InferOptions {
        max_values: 0,
        valency: false,
        required: false,
    };
    let field = Schema::infer_with(&of_lists(2, 2), options)
        .fields
        .remove(0);
    assert_eq!(field.list, Some(Counts::default()));
    assert_eq!((field.min_count, field.domain), (0, None));
}

#[test]
fn infers_domains() {
    let domain = |column: ArrayRef| {
        let statistics = statistics(vec![("x", column)]);
        Schema::infer(&statistics).fields.remove(0).domain
    };
    assert_eq!(domain(words(&["b", "a", "b"])), Some(values(&["a", "b"])));
    assert_eq!(domain(whole(&[0, 1, 1])), Some(BOOLEAN));
    assert_eq!(domain(whole(&[0, 0])), None);
    assert_eq!(domain(whole(&[0, 1, 2])), None);
    assert_eq!(domain(floats(&[0.0, 1.0])), None);
    let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
    assert_eq!(domain(Arc::new(StringArray::from(many))), None);
}

#[test]
fn a_schema_that_contradicts_itself() {
    let refused = |field: Field, expect: &str| {
        let schema = Schema::new([field]);
        assert_eq!(schema.check().unwrap_err().to_string(), expect);
        // Holding it says the same, and holds nothing else of the field.
        let found = schema.validate(&statistics(vec![("x", words(&["a"]))]));
        assert!(expect.starts_with(found[0].kind.name()), "{}", found[0]);
    };
    refused(
        Field::new("", FieldType::Text),
        "FEATURE_MISSING_NAME: a field of type text has no name",
    );
    let mut field = x(FieldType::Text);
    field.min_fraction = 1.5;
    refused(
        field,
        "INVALID_SCHEMA_SPECIFICATION: field `x` has min_fraction 1.5, must be from 0 to 1",
    );
    refused(
        x(FieldType::Text).domain(range(0.0, 1.0)),
        "DOMAIN_INVALID_FOR_TYPE: field `x` is of type text, a domain of `range` is of integer, float",
    );
    refused(
        x(FieldType::Float).domain(range(2.0, 1.0)),
        "INVALID_DOMAIN_SPECIFICATION: field `x` has a domain from 2 to 1, min must be at most max",
    );
    refused(
        x(FieldType::Float).domain(range(f64::NAN, 1.0)),
        "INVALID_DOMAIN_SPECIFICATION: field `x` has NaN as an end of its domain, must be a finite number; leave an \
         open end out",
    );
    refused(
        x(FieldType::Text).domain(values(&["a", "b", "a"])),
        "INVALID_DOMAIN_SPECIFICATION: field `x` has `a` more than once in its domain",
    );
    refused(
        x(FieldType::Date).domain(Domain::Times {
            from: Some("yesterday".to_owned()),
            to: None,
        }),
        "INVALID_DOMAIN_SPECIFICATION: field `x` has `yesterday` as an end of its domain, must be a date written as \
         ISO 8601, such as 2013-01-31",
    );
    let mut field = x(FieldType::Float);
    field.drift.infinity_norm = Some(0.1);
    refused(
        field,
        "INVALID_SCHEMA_SPECIFICATION: field `x` is of type float, drift.infinity_norm is of categories; use \
         jensen_shannon_divergence or kolmogorov_smirnov",
    );
    let mut field = x(FieldType::Text);
    field.skew.jensen_shannon_divergence = Some(1.5);
    refused(
        field,
        "INVALID_SCHEMA_SPECIFICATION: field `x` has max 1.5 for skew.jensen_shannon_divergence, must be from 0 to 1",
    );
    let mut field = x(FieldType::Text);
    field.distribution.mean = Bounds::at_most(1.0);
    refused(
        field,
        "INVALID_SCHEMA_SPECIFICATION: field `x` is of type text and has bounds of a mean, which only numbers have",
    );
    let twice = Schema::new([x(FieldType::Text), x(FieldType::Text)]);
    assert_eq!(
        twice.check().unwrap_err().to_string(),
        "INVALID_SCHEMA_SPECIFICATION: field `x` is a duplicate; names must be unique"
    );
}

#[test]
fn the_flag_of_the_first_format_is_short_for_an_environment() {
    let text = |rest: &str| {
        format!("format_version = 2\n[[fields]]\nname = \"late\"\ntype = \"boolean\"\n{rest}\n")
    };
    let schema = Schema::from_toml(&text("training_only = true")).unwrap();
    assert!(schema.fields[0].is_training_only());
    assert_eq!(
        schema,
        Schema::from_toml(&text("not_in_environment = [\"serving\"]")).unwrap()
    );
    let schema = Schema::from_toml(&text("training_only = false")).unwrap();
    assert!(!schema.fields[0].is_training_only());
    let error = Schema::from_toml(&text("training_only = 1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the schema cannot be read: invalid type: integer `1`, expected a list of environments, or a boolean of \
         `training_only` at line 5"
    );
}

#[test]
fn a_fix_of_another_schema_is_refused() {
    let fix = Fix::Deprecate {
        column: "rod".to_owned(),
    };
    let mut schema = Schema::new([Field::new("road", FieldType::Text)]);
    assert_eq!(
        schema.apply(&fix).unwrap_err().to_string(),
        "there is no field `rod` to change; did you mean `road`?"
    );
    let json = serde_json::to_string(&fix).unwrap();
    assert_eq!(json, "{\"change\":\"deprecate\",\"column\":\"rod\"}");
    assert_eq!(serde_json::from_str::<Fix>(&json).unwrap(), fix);
}
