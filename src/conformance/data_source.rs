//! The contract of data sources.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::{Violation, holds, stage};
use crate::data::DataSource;
use crate::engine::Engine;
use crate::placing::content_hashes;

/// Checks a source against [`DataSource`]'s contract: it is a good [stage](fn@stage); its plan can be run again and
/// again, cut into any number of parts, with the same rows, whatever their order; its columns have names of their own;
/// rows are of the plan's schema; and as long as nothing changes, its snapshot does not.
///
/// The rows are read into memory four times: take a source of a few thousand.
///
/// # Errors
/// The first requirement that does not hold.
pub async fn data_source<S: DataSource>(source: &S) -> Result<(), Violation> {
    stage(source)?;
    let who = source.name();
    let engine = |partitions| {
        Engine::with_partitions(partitions).map_err(Violation::failed(who, "making an engine"))
    };
    let engine_of_eight = engine(8)?;
    let first = rows(source, &engine_of_eight).await?;
    holds(
        rows(source, &engine_of_eight).await? == first,
        who,
        "a second reading has other rows",
    )?;
    for partitions in [1, 3] {
        holds(
            rows(source, &engine(partitions)?).await? == first,
            who,
            format!("read in {partitions} parts it has other rows than in 8"),
        )?;
    }
    let snapshot = || async {
        let failed = Violation::failed(who, "the snapshot");
        source.snapshot(&engine_of_eight).await.map_err(failed)
    };
    holds(
        snapshot().await? == snapshot().await?,
        who,
        "its snapshot changes while nothing else does: it would be read again in every run",
    )
}

/// The names and types of the columns, and a hash of each row, sorted.
type Content = (Vec<String>, Vec<u64>);

async fn rows(source: &impl DataSource, engine: &Engine) -> Result<Content, Violation> {
    let who = source.name();
    let plan = (source.read(engine).await).map_err(Violation::failed(who, "reading"))?;
    let schema = Arc::clone(plan.schema().inner());
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        holds(
            names.insert(field.name()),
            who,
            format!("column name `{}` is a duplicate", field.name()),
        )?;
    }
    let explained = |error: datafusion::error::DataFusionError| {
        Violation::failed(who, "running its plan")(source.explain(error.into(), &schema))
    };
    let batches = plan.collect().await.map_err(explained)?;
    let mut hashes = Vec::new();
    for batch in &batches {
        let types = |schema: &arrow::datatypes::Schema| -> Vec<String> {
            let fields = schema.fields().iter();
            fields
                .map(|field| format!("{}: {}", field.name(), field.data_type()))
                .collect()
        };
        holds(
            types(batch.schema_ref()) == types(&schema),
            who,
            format!(
                "rows have the columns {:?}, the plan says {:?}",
                types(batch.schema_ref()),
                types(&schema)
            ),
        )?;
        let columns: Vec<&ArrayRef> = batch.columns().iter().collect();
        let failed = Violation::failed(who, "hashing its rows");
        hashes.extend(content_hashes(&columns, batch.num_rows()).map_err(failed)?);
    }
    hashes.sort_unstable();
    let columns = schema.fields().iter();
    let columns = columns.map(|field| format!("{}: {}", field.name(), field.data_type()));
    Ok((columns.collect(), hashes))
}
