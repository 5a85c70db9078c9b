//! The key of prepared data: a hash of everything that it depends on.
//!
//! Architecture invariant: the key is made of whole configurations, not of fields that somebody lists, so that a new
//! field is in it unless it is left out by name. Held by the test below, which changes each in turn.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::extract::Division;
use super::{DataPlan, DataSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::schema::Schema;
use crate::statistics::Statistics;
use crate::transform::FittedTransform;

/// Counts the ways in which rows were placed and written.
const PLACING_VERSION: u32 = 2;

/// The configuration from which a key is made.
#[derive(Clone, Copy, Serialize)]
pub(super) enum Configuration<'a> {
    /// The key of an extraction: the source and all that is done to its rows.
    Division(&'a Division),
    /// The whole configuration: the key of prepared data.
    Plan(&'a DataPlan),
}

/// Everything that a result depends on.
#[derive(Serialize)]
struct Inputs<'a> {
    formats: [(&'static str, u32); 4],
    engine: OfEngine,
    source: Value,
    snapshot: &'a Fingerprint,
    configuration: Configuration<'a>,
}

/// Sums of floats depend on how rows are cut. Left out: threads, the limit of memory and where it spills to, the
/// application's catalogue and functions, which a source's plan is made of.
#[derive(Serialize)]
struct OfEngine {
    partitions: usize,
}

impl OfEngine {
    fn of(engine: &Engine) -> Self {
        OfEngine {
            partitions: engine.partitions(),
        }
    }
}

fn formats() -> [(&'static str, u32); 4] {
    [
        ("placing", PLACING_VERSION),
        ("schema", Schema::FORMAT_VERSION),
        ("statistics", Statistics::FORMAT_VERSION),
        ("transform", FittedTransform::FORMAT_VERSION),
    ]
}

/// The key of what a source in this state makes with a configuration. It excludes the destination, and the receivers of
/// its progress.
pub(super) fn key_of<S: DataSource>(
    source: &S,
    snapshot: &Fingerprint,
    engine: &Engine,
    configuration: Configuration<'_>,
) -> Result<Fingerprint> {
    let of_source = |error: Error| error.in_stage(source.name());
    Fingerprint::of(&Inputs {
        formats: formats(),
        engine: OfEngine::of(engine),
        source: source.describe().map_err(of_source)?,
        snapshot,
        configuration,
    })
}

/// The parts of a configuration's key besides the source, for the record.
pub(super) fn described<S: DataSource>(
    source: Option<&S>,
    engine: &Engine,
    configuration: Configuration<'_>,
) -> Result<Value> {
    #[derive(Serialize)]
    struct Described<'a> {
        formats: [(&'static str, u32); 4],
        engine: OfEngine,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<Value>,
        configuration: Configuration<'a>,
    }
    let of_source = |source: &S| {
        source
            .describe()
            .map_err(|error| error.in_stage(source.name()))
    };
    crate::stage::Configuration::to_value(&Described {
        formats: formats(),
        engine: OfEngine::of(engine),
        source: source.map(of_source).transpose()?,
        configuration,
    })
}

/// Writes statistics in a configuration as the fingerprint of what they say.
pub(super) fn of_statistics<S: Serializer>(
    statistics: &Option<Arc<Statistics>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let content = statistics
        .as_ref()
        .map(|all| Fingerprint::of_content(all.as_ref()));
    let content = content.transpose().map_err(serde::ser::Error::custom)?;
    content.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::data::{AnomalyPolicy, BatchSource, DataPipeline, Label, Rebalance, Split};
    use crate::model::{ClassWeights, Task};
    use crate::schema::{Field, FieldType};
    use crate::transform::Transform;

    fn pipeline() -> DataPipeline<BatchSource> {
        let x: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("x", x)]).unwrap();
        DataPipeline::new(BatchSource::new("rows", vec![batch])).label("x")
    }

    fn statistics(n_rows: u64) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.n_rows = n_rows;
        statistics
    }

    /// A configuration that differs in each field.
    fn changed() -> Vec<(&'static str, DataPipeline<BatchSource>)> {
        let data = pipeline;
        let schema = Schema::new([Field::new("x", FieldType::Integer)]);
        vec![
            ("division.label", data().label(Label::at_least("x", 2.0))),
            (
                "division.split",
                data().split(Split::by_row([("train", 2), ("eval", 1)])),
            ),
            ("division.load.sample", data().sample(0.5)),
            (
                "division.load.rebalance",
                data().rebalance(Rebalance::oversample()),
            ),
            ("division.load.row_group_rows", data().row_group_rows(2_048)),
            ("task", data().task(Task::Binary)),
            (
                "class_weights",
                data().class_weights(ClassWeights::Balanced),
            ),
            ("weight_column", data().weight_column("w")),
            ("group_column", data().group_column("g")),
            ("exclude", data().exclude(["y"])),
            ("schema", data().schema(schema)),
            ("on_anomaly", data().on_anomaly(AnomalyPolicy::Quarantine)),
            ("previous", data().previous_statistics(statistics(1))),
            ("previous", data().previous_statistics(statistics(2))),
            ("serving", data().serving_statistics(statistics(1))),
            ("transform", data().transform(Transform::new().z_score("x"))),
        ]
    }

    /// The fields of a configuration by their paths; those of structs of our own, not of what users give.
    fn fields(data: &DataPipeline<BatchSource>) -> BTreeMap<String, Value> {
        let mut fields = BTreeMap::new();
        let mut open = vec![(String::new(), serde_json::to_value(&data.plan).unwrap())];
        while let Some((path, value)) = open.pop() {
            match value {
                Value::Object(inner)
                    if ["", "division", "division.load"].contains(&path.as_str()) =>
                {
                    let prefix = if path.is_empty() {
                        String::new()
                    } else {
                        path + "."
                    };
                    open.extend(
                        inner
                            .into_iter()
                            .map(|(name, value)| (prefix.clone() + &name, value)),
                    );
                }
                value => drop(fields.insert(path, value)),
            }
        }
        fields
    }

    #[test]
    fn every_field_is_in_the_key() {
        let engine = Engine::new().unwrap();
        let now = Fingerprint::of_bytes("now");
        let key = |data: &DataPipeline<BatchSource>, snapshot: &Fingerprint, engine: &Engine| {
            key_of(
                &data.source,
                snapshot,
                engine,
                Configuration::Plan(&data.plan),
            )
            .unwrap()
        };
        let extraction = |data: &DataPipeline<BatchSource>| {
            let division = Configuration::Division(&data.plan.division);
            key_of(&data.source, &now, &engine, division).unwrap()
        };
        let base = pipeline();
        let before = fields(&base);
        let mut keys = BTreeSet::from([
            key(&base, &now, &engine),
            key(&base, &Fingerprint::of_bytes("later"), &engine),
            key(&base, &now, &Engine::with_partitions(4).unwrap()),
            extraction(&base),
        ]);
        let mut named = BTreeSet::new();
        for (name, data) in changed() {
            let after = fields(&data);
            let differ: Vec<&String> = before
                .keys()
                .filter(|field| before[*field] != after[*field])
                .collect();
            assert_eq!(differ, [name], "one field at a time");
            assert!(
                keys.insert(key(&data, &now, &engine)),
                "`{name}` is not in the key"
            );
            let of_rows = name.starts_with("division");
            assert_eq!(extraction(&data) != extraction(&base), of_rows, "{name}");
            named.insert(name.to_owned());
        }
        // Whoever adds a field adds it to `changed`.
        assert_eq!(named, before.into_keys().collect());
        let same = pipeline();
        assert!(
            !keys.insert(key(&same, &now, &engine)),
            "the key of the same is another"
        );
    }
}
