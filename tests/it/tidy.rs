//! What reviewers would have to look for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether a folder of a name is on the way to a file.
fn is_in(path: &Path, folder: &str) -> bool {
    let path = path.strip_prefix(root()).unwrap();
    path.components().any(|part| part.as_os_str() == folder)
}

/// The code of a file: without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Imports point down: a module may use those of lower layers, and within its own.
#[test]
fn layers_point_down() {
    let layers: &[&[&str]] = &[
        &["error", "warning"],
        &[
            "accumulate",
            "cancellation",
            "clock",
            "engine",
            "examples",
            "features",
            "fingerprint",
            "progress",
            "stage",
            "written",
        ],
        &[
            "metrics",
            "model",
            "page",
            "placing",
            "schema",
            "statistics",
            "store",
            "transform",
        ],
        &["blessing"],
        &["runs"],
        &["data", "evaluation", "serving", "training"],
        &["conformance", "pipeline", "report", "search"],
        &["continuous"],
    ];
    let layer_of = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let src = root().join("src");
    let mut wrong = Vec::new();
    for path in rust_files(&src) {
        let relative = path.strip_prefix(&src).unwrap().to_path_buf();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let module = first.trim_end_matches(".rs").to_owned();
        let Some(own) = layer_of(&module) else {
            assert!(
                ["lib", "prelude"].contains(&module.as_str()),
                "{module} is in no layer"
            );
            continue;
        };
        for used in code(&path).split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let Some(layer) = layer_of(&used) else {
                continue;
            };
            let sideways = own == 5 && layer == 5 && used != module;
            if layer > own || sideways {
                wrong.push(format!("{} uses `{used}`", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_hold_one_idea() {
    let long: Vec<String> = rust_files(&root().join("src"))
        .iter()
        .filter(|path| !is_in(path, "generated"))
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn one_place_mints_blessings() {
    let callers: Vec<String> = rust_files(&root().join("src"))
        .iter()
        .filter(|path| !is_in(path, "tests") && !path.ends_with("tests.rs"))
        .filter(|path| code(path).contains("Blessed::mint("))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert_eq!(callers, ["src/evaluation/judge.rs"]);
}

#[test]
fn every_test_file_is_compiled() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    let compile_fail = fs::read_to_string(root().join("tests/it/compile_fail.rs")).unwrap();
    // The crates that generate code and that try linfa's estimators are crates of their own.
    let files = rust_files(&root().join("tests"));
    let own = |path: &Path| ["codegen", "linfa"].iter().any(|name| is_in(path, name));
    for path in files.iter().filter(|path| !own(path)) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let reached = name == "main"
            || main.contains(&format!("mod {name};"))
            || compile_fail.contains(&name);
        assert!(reached, "no module reaches {}", path.display());
    }
}

#[test]
fn the_changelog_has_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        changelog.contains(&format!("## [{version}]")),
        "no entry for {version}"
    );
}

/// A server for models trained elsewhere builds without DataFusion and without solvers.
#[test]
fn the_serving_side_is_light() {
    let tree = |features: &str| {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--no-default-features",
            ])
            .args(["--features", features, "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let light = tree("http");
    for heavy in ["datafusion", "linfa", "argmin", "parquet", "object_store"] {
        assert!(
            !light.lines().any(|line| line.starts_with(heavy)),
            "`http` brings {heavy}"
        );
    }
    assert!(light.contains("axum") && tree("datafusion").contains("datafusion"));
}
