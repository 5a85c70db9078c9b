use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Cabin, Day, classes, regression};
use crate::error::ErrorKind;

#[derive(Clone, Debug, Default, Serialize)]
struct From {
    city: Option<String>,
    height: f64,
}

/// Every field of the model, and no other.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    age: u8,
    fare: Option<f64>,
    vip: Option<bool>,
    cabin: Option<Cabin>,
    deck: String,
    day: Option<Day>,
    at: Option<String>,
    from: Option<From>,
    legs: Option<Vec<u8>>,
    #[serde(skip)]
    _note: String,
}

#[test]
fn a_struct_that_fits_is_answered_as_its_map_is() {
    let predictor = regression();
    let typed = predictor.typed::<Row, f64>().unwrap();
    let full = Row {
        age: 40,
        from: Some(From::default()),
        ..Row::default()
    };
    // A struct that is NULL is all of its fields.
    let rows = [Row::default(), full, Row::default()];
    let maps: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::to_value(row).unwrap())
        .collect();
    let expected: Vec<f64> = predictor.predict_rows(&maps).unwrap();
    assert_eq!(typed.predict_all(&rows).unwrap(), expected);
    assert_eq!(typed.predict(&rows[1]).unwrap(), expected[1]);
    assert_eq!(typed.predictor().version(), predictor.version());
}

#[test]
fn fields_that_are_misspelt_or_missing_are_errors_in_every_row() {
    let predictor = regression();
    let good = serde_json::to_value(Row {
        from: Some(From::default()),
        ..Row::default()
    })
    .unwrap();
    let renamed = |from: &str, to: &str| {
        let mut row = good.clone();
        let fields = row.as_object_mut().unwrap();
        let value = fields.remove(from).unwrap();
        fields.insert(to.to_owned(), value);
        row
    };
    let message = |row: Value| {
        let typed = predictor.typed::<Value, f64>().unwrap();
        let error = typed.predict_all(&[good.clone(), row]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        error.message().to_owned()
    };
    let unknown = |name: &str, near: &str| {
        format!("field `{name}` is in row 1, and the model has no input of this name{near}")
    };
    assert_eq!(
        message(renamed("fare", "farre")),
        unknown("farre", "; did you mean `fare`?")
    );
    let mut nested = good.clone();
    nested["from"] = json!({"citty": "Rome", "height": 2.0});
    assert_eq!(message(nested), unknown("citty", "; did you mean `city`?"));
    let mut less = good.clone();
    less.as_object_mut().unwrap().remove("vip");
    assert_eq!(
        message(less.clone()),
        "row 1 has no field `vip`, which the model requires; use an `Option` for values that may be missing"
    );
    let mut half = good.clone();
    half["from"] = json!({"city": "Rome"});
    assert_eq!(
        message(half),
        "row 1 has no field `from.height`, which the model requires; use an `Option` for values that may be missing"
    );

    // A single row follows the rule of HTTP: a missing field is NULL, an unknown one an error.
    assert!(predictor.predict_row::<_, f64>(&less).is_ok());
    let error = predictor
        .predict_row::<_, f64>(&renamed("fare", "farre"))
        .unwrap_err();
    assert!(error.message().ends_with("did you mean `fare`?"), "{error}");

    // And on request anything goes.
    let lenient = predictor.typed::<Value, f64>().unwrap().lenient();
    assert!(lenient.predict(&renamed("fare", "farre")).is_ok());
}

#[test]
fn the_type_of_the_answer_is_checked_before_the_first_row() {
    #[derive(Debug, Deserialize)]
    struct Misspelt {
        #[expect(dead_code, reason = "only its name matters")]
        probabilty: Option<f64>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Some1 {
        No,
        Yes,
    }
    #[derive(Debug, Deserialize)]
    struct OfClass<C> {
        #[expect(dead_code, reason = "only its type matters")]
        class: C,
    }

    let late = classes(["no", "yes"]);
    let error = late.typed::<Row, Misspelt>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.message(),
        "a binary prediction with `class` and `probability` does not fit the type that is asked for: \
         there is no `probabilty`; did you mean `probability`?"
    );
    assert!(late.typed::<Row, OfClass<Some1>>().is_ok());
    // A class that the type does not know would fail only once it comes.
    let more = classes(["no", "yes", "maybe"]);
    let error = more.typed::<Row, OfClass<Some1>>().unwrap_err();
    assert!(
        error.message().contains("unknown variant `maybe`"),
        "{error}"
    );
    assert!(more.typed::<Row, OfClass<bool>>().is_err());
    assert!(regression().typed::<Row, OfClass<String>>().is_err());
    assert!(regression().typed::<Row, (f64,)>().is_ok());
}
