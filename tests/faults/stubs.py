"""The gRPC stubs, made from the project's .proto file when a trial begins."""

import importlib
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto" / "proto"


def _make():
    folder = tempfile.mkdtemp(prefix="marquee-stubs.")
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}", str(PROTO / "recommendations.proto")]
    if protoc.main(arguments) != 0:
        raise SystemExit("the .proto file cannot be read")
    sys.path.insert(0, folder)
    return importlib.import_module("recommendations_pb2"), importlib.import_module("recommendations_pb2_grpc")


pb, _grpc = _make()

# A client of an operator's taste: soon back after a restart, and no call without an end.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.use_local_subchannel_pool", 1),
)


def catalog(address):
    return _grpc.CatalogStub(grpc.insecure_channel(address, options=_OPTIONS))


def recommendations(address):
    return _grpc.RecommendationsStub(grpc.insecure_channel(address, options=_OPTIONS))
