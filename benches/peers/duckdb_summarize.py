"""DuckDB's SUMMARIZE of every column of a Parquet file."""

import json
import os
import sys
import time

import duckdb

start, start_cpu = time.perf_counter(), time.process_time()
connection = duckdb.connect()
connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
columns = connection.execute(f"SUMMARIZE SELECT * FROM read_parquet('{sys.argv[1]}')").fetchall()
seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
names = [column[0] for column in connection.description]
print(json.dumps({"rows": columns[0][names.index("count")], "seconds": seconds, "cpu": cpu}))
