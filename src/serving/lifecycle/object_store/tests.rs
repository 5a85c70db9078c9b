use std::collections::BTreeSet;
use std::fs;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStoreExt, PutPayload};
use tokio::runtime::Runtime;

use super::*;
use crate::serving::lifecycle::directory::tests::{constant, constant_with};
use crate::serving::lifecycle::{Traffic, VersionPolicy};

/// A store in memory with its models.
struct Stored {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    cache: tempfile::TempDir,
    models: ObjectStoreRepository,
}

impl Stored {
    fn new() -> Self {
        Stored::over(Arc::new(InMemory::new()))
    }

    fn over(store: Arc<dyn ObjectStore>) -> Self {
        let cache = tempfile::tempdir().unwrap();
        Stored {
            runtime: Runtime::new().unwrap(),
            models: ObjectStoreRepository::new(Arc::clone(&store), "all/models", cache.path())
                .unwrap(),
            cache,
            store,
        }
    }

    fn push(&self, name: &str, answer: f64) -> u64 {
        let model = constant(name, answer);
        let pushed = self.runtime.block_on(self.models.push(&model)).unwrap();
        let place = format!("all/models/{name}/{}", pushed.version);
        assert_eq!(
            (pushed.name.as_str(), pushed.path),
            (name, PathBuf::from(place))
        );
        pushed.version
    }

    fn put(&self, key: &str, text: &'static str) {
        self.put_bytes(key, PutPayload::from_static(text.as_bytes()));
    }

    fn put_bytes(&self, key: &str, bytes: PutPayload) {
        let key = key.into();
        let put = self.store.put(&key, bytes);
        self.runtime.block_on(put).unwrap();
    }

    fn delete(&self, key: &str) {
        self.runtime
            .block_on(self.store.delete(&key.into()))
            .unwrap();
    }

    fn keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let models = self.models.remote.clone();
        let objects = self.runtime.block_on(async {
            use futures_util::TryStreamExt;
            models.store.list(None).try_collect::<Vec<_>>().await
        });
        keys.extend(
            objects
                .unwrap()
                .into_iter()
                .map(|object| object.location.to_string()),
        );
        keys
    }

    fn found(&self, name: &str) -> Result<Found> {
        let mut models = self.models.poll()?;
        models.retain(|model| model.name() == name);
        models.remove(0).into_parts().1
    }

    fn fetch(&self, name: &str, version: u64) -> Result<PathBuf> {
        let found = self.found(name)?;
        let version = found.version(version).unwrap();
        self.models.fetch(name, version)?;
        Ok(version.path().to_owned())
    }

    fn answer(&self, name: &str, version: u64) -> Result<f64> {
        let path = self.fetch(name, version)?;
        let servable = Servable::load(&path, &Loaders::default())?;
        let outputs = servable
            .model()
            .predict(&ndarray::Array2::zeros((1, 0)).into())?;
        Ok(outputs[(0, 0)])
    }
}

#[test]
fn what_is_pushed_is_found_and_brought() {
    for local in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let stored = if local {
            Stored::over(Arc::new(
                LocalFileSystem::new_with_prefix(root.path()).unwrap(),
            ))
        } else {
            Stored::new()
        };
        assert_eq!(stored.push("price", 1.5), 1);
        assert_eq!(stored.push("price", 2.5), 2);
        assert_eq!(stored.push("prices", 9.0), 1);
        let found = stored.found("price").unwrap();
        assert_eq!(found.numbers(), [1, 2]);
        let version = found.version(1).unwrap();
        assert!(version.n_bytes() > 100 && version.written().is_some());
        assert_eq!(version.path(), stored.cache.path().join("price/1"));
        assert!(!version.path().exists(), "brought when it is to be loaded");
        assert_eq!(stored.answer("price", 1).unwrap(), 1.5);
        assert_eq!(stored.answer("price", 2).unwrap(), 2.5);
        assert_eq!(stored.answer("prices", 1).unwrap(), 9.0);
        assert_eq!(version.n_bytes(), store::n_bytes(version.path()));
    }
}

