"""protoc plugin: lets `buf generate` drive the grpc_python generator, which exists only inside grpcio-tools.

Reads a CodeGeneratorRequest from stdin, hands its descriptors to `grpc_tools.protoc` and writes the
CodeGeneratorResponse to stdout.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet


def respond(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """Generate `*_pb2_grpc.py` for every file of the request; a protoc failure becomes the response's `error`."""
    response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    with tempfile.TemporaryDirectory() as scratch:
        descriptors, out = Path(scratch, "in.binpb"), Path(scratch, "out")
        out.mkdir()
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        option = f"{request.parameter}:" if request.parameter else ""
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors}"]
        command += [f"--grpc_python_out={option}{out}", *request.file_to_generate]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            response.error = run.stderr
            return response
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text(encoding="utf-8"))
    return response


if __name__ == "__main__":
    sys.stdout.buffer.write(respond(CodeGeneratorRequest.FromString(sys.stdin.buffer.read())).SerializeToString())
