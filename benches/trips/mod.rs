//! Taxi trips, made up: the corpus of the benches of data.
//!
//! Eighteen columns as the open data of Chicago and New York has them: identifiers, times, places, money with heavy
//! tails, text of few and of some dozens of values, NULL in twelve columns, a few NaN. About 50 bytes a row as Parquet
//! with Snappy.
//!
//! Deterministic: the rows of a row group follow from the seed and its number only, so the first million rows of a
//! file of 100 million are those of a file of one. Memory does not grow with the number of rows.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use fourfold::arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;

/// The seed of every bench.
pub(crate) const SEED: u64 = 20_130_101;

/// Rows of a row group.
pub(crate) const ROW_GROUP: usize = 262_144;

/// 2023-01-01 in seconds since 1970-01-01, and the seconds of the year that follows.
const YEAR_START: u64 = 1_672_531_200;
const YEAR: f64 = 365.0 * 86_400.0;

/// Kinds of payment, with their share in a thousand.
const PAYMENTS: [(&str, u32); 7] = [
    ("Credit Card", 520),
    ("Cash", 370),
    ("Mobile", 60),
    ("Prcard", 30),
    ("Unknown", 13),
    ("No Charge", 5),
    ("Dispute", 2),
];

/// Names of companies: each first word with each second one.
const COMPANIES: ([&str; 12], [&str; 4]) = (
    [
        "Blue", "Checker", "City", "Flash", "Globe", "Lake", "Metro", "Star", "Sun", "Top",
        "Union", "Yellow",
    ],
    ["Cab", "Car Service", "Taxi Affiliation", "Transit Co."],
);

/// Names of zones: each first word with each second one.
const ZONES: ([&str; 11], [&str; 7]) = (
    [
        "East", "Lake", "Lower", "New", "North", "Old", "Park", "River", "South", "Upper", "West",
    ],
    [
        " Dale", " Field", " Gate", " Heights", " Port", " Side", " Town",
    ],
);

/// Taxis on the road.
const TAXIS: usize = 4_000;

