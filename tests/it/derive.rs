//! SQL expressions as steps of a transform.

use std::sync::Arc;

use fourfold::ErrorKind;
use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use fourfold::transform::ops::Derive;
use fourfold::transform::{DatePart, Fill, FittedTransform, Transform};

fn rows() -> RecordBatch {
    let tips: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(1.0),
        Some(3.0),
        None,
        Some(0.0),
    ]));
    let fare: ArrayRef = Arc::new(Float64Array::from(vec![4.0, 0.0, 8.0, 0.0]));
    let seats: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9, 10]));
    let taken: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(0), None, Some(-3)]));
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a b", "c", "", "d"]));
    let paid: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
    let at: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![0, 3_600_000_000, 0, 0]).with_timezone("UTC"),
    );
    RecordBatch::try_from_iter([
        ("tips", tips),
        ("fare", fare),
        ("seats", seats),
        ("taken", taken),
        ("Name Of", name),
        ("paid", paid),
        ("at", at),
    ])
    .unwrap()
}

/// The values of an expression, NULL as -1.
#[track_caller]
fn values(expression: &str) -> Vec<f32> {
    let transform = Transform::new()
        .derive("x", expression)
        .impute("x", Fill::Number(-1.0));
    let fitted = transform.fit(&[rows()]).unwrap();
    fitted.apply(&rows()).unwrap().column(0).to_vec()
}

#[test]
fn numbers_divide_as_documented() {
    assert_eq!(values("tips / fare"), [0.25, -1.0, -1.0, -1.0]);
    assert_eq!(values("seats / taken"), [3.0, -1.0, -1.0, -3.0]);
    assert_eq!(values("seats % taken"), [1.0, -1.0, -1.0, 1.0]);
    assert_eq!(values("seats / 2"), [3.0, 4.0, 4.0, 5.0]);
    assert_eq!(values("seats / 0"), [-1.0; 4]);
    assert_eq!(values("seats / (taken - 2)"), [-1.0, -4.0, -1.0, -2.0]);
    assert_eq!(values("seats / 2.0"), [3.5, 4.0, 4.5, 5.0]);
    assert_eq!(values("coalesce(taken, 5) * 2"), [4.0, 0.0, 10.0, -6.0]);
    let wraps = values("(seats + 9223372036854775807) / 4611686018427387904");
    assert_eq!(wraps, [-1.0; 4]);
    assert_eq!(values("case when 1 = 1 or paid then 3 end"), [3.0; 4]);
}

