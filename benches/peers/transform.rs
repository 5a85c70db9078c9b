//! The transform that peers are compared on.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use fourfold::datafusion::prelude::ident;
use fourfold::engine::Engine;
use fourfold::ndarray::{Array2, ArrayViewMut2, Axis};
use fourfold::transform::{Fill, FittedTransform, Roles, Transform};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::{Report, read};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// 3 z-scores, 4 quantile buckets, 4 vocabularies of at most 30 values with one-hot; what is missing is filled.
fn transform() -> Transform {
    Transform::new()
        .impute("distance", Fill::Mean)
        .z_score("distance")
        .impute("fare", Fill::Mean)
        .z_score("fare")
        .impute("tip", Fill::Mean)
        .z_score("tip")
        .impute("pickup_latitude", Fill::Median)
        .bucketize("pickup_latitude", 10)
        .impute("pickup_longitude", Fill::Median)
        .bucketize("pickup_longitude", 10)
        .impute("seconds", Fill::Median)
        .bucketize("seconds", 10)
        .bucketize("total", 10)
        .one_hot_top("payment_type", 30)
        .impute("company", Fill::Text("missing".to_owned()))
        .one_hot_top("company", 30)
        .impute("pickup_zone", Fill::Text("missing".to_owned()))
        .one_hot_top("pickup_zone", 30)
        .impute("dropoff_zone", Fill::Text("missing".to_owned()))
        .one_hot_top("dropoff_zone", 30)
}

/// Fifteen steps, for a row that is served.
fn fifteen_steps() -> Transform {
    Transform::new()
        .impute("distance", Fill::Mean)
        .z_score("distance")
        .impute("fare", Fill::Mean)
        .z_score("fare")
        .impute("tip", Fill::Mean)
        .z_score("tip")
        .impute("pickup_latitude", Fill::Median)
        .bucketize("pickup_latitude", 10)
        .impute("pickup_longitude", Fill::Median)
        .bucketize("pickup_longitude", 10)
        .bucketize("total", 10)
        .one_hot_top("payment_type", 30)
        .one_hot_top("company", 30)
        .one_hot_top("pickup_zone", 30)
        .one_hot_top("dropoff_zone", 30)
}

/// Reads, fits, reads again and applies; the result is one matrix in memory.
pub(super) async fn whole(engine: &Engine, file: &Path, output: Option<&Path>) -> Result<Report> {
    let start = Instant::now();
    let fitted = fit(engine, file, &transform()).await?;
    let fit_seconds = start.elapsed().as_secs_f64();
    let matrix = apply(&fitted, file)?;
    let mut report = Report::new(matrix.nrows() as u64, start);
    report.fit_seconds = Some(fit_seconds);
    report.apply_seconds = Some(report.seconds - fit_seconds);
    if let Some(output) = output {
        let sums: Vec<f64> = matrix
            .axis_iter(Axis(1))
            .map(|feature| feature.iter().map(|value| f64::from(*value)).sum())
            .collect();
        let document = serde_json::json!({
            "fitted": fitted,
            "features": fitted.features(),
            "sums": sums,
        });
        serde_json::to_writer(File::create(output)?, &document)?;
    }
    Ok(report)
}

async fn fit(engine: &Engine, file: &Path, transform: &Transform) -> Result<FittedTransform> {
    let rows = read(engine, file).await?;
    let inputs = transform
        .inputs()
        .into_iter()
        .map(ident)
        .collect::<Vec<_>>();
    let rows = rows.select(inputs)?;
    let mut fitting = transform.fitting(rows.schema().as_arrow(), Roles::default())?;
    while let Some(pass) = fitting.pass()? {
        fitting.absorb(engine.accumulate(rows.clone(), pass).await?)?;
    }
    Ok(fitting.finish()?)
}

/// The features of all rows. Each core reads every n-th row group and fills the rows of the matrix that are its.
fn apply(fitted: &FittedTransform, file: &Path) -> Result<Array2<f32>> {
    let metadata = ArrowReaderMetadata::load(&File::open(file)?, ArrowReaderOptions::default())?;
    let n_rows = metadata.metadata().file_metadata().num_rows();
    let mut matrix = Array2::zeros((usize::try_from(n_rows)?, fitted.features().len()));
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut shares: Vec<Vec<(usize, ArrayViewMut2<'_, f32>)>> =
        (0..n_threads).map(|_| Vec::new()).collect();
    let mut rest = matrix.view_mut();
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let (mine, others) = rest.split_at(Axis(0), usize::try_from(group.num_rows())?);
        shares[number % n_threads].push((number, mine));
        rest = others;
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let metadata = &metadata;
                scope.spawn(move || {
                    share.into_iter().try_for_each(|(number, rows)| {
                        apply_row_group(fitted, file, metadata.clone(), number, rows)
                    })
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap())
    })?;
    Ok(matrix)
}

fn apply_row_group(
    fitted: &FittedTransform,
    file: &Path,
    metadata: ArrowReaderMetadata,
    number: usize,
    mut rows: ArrayViewMut2<'_, f32>,
) -> Result<()> {
    let inputs = fitted.inputs().iter().map(|input| input.name.as_str());
    let columns = ProjectionMask::columns(metadata.parquet_schema(), inputs);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(file)?, metadata)
        .with_row_groups(vec![number])
        .with_projection(columns)
        .with_batch_size(8_192)
        .build()?;
    for batch in reader {
        let batch = batch?;
        let (mine, others) = rows.split_at(Axis(0), batch.num_rows());
        fitted.apply_into(&batch, mine)?;
        rows = others;
    }
    Ok(())
}

/// The median time of one row, of many: `seconds` of the report are those of one row.
pub(super) async fn row(engine: &Engine, file: &Path) -> Result<Report> {
    let fitted = fit(engine, file, &fifteen_steps()).await?;
    assert_eq!(fitted.steps().len(), 15);
    let file = File::open(file)?;
    let rows = ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_limit(1_000)
        .build()?
        .next()
        .ok_or("there are no rows")??;
    let rows: Vec<_> = (0..rows.num_rows()).map(|row| rows.slice(row, 1)).collect();
    let mut seconds = Vec::with_capacity(100 * rows.len());
    for _ in 0..100 {
        for row in &rows {
            let start = Instant::now();
            std::hint::black_box(fitted.apply(std::hint::black_box(row))?);
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let mut report = Report::new(seconds.len() as u64, Instant::now());
    report.seconds = seconds[seconds.len() / 2];
    Ok(report)
}
