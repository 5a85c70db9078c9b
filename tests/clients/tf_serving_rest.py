"""Asks a server as clients of TensorFlow Serving's REST interface do, for any model: what to send is taken from its
metadata. Python's own HTTP client alone.

    python tf_serving_rest.py --url 127.0.0.1:8000 --model flights [--ca ca.pem] [--token ..]
"""

import argparse
import http.client
import json
import ssl

N_ROWS = 3


class Client:
    """One connection that is kept, as `requests.Session` does."""

    def __init__(self, url, ca, token):
        host, port = url.removeprefix("https://").removeprefix("http://").rsplit(":", 1)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            self.connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
        else:
            self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method, path, body=None, expected=200):
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        self.connection.request(method, path, text, self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.headers["Content-Type"] == "application/json", answer.headers
        document = json.loads(content)
        assert answer.status == expected, (method, path, answer.status, document)
        self.version = answer.headers["Fourfold-Model-Version"]
        if expected >= 400:
            assert list(document) == ["error"] and document["error"], document
            print(f"  {answer.status}: {document['error']}")
        return document

    def get(self, path, expected=200):
        return self.ask("GET", path, None, expected)

    def post(self, path, body, expected=200):
        return self.ask("POST", path, body, expected)


def example(name, tensor, open_inference):
    """A value for an input, of its type."""
    dtype = tensor["dtype"]
    form = open_inference[name].get("parameters", {}).get("format")
    one = {
        "DT_BOOL": True,
        "DT_INT64": 1,
        "DT_DOUBLE": 1.5,
        "DT_STRING": {"date": "2013-01-31", "timestamp": "2013-01-31T05:00:00Z"}.get(form, "UA"),
    }[dtype]
    sizes = tensor["tensor_shape"]["dim"]
    return [one] if len(sizes) > 1 else one


def check(client, model):
    path = f"/v1/models/{model}"
    states = client.get(path)["model_version_status"]
    available = [state for state in states if state["state"] == "AVAILABLE"]
    assert available and all(state["status"] == {"error_code": "OK", "error_message": ""} for state in available), states
    version = available[0]["version"]
    assert client.get(f"{path}/versions/{version}")["model_version_status"] == [available[0]]

    metadata = client.get(f"{path}/metadata")
    assert metadata["model_spec"]["name"] == model, metadata
    version = metadata["model_spec"]["version"]
    assert version in [state["version"] for state in available]
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    about = client.get(f"/v2/models/{model}")
    open_inference = {tensor["name"]: tensor for tensor in about["inputs"]}
    row = {name: example(name, tensor, open_inference) for name, tensor in signature["inputs"].items()}

    by_row = client.post(f"{path}:predict", {"instances": [row] * N_ROWS})["predictions"]
    assert client.version == version
    assert len(by_row) == N_ROWS and by_row[0] == by_row[1] == by_row[2]
    columns = {name: [value] * N_ROWS for name, value in row.items()}
    by_column = client.post(f"{path}/versions/{version}:predict", {"inputs": columns})["outputs"]
    names = list(signature["outputs"])
    if len(names) == 1:
        assert by_column == by_row, (by_column, by_row)
    else:
        assert [{name: by_column[name][i] for name in names} for i in range(N_ROWS)] == by_row, (by_column, by_row)
    named = {"signature_name": "serving_default", "instances": [row]}
    assert client.post(f"{path}:predict", named)["predictions"] == by_row[:1]
    print(f"{model} version {version}: rows and columns are answered the same: {by_row[0]}")

    optional = [name for name, tensor in open_inference.items() if not tensor["parameters"]["required"]]
    if optional and len(optional) < len(row):
        left_out = {name: value for name, value in row.items() if name not in optional}
        nulls = left_out | {name: None for name in optional}
        answers = client.post(f"{path}:predict", {"instances": [left_out, nulls]})["predictions"]
        assert answers[0] == answers[1], answers

    task = about["properties"]["task"]
    if task == "regression":
        results = client.post(f"{path}:regress", {"examples": [row, row]})["results"]
        assert results == [by_row[0], by_row[0]] or isinstance(results[0], float), results
        client.post(f"{path}:classify", {"examples": [row]}, 400)
    else:
        results = client.post(f"{path}:classify", {"examples": [row, row]})["results"]
        classes = about["properties"]["classes"]
        assert len(results) == 2 and {label for label, _ in results[0]} <= set(classes), results
        assert abs(sum(score for _, score in results[0]) - 1) < 1e-9, results
        client.post(f"{path}:regress", {"examples": [row]}, 400)
    context = {"examples": [{}, {}], "context": row}
    method = "regress" if task == "regression" else "classify"
    assert client.post(f"{path}:{method}", context)["results"] == results
    check_refusals(client, path, row)


def check_refusals(client, path, row):
    one = {"instances": [row]}
    client.post(f"{path}_not_there:predict", one, 404)
    client.get(f"{path}_not_there", 404)
    client.post(f"{path}/versions/999:predict", one, 404)
    client.post(f"{path}/labels/no_such_label:predict", one, 400)
    for malformed in ["/v1/foo", f"{path}/metadata", f"{path}/versions/HELLO:regress", path]:
        assert "Malformed request" in client.post(malformed, one, 400)["error"]
    assert "Malformed request" in client.get(f"{path}:predict", 400)["error"]
    columns = {name: [value] for name, value in row.items()}
    client.post(f"{path}:predict", {"instances": [row], "inputs": columns}, 400)
    client.post(f"{path}:predict", {}, 400)
    client.post(f"{path}:predict", "no JSON", 400)
    client.post(f"{path}:predict", {"instances": [row | {"no_such_input": 1}]}, 400)
    ragged = {name: [value] * (1 + i) for i, (name, value) in enumerate(row.items())}
    if len(row) > 1:
        client.post(f"{path}:predict", {"inputs": ragged}, 400)
    # What is not known beside the rows is passed over, however deep it is.
    deep = "[" * 10000 + "]" * 10000
    client.post(f"{path}:predict", f'{{"unknown": {deep}, "instances": {json.dumps([row])}}}')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="host:port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--ca", help="the authority that the server's certificate is of, in PEM")
    parser.add_argument("--token")
    arguments = parser.parse_args()
    check(Client(arguments.url, arguments.ca, arguments.token), arguments.model)
    print("all well")


if __name__ == "__main__":
    main()
