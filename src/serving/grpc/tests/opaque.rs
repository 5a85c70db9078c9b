//! A model with preprocessing of its own: strings in, answered, swapped and watched as others are.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::features::Takes;
use crate::model::{load_json, save_json};
use crate::serving::observe::{DriftMonitor, DriftOptions};

/// Sure of notes with one word in them, in any case of letters.
#[derive(Debug)]
struct Word(String);

impl Predict for Word {
    fn n_features(&self) -> usize {
        0
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn takes(&self) -> Takes {
        Takes::ROWS
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        use arrow::array::AsArray;
        let notes = features.rows()?.column(0).as_string::<i32>().iter();
        let has = |note: &str| note.to_lowercase().split(' ').any(|word| word == self.0);
        let share = |note: Option<&str>| if note.is_some_and(has) { 0.9 } else { 0.1 };
        let shares: Vec<f64> = notes.map(share).collect();
        Ok(Array2::from_shape_vec((shares.len(), 1), shares).unwrap())
    }
}

impl Model for Word {
    const FORMAT: &'static str = "test.word.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "word.json", &self.0)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "word.json").map(Word)
    }
}

fn push(models: &Path, version: u64, word: &str) {
    let inputs = vec![InputColumn::new("note", FieldType::Text)];
    let transform = FittedTransform::new(inputs, Vec::new()).unwrap();
    let candidate = Candidate::new(
        "notes",
        Word(word.to_owned()),
        Target::classification("late", ["no", "yes"]).unwrap(),
        &Schema::new([Field::new("note", FieldType::Text)]),
        Arc::new(transform),
        BTreeMap::new(),
    );
    let place = models.join("notes").join(version.to_string());
    candidate.unwrap().save(&place).unwrap();
}

fn notes(notes: &[&'static str]) -> ModelInferRequest {
    let texts = InferTensorContents {
        bytes_contents: notes
            .iter()
            .map(|note| Bytes::from_static_str(note))
            .collect(),
        ..none()
    };
    let n_rows = i64::try_from(notes.len()).unwrap();
    ModelInferRequest {
        model_name: "notes".to_owned(),
        inputs: vec![tensor("note", "BYTES", n_rows, texts)],
        ..ModelInferRequest::default()
    }
}

#[test]
fn texts_are_answered_swapped_and_watched() {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let options = DriftOptions::default().window_rows(4).min_rows(4);
    let monitor = DriftMonitor::start(options, |_| REPORTED.store(true, Ordering::SeqCst)).unwrap();
    let monitor = Arc::new(monitor);
    let watching = Arc::clone(&monitor);
    let running = Running::managed(
        &ServerOptions::default(),
        |manager| {
            ServerCore::builder(manager)
                .observer(watching)
                .build()
                .unwrap()
        },
        |manager| manager.loaders(Loaders::default().with::<Gate>().with::<Word>()),
    );
    push(running.models.path(), 1, "ice");
    running.manager().refresh().unwrap();
    let asked = || {
        let answer = running.answer(&notes(&["ICE road", "sun rain"]));
        let find = |name: &str| answer.outputs.iter().find(|output| output.name == name);
        let contents = |name: &str| find(name).unwrap().contents.clone().unwrap();
        let classes = contents("class").bytes_contents;
        (
            answer.model_version.clone(),
            contents("probability").fp64_contents,
            classes,
        )
    };
    let (version, shares, classes) = asked();
    assert_eq!((version.as_str(), shares), ("1", vec![0.9, 0.1]));
    assert_eq!(classes, ["yes", "no"]);

    push(running.models.path(), 2, "sun");
    running.manager().refresh().unwrap();
    let (version, shares, _) = asked();
    assert_eq!((version.as_str(), shares), ("2", vec![0.1, 0.9]));

    // Two requests more fill the window of the second version.
    (0..2).for_each(|_| drop(asked()));
    monitor.flush();
    assert!(REPORTED.load(Ordering::SeqCst));
    let report = monitor.report("notes").unwrap();
    assert_eq!((report.version, report.n_rows), (2, 4));

    let mut wrong = notes(&["ice"]);
    wrong.inputs[0].name = "notes".to_owned();
    running
        .infer(&wrong)
        .refused(Code::InvalidArgument, "no input `notes`");
}
