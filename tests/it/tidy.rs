//! Rules of the sources that reviewers would otherwise have to check.

use std::collections::{BTreeMap, BTreeSet};
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

/// The layers of the top-level modules, from the bottom.
const LAYERS: &[&[&str]] = &[
    &["error", "warning"],
    &[
        "accumulate",
        "cancellation",
        "clock",
        "engine",
        "examples",
        "features",
        "field_type",
        "fingerprint",
        "parallel",
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

/// The path of a module in a line of code, such as `["schema", "field"]` of `schema::field`.
fn segments(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c) && c != ':').unwrap_or(text.len());
    let parts = text[..end].split("::").map(str::to_owned);
    parts.filter(|part| !part.is_empty()).collect()
}

/// The path of the module that a file of `src` holds.
fn module_of(relative: &Path) -> Vec<String> {
    let path = relative.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts
        .filter(|part| part != "mod" && part != "lib")
        .collect()
}

/// The paths that a module's code names by `crate::` or `super::`, from the root of the crate; those of tests too if
/// they are asked for.
fn named_paths(path: &Path, module: &[String], with_tests: bool) -> BTreeSet<Vec<String>> {
    let mut named = BTreeSet::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    for line in code(path).lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        // The sources are formatted: a module ends at the brace in the column where it begins.
        if line == "}" && inline.last().is_some_and(|(start, _)| *start == indent) {
            inline.pop();
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., "mod", name, "{"] = words[..] {
            inline.push((indent, name.to_owned()));
            continue;
        }
        if !with_tests && inline.iter().any(|(_, name)| name == "tests") {
            continue;
        }
        let own = module.iter().chain(inline.iter().map(|(_, name)| name));
        let own: Vec<&String> = own.collect();
        for (at, _) in line.match_indices("crate::") {
            named.insert(segments(&line[at + "crate::".len()..]));
        }
        for (at, _) in line.match_indices("super::") {
            if line[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &line[at..];
            let mut depth = own.len();
            while let Some(after) = rest.strip_prefix("super::") {
                rest = after;
                depth = depth.saturating_sub(1);
            }
            let parents = own[..depth].iter().map(|part| (*part).clone());
            named.insert(parents.chain(segments(rest)).collect());
        }
    }
    named
}

/// Imports point down: a module may use those of lower layers, and within its own.
#[test]
fn layers_point_down() {
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let src = root().join("src");
    let mut wrong = Vec::new();
    for path in rust_files(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let module = module_of(relative);
        let first = module.first().map_or("lib", String::as_str);
        let Some(own) = layer_of(first) else {
            assert!(
                ["lib", "prelude"].contains(&first),
                "{first} is in no layer"
            );
            continue;
        };
        for used in named_paths(&path, &module, true) {
            let Some(used) = used.first().filter(|used| *used != first) else {
                continue;
            };
            let Some(layer) = layer_of(used) else {
                continue;
            };
            let sideways = own == 5 && layer == 5;
            if layer > own || sideways {
                wrong.push(format!("{} uses `{used}`", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Modules side by side do not use each other in circles: those of the crate, and the files of some folders.
#[test]
fn modules_form_no_cycle() {
    let src = root().join("src");
    let folders: [&[&str]; 4] = [&[], &["data"], &["schema"], &["statistics"]];
    for folder in folders {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in rust_files(&src) {
            if is_in(&path, "tests") || path.ends_with("tests.rs") {
                continue;
            }
            let module = module_of(path.strip_prefix(&src).unwrap());
            // The child of the folder that a path is in.
            let child = |path: &[String]| {
                let inside =
                    path.len() > folder.len() && path.iter().zip(folder).all(|(a, b)| a == b);
                inside.then(|| path[folder.len()].clone())
            };
            let Some(own) = child(&module) else {
                continue;
            };
            let named = named_paths(&path, &module, false);
            let others = named.iter().filter_map(|path| child(path));
            uses.entry(own.clone())
                .or_default()
                .extend(others.filter(|other| *other != own));
        }
        // Whatever uses nothing that is left leaves; a cycle stays.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            uses.retain(|_, others| others.iter().any(|other| left.contains(other)));
            if uses.len() == left.len() {
                break;
            }
        }
        assert!(uses.is_empty(), "{folder:?} has a cycle within {uses:#?}");
    }
}

/// Unit tests are in `mod tests` of a file, or in `tests.rs` or `tests/` of a folder.
#[test]
fn tests_are_where_they_are_looked_for() {
    let mut sources = rust_files(&root().join("src"));
    sources.extend(rust_files(&root().join("crates")));
    let elsewhere = sources
        .iter()
        .filter(|path| path.to_string_lossy().ends_with("_tests.rs"));
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
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

/// Types and traits do not have the names of the standard library's prelude.
#[test]
fn public_names_shadow_no_others() {
    let taken = [
        "Box", "Clone", "Copy", "Default", "Drop", "Eq", "Err", "From", "Hash", "Into", "Iterator",
        "None", "Ok", "Option", "Ord", "Send", "Some", "String", "Sync", "ToString", "Vec",
    ];
    let mut shadowing = Vec::new();
    for path in rust_files(&root().join("src")) {
        for line in code(&path).lines() {
            let words: Vec<&str> = line.split_whitespace().take(3).collect();
            let ["pub", "struct" | "enum" | "trait" | "type", name] = words[..] else {
                continue;
            };
            let name = segments(name).pop();
            if name.is_some_and(|name| taken.contains(&name.as_str())) {
                shadowing.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(shadowing.is_empty(), "{shadowing:#?}");
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
