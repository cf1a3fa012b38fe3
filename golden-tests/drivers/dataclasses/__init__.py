"""The driver of the dataclasses (`memoir.dataclasses`): messages over bare gRPC, no SDK. It asserts nothing."""