#[test]
fn conditions_text_and_times() {
    assert_eq!(
        values("case when fare > 2 then 1 else 0 end"),
        [1.0, 0.0, 1.0, 0.0]
    );
    assert_eq!(values("fare > 2 and paid"), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(values("char_length(\"Name Of\")"), [3.0, 1.0, 0.0, 1.0]);
    assert_eq!(values("date_part('hour', at)"), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(values("try_cast(\"Name Of\" as int)"), [-1.0; 4]);

    let transform = Transform::new()
        .derive("letter", "upper(substr(\"Name Of\", 1, 1))")
        .one_hot("letter")
        .derive("day", "date_trunc('day', at)")
        .date_part("day", DatePart::Hour)
        .drop("day");
    assert_eq!(transform.inputs(), ["Name Of", "at"]);
    let fitted = transform.fit(&[rows()]).unwrap();
    let names = [
        "letter=",
        "letter=A",
        "letter=C",
        "letter=D",
        "letter=<other>",
        "day_hour",
    ];
    assert_eq!(fitted.features(), names);
    assert_eq!(fitted.apply(&rows()).unwrap().column(5).to_vec(), [0.0; 4]);
}

#[test]
fn a_chain_sees_what_earlier_steps_wrote() {
    let transform = Transform::new()
        .impute("tips", Fill::Number(2.0))
        .derive("sum", "tips + fare")
        .min_max("sum")
        .derive("twice", "sum * 2");
    assert_eq!(transform.inputs(), ["tips", "fare"]);
    let fitted = transform.fit(&[rows()]).unwrap();
    let twice = fitted.apply(&rows()).unwrap().column(2).to_vec();
    assert_eq!(twice, [1.0, 0.6, 2.0, 0.0]);
}

#[test]
fn saved_it_is_readable_and_loads_to_the_same() {
    let transform = Transform::new()
        .derive("ratio", "tips / (fare + 1)")
        .impute("ratio", Fill::Mean);
    let fitted = transform.fit(&[rows()]).unwrap();
    let saved = serde_json::to_value(&fitted).unwrap();
    let expected = serde_json::json!({
        "op": "derive",
        "inputs": ["tips", "fare"],
        "output": "ratio",
        "expression": "tips / (fare + 1)",
        "columns": [
            {"name": "tips", "field_type": "float"},
            {"name": "fare", "field_type": "float"},
        ],
        "output_type": "float",
    });
    assert_eq!(saved["steps"][0], expected);
    let loaded: FittedTransform = serde_json::from_value(saved.clone()).unwrap();
    assert_eq!(loaded, fitted);
    assert_eq!(
        loaded.apply(&rows()).unwrap(),
        fitted.apply(&rows()).unwrap()
    );

    let mut odd = saved.clone();
    odd["steps"][0]["output_type"] = "text".into();
    let error = serde_json::from_value::<FittedTransform>(odd).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`tips / (fare + 1)` was saved as text, this build makes float"
    );
    let mut odd = saved;
    odd["steps"][0]["columns"][0]["name"] = "fare".into();
    let error = serde_json::from_value::<FittedTransform>(odd).unwrap_err();
    let expected =
        "`tips / (fare + 1)` was saved with the columns `fare`, `fare`, which are not its own";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refused_expressions() {
    let cases = [
        ("tips +", "is not a SQL expression: "),
        ("1 + 1", "names no column, must name at least one"),
        (
            "sum(tips)",
            "has the aggregate `sum`, must be computed from the columns of one row",
        ),
        (
            "row_number() over (order by tips)",
            "has the window function `row_number`, must be computed from the columns of one row",
        ),
        (
            "tips > (select max(tips) from t)",
            "has a subquery, must be computed from the columns of one row",
        ),
        (
            "tips in (select 1)",
            "has a subquery, must be computed from the columns of one row",
        ),
        (
            "tips * random()",
            "calls `random`, whose result changes with each call; serving must compute what training did",
        ),
        (
            "now() - at",
            "calls `now`, whose result changes with each call; serving must compute what training did",
        ),
        (
            "date_part('year', current_date) - tips",
            "calls `current_date`, whose result changes with each call; serving must compute what training did",
        ),
        (
            "round(tips) + logg(tips)",
            "calls `logg`, which is not a function; did you mean `log`?",
        ),
        (
            "trips.fare * 2",
            "names `trips.fare`, of which only a table has parts; a column with a dot in its name is \
             written \"trips.fare\"",
        ),
    ];
    for (expression, expected) in cases {
        let error = Transform::new()
            .derive("x", expression)
            .check()
            .unwrap_err();
        let before = match error.message().strip_prefix("transform of `x`: ") {
            Some(message) => message.to_owned(),
            None => panic!("{error}"),
        };
        assert!(
            before.starts_with(&format!("`{expression}` {expected}")),
            "{before}"
        );
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn what_only_the_rows_show() {
    let fit = |expression: &str| {
        Transform::new()
            .derive("x", expression)
            .fit(&[rows()])
            .unwrap_err()
    };
    let error = fit("Fare * 2");
    let expected =
        "the transform reads column `Fare`, which is not in the data; did you mean `fare`?";
    assert_eq!(error.message(), expected);
    let error = fit("\"Name Of\" || 'x'");
    assert!(
        error
            .message()
            .contains("takes numbers, the column is of type text"),
        "{error}"
    );
    let error = fit("at - at");
    let expected = "transform of `at`: `at - at` is of type Duration(µs), must be a number, a boolean, \
                    text or a time";
    assert_eq!(error.message(), expected);

    let cast = Transform::new().derive("x", "cast(\"Name Of\" as double)");
    let fitted = cast.fit(&[rows()]).unwrap();
    let error = fitted.apply(&rows()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .message()
            .contains("Cannot cast string 'a b' to value of Float64 type"),
        "{error}"
    );
}

#[test]
fn inputs_are_those_of_the_expression() {
    let json = r#"{"steps": [{"op": "derive", "output": "x", "expression": "tips / fare"}]}"#;
    let transform: Transform = serde_json::from_str(json).unwrap();
    assert_eq!(transform, Transform::new().derive("x", "tips / fare"));
    let op = Derive {
        expression: "tips / fare".to_owned(),
    };
    let error = Transform::new()
        .step_of(["fare", "tips"], ["x"], op)
        .check()
        .unwrap_err();
    let expected =
        "transform of `fare`, `tips`: the inputs must be those that it names: `tips`, `fare`";
    assert_eq!(error.message(), expected);
}

/// Run by hand with `--ignored --nocapture`, in an optimised build.
#[test]
#[ignore = "a measurement"]
fn microseconds_per_row() {
    let transform = Transform::new().derive("x", "coalesce(tips / nullif(fare, 0.0), 0.0)");
    let fitted = transform.fit(&[rows()]).unwrap();
    let plain = Transform::new().number("fare").fit(&[rows()]).unwrap();
    let row = rows().slice(0, 1);
    for (name, fitted) in [("number", plain), ("derive", fitted)] {
        let start = std::time::Instant::now();
        let n = 100_000;
        for _ in 0..n {
            std::hint::black_box(fitted.apply(&row).unwrap());
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(n);
        assert!(micros < 1e3, "{name}");
        eprintln!("{name}: {micros:.2} µs a row");
    }
}
