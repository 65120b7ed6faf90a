"""Recognising the training and test splits by the usual names of folders and files."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ganvas.core.errors import UserError

Split = Literal["train", "test"]
Kind = Literal["train", "test", "validation", ""]

_WORDS: dict[Kind, str] = {
    "train": "train training trn entraînement apprentissage entrenamiento addestramento treino treinamento обучение "
    "训练 训练集 訓練 学習 훈련",
    "test": "test testing tst holdout teste prueba prova тест 测试 测试集 測試 テスト 테스트",
    "validation": "val valid validation dev eval evaluation validierung validación validazione validação валидация "
    "验证 验证集 検証 검증",
}
KINDS: dict[str, Kind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_SUFFIX = re.compile(r"(?<=[a-z])[-_ ]?(set|split|data|images?)$")


class NoSplit(UserError):
    """The set exists, but not the requested split."""


def of_folder(name: str) -> Kind:
    """The split of a folder with this name (`train`, `Training`, `TestSet`, `val_images`); "" for any other name."""
    plain = unicodedata.normalize("NFC", name).strip().lower()
    return KINDS.get(plain) or KINDS.get(_SUFFIX.sub("", plain), "")


def of_word_in(name: str) -> Kind:
    """The split that a word in this name stands for (`01_train`, `train_1`, `testA`, `mnist-test`); "" if none does."""
    words = re.findall(r"[^\W\d_]+?(?=[A-Z](?![a-z])|[\W\d_]|$)", unicodedata.normalize("NFC", name))
    found = {kind for word in words if (kind := KINDS.get(word.lower()))}
    return found.pop() if len(found) == 1 else ""


def together(names: Iterable[str]) -> dict[str, Kind]:
    """The split of each of the folders side by side; empty unless all are splits by a word in their names.

    There must be training images and others: a single such name, such as `model train`, may be a class.
    """
    kinds = {name: of_folder(name) or of_word_in(name) for name in names}
    return kinds if all(kinds.values()) and "train" in kinds.values() and len(set(kinds.values())) > 1 else {}


def of_file(path: Path) -> Kind:
    """The split of a file, from the first such word in its name, or from the name of a folder that contains it."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    found = [KINDS[word] for word in words if word in KINDS]
    found += [kind for part in reversed(path.parts[:-1]) if (kind := of_folder(part))]
    return found[0] if found else ""


def held_out(kinds: Iterable[Kind]) -> Kind:
    """The split to test on: the test split, else the validation split, else none."""
    there = set(kinds)
    return "test" if "test" in there else "validation" if "validation" in there else ""


def of_split(files: Sequence[Path], split: Split) -> list[Path]:
    """The files of a split; if no file names a split, all are for training. Hidden files belong to none."""
    kinds = {path: of_file(path) for path in files if not any(part.startswith(".") for part in path.parts)}
    if not any(kinds.values()):
        return list(kinds) if split == "train" else []
    wanted = "train" if split == "train" else held_out(kinds.values())
    return [path for path, kind in kinds.items() if kind and kind == wanted]