#[test]
fn a_version_is_there_when_its_digests_are() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    for key in [
        "price/7/manifest.json",
        "price/0009/x",
        "price/x/SHA256SUMS",
        "README",
        ".a/1/SHA256SUMS",
    ] {
        stored.put(&format!("all/models/{key}"), "");
    }
    stored.put("all/models2/price/8/SHA256SUMS", "");
    assert_eq!(stored.models.poll().unwrap().len(), 1);
    assert_eq!(stored.found("price").unwrap().numbers(), [1]);
    stored.put("all/models/price/0009/SHA256SUMS", "");
    assert_eq!(stored.found("price").unwrap().numbers(), [1, 9]);
    assert_eq!(
        stored.push("price", 1.0),
        10,
        "an unfinished push keeps its number"
    );
}

#[test]
fn a_download_is_whole_or_not_there() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    let file = "all/models/price/1/model/constant.json";
    let place = stored.cache.path().join("price/1");
    let good = stored.runtime.block_on(async {
        let object = stored.store.get(&file.into()).await.unwrap();
        object.bytes().await.unwrap()
    });

    stored.put(file, "{}");
    let error = stored.fetch("price", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(file), "{error}");
    stored.delete(file);
    assert_eq!(
        stored.fetch("price", 1).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(!place.exists());
    let left = fs::read_dir(stored.cache.path().join("price")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");

    stored.put_bytes(file, good.into());
    assert_eq!(stored.answer("price", 1).unwrap(), 1.0);
    // A damaged local file is fetched again, an intact one is not.
    fs::write(place.join("model/constant.json"), "{}").unwrap();
    assert_eq!(stored.answer("price", 1).unwrap(), 1.0);
    stored.delete(file);
    assert_eq!(stored.answer("price", 1).unwrap(), 1.0);
}

#[test]
fn a_version_that_is_written_anew_is_brought_anew() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    assert_eq!(stored.answer("price", 1).unwrap(), 1.0);
    for key in stored.keys() {
        stored.delete(&key);
    }
    assert_eq!(stored.push("price", 2.0), 1);
    assert_eq!(stored.answer("price", 1).unwrap(), 2.0);
}

