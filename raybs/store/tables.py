"""Read stored tables that a stranger may have written: what they unpack to is checked.

By what their footers say, and by how long their texts are. A footer that lies about a
page may make Arrow unpack that page, of 2 GiB at most.
"""

import io
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BROKEN = (
    *(pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, MemoryError, RecursionError),
)
"""What a stranger's file may make its readers raise."""

MAX_RATIO = 256

MAX_SLACK = 2**26
"""A file may unpack to so many times its bytes, and so many more: rows take at most 100
times theirs, since every state key is random."""

VALUE_BYTES = 16
"""Of a value in memory, with what Arrow needs beside it while it reads."""


def read_table(content: bytes, schema: pa.Schema) -> pa.Table:
    """Read the columns of `schema` from Parquet; null are those of a newer raybs.

    Raises:
        ValueError: It would unpack to far more than its size, or raybs did not write
            it; others of BROKEN, if it is broken.
    """
    # Not pq.read_table, which imports pandas: 0.3 s of every start.
    metadata = pq.read_metadata(io.BytesIO(content))
    # Older files lack newer columns.
    columns = map(metadata.schema.column, range(len(metadata.schema)))
    held = {column.path.partition(".")[0] for column in columns}
    keys = {"state_key", "cell_key", "epoch", "status"}.intersection(schema.names)
    if lacking := sorted(keys - held):
        # Before anything is unpacked: it is none of ours.
        raise ValueError(f"it has no column {lacking[0]}")
    texts = [f.name for f in schema if pa.types.is_string(f.type) and f.name in held]
    file = pq.ParquetFile(io.BytesIO(content), metadata=metadata, read_dictionary=texts)
    most = MAX_RATIO * len(content) + MAX_SLACK
    num_bytes = claimed_size(file.metadata, schema.names)
    if num_bytes <= most:
        table = file.read(columns=schema.names)
        num_bytes = sum(_text_size(table, name) for name in texts)
    if num_bytes > most:
        raise ValueError(f"{len(content)} bytes that unpack to {num_bytes}")
    for name in set(schema.names) - set(table.column_names):
        nulls = pa.nulls(len(table), schema.field(name).type)
        table = table.append_column(name, nulls)
    table = table.select(schema.names).cast(schema)
    _check_values(table)
    return table


def claimed_size(metadata: pq.FileMetaData, names: Collection[str]) -> int:
    """Return how many bytes the columns `names` take in memory, by the footer.

    Raises:
        ValueError: They are encoded as no column of ours.
    """
    total: int = metadata.num_rows * len(names) * VALUE_BYTES
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(metadata.num_columns)):
            path = column.path_in_schema
            if path.partition(".")[0] in names:
                # Nulls as long as values; texts that repeat the one before.
                fixed = column.physical_type == "FIXED_LEN_BYTE_ARRAY"
                if fixed or "DELTA_BYTE_ARRAY" in column.encodings:
                    raise ValueError(f"{path} is not encoded as ours")
                total += (
                    column.num_values * VALUE_BYTES + column.total_uncompressed_size
                )
    return total


def _text_size(table: pa.Table, name: str) -> int:
    """Return the bytes of a column of texts; each different one is held once."""
    return sum(
        pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
        for chunk in table[name].chunks
    )


def _check_values(table: pa.Table) -> None:
    """Refuse rows and chunks in which something is missing, or cannot be.

    Raises:
        ValueError: It is so.
    """
    names = table.column_names
    required, lists = {"state_key", "epoch", "status"}, set()
    if "cell_key" in names:
        lists = {field.name for field in table.schema if pa.types.is_list(field.type)}
        required = {"cell_key", "seconds"} | lists
    for name in required.intersection(names):
        if table[name].null_count:
            raise ValueError(f"{name} is missing")
    for name in lists:
        column = table[name].combine_chunks()
        other = table["bin" if name in ("bin", "count") else "order"].combine_chunks()
        items = column.flatten()
        if items.null_count or not column.value_lengths().equals(other.value_lengths()):
            raise ValueError(f"{name} has not one item per draw, or per bin")
        if name.endswith(("_norm", "count")) and (items.to_numpy() < 0).any():
            raise ValueError(f"{name} is below 0")
    for name in {"train_accuracy", "test_accuracy"}.intersection(names):
        values = table[name].to_numpy()
        if ((values < 0) | (values > 1)).any():
            raise ValueError(f"{name} is no fraction")
