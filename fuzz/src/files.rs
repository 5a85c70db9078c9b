//! Whole files of each format: whatever the bytes are, rows or an error that names the file.
#![no_main]

use std::sync::{Arc, LazyLock};

use fourfold::data::{DataSource, FileSource};
use fourfold::datafusion::execution::object_store::ObjectStoreUrl;
use fourfold::datafusion::object_store::ObjectStoreExt;
use fourfold::datafusion::object_store::memory::InMemory;
use fourfold::engine::Engine;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|bytes: &[u8]| {
    let name = match bytes {
        [b'P', b'A', b'R', b'1', ..] => "f.parquet",
        [b'A', b'R', b'R', b'O', ..] | [0xff, 0xff, ..] => "f.arrow",
        [b'[', ..] => "f.json",
        [b'{', ..] => "f.jsonl",
        _ => "f.csv",
    };
    if let Err(error) = RUNTIME.block_on(read(name, bytes)) {
        assert!(error.to_string().contains(name), "{name} is not named: {error}");
    }
});

async fn read(name: &str, bytes: &[u8]) -> fourfold::Result<()> {
    // A new one each time: footers are kept by name.
    let engine = Engine::with_partitions(2)?.with_memory_limit(1 << 28)?;
    let store = Arc::new(InMemory::new());
    store.put(&name.into(), bytes.to_vec().into()).await.expect("memory takes it");
    let url = ObjectStoreUrl::parse("memory://files").expect("a URL");
    engine.session().runtime_env().register_object_store(url.as_ref(), store);
    let source = FileSource::detect(format!("memory://files/{name}"))?;
    let rows = source.read(&engine).await?;
    let schema = rows.schema().as_arrow().clone();
    let batches = rows.collect().await;
    batches.map(drop).map_err(|error| source.explain(error.into(), &schema))
}
