"""Parquet files with images, in the layout of the Hugging Face hub or as plain bytes.

Other modules import this one inside functions, as pyarrow is slow to import.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.data import splits
from ganvas.data.decoding import Source
from ganvas.data.folder import in_order
from ganvas.data.splits import Split

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "pixels", "jpg", "png", "bytes")
MOST = 2**53  # larger floats are not all whole numbers
SHOWN = 5  # columns that a note names
LABEL_NAMES = ("label", "labels", "fine_label", "class", "category", "target", "cls")


def find(place: Path, split: Split) -> list[Path]:
    """The files of a split, such as `train-00000-of-00001.parquet` or `Test/0.parquet`; empty if there are none.

    A single file, and files whose names contain no split, are the training split.
    """
    if place.is_file():
        return [place] if split == "train" or splits.of_file(Path(place.name)) == split else []
    files = sorted(path.relative_to(place) for path in place.rglob("*.parquet"))
    return [place / path for path in splits.of_split(files, split)]


def from_files(name: str, paths: Sequence[Path]) -> Source:
    """The images of all files, which are read into memory without decoding the images.

    Raises UserError for a file that is not Parquet, is truncated, or has no column of images, and for files that differ
    in their columns or classes.
    """
    tables = []
    for path in paths:
        try:
            files.refuse_pipes(path)
            schema = _checked(pq.read_schema(path), path)
            columns = [c for c in (_image_column(name, schema), _label_column(schema)[0]) if c]
            tables.append(pq.read_table(path, columns=columns))
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"cannot read {path} as Parquet: {str(error).partition(chr(10))[0]}") from None
        if _class_names(schema) != _class_names(tables[0].schema):
            raise UserError(
                f"{paths[0]} and {path} list their classes in different orders, or have different ones: "
                "name one of the files instead"
            )
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid:
        raise UserError(f"the Parquet files of '{name}' differ in their columns: name one of them instead") from None
    source = from_table(name, table, paths[0].parent)
    return replace(source, notes=_passed_over(name, pq.read_schema(paths[0])) + source.notes)


def _passed_over(name: str, schema: pa.Schema) -> tuple[str, ...]:
    """Notes that name every column that is not used."""
    image, others = _image_column(name, schema), _image_columns(schema)[1:]
    label, odd = _label_column(schema)
    notes = tuple(f"the column '{other}' holds {what}: it is not used as labels" for other, what in odd)
    if others:
        notes += (f"images: the column '{image}', not {', '.join(map(repr, others))}",)
    rest = [other for other in schema.names if other not in (image, label, *others, *(name for name, _ in odd))]
    if rest:
        shown = ", ".join(map(repr, rest[:SHOWN])) + (f" and {len(rest) - SHOWN} more" if len(rest) > SHOWN else "")
        notes += (f"labels: {f'the column {label!r}' if label else 'none'}; columns that are not used: {shown}",)
    return notes


def _checked(schema: pa.Schema, path: Path) -> pa.Schema:
    """Raises UserError for two columns of one name, as pyarrow cannot read either."""
    if twice := next((column for column in schema.names if schema.names.count(column) > 1), None):
        raise UserError(f"{path} has two columns called '{twice}': rename one of them")
    return schema


def from_table(name: str, table: pa.Table, folder: Path = Path()) -> Source:
    """The images of a table with a column of images and optionally one of labels; its paths are relative to `folder`.

    Raises UserError if there is no column of images, or for a label outside the classes.
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
        return Image.open(_below(folder, path))

    labels, classes, notes = _labels(name, table)
    return Source(name, table.num_rows, open_row, "row {}".format, labels, classes, notes=notes)


