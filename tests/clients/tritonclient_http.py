"""Asks a server with the public Triton client over HTTP, for any model: what to send is taken from its metadata.

    python tritonclient_http.py --url 127.0.0.1:8000 --model flights [--admin]

With `--admin` it unloads the model and loads it again.
"""

import argparse

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

N_ROWS = 4
NULL = {"null_value": "None"}


def texts(*values):
    return np.array(values, dtype=np.object_)


def example(tensor):
    """Rows for an input: values of its datatype."""
    form = tensor.get("parameters", {}).get("format")
    if tensor["datatype"] == "BOOL":
        return np.array([True, False, True, False])
    if tensor["datatype"] == "INT64":
        return np.arange(1, N_ROWS + 1, dtype=np.int64)
    if tensor["datatype"] == "FP64":
        return np.array([0.1, 1.5, 2.25, 1 / 3])
    assert tensor["datatype"] == "BYTES", tensor
    if form == "date":
        return texts("2013-01-31", "2013-02-28", "2013-07-04", "2013-12-31")
    if form == "timestamp":
        return texts("2013-01-31T05:00:00Z", "2013-02-28T23:59:59Z", "2013-07-04T12:00:00.5Z", "2013-12-31T00:00:00+01:00")
    assert form is None, f"unknown format {form}"
    return texts("UA", "Zürich", "", "never seen before")


def nulls(tensor):
    """Rows for an input that are all NULL, or none if its datatype has no such thing."""
    if tensor["datatype"] == "BYTES":
        return texts(*[None] * N_ROWS)  # which the client sends as "None"
    if tensor["datatype"] in ("INT64", "FP64"):
        return np.full(N_ROWS, np.nan)
    return None


DATATYPES = {"b": "BOOL", "i": "INT64", "f": "FP64", "O": "BYTES"}


def as_inputs(columns, binary):
    """Tensors of columns by name; `binary` says which columns are sent as binary data."""
    inputs = []
    for name, values in columns.items():
        tensor = InferInput(name, list(values.shape), DATATYPES[values.dtype.kind])
        tensor.set_data_from_numpy(values, binary_data=binary(values))
        inputs.append(tensor)
    return inputs


def everything(_):
    return True


def nothing(_):
    return False


def floats(values):
    return values.dtype.kind == "f"


class Asked:
    """A model, asked with one client."""

    def __init__(self, client, model):
        self.client = client
        self.model = model
        self.metadata = client.get_model_metadata(model)
        self.inputs = {tensor["name"]: tensor for tensor in self.metadata["inputs"]}
        self.outputs = {tensor["name"]: tensor for tensor in self.metadata["outputs"]}

    def infer(self, columns, binary_in=everything, binary_out=True, **options):
        wanted = [InferRequestedOutput(name, binary_data=binary_out) for name in self.outputs]
        inputs = as_inputs(columns, binary_in)
        result = self.client.infer(self.model, inputs, outputs=wanted, request_id="r1", **options)
        response = result.get_response()
        assert response["model_name"] == self.model, response
        assert response["model_version"] in self.metadata["versions"], response
        assert response["id"] == "r1", response
        answers = {name: result.as_numpy(name) for name in self.outputs}
        for name, values in answers.items():
            self.check_output(name, values)
        return answers

    def check_output(self, name, values):
        shape = [N_ROWS if size == -1 else size for size in self.outputs[name]["shape"]]
        assert list(values.shape) == shape, (name, values.shape, shape)
        if self.outputs[name]["datatype"] == "BYTES":
            assert values.dtype == np.object_, (name, values.dtype)
            # Binary data has bytes, JSON has str.
            classes = {v.decode() if isinstance(v, bytes) else v for v in values.flatten()}
            assert classes <= set(self.metadata["properties"]["classes"]), classes
            return
        assert values.dtype == np.float64, (name, values.dtype)
        assert np.isfinite(values).all(), values
        if name.startswith("probabilit"):
            assert ((values >= 0) & (values <= 1)).all(), values
        if name == "probabilities":
            assert np.allclose(values.sum(axis=1), 1), values

    def refuses(self, named, inputs, **options):
        try:
            self.client.infer(options.pop("model", self.model), inputs, **options)
        except InferenceServerException as error:
            assert named in error.message(), f"`{named}` is not in: {error}"
            assert error.status().startswith("4"), error
            print(f"  refused: {error}")
            return
        raise AssertionError(f"{named}: was answered")


