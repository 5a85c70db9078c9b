//! What a search puts on record of its trials: limits of the model, parameters and their importance, the threshold.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourfold::features::Takes;
use fourfold::prelude::*;
use fourfold::progress::Meter;
use fourfold::search::{AutoTrainer, Space, Strategy, Trainers, Tune};
use fourfold::training::{GradientBoosting, LogisticRegression, RandomForest};

use crate::search::{rings, train_set};

fn forests() -> Tune {
    let space = Space::of(RandomForest::default()).choice("trees", [2, 5, 40]);
    Tune::over(space).strategy(Strategy::Grid(1))
}

#[test]
fn trials_whose_models_are_too_large_are_infeasible() {
    let args = TrainArgs::new(train_set(rings(600), "where", Takes::CODES));
    let measured = forests().max_bytes(u64::MAX).train(&args).unwrap();
    let bytes = |trained: &Trained<_>| -> Vec<u64> {
        let record: &fourfold::training::TrainingRecord = trained.record();
        record
            .trials
            .iter()
            .map(|trial| trial.bytes.unwrap())
            .collect()
    };
    let sizes = bytes(&measured);
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
    let limit = sizes[1];
    let limited = forests().max_bytes(limit).train(&args).unwrap();
    assert_eq!(bytes(&limited), sizes, "sizes do not depend on the limit");
    let trials = &limited.record().trials;
    assert!(trials[0].is_comparable() && trials[1].is_comparable());
    assert!(trials[2].value.is_some() && !trials[2].is_comparable());
    assert_eq!(
        trials[2].reason.as_deref().unwrap(),
        format!(
            "infeasible: the model has {} bytes, at most {limit} are allowed",
            sizes[2]
        )
    );
    let again = forests()
        .max_bytes(limit)
        .train(&args.clone().with_threads(1))
        .unwrap();
    assert_eq!(bytes(&again), sizes);
    let error = forests().max_bytes(10).train(&args).unwrap_err();
    let message = error.message();
    assert!(
        message.contains("none of 3 trials produced a model: infeasible"),
        "{message}"
    );
}

#[test]
fn trials_whose_models_are_too_slow_are_infeasible() {
    let args = TrainArgs::new(train_set(rings(300), "where", Takes::CODES));
    let error = forests()
        .max_row_time(Duration::from_nanos(1))
        .train(&args)
        .unwrap_err();
    assert!(error.message().contains("ms for a row"), "{error}");
    let trained = forests()
        .max_row_time(Duration::from_secs(3_600))
        .train(&args)
        .unwrap();
    let trials = &trained.record().trials;
    assert!(trials.iter().all(|trial| trial.row_seconds.unwrap() > 0.0));
    let message = forests().max_row_time(Duration::ZERO).check().unwrap_err();
    assert_eq!(message.to_string(), "`max_row_time` is 0, must be above 0");
}

#[test]
fn an_ensemble_stays_within_the_limit() {
    let args = TrainArgs::new(train_set(rings(300), "where", Takes::CODES));
    let size = |trained: &Trained<_>| {
        let record: &fourfold::training::TrainingRecord = trained.record();
        record.trials.last().unwrap().bytes.unwrap()
    };
    let auto = |limit: u64| {
        AutoTrainer::default()
            .trials(4)
            .max_bytes(limit)
            .train(&args)
    };
    let free = auto(u64::MAX).unwrap();
    let trials = &free.record().trials;
    let smallest = trials.iter().filter_map(|trial| trial.bytes).min().unwrap();
    let limit = smallest + (size(&free) - smallest) / 2;
    let limited = auto(limit).unwrap();
    assert!(size(&limited) <= limit);
}

