//! Rows that break rules, in batches and in requests.

use arrow::array::{AsArray, ListArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

fn lists(rows: &[Option<&[i64]>]) -> ArrayRef {
    let rows = rows
        .iter()
        .map(|row| row.map(|row| row.iter().copied().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
}

#[test]
fn rows_that_break_rules() {
    let mut schema = Schema::new([
        Field::new("fare", FieldType::Float)
            .required()
            .domain(range(0.0, None)),
        Field::new("road", FieldType::Text).domain(values(&["air", "road"])),
        Field::new("stops", FieldType::Integer).domain(range(None, 9.0)),
        Field::new("gone", FieldType::Text).required(),
        Field::new("kind", FieldType::Integer),
    ]);
    schema.fields[2].list = Some(Counts {
        min: Some(1),
        max: None,
    });
    let fare: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(-1.0), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("fare", fare, true),
        ("road", texts(&[Some("sea"), None, Some("air")]), true),
        ("stops", lists(&[Some(&[1, 12, 13]), None, Some(&[])]), true),
        ("kind", texts(&[None, Some("a"), None]), true),
    ])
    .unwrap();
    assert_eq!(
        schema.check_rows(&batch, 1).to_string(),
        "3 of 3 rows break the schema\n  \
         column `fare` must not be NULL: 1 rows, row 2 is `NULL`\n  \
         column `fare` must be at least 0: 1 rows, row 1 is `-1.0`\n  \
         column `road` must be one of `air`, `road`: 1 rows, row 0 is `sea`\n  \
         column `stops` must be at most 9: 1 rows, row 0 is `[1, 12, 13]`\n  \
         column `stops` must have at least 1 items: 1 rows, row 2 is `[]`\n  \
         column `gone` must be present: 3 rows, row 0 is `NULL`\n  \
         column `kind` must be of type integer: 1 rows, row 1 is `a`"
    );
    assert!(schema.check_rows(&batch, 0).reasons[0].examples.is_empty());

    // By default serving accepts unknown strings, but no number outside of a range.
    let one = batch.slice(0, 1);
    let projected = schema.project(["fare", "road"]);
    assert_eq!(projected.conform(&one).unwrap().num_rows(), 1);
    let mut strict = projected.clone();
    strict.fields[1].strict = true;
    assert_eq!(
        strict.conform(&one).unwrap_err().to_string(),
        "field `road` is sea in row 0, must be one of `air`, `road`"
    );
    assert_eq!(
        schema
            .project(["stops"])
            .conform(&one)
            .unwrap_err()
            .to_string(),
        "field `stops` is [1, 12, 13] in row 0, must be at most 9"
    );
}

#[test]
fn lists_conform_whatever_their_layout() {
    let mut schema = Schema::new([Field::new("x", FieldType::Float)]);
    schema.fields[0].list = Some(Counts::default());
    let small: ArrayRef = lists(&[Some(&[1, 2]), None]);
    let batch = RecordBatch::try_from_iter_with_nullable([("x", small, true)]).unwrap();
    let conforming = schema.conform(&batch).unwrap();
    let expect = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(vec![Some(1.0), Some(2.0)]),
        None,
    ]);
    assert_eq!(conforming.column(0).as_ref(), &expect);
    let scalar = RecordBatch::try_from_iter([("x", floats(&[1.0]))]).unwrap();
    assert_eq!(
        schema.conform(&scalar).unwrap_err().to_string(),
        "field `x` is of type float, must be list of float"
    );
}

#[test]
fn a_field_of_a_struct_is_found_by_its_path() {
    let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, -2.0, -3.0]));
    let field = Arc::new(ArrowField::new(
        "fare",
        arrow::datatypes::DataType::Float64,
        true,
    ));
    let nulls = arrow::buffer::NullBuffer::from(vec![true, true, false]);
    let trip = arrow::array::StructArray::new(vec![field].into(), vec![fare], Some(nulls));
    let trip: ArrayRef = Arc::new(trip);
    let batch = RecordBatch::try_from_iter_with_nullable([("trip", trip, true)]).unwrap();
    let schema = Schema::new([Field::new("trip.fare", FieldType::Float).domain(range(0.0, None))]);
    assert_eq!(
        schema.check_rows(&batch, 5).to_string(),
        "1 of 3 rows break the schema\n  column `trip.fare` must be at least 0: 1 rows, row 1 is `-2.0`"
    );
}

#[test]
fn a_list_is_reported_once_for_each_kind() {
    let mut field = Field::new("x", FieldType::Integer).domain(range(0.0, 1.0));
    field.list = Some(Counts::default());
    let column = lists(&[Some(&[-1, 2, -1, 2])]);
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let report = Schema::new([field]).check_rows(&batch, 1);
    let found: Vec<_> = report
        .reasons
        .iter()
        .map(|reason| (reason.kind, reason.n_rows))
        .collect();
    assert_eq!(
        found,
        [
            (AnomalyKind::IntTypeSmallInt, 1),
            (AnomalyKind::IntTypeBigInt, 1)
        ]
    );
}

#[test]
fn times_may_be_of_any_year() {
    let domain = Domain::Times {
        from: Some("1500-01-01".to_owned()),
        to: Some("3000-01-01T00:00:00Z".to_owned()),
    };
    let schema = Schema::new([Field::new("x", FieldType::Timestamp).domain(domain)]);
    schema.check().unwrap();
    // And one of 1399.
    let second_of_3000 = 32_503_680_001_000_000;
    let times = TimestampMicrosecondArray::from(vec![0, second_of_3000, -18_000_000_000_000_000]);
    let column: ArrayRef = Arc::new(times);
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    assert_eq!(schema.check_rows(&batch, 0).n_broken, 2);
}

#[test]
fn floats_are_whole_numbers_up_to_two_to_the_53() {
    let schema = Schema::new([Field::new("acct", FieldType::Integer)]);
    let conform = |value: f64| {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        let batch = RecordBatch::try_from_iter([("acct", column)]).unwrap();
        let rows = schema.conform(&batch);
        rows.map(|rows| rows.column(0).as_primitive::<Int64Type>().value(0))
    };
    let largest = 1_i64 << 53;
    for value in [largest, -largest, largest - 1, 0] {
        assert_eq!(conform(value as f64).unwrap(), value);
    }
    // As a double, the whole number behind the largest is the largest.
    assert_eq!(conform((largest + 1) as f64).unwrap(), largest);
    for value in [largest + 2, -largest - 2] {
        assert_eq!(
            conform(value as f64).unwrap_err().to_string(),
            format!(
                "field `acct` is {value} in row 0, must be a whole number of at most 2^53: past it a float does not hold every one"
            )
        );
    }
    assert_eq!(
        conform(0.5).unwrap_err().to_string(),
        "field `acct` is 0.5 in row 0, must be a whole number"
    );
}
