"""Parquet files that hold images, in the layout of the Hugging Face hub or as plain bytes.

Others import this module where they need it, since pyarrow is slow to import.
"""

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.data.decoding import Source

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "pixels", "jpg", "png", "bytes")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "category", "target", "cls")


def find(place: Path, split: str) -> list[Path]:
    """The files of a split: `train-00000-of-00001.parquet`, `test/0.parquet`; empty where there are none.

    A file given by itself, and files that name no split, are the training split.
    """
    if place.is_file():
        return [place] if split in ("train", split_of(Path(place.name))) else []
    files = sorted(path.relative_to(place) for path in place.rglob("*.parquet"))
    return [place / path for path in of_split(files, split)]


def of_split(files: Iterable[Path], split: str) -> list[Path]:
    """Those of some files that belong to a split, by their names; hidden ones belong to none."""
    splits = {path: split_of(path) for path in files if not any(part.startswith(".") for part in path.parts)}
    unnamed = "" if any(splits.values()) else "train"
    return [path for path, of in splits.items() if (of or unnamed) == split]


def split_of(path: Path) -> str:
    """'train', 'test', 'validation' or nothing, by the start of the file's name or of a folder's."""
    starts = (re.match(r"(train|test|validation)(?![a-z])", part) for part in reversed(path.parts))
    return next((start[1] for start in starts if start), "")


def from_files(name: str, paths: Sequence[Path]) -> Source:
    """The images of all files, read whole into memory (as they are: encoded).

    Raises UserError for a file that is not Parquet, is cut short, or has no column of images.
    """
    tables = []
    for path in paths:
        try:
            schema = pq.read_schema(path)
            columns = [c for c in (_image_column(name, schema), _label_column(schema)) if c]
            tables.append(pq.read_table(path, columns=columns))
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"cannot read {path} as Parquet: {str(error).partition(chr(10))[0]}") from None
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid:
        raise UserError(f"the Parquet files of '{name}' differ in their columns: name one of them instead") from None
    return from_table(name, table, paths[0].parent)


def from_table(name: str, table: pa.Table, folder: Path = Path()) -> Source:
    """A table with a column of images and perhaps one of labels; paths in it start at `folder`.

    Raises UserError where there is no such column, or a label outside its classes.
    """
    values = table[_image_column(name, table.schema)]
    as_struct = pa.types.is_struct(values.type)
    data = pc.struct_field(values, "bytes") if as_struct else values
    paths = pc.struct_field(values, "path") if as_struct and values.type.get_field_index("path") >= 0 else None

    def open_row(i: int) -> Image.Image:
        encoded = data[i].as_py()
        if encoded is not None:
            return Image.open(io.BytesIO(encoded))
        path = None if paths is None else paths[i].as_py()
        if path is None:
            raise ValueError("no image in this row")
        return Image.open(folder / path)

    labels, classes = _labels(name, table)
    return Source(name, table.num_rows, open_row, "row {}".format, labels, classes)


def _labels(name: str, table: pa.Table) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """int64 [N] and the classes: those that the hub wrote down, or else the values, sorted."""
    column = _label_column(table.schema)
    if column is None:
        return None, ()
    if table[column].null_count:
        raise UserError(f"'{name}': {table[column].null_count} images have no value in the column '{column}'")
    values = table[column].to_numpy()
    names = tuple(_features(table.schema).get(column, {}).get("names") or ())
    if not names:
        found, labels = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
        return labels.astype(np.int64), tuple(map(str, found))
    if (values == -1).all():  # the hub's mark for a test split whose labels are kept back
        return None, ()
    if values.min() < 0 or values.max() >= len(names):
        raise UserError(f"'{name}': labels from {values.min()} to {values.max()} do not fit its {len(names)} classes")
    return values.astype(np.int64), names


def _image_column(name: str, schema: pa.Schema) -> str:
    """The column of images: by the hub's notes, else by type, the usual names first."""
    features = _features(schema)
    noted = [n for n in schema.names if features.get(n, {}).get("_type") == "Image"]
    fitting: list[str] = noted or [field.name for field in schema if _holds_bytes(field.type)]
    if not fitting:
        raise UserError(f"'{name}' has no column of images among: {', '.join(schema.names)}")
    return next(n for n in (*IMAGE_NAMES, *fitting) if n in fitting)


def _label_column(schema: pa.Schema) -> str | None:
    """The column of classes: one of the usual names with whole numbers or words."""
    return next((n for n in LABEL_NAMES if n in schema.names and _holds_classes(schema.field(n).type)), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_classes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_classes(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """What the hub wrote about each column, or nothing."""
    try:
        return dict(json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"])
    except (ValueError, KeyError, TypeError):
        return {}