#[test]
fn parameters_and_their_importance_are_on_record() {
    let rows = train_set(rings(500), "where", Takes::CODES);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let meter = Meter::default().with_messages(move |line| log.lock().unwrap().push(line));
    let space = Space::of(GradientBoosting::default().rounds(20))
        .log("learning_rate", 1e-3, 0.5)
        .float("l2", 0.0, 1e-6)
        .or(Space::of(LogisticRegression::default()).log("alpha", 0.01, 100.0));
    let trained = Tune::over(space)
        .strategy(Strategy::Random)
        .trials(40)
        .train(&TrainArgs::new(rows).with_progress(meter))
        .unwrap();
    let record = trained.record();
    for trial in &record.trials {
        let names: Vec<&str> = trial.parameters.keys().map(String::as_str).collect();
        match trial.stage["name"].as_str() {
            Some("gradient_boosting") => assert_eq!(names, ["l2", "learning_rate"]),
            _ => assert_eq!(names, ["alpha"]),
        }
        let name = names[0];
        assert_eq!(trial.stage["configuration"][name], trial.parameters[name]);
    }
    let importance = |name: &str| {
        let found = record
            .parameter_importances
            .iter()
            .find(|it| it.feature == name);
        found
            .unwrap_or_else(|| panic!("{:?}", record.parameter_importances))
            .value
    };
    let rate = importance("gradient_boosting.learning_rate");
    let of_nothing = importance("gradient_boosting.l2");
    assert!(rate > 0.5 && of_nothing < 0.3, "{rate} and {of_nothing}");
    assert!((0.0..=1.0).contains(&importance("trainer")));
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 40);
    assert_eq!(lines[6], format!("trial 7: {}", record.trials[6]));
}

#[test]
fn the_threshold_of_an_ensemble_is_chosen_by_cost() {
    let args = TrainArgs::new(train_set(rings(400), "where", Takes::CODES));
    let threshold = |auto: AutoTrainer| auto.trials(4).train(&args).unwrap().record().threshold;
    assert_eq!(threshold(AutoTrainer::default()), None);
    let careful = threshold(AutoTrainer::default().false_negative(20.0)).unwrap();
    let bold = threshold(AutoTrainer::default().false_positive(20.0)).unwrap();
    assert!(careful < 0.5 && bold > 0.5, "{careful} and {bold}");
    let numbers = TrainArgs::new(train_set(rings(100), "x", Takes::CODES));
    let error = AutoTrainer::default().false_negative(2.0).train(&numbers);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("needs two classes"), "{message}");
}

#[test]
fn a_space_is_read_from_a_file() {
    let read = |text: &str| Space::from_toml(text, &Trainers::default());
    let space = read(
        r#"
        [[trainer]]
        name = "random_forest"
        trees = 10
        min_rows_leaf = { range = [1, 20], log = true, when = { random_cuts = false } }
        random_cuts = { choice = [true, false] }

        [transforms.one]
        steps = [{ op = "z_score", input = "x" }]

        [transforms.automatic]
        max_values = 20
        "#,
    )
    .unwrap();
    let args = TrainArgs::new(train_set(rings(300), "where", Takes::CODES));
    let trained = Tune::over(space)
        .strategy(Strategy::Random)
        .trials(12)
        .train(&args)
        .unwrap();
    for trial in &trained.record().trials {
        assert!(trial.value.is_some(), "{trial}");
        let is_random = trial.parameters["random_cuts"] == true;
        assert_eq!(trial.parameters.contains_key("min_rows_leaf"), !is_random);
    }
    let message = |text: &str| read(text).unwrap_err().to_string();
    let forest = "[[trainer]]\nname = \"random_forest\"\n";
    let unknown = message(&format!("{forest}[transforms.odd]\nmax_value = 3"));
    assert_eq!(
        unknown,
        "transform `odd`: unknown field `max_value`; did you mean `max_values`?"
    );
    let unknown = message(&format!(
        "{forest}[transforms.odd]\nsteps = [{{ op = \"zscore\" }}]"
    ));
    assert!(
        unknown.contains("there is no operation `zscore`"),
        "{unknown}"
    );
    assert!(message("[[trainer]]\nname = \"forest\"").contains("there is no trainer `forest`"));
    let circle = message(&format!(
        "{forest}trees = {{ range = [1, 9], when = {{ max_features = 1 }} }}"
    ));
    assert!(circle.contains("depends on `max_features`"), "{circle}");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/space.toml");
    Space::load(example, &Trainers::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("space.json");
    std::fs::write(
        &file,
        r#"{"trainer": [{"name": "random_forest", "tree": 3}]}"#,
    )
    .unwrap();
    let error = Space::load(&file, &Trainers::default()).unwrap_err();
    assert!(error.to_string().contains("space.json"), "{error}");
    assert!(
        error.to_string().contains("did you mean `trees`?"),
        "{error}"
    );
}
