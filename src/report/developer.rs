//! For developers: the configuration, the environment, and how to reproduce the run.

use std::fmt::Write;

use serde_json::Value;

use super::Kept;
use super::training::in_short;
use crate::page::{Cell, Facts, Seconds, Table, Text, section};
use crate::pipeline::RunRecord;

pub(super) fn write(page: &mut String, run: &RunRecord, kept: Option<&Kept>) {
    page.push_str("<h2 id=\"development\">Development</h2>\n");
    section(page, "Run", &setup(run, kept));
    section(page, "Reproduce", &reproduce(run, kept));
    section(page, "Configuration", &configuration(run, kept));
}

fn setup(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut facts = Facts::default();
    if let Some(id) = &run.id {
        facts.add("run", id);
    }
    facts
        .add("ended", &run.setup.ended)
        .add("by fourfold", &run.setup.crate_version)
        .add(
            "trainer",
            run.setup.trainer["name"].as_str().unwrap_or_default(),
        )
        .add(
            "seed",
            seed(run, kept)
                .map(|seed| seed.to_string())
                .unwrap_or_default(),
        )
        .add("split", &run.setup.split)
        .html(
            "data",
            format!("<code>{}</code>", Text(run.data_fingerprint.as_str())),
        );
    let Some(kept) = kept else {
        return facts.to_string();
    };
    let environment = &kept.run.environment;
    facts
        .add("began", kept.run.started())
        .add("took", Seconds(kept.run.seconds))
        .add(
            "machine",
            format!(
                "{}, {} {}, {} threads",
                environment.host, environment.os, environment.arch, environment.threads
            ),
        )
        .add(
            "version of the application",
            environment.code_version.as_deref().unwrap_or_default(),
        )
        .add("root", &kept.root);
    for (name, value) in kept.run.tags.iter().take(50) {
        facts.add(&format!("tag {name}"), value);
    }
    for note in kept.run.notes.iter().take(50) {
        facts.add("note", note);
    }
    let mut html = facts.to_string();
    let mut digests = Table::new("Digests of the artifacts")
        .text("kind")
        .text("SHA-256")
        .most(100);
    for output in kept.run.stages.iter().flat_map(|stage| &stage.outputs) {
        digests.row([
            Cell::text(output.kind()),
            Cell::html(format!("<code>{}</code>", output.digest().as_str())),
        ]);
    }
    digests.folded(&mut html, "Digests of the artifacts");
    html
}

/// The seed of the training: that of the run, or of the record of an earlier one.
fn seed(run: &RunRecord, kept: Option<&Kept>) -> Option<u64> {
    let executions = kept
        .map(|kept| kept.executions.as_slice())
        .unwrap_or_default();
    let mut trained = executions
        .iter()
        .filter(|execution| execution.stage == "train");
    run.setup
        .seed
        .or_else(|| trained.find_map(|execution| execution.seed))
}

/// The command, if the model card has one, and the conditions for the same bits.
fn reproduce(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut html = String::new();
    if !run.card.command.is_empty() {
        let _ = write!(html, "<pre>{}</pre>", Text(&run.card.command));
    }
    if let Some((kept, id)) = kept.zip(run.id.as_ref()) {
        let command = format!(
            "cargo run --example runs -- --root {} lineage {id}",
            shell(&kept.root)
        );
        let _ = write!(
            html,
            "<p>The lineage of the run, with digests, seeds and versions:</p><pre>{}</pre>",
            Text(command)
        );
    }
    html.push_str(
        "<p class=\"muted\">The same files, configuration, seeds and versions give the same bits on one kind of processor, on any \
         number of threads.</p>",
    );
    html
}

/// A path quoted for a shell.
fn shell(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

fn configuration(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut html = String::new();
    let Some(kept) = kept else {
        let text = in_short(&run.setup.trainer["configuration"]);
        let mut facts = Facts::default();
        facts.add("trainer", text);
        return facts.to_string();
    };
    for execution in &kept.executions {
        let mut facts = Facts::default();
        facts
            .add(
                "what",
                format!("{} version {}", execution.name, execution.version),
            )
            .add(
                "seed",
                execution
                    .seed
                    .map(|seed| seed.to_string())
                    .unwrap_or_default(),
            )
            .add(
                "compared with",
                execution.serving.as_deref().unwrap_or_default(),
            );
        let mut table = Table::new(format!("Configuration of {}", execution.stage))
            .text("field")
            .text("value")
            .most(200);
        leaves(&mut table, "", &execution.configuration);
        let _ = write!(
            html,
            "<details><summary>{}</summary>{facts}{table}</details>",
            Text(&execution.stage)
        );
    }
    html
}

/// The fields of a configuration; nested fields have paths such as `train.rounds`.
fn leaves(table: &mut Table, path: &str, value: &Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(table, &path, value);
            }
        }
        value => {
            let text: String = value.to_string().chars().take(300).collect();
            table.row([Cell::name(path), Cell::text(text)]);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(super::shell("/a/b-1.c"), "/a/b-1.c");
        assert_eq!(super::shell("a b'c"), r"'a b'\''c'");
    }
}