#[test]
fn digests_of_files_elsewhere_are_refused() {
    let stored = Stored::new();
    for (version, sums) in [
        ("1", "00  ../../stolen\n"),
        ("2", "00  /etc/passwd\n"),
        ("3", "00  a//b\n"),
        ("4", "no digest\n"),
    ] {
        stored.put(&format!("all/models/price/{version}/SHA256SUMS"), sums);
        let error = stored.fetch("price", version.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert!(!stored.cache.path().join("stolen").exists());
}

#[test]
fn a_store_that_says_nothing_changes_nothing() {
    let stored = Stored::new();
    let error = stored.models.poll().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .contains("there is no model below `all/models`")
    );
    let slow = ThrottleConfig {
        wait_list_per_call: Duration::from_secs(600),
        ..ThrottleConfig::default()
    };
    let slow = ThrottledStore::new(InMemory::new(), slow);
    let stored = Stored::over(Arc::new(slow));
    let hasty = stored.models.clone().timeout(Duration::from_millis(20));
    assert_eq!(
        hasty.poll().unwrap_err().kind(),
        ErrorKind::DeadlineExceeded
    );
}

#[test]
fn a_control_that_hangs_is_its_models_error_alone() {
    let slow = ThrottleConfig {
        wait_get_per_call: Duration::from_secs(600),
        ..ThrottleConfig::default()
    };
    let slow = ThrottledStore::new(InMemory::new(), slow);
    let stored = Stored::over(Arc::new(slow));
    for model in ["a", "b", "c"] {
        let control = format!("all/models/{model}/serving.json");
        stored.put(&control, r#"{"format_version": 1}"#);
    }
    stored.put("all/models/plain/1/SHA256SUMS", "");
    let hasty = stored.models.clone().timeout(Duration::from_millis(200));
    let found = hasty.poll().unwrap();
    assert_eq!(found.len(), 4);
    for model in &found[..3] {
        let error = model.found().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
    assert_eq!(found[3].found().unwrap().numbers(), [1]);
}

#[test]
fn a_model_without_versions_keeps_what_is_loaded_if_told_so() {
    let stored = Stored::new();
    stored.put("all/models/price/serving.json", r#"{"format_version": 1}"#);
    assert!(stored.found("price").unwrap().versions().is_empty());
    let careful = stored.models.clone().servable_versions_always_present();
    assert!(careful.poll().unwrap()[0].found().is_err());
}

#[test]
fn what_an_operator_says_is_kept_in_the_store() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    stored.push("price", 2.0);
    let change = |control: &mut Control| {
        control.set_label("stable", 1)?;
        control.set_traffic(Some(Traffic::by_key([("stable", 1)])?))
    };
    let control = stored.models.update("price", &mut { change }).unwrap();
    assert_eq!(stored.found("price").unwrap().control(), &control);
    // Another server changes it.
    let other =
        ObjectStoreRepository::new(Arc::clone(&stored.store), "all/models", "unused").unwrap();
    other
        .update("price", &mut |control| control.roll_back(2, 1))
        .unwrap();
    let found = stored.found("price").unwrap();
    assert_eq!(found.control().rolled_back(), &BTreeSet::from([2]));
    assert_eq!(
        found
            .control()
            .aspired(&VersionPolicy::All, &found.numbers()),
        [1]
    );
    let refused = other.update("price", &mut |control| control.set_label("", 1));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
    let missing = other.update("cost", &mut |_| Ok(()));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    // A broken file affects only its model, and earlier settings remain in effect.
    stored.push("other", 1.0);
    stored.put(
        "all/models/price/serving.json",
        r#"{"format_version": 1, "lables": {}}"#,
    );
    assert!(stored.found("other").is_ok());
    let found = stored.found("price").unwrap();
    assert_eq!(found.control().rolled_back(), &BTreeSet::from([2]));
    let message = "`all/models/price/serving.json`: unknown field `lables` at line 1 column 30; did you mean `labels`?";
    assert_eq!(found.warning(), Some(message));
    // Where it never held, it is an error.
    stored.put("all/models/other/serving.json", "{");
    let fresh = tempfile::tempdir().unwrap();
    let fresh = ObjectStoreRepository::new(Arc::clone(&stored.store), "all/models", fresh.path());
    let models = fresh.unwrap().poll().unwrap();
    assert!(models.iter().all(|model| model.found().is_err()));
}

#[test]
fn editors_at_the_same_time_lose_nothing() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    std::thread::scope(|scope| {
        for editor in 0..4 {
            let models = stored.models.clone();
            scope.spawn(move || {
                for label in 0..5 {
                    let label = format!("l{editor}-{label}");
                    let mut change = |control: &mut Control| control.set_label(label.clone(), 1);
                    models.update("price", &mut change).unwrap();
                }
            });
        }
    });
    assert_eq!(stored.found("price").unwrap().control().labels().len(), 20);
}

#[test]
fn pushes_at_the_same_time_get_numbers_of_their_own() {
    let stored = Stored::new();
    let versions: BTreeSet<u64> = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..8_u8)
            .map(|i| {
                let models = stored.models.clone();
                scope.spawn(move || {
                    let model = constant("price", f64::from(i));
                    let runtime = Runtime::new().unwrap();
                    let push = || runtime.block_on(models.push(&model)).unwrap().version;
                    [push(), push(), push()]
                })
            })
            .collect();
        let pushed = pushers.into_iter().map(|pusher| pusher.join().unwrap());
        pushed.flatten().collect()
    });
    assert_eq!(versions, (1..=24).collect());
    let mut answers: Vec<f64> = versions
        .iter()
        .map(|version| stored.answer("price", *version).unwrap())
        .collect();
    answers.sort_by(f64::total_cmp);
    let pushed: Vec<f64> = (0..24).map(|i| f64::from(i / 3)).collect();
    assert_eq!(answers, pushed);
}

#[test]
fn a_push_that_fails_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(root.path()).unwrap();
    let stored = Stored::over(Arc::new(local));
    // A directory where the list of digests is to be.
    let sums = root.path().join("all/models/price/1/SHA256SUMS");
    fs::create_dir_all(&sums).unwrap();
    let model = constant("price", 1.0);
    let failed = stored.runtime.block_on(stored.models.push(&model));
    assert!(
        failed
            .unwrap_err()
            .to_string()
            .contains("price/1/SHA256SUMS")
    );
    assert_eq!(stored.keys(), BTreeSet::new());
    fs::remove_dir(sums).unwrap();
    assert_eq!(stored.push("price", 1.0), 1);
}

