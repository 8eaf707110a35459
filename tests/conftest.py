"""What tests share: a tiny BERT with a real tokenizer, tiny data sets laid out like the Hub's, a tiny protocol."""

import atexit
import os
import shutil
import tempfile

# before any import of a Hugging Face library: no network, and nothing left behind
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf-")
os.environ["HF_DATASETS_CACHE"] = os.environ["HF_HOME"] + "/datasets"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from browser import chromium as chromium  # a fixture
from browser import jupyterlab as jupyterlab  # another
from helpers import REAL_HUB, TINY, tiny_config, write_checkpoint, write_tiny_hub
from hypothesis import settings
from transformers import BertConfig

from lib.protocol import Protocol

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
torch.set_num_threads(1)
settings.register_profile("study", database=None, deadline=None, derandomize=True)  # the same examples every time
settings.load_profile("study")

# files whose tests take longest: begun first, so that in the end neither of two processes waits long for the other
LONG = [
    "test_notebooks",
    "test_run_all",
    "test_published",
    "test_identity",
    "test_explorer_browser",
    "test_stand_in",
    "test_dask",
    "test_labelling_browser",
    "test_active_learning",
    "test_benchmark",
    "test_labelling",
    "test_survival",
    "test_baselines",
    "test_wording",
    "test_parameter_change",
]


def pytest_collection_modifyitems(items):
    """Tests of LONG in its order, then the others as they were."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> str:
    """Checkpoint folder of a 4-layer BERT, H = 32."""
    return str(write_checkpoint(tmp_path_factory.mktemp("tiny-encoder"), tiny_config()))


@pytest.fixture(scope="session")
def bert_base(tmp_path_factory):
    """Checkpoint folder of a BERT-base built from its configuration; its weights are random."""
    folder = tmp_path_factory.mktemp("bert-base")
    yield str(write_checkpoint(folder, BertConfig(), torch.float16))
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tiny_hub(tmp_path_factory) -> str:
    """Folder with sst2, qnli, mnli and snli: 200 invented training rows and 60 for validation each."""
    return write_tiny_hub(tmp_path_factory.mktemp("tiny-hub"))


@pytest.fixture(scope="session")
def tiny_protocol(tiny_encoder, tiny_hub):
    """tiny_protocol(**changes) → a Protocol that runs in about a second."""

    return lambda **changes: Protocol(**TINY | {"encoder": tiny_encoder, "hub": tiny_hub} | changes)


@pytest.fixture
def real_hub() -> str:
    """Folder with rows of GLUE and SNLI, which lies beside the checkout where there is one."""
    if not REAL_HUB.is_dir():
        pytest.skip(f"needs real rows of GLUE and SNLI in {REAL_HUB}")
    return str(REAL_HUB)


@pytest.fixture(autouse=True)
def no_published_study(tmp_path_factory, monkeypatch):
    """Tests do not see the committed study."""
    monkeypatch.setattr("lib.runs.published.STUDIES", tmp_path_factory.getbasetemp() / "no study")
