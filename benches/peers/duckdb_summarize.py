"""DuckDB's SUMMARIZE of every column of a Parquet file."""

import json
import os
import sys
import time

import duckdb

start = time.perf_counter()
connection = duckdb.connect()
connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
columns = connection.execute(f"SUMMARIZE SELECT * FROM read_parquet('{sys.argv[1]}')").fetchall()
seconds = time.perf_counter() - start
names = [column[0] for column in connection.description]
print(json.dumps({"rows": columns[0][names.index("count")], "seconds": seconds}))