def same(a, b):
    """That answers are the same, bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        if a[name].dtype == np.float64:
            assert (a[name].view(np.uint64) == b[name].view(np.uint64)).all(), (name, a[name], b[name])
        else:
            text = [[v.decode() if isinstance(v, bytes) else v for v in side[name].flatten()] for side in (a, b)]
            assert text[0] == text[1], (name, text)


def check_metadata(client, model):
    assert client.is_server_live()
    assert client.is_server_ready()
    about = client.get_server_metadata()
    assert about["name"] and about["version"], about
    assert "binary_tensor_data" in about["extensions"], about
    assert client.is_model_ready(model)
    assert not client.is_model_ready(model + "_not_there")
    metadata = client.get_model_metadata(model)
    assert metadata["name"] == model and metadata["platform"] and metadata["inputs"] and metadata["outputs"], metadata
    version = metadata["versions"][-1]
    assert client.is_model_ready(model, version)
    assert client.get_model_metadata(model, version) == metadata
    config = client.get_model_config(model)
    assert config["name"] == model and config["max_batch_size"] == 0, config
    named = lambda tensors: [tensor["name"] for tensor in tensors]
    assert named(config["input"]) == named(metadata["inputs"]), config
    index = client.get_model_repository_index()
    mine = [entry for entry in index if entry["name"] == model and entry["version"] == version]
    assert [entry["state"] for entry in mine] == ["READY"], index
    print(f"metadata of {model} version {version}: {len(metadata['inputs'])} inputs")


def check_answers(asked):
    columns = {name: example(tensor) for name, tensor in asked.inputs.items()}
    json = asked.infer(columns, nothing, False)
    binary = asked.infer(columns, everything, True)
    same(json, binary)
    same(json, asked.infer(columns, nothing, True))
    same(json, asked.infer(columns, everything, False))
    same(json, asked.infer({name: values.reshape(-1, 1) for name, values in columns.items()}))
    same(json, asked.infer(columns, model_version=asked.metadata["versions"][-1]))
    by_default = asked.client.infer(asked.model, as_inputs(columns, everything))
    same(binary, {name: by_default.as_numpy(name) for name in asked.outputs})
    print(f"JSON and binary tensors answer the same: {', '.join(asked.outputs)}")
    return columns


def check_nulls(asked, columns):
    optional = [name for name, tensor in asked.inputs.items() if not tensor["parameters"]["required"]]
    if len(optional) == len(columns):
        optional = optional[1:]  # a request has at least one input
    required = {name: values for name, values in columns.items() if name not in optional}
    left_out = asked.infer(required)
    named = dict(required)
    for name in optional:
        values = nulls(asked.inputs[name])
        if values is not None:
            named[name] = values
    # NaN is not JSON: floats are binary here.
    same(left_out, asked.infer(named, floats, False, parameters=NULL))
    same(left_out, asked.infer(named, everything, True, parameters=NULL))

    # NULL in the second row only: the others answer as before.
    some = dict(columns)
    for name in set(named) & set(optional):
        values = columns[name].astype(np.float64) if floats(named[name]) else columns[name].copy()
        values[1] = named[name][1]
        some[name] = values
    mixed = asked.infer(some, floats, True, parameters=NULL)
    full = asked.infer(columns)
    rest = [0, 2, 3]
    same({name: v[rest] for name, v in mixed.items()}, {name: v[rest] for name, v in full.items()})
    print(f"{len(optional)} inputs may be NULL: left out, named and NaN answer the same")


def check_refusals(asked, columns):
    good = as_inputs(columns, everything)
    name, tensor = next(iter(asked.inputs.items()))
    others = {other: values for other, values in columns.items() if other != name}

    def instead(values, called=name):
        return as_inputs({**others, called: values}, nothing)

    asked.refuses("no_such_model", good, model="no_such_model")
    asked.refuses("version 999", good, model_version="999")
    asked.refuses("no_such_input", as_inputs({**columns, "no_such_input": columns[name]}, nothing))
    asked.refuses(name, instead(np.stack([columns[name]] * 2, axis=1)))
    asked.refuses("no_such_output", good, outputs=[InferRequestedOutput("no_such_output")])
    wrong = np.arange(N_ROWS, dtype=np.int64) if tensor["datatype"] in ("BYTES", "BOOL") else texts(*"abcd")
    asked.refuses(name, instead(wrong))
    asked.refuses(name, good + as_inputs({name: columns[name]}, nothing))
    if others:
        asked.refuses(name, instead(columns[name][:2]))
    for other, tensor in asked.inputs.items():
        if tensor["parameters"]["required"] and len(columns) > 1:
            asked.refuses(other, as_inputs({o: v for o, v in columns.items() if o != other}, everything))
            break
    for other, tensor in asked.inputs.items():
        if tensor["datatype"] == "FP64":
            asked.refuses("NaN", as_inputs({**columns, other: nulls(tensor)}, nothing))
            break


def check_repeats(asked, columns):
    """One connection answers many requests, and headers come back."""
    headers = {"X-Request-Id": "seventeen", "X-Routing-Key": "customer 1"}
    first = asked.infer(columns, headers=headers)
    for _ in range(50):
        same(first, asked.infer(columns, headers=headers))


def counts(client, model):
    (statistics,) = client.get_inference_statistics(model)["model_stats"]
    assert statistics["name"] == model, statistics
    return statistics


def check_statistics(asked, columns):
    client, model = asked.client, asked.model
    before = counts(client, model)
    for _ in range(3):
        asked.infer(columns)
    after = counts(client, model)
    assert after["inference_count"] == before["inference_count"] + 3 * N_ROWS, (before, after)
    success = after["inference_stats"]["success"]
    assert success["count"] == before["inference_stats"]["success"]["count"] + 3, (before, after)
    assert success["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] > 1_600_000_000_000, after
    version = after["version"]
    assert client.get_inference_statistics(model, version)["model_stats"] == [after]
    every = client.get_inference_statistics()["model_stats"]
    assert model in [one["name"] for one in every], every
    for wrong in [(model + "_not_there",), (model, "999")]:
        try:
            client.get_inference_statistics(*wrong)
        except InferenceServerException as error:
            assert error.status() == "404", error
        else:
            raise AssertionError(f"{wrong}: was answered")
    print(f"statistics: {after['inference_count']} rows in {success['count']} requests")


def check_repository(client, model, admin):
    states = lambda: [entry["state"] for entry in client.get_model_repository_index() if entry["name"] == model]
    if not admin:
        for change in (client.load_model, client.unload_model):
            try:
                change(model)
            except InferenceServerException as error:
                assert error.status() == "404", error
            else:
                raise AssertionError("the admin routes are open")
        return
    client.unload_model(model)
    assert not client.is_model_ready(model)
    assert "READY" not in states(), states()
    client.load_model(model)
    assert client.is_model_ready(model)
    assert "READY" in states(), states()
    try:
        client.load_model(model + "_not_there")
    except InferenceServerException as error:
        print(f"  refused: {error}")
    else:
        raise AssertionError("loaded what is not there")
    print("unloaded and loaded")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="host:port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--admin", action="store_true", help="the server lets models be loaded and unloaded")
    arguments = parser.parse_args()
    with InferenceServerClient(arguments.url) as client:
        check_metadata(client, arguments.model)
        asked = Asked(client, arguments.model)
        columns = check_answers(asked)
        check_nulls(asked, columns)
        check_refusals(asked, columns)
        check_repeats(asked, columns)
        check_statistics(asked, columns)
        check_repository(client, arguments.model, arguments.admin)
        assert client.is_server_ready()
    print("all well")


if __name__ == "__main__":
    main()