/// The rows of a row group, `n_rows` of it at most [`ROW_GROUP`].
pub(crate) fn row_group(seed: u64, number: usize, n_rows: usize) -> RecordBatch {
    let mut random = Random::new(seed ^ (number as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
    let mut columns = Columns::with_capacity(n_rows);
    let names = Names::new();
    let first = number * ROW_GROUP;
    (first..first + n_rows).for_each(|place| columns.push(place, &mut random, &names));
    columns.finish()
}

/// Rows in memory, the first of those that [`write`] would write, in batches of at most `batch_size`.
#[allow(dead_code, reason = "each bench uses its part of this module")]
pub(crate) fn batches(n_rows: usize, batch_size: usize) -> Vec<RecordBatch> {
    (0..n_rows.div_ceil(ROW_GROUP))
        .map(|number| row_group(SEED, number, ROW_GROUP.min(n_rows - number * ROW_GROUP)))
        .flat_map(|rows| {
            (0..rows.num_rows())
                .step_by(batch_size)
                .map(|start| rows.slice(start, batch_size.min(rows.num_rows() - start)))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Writes a Parquet file: as many row groups at once as there are cores, each made and encoded on its own.
#[allow(dead_code, reason = "each bench uses its part of this module")]
pub(crate) fn write(path: &Path, n_rows: usize, seed: u64) -> ParquetResult<()> {
    let schema = row_group(seed, 0, 0).schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(&schema), Some(properties))?;
    let (mut file, factory) = writer.into_serialized_writer()?;
    let numbers: Vec<usize> = (0..n_rows.div_ceil(ROW_GROUP)).collect();
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    for wave in numbers.chunks(n_threads) {
        let encoded: Vec<ParquetResult<Vec<ArrowColumnChunk>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = wave
                .iter()
                .map(|number| {
                    let n_rows = ROW_GROUP.min(n_rows - number * ROW_GROUP);
                    let (schema, factory) = (&schema, &factory);
                    scope.spawn(move || encode(schema, factory, seed, *number, n_rows))
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect()
        });
        for columns in encoded {
            let mut row_group = file.next_row_group()?;
            for column in columns? {
                column.append_to_row_group(&mut row_group)?;
            }
            row_group.close()?;
        }
    }
    file.close()?;
    Ok(())
}

#[allow(dead_code, reason = "each bench uses its part of this module")]
fn encode(
    schema: &SchemaRef,
    factory: &ArrowRowGroupWriterFactory,
    seed: u64,
    number: usize,
    n_rows: usize,
) -> ParquetResult<Vec<ArrowColumnChunk>> {
    let rows = row_group(seed, number, n_rows);
    let mut chunks = Vec::new();
    let writers = factory.create_column_writers(number)?;
    for ((mut writer, field), column) in
        writers.into_iter().zip(schema.fields()).zip(rows.columns())
    {
        for leaf in compute_leaves(field, column)? {
            writer.write(&leaf)?;
        }
        chunks.push(writer.close()?);
    }
    Ok(chunks)
}

/// The texts of the corpus, made once.
struct Names {
    companies: Vec<String>,
    zones: Vec<String>,
}

impl Names {
    fn new() -> Self {
        let pairs = |firsts: &[&str], seconds: &[&str], between: &str| {
            firsts
                .iter()
                .flat_map(|first| {
                    seconds
                        .iter()
                        .map(move |second| format!("{first}{between}{second}"))
                })
                .collect()
        };
        Names {
            companies: pairs(&COMPANIES.0, &COMPANIES.1, " "),
            zones: pairs(&ZONES.0, &ZONES.1, ""),
        }
    }
}

/// The columns of a row group while it is made.
#[derive(Default)]
struct Columns {
    trip_id: Vec<i64>,
    taxi_id: Vec<i64>,
    pickup_at: Vec<i64>,
    dropoff_at: Vec<Option<i64>>,
    seconds: Vec<Option<i64>>,
    passengers: Vec<Option<i64>>,
    distance: Vec<Option<f64>>,
    pickup_zone: Vec<Option<u8>>,
    dropoff_zone: Vec<Option<u8>>,
    pickup_latitude: Vec<Option<f64>>,
    pickup_longitude: Vec<Option<f64>>,
    fare: Vec<Option<f64>>,
    tip: Vec<Option<f64>>,
    tolls: Vec<f64>,
    total: Vec<f64>,
    payment_type: Vec<u8>,
    company: Vec<Option<u8>>,
    shared: Vec<Option<bool>>,
}

impl Columns {
    fn with_capacity(n: usize) -> Self {
        Columns {
            trip_id: Vec::with_capacity(n),
            taxi_id: Vec::with_capacity(n),
            pickup_at: Vec::with_capacity(n),
            dropoff_at: Vec::with_capacity(n),
            seconds: Vec::with_capacity(n),
            passengers: Vec::with_capacity(n),
            distance: Vec::with_capacity(n),
            pickup_zone: Vec::with_capacity(n),
            dropoff_zone: Vec::with_capacity(n),
            pickup_latitude: Vec::with_capacity(n),
            pickup_longitude: Vec::with_capacity(n),
            fare: Vec::with_capacity(n),
            tip: Vec::with_capacity(n),
            tolls: Vec::with_capacity(n),
            total: Vec::with_capacity(n),
            payment_type: Vec::with_capacity(n),
            company: Vec::with_capacity(n),
            shared: Vec::with_capacity(n),
        }
    }

    /// The trip at a place of the file.
    fn push(&mut self, place: usize, random: &mut Random, names: &Names) {
        // The busy taxis, companies and zones are far busier than the others.
        let taxi = random.skewed(TAXIS, 1.5);
        let company = (taxi * 7_919) % TAXIS;
        let company = (company as f64 / TAXIS as f64).powi(2) * names.companies.len() as f64;
        let pickup_zone = random.skewed(names.zones.len(), 3.0);
        let dropoff_zone = if random.chance(0.3) {
            pickup_zone
        } else {
            random.skewed(names.zones.len(), 2.0)
        };

        // More trips by day than by night.
        let day = (random.unit() * YEAR / 86_400.0).floor();
        let hour = if random.chance(0.7) {
            (15.0 + 4.0 * random.normal()).rem_euclid(24.0)
        } else {
            24.0 * random.unit()
        };
        let pickup = YEAR_START as i64 + (day * 86_400.0 + hour * 3_600.0) as i64;

        let airport = random.chance(0.06);
        let miles = if airport {
            cents(17.5 + 2.5 * random.normal()).max(0.0)
        } else {
            cents((0.75 * random.normal() + 0.6).exp())
        };
        let seconds = 90.0 + miles * 150.0 * (0.3 * random.normal()).exp();
        let seconds = seconds as i64;
        // One fare in ten thousand is a slip of the finger.
        let fare = if random.chance(1e-4) {
            cents(50.0 * random.unit().max(1e-4).powf(-0.8))
        } else {
            quarters(3.25 + 2.25 * miles + seconds as f64 / 144.0)
        };
        let payment = pick(&PAYMENTS, random.below(1_000) as u32);
        let tips = matches!(payment, 0 | 2) && !random.chance(0.05);
        let tip = if tips {
            cents(fare * (0.2 + 0.06 * random.normal()).max(0.0))
        } else {
            0.0
        };
        let tolls = if airport && random.chance(0.4) {
            6.94
        } else {
            0.0
        };

        let at = |seconds: i64| seconds * 1_000_000;
        let ended = !random.chance(0.003);
        let located = !random.chance(0.012);
        // All different, in no order (a multiplier that is odd).
        let trip = (place as u32).wrapping_mul(2_654_435_761);
        self.trip_id.push(i64::from(trip));
        self.taxi_id.push(1_000_003 * taxi as i64 + 17);
        self.pickup_at.push(at(pickup));
        self.dropoff_at.push(ended.then(|| at(pickup + seconds)));
        self.seconds.push(ended.then_some(seconds));
        let passengers = [1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6][random.below(13)];
        self.passengers
            .push((!random.chance(0.03)).then_some(passengers));
        self.distance.push(random.hurt(miles, 0.005, 2e-4));
        self.pickup_zone.push(located.then_some(pickup_zone as u8));
        self.dropoff_zone
            .push((!random.chance(0.03)).then_some(dropoff_zone as u8));
        let (north, east) = (pickup_zone / 7, pickup_zone % 7);
        let latitude = 41.70 + 0.025 * north as f64 + 0.01 * random.normal();
        let longitude = -87.80 + 0.035 * east as f64 + 0.012 * random.normal();
        self.pickup_latitude.push(located.then(|| micro(latitude)));
        self.pickup_longitude
            .push(located.then(|| micro(longitude)));
        self.fare.push(random.hurt(fare, 0.001, 5e-5));
        self.tip.push(random.hurt(tip, 0.015, 0.0));
        self.tolls.push(tolls);
        self.total.push(cents(fare + tip + tolls + 0.5));
        self.payment_type.push(payment as u8);
        self.company
            .push((!random.chance(0.08)).then_some(company as u8));
        let shared = random.chance(0.12);
        self.shared.push((!random.chance(0.05)).then_some(shared));
    }

    fn finish(self) -> RecordBatch {
        let names = Names::new();
        let text = |places: &[Option<u8>], names: &[String]| -> ArrayRef {
            let values = places
                .iter()
                .map(|place| place.map(|place| names[usize::from(place)].as_str()));
            Arc::new(values.collect::<StringArray>())
        };
        let payments = self
            .payment_type
            .iter()
            .map(|place| PAYMENTS[usize::from(*place)].0);
        let pickup_at = TimestampMicrosecondArray::from(self.pickup_at).with_timezone("UTC");
        let dropoff_at = TimestampMicrosecondArray::from(self.dropoff_at).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 18] = [
            ("trip_id", Arc::new(Int64Array::from(self.trip_id))),
            ("taxi_id", Arc::new(Int64Array::from(self.taxi_id))),
            ("pickup_at", Arc::new(pickup_at)),
            ("dropoff_at", Arc::new(dropoff_at)),
            ("seconds", Arc::new(Int64Array::from(self.seconds))),
            ("passengers", Arc::new(Int64Array::from(self.passengers))),
            ("distance", Arc::new(Float64Array::from(self.distance))),
            ("pickup_zone", text(&self.pickup_zone, &names.zones)),
            ("dropoff_zone", text(&self.dropoff_zone, &names.zones)),
            (
                "pickup_latitude",
                Arc::new(Float64Array::from(self.pickup_latitude)),
            ),
            (
                "pickup_longitude",
                Arc::new(Float64Array::from(self.pickup_longitude)),
            ),
            ("fare", Arc::new(Float64Array::from(self.fare))),
            ("tip", Arc::new(Float64Array::from(self.tip))),
            ("tolls", Arc::new(Float64Array::from(self.tolls))),
            ("total", Arc::new(Float64Array::from(self.total))),
            (
                "payment_type",
                Arc::new(StringArray::from_iter_values(payments)),
            ),
            ("company", text(&self.company, &names.companies)),
            ("shared", Arc::new(BooleanArray::from(self.shared))),
        ];
        // A column without a NULL in a row group must not be another type than in the next.
        let nullable = columns
            .into_iter()
            .map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
    }
}

fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn quarters(value: f64) -> f64 {
    (value * 4.0).round() / 4.0
}

fn micro(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Which of the shares a number falls into.
fn pick(shares: &[(&str, u32)], mut number: u32) -> usize {
    for (place, (_, share)) in shares.iter().enumerate() {
        if number < *share {
            return place;
        }
        number -= share;
    }
    shares.len() - 1
}

/// SplitMix64 (Steele, Lea, Flood 2014), with what trips need drawn from it.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..1`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    /// Below `n`, the low ones the more often the higher the power.
    fn skewed(&mut self, n: usize, power: f64) -> usize {
        (self.unit().powf(power) * n as f64) as usize
    }

    /// Mean 0, standard deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A value, or NULL or NaN with these chances.
    fn hurt(&mut self, value: f64, null: f64, nan: f64) -> Option<f64> {
        let draw = self.unit();
        if draw < null {
            None
        } else if draw < null + nan {
            Some(f64::NAN)
        } else {
            Some(value)
        }
    }
}