def _below(folder: Path, path: str) -> Path:
    """The file named in a row; raises ValueError unless it is a regular file below the folder of the Parquet files."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError(f"its path '{path}' leads out of {folder}")
    if not file.is_file():
        raise ValueError(f"there is no file '{path}' in {folder}")
    return file


class Labels(NamedTuple):
    """Labels int64 [N] (or None) and classes, with notes for the user about the columns."""

    labels: np.ndarray | None
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def _labels(name: str, table: pa.Table) -> Labels:
    """The classes are those in the hub's metadata, or else the sorted values; on the hub, -1 means no label."""
    column, _ = _label_column(table.schema)
    if column is None:
        return Labels(None, ())
    if table[column].null_count:
        raise UserError(f"'{name}': {table[column].null_count} images have no value in the column '{column}'")
    decimals = pa.types.is_decimal(table[column].type)
    values = (table[column].cast(pa.float64()) if decimals else table[column]).to_numpy()
    if values.dtype.kind == "f":
        if not (np.isfinite(values) & (np.abs(values) < MOST)).all() or (values % 1 != 0).any():
            return Labels(
                None, (), (f"the column '{column}' holds other than whole numbers: it is not used as labels",)
            )
        values = values.astype(np.int64)
    texts = values.dtype == object
    missing = 0 if texts or values.dtype == bool else int((values == -1).sum())
    if missing == len(values) > 0:  # a test split whose labels are withheld
        return Labels(None, ())
    if missing:
        raise UserError(f"'{name}': {missing} images have the label -1, which means no label: leave them out")
    names = _class_names(table.schema)
    if texts and set(values.tolist()) <= set(names):  # the names themselves, instead of their numbers
        return Labels(np.array([names.index(value) for value in values], np.int64), names)
    if texts or not names:
        found, labels = np.unique(values.astype(str) if texts else values, return_inverse=True)
        classes = in_order(found.tolist()) if texts else [str(value) for value in found]
        number = np.array([classes.index(str(value)) for value in found], np.int64)
        return Labels(number[labels], tuple(classes))
    if values.min() < 0 or values.max() >= len(names):
        raise UserError(f"'{name}': labels from {values.min()} to {values.max()} do not fit its {len(names)} classes")
    return Labels(values.astype(np.int64), names)


def _class_names(schema: pa.Schema) -> tuple[str, ...]:
    """The names of the classes in the hub's metadata for the column of labels; empty if there are none."""
    column, _ = _label_column(schema)
    names = _features(schema).get(column or "", {}).get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names) and len({*names}) == len(names):
        return tuple(names)
    return ()


def _image_column(name: str, schema: pa.Schema) -> str:
    """The column of images; raises UserError if there is none."""
    fitting = _image_columns(schema)
    if not fitting:
        raise UserError(f"'{name}' has no column of images among: {', '.join(schema.names)}")
    return fitting[0]


def _image_columns(schema: pa.Schema) -> list[str]:
    """Columns that may hold the images: by the hub's metadata, else by their type; those with the usual names first."""
    features = _features(schema)
    noted = [n for n in schema.names if features.get(n, {}).get("_type") == "Image"]
    fitting: list[str] = noted or [field.name for field in schema if _holds_bytes(field.type)]
    return sorted(fitting, key=lambda n: IMAGE_NAMES.index(n) if n in IMAGE_NAMES else len(IMAGE_NAMES))


def _label_column(schema: pa.Schema) -> tuple[str | None, list[tuple[str, str]]]:
    """The column of classes, by the hub's metadata or the usual names, and those that were rejected, with their types.

    Of several, it is the one whose name is listed first.
    """
    passed_over: list[tuple[str, str]] = []
    features = _features(schema)
    noted = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    usual = [name for name in LABEL_NAMES if name in schema.names]
    for name in [*sorted(noted, key=lambda n: usual.index(n) if n in usual else len(usual)), *usual]:
        if _holds_classes(schema.field(name).type):
            return name, passed_over
        passed_over.append((name, str(schema.field(name).type)))
    return None, passed_over


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _holds_classes(kind: pa.DataType) -> bool:
    """Whether a column may hold classes: integers, booleans, strings, and floats and decimals, if all are whole."""
    if pa.types.is_dictionary(kind):
        return _holds_classes(kind.value_type)
    fitting = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    )
    return any(fits(kind) for fits in fitting)


def _features(schema: pa.Schema) -> Mapping[str, Mapping[str, Any]]:
    """The hub's metadata about each column, or nothing."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
