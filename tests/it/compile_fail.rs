//! What must not compile, with the words that it is refused with.
//!
//! The compiler is run on each file of `tests/ui` against the library that this test is linked with. (`trybuild` would
//! compile DataFusion a second time for it, which takes minutes.)

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the compiler says of a file: whether it compiles, and its errors' messages, labels and notes.
fn compile(case: &str) -> (bool, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let executable = std::env::current_exe().unwrap();
    let deps = executable.parent().unwrap();
    let newest = std::fs::read_dir(deps)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("libfourfold-") && name.ends_with(".rlib")
        })
        .max_by_key(|path| {
            path.metadata()
                .and_then(|metadata| metadata.modified())
                .unwrap()
        });
    let library: PathBuf = newest.expect("the library beside this test");
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args([
            "--edition",
            "2024",
            "--emit",
            "metadata",
            "--color",
            "never",
        ])
        .arg("--out-dir")
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!("fourfold={}", library.display()))
        .arg(root.join("tests/ui").join(format!("{case}.rs")))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let kept = stderr.lines().filter_map(|line| {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        let line = line.trim_start_matches(['|', ' ']);
        let long_type = line.contains("long-type") || line.contains("--verbose");
        let shown = !long_type && line.starts_with("error") && !line.starts_with("error: aborting")
            || line.contains("^ ")
            || !long_type && line.starts_with("= note: ");
        shown.then(|| {
            line.rsplit_once('^')
                .map_or(line, |(_, label)| label)
                .trim()
                .to_owned()
        })
    });
    (output.status.success(), kept.collect::<Vec<_>>().join("\n"))
}

#[track_caller]
fn refused(case: &str) -> String {
    let (compiles, said) = compile(case);
    assert!(!compiles, "`{case}` compiles");
    said
}

#[test]
fn a_complete_pipeline_compiles() {
    let (compiles, said) = compile("complete");
    assert!(compiles, "{said}");
}

#[test]
fn a_missing_stage_is_named_with_the_call() {
    insta::assert_snapshot!("missing_data", refused("missing_data"));
    insta::assert_snapshot!("missing_label", refused("missing_label"));
    insta::assert_snapshot!("missing_train", refused("missing_train"));
    insta::assert_snapshot!("missing_evaluate", refused("missing_evaluate"));
    insta::assert_snapshot!("missing_serve", refused("missing_serve"));
}

#[test]
fn a_stage_of_another_model_is_named_with_the_types() {
    insta::assert_snapshot!(
        "validator_of_another_model",
        refused("validator_of_another_model")
    );
    insta::assert_snapshot!(
        "server_of_another_model",
        refused("server_of_another_model")
    );
}

#[test]
fn what_is_no_stage_is_named() {
    insta::assert_snapshot!("not_a_trainer", refused("not_a_trainer"));
}

#[test]
fn an_unvalidated_model_cannot_be_deployed() {
    insta::assert_snapshot!("deploy_unvalidated", refused("deploy_unvalidated"));
}

#[test]
fn arguments_made_by_hand_cannot_bless() {
    insta::assert_snapshot!("mint_by_hand", refused("mint_by_hand"));
}
