use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{classes, regression};
use crate::error::{ErrorKind, Result};
use crate::serving::Predictor;

fn answer<P: for<'de> Deserialize<'de>>(predictor: &Predictor, row: &Value) -> Result<P> {
    predictor.predict_row(row)
}

#[test]
fn answers_take_the_shape_that_is_asked_for() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Value1 {
        value: f32,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Class {
        No,
        Yes,
        Maybe,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Late {
        class: Class,
        probability: f64,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Only {
        class: Option<String>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Shares {
        class: Class,
        probabilities: BTreeMap<String, f64>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped<T>(T);

    let row = json!({"age": 40, "deck": "A"});
    let price = regression();
    let value: f64 = answer(&price, &row).unwrap();
    assert_eq!(answer::<Value1>(&price, &row).unwrap().value, value as f32);
    assert_eq!(answer::<(f64,)>(&price, &row).unwrap(), (value,));
    assert_eq!(
        answer::<Wrapped<Option<f64>>>(&price, &row).unwrap(),
        Wrapped(Some(value))
    );
    assert_eq!(answer::<Value>(&price, &row).unwrap(), json!(value));

    let late = classes(["no", "yes"]);
    let share: f64 = answer(&late, &row).unwrap();
    let (class, name) = if share > 0.5 {
        (Class::Yes, "yes")
    } else {
        (Class::No, "no")
    };
    let expected = Late {
        class,
        probability: share,
    };
    assert_eq!(answer::<Late>(&late, &row).unwrap(), expected);
    assert_eq!(answer::<Class>(&late, &row).unwrap(), expected.class);
    assert_eq!(answer::<String>(&late, &row).unwrap(), name);
    assert_eq!(
        answer::<Only>(&late, &row).unwrap().class.as_deref(),
        Some(name)
    );
    assert_eq!(
        answer::<(String, f64)>(&late, &row).unwrap(),
        (name.to_owned(), share)
    );
    assert_eq!(
        answer::<Vec<f64>>(&late, &row).unwrap(),
        [1.0 - share, share]
    );
    assert_eq!(
        answer::<Value>(&late, &row).unwrap(),
        json!({"class": name, "probability": share})
    );

    let meal = classes(["maybe", "no", "yes"]);
    let shares: Vec<f64> = answer(&meal, &row).unwrap();
    assert_eq!(shares.len(), 3);
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let all: Shares = answer(&meal, &row).unwrap();
    assert_eq!(all.probabilities["no"], shares[1]);
    let (class, list): (Class, Vec<f64>) = answer(&meal, &row).unwrap();
    assert_eq!((class, list), (all.class, shares));

    let flag = classes(["false", "true"]);
    assert_eq!(answer::<bool>(&flag, &row).unwrap(), share > 0.5);
    let number = classes(["-1", "1"]);
    assert_eq!(
        answer::<i8>(&number, &row).unwrap(),
        if share > 0.5 { 1 } else { -1 }
    );
    let (class, _): (i64, f64) = answer(&number, &row).unwrap();
    assert_eq!(class.abs(), 1);
}

#[test]
fn a_type_that_does_not_fit_an_answer_is_an_error_that_says_what_there_is() {
    #[derive(Debug, Deserialize)]
    struct Wrong {
        #[expect(dead_code, reason = "it is never made")]
        score: f64,
    }
    let row = json!({"age": 40, "deck": "A"});
    let error = answer::<Wrong>(&classes(["no", "yes"]), &row).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.message(),
        "a binary prediction with `class` and `probability` does not fit the type that is asked for: \
         missing field `score`"
    );
    let wrong = [
        answer::<bool>(&classes(["no", "yes"]), &row).map(|_| ()),
        answer::<u8>(&classes(["-1", "-2"]), &row).map(|_| ()),
        answer::<f64>(&classes(["a", "b", "c"]), &row).map(|_| ()),
        answer::<String>(&regression(), &row).map(|_| ()),
        answer::<i64>(&regression(), &row).map(|_| ()),
        answer::<(String, f64, f64)>(&classes(["no", "yes"]), &row).map(|_| ()),
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Config, "{number}");
    }
}
