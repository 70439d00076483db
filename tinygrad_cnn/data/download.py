"""The cache of data sets, for users who name no folder: filled from public mirrors by pooch."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..checks import require
from .idx import DataError


@dataclass(frozen=True)
class Source:
    """A published data set: its name, the mirrors to try in order, and each file's hash there, SHA-256 or ``md5:``."""

    name: str
    mirrors: tuple[str, ...]
    hashes: dict[str, str]


# The hashes are of the `.gz` files; for Fashion-MNIST, TensorFlow Datasets records the same ones.
MNIST = Source(
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST = Source(
    "fashion-mnist",
    (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
KMNIST = Source(
    "kmnist",
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    {
        "train-images-idx3-ubyte.gz": "md5:bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "md5:e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "md5:5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "md5:7320c461ea6c1c855c0b718fb2a4b134",
    },
)
EMNIST = Source("emnist", ("https://biometrics.nist.gov/cs_links/EMNIST/",), {})


def cache_root() -> Path:
    """Return the user's cache folder of this package; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    return Path(root) / "tinygrad-cnn"


def cache_folder(source: Source) -> Path:
    """Return the user's cache folder for one data set; it need not exist."""
    return cache_root() / source.name


def fetch(source: Source, folder: Path) -> None:
    """Download the files of `source` into `folder`; pooch checks each hash and renames a complete file into place.

    Raises:
        DataError: no mirror has the right bytes, the folder cannot be written, or pooch is missing.
    """
    try:
        pooch = require("pooch", "data")
    except ImportError as error:
        raise _unavailable(source, folder, str(error)) from error
    for name, digest in source.hashes.items():
        reasons = []
        for mirror in source.mirrors:
            try:
                pooch.retrieve(mirror + name, digest if ":" in digest else f"sha256:{digest}", fname=name, path=folder)
                break
            except (OSError, ValueError) as error:
                reasons.append(f"{mirror}: {_reason(error)}")
        else:
            raise _unavailable(source, folder, "; ".join(reasons))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "wrong checksum"
    return error.strerror or type(error).__name__


def _unavailable(source: Source, folder: Path, reason: str) -> DataError:
    return DataError(
        f"{source.name}: not on this machine, and not downloaded ({reason}). Put {', '.join(source.hashes)} in"
        f" {folder}, or pass the folder that holds them: --data-dir FOLDER, data_dir= in Python, or the environment"
        " variable TINYGRAD_CNN_DATA."
    )
