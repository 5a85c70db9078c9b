"""Asks a server knowing nothing of its protocol, as grpcurl does: everything is taken from its reflection.

    python grpc_by_reflection.py --url 127.0.0.1:8001 --model flights
"""

import argparse

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "inference.GRPCInferenceService"
LIMIT_S = 30
EXAMPLES = {
    "BOOL": ("boolContents", [True]),
    "INT64": ("int64Contents", ["1"]),
    "FP64": ("fp64Contents", [1.5]),
    "BYTES": ("bytesContents", ["YQ=="]),
}
TIMES = {"date": "MjAxMy0wMS0zMQ==", "timestamp": "MjAxMy0wMS0zMVQwNTowMDowMFo="}


class Reflected:
    """The calls of a service, found by reflection, with JSON in and out."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.service = DescriptorPool(self.database).FindServiceByName(SERVICE)

    def ask(self, call, **fields):
        method = self.service.FindMethodByName(call)
        assert method, f"there is no call {call}"
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return json_format.MessageToDict(call(json_format.ParseDict(fields, request()), timeout=LIMIT_S))


def services_of_v1(channel):
    """The services by the newer version of reflection, whose messages are the same by another name."""
    call = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = call(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=LIMIT_S)
    return {service.name for service in next(answers).list_services_response.service}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="host:port")
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    with grpc.insecure_channel(arguments.url) as channel:
        reflected = Reflected(channel)
        services = set(reflected.database.get_services())
        assert {SERVICE, "grpc.health.v1.Health"} <= services, services
        assert {SERVICE, "grpc.health.v1.Health"} <= services_of_v1(channel)
        print("services:", ", ".join(sorted(services)))

        metadata = reflected.ask("ModelMetadata", name=arguments.model)
        config = reflected.ask("ModelConfig", name=arguments.model)["config"]
        inputs = []
        for tensor in metadata["inputs"]:
            field, values = EXAMPLES[tensor["datatype"]]
            form = config["parameters"].get(f"format.{tensor['name']}", {}).get("stringValue")
            values = [TIMES[form]] if form else values
            inputs.append({"name": tensor["name"], "datatype": tensor["datatype"], "shape": [1], "contents": {field: values}})
        answer = reflected.ask("ModelInfer", modelName=arguments.model, id="r1", inputs=inputs)
        assert answer["modelName"] == arguments.model and answer["modelVersion"] in metadata["versions"], answer
        assert [o["name"] for o in answer["outputs"]] == [o["name"] for o in metadata["outputs"]], answer
        assert all(output["shape"][0] == "1" and output["contents"] for output in answer["outputs"]), answer
        print("answered:", answer["outputs"])

        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"", timeout=LIMIT_S) == b"\x08\x01", "health: not serving"
        try:
            reflected.ask("ModelMetadata", name="no_such_model")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND and "no_such_model" in error.details(), error
        else:
            raise AssertionError("a model that is not there was found")
    print("all well")


if __name__ == "__main__":
    main()