#[test]
fn whether_it_can_be_written_to_is_asked_first() {
    let root = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(root.path()).unwrap();
    let stored = Stored::over(Arc::new(local));
    let prepare = || {
        let prepared = Server::<crate::model::ConstantModel>::prepare(&stored.models);
        stored.runtime.block_on(prepared)
    };
    prepare().unwrap();
    assert_eq!(stored.keys(), BTreeSet::new(), "nothing stays");
    // A file where the directory of models is to be.
    fs::remove_dir_all(root.path().join("all")).unwrap();
    fs::write(root.path().join("all"), "").unwrap();
    let error = prepare().unwrap_err();
    assert!(
        error.to_string().contains("all/models/.writable-"),
        "{error}"
    );
}

#[test]
fn what_is_not_wanted_leaves_the_cache() {
    let stored = Stored::new();
    for answer in [1.0, 2.0, 3.0, 4.0] {
        let version = stored.push("price", answer);
        stored.fetch("price", version).unwrap();
    }
    let cached = || -> Vec<u64> {
        let dirs = store::version_dirs(&stored.cache.path().join("price")).unwrap();
        dirs.into_keys().collect()
    };
    stored.models.retain("price", &[1, 4]).unwrap();
    assert_eq!(cached(), [1, 3, 4]);
    let strict = stored.models.clone().keep_cached(0);
    strict.retain("price", &[4]).unwrap();
    assert_eq!(cached(), [4]);
    strict.retain("missing", &[]).unwrap();
    strict.retain("../price", &[]).unwrap();
    assert_eq!(cached(), [4]);
}

#[test]
fn the_model_that_serves_is_compared_with() {
    let stored = Stored::new();
    let serving = |name: &str| {
        let loaders = Loaders::default();
        let serving =
            Server::<crate::model::ConstantModel>::serving(&stored.models, name, &loaders);
        stored.runtime.block_on(serving).unwrap()
    };
    assert!(matches!(serving("price"), Serving::None));
    stored.push("price", 1.0);
    stored.push("price", 2.0);
    let answer = || {
        let Serving::Model(servable) = serving("price") else {
            panic!("two versions were pushed")
        };
        servable
            .model()
            .predict(&ndarray::Array2::zeros((1, 0)).into())
            .unwrap()[(0, 0)]
    };
    assert_eq!(answer(), 2.0);
    stored
        .models
        .update("price", &mut |control| control.roll_back(2, 1))
        .unwrap();
    assert_eq!(answer(), 1.0);
}

#[test]
fn what_serves_already_is_known_by_the_artifact_that_it_is() {
    let stored = Stored::new();
    let deployed = |artifact: &str| {
        let deployed =
            Server::<crate::model::ConstantModel>::deployed(&stored.models, "price", artifact);
        stored.runtime.block_on(deployed).unwrap()
    };
    assert_eq!(deployed("model/1"), None);
    for artifact in ["model/1", "model/2"] {
        let details = BTreeMap::from([(Manifest::ARTIFACT.to_owned(), artifact.into())]);
        let model = constant_with("price", 1.0, details);
        let pushed = stored.runtime.block_on(stored.models.push(&model)).unwrap();
        assert_eq!(deployed(artifact), Some(pushed));
    }
    assert_eq!(deployed("model/1"), None, "another one serves");
    let roll_back = &mut |control: &mut Control| control.roll_back(2, 1);
    stored.models.update("price", roll_back).unwrap();
    assert_eq!(deployed("model/1").map(|pushed| pushed.version), Some(1));
}

#[test]
fn it_blocks_without_a_panic_where_futures_run() {
    let stored = Stored::new();
    stored.push("price", 1.0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(stored.models.poll().unwrap().len(), 1);
        stored.fetch("price", 1).unwrap();
        let last = ObjectStoreRepository::new(Arc::clone(&stored.store), "", "unused").unwrap();
        assert!(last.poll().is_ok());
        drop(last);
    });
}
