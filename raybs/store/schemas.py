"""Columns of the tables that results folders hold, and what they take on disk."""

import pyarrow as pa

ROW_SCHEMA = pa.schema(
    [
        ("state_key", pa.string()),
        ("epoch", pa.int32()),
        ("step", pa.int64()),
        ("samples_seen", pa.int64()),
        ("train_loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("weight_distance", pa.float64()),
        ("bias_distance", pa.float64()),
        ("weight_norm", pa.float64()),
        ("bias_norm", pa.float64()),
        # One item per layer, from the input to the output.
        ("layer_distance", pa.list_(pa.float64())),
        ("cosine_to_init", pa.list_(pa.float64())),
        # Of other networks than mlp, with commas: what these items are about.
        ("weight_names", pa.string()),
        ("seconds", pa.float64()),
        ("training_seconds", pa.float64()),
        ("device", pa.string()),
        ("num_threads", pa.int32()),
        ("num_replicas", pa.int32()),
        ("torch_version", pa.string()),
        ("status", pa.string()),
    ]
)

ROW_BYTES = 300
"""Bytes of one row on disk, for estimates: measured in Parquet with 30 rows a file."""

DRAW_COLUMNS = (
    "summed_gradient_norm",
    "sample_weighted_norm",
    "mean_gradient_norm",
    "path_length",
    "straightness",
    "cosine_to_sample_gradient",
    "cosine_to_full_gradient",
    "distance_moved",
    "largest_entry",
)
"""What is measured of a draw (`raybs.gradients.draw`)."""

CHUNK_SCHEMA = pa.schema(
    [
        ("cell_key", pa.string()),
        # One item per draw.
        ("sample_set", pa.list_(pa.int32())),
        ("order", pa.list_(pa.int32())),
        *((name, pa.list_(pa.float32())) for name in DRAW_COLUMNS),
        ("num_steps", pa.list_(pa.int32())),
        ("status", pa.list_(pa.string())),
        # Histogram of all entries of sum n_k g_k, of draws that are complete and
        # not crossed: bins that are not empty (`raybs.store.histogram`), and counts.
        ("bin", pa.list_(pa.uint16())),
        ("count", pa.list_(pa.int64())),
        ("seconds", pa.float64()),
        ("device", pa.string()),
        ("num_threads", pa.int32()),
        ("num_replicas", pa.int32()),
        ("torch_version", pa.string()),
    ]
)
"""One row per chunk: draws of one cell, and the histogram that belongs to them."""

CHUNK_BYTES = 12_000

DRAW_BYTES = 60
"""Bytes on disk of a chunk's histogram, and of one draw, for estimates."""
