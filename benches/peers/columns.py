"""What the transform of `transform.rs` does to which columns."""

Z_SCORES = ["distance", "fare", "tip"]
BUCKETS = ["pickup_latitude", "pickup_longitude", "seconds", "total"]
N_BUCKETS = 10
TEXTS = ["payment_type", "company", "pickup_zone", "dropoff_zone"]
N_VALUES = 30
