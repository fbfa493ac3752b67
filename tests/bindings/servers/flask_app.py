"""A Flask application that speaks the Parse protocol to its bindings with the standard library alone."""
import json
import os
import urllib.error
import urllib.request

from flask import Flask, jsonify, request

app = Flask(__name__)


def ask(method, path, body=None, base=os.environ["HOB_BINDINGS_URL"]):
    headers = {"content-type": "application/json"}
    if "public" not in request.args:
        headers["authorization"] = "Bearer " + request.headers["x-hob-invocation"]
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(base + path, data, headers, method=method)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@app.post("/notes")
def make():
    status, note = ask("POST", "/classes/Note", request.json)
    return jsonify(status=status, note=note)


@app.get("/notes/<text>")
def find(text):
    where = urllib.request.quote(json.dumps({"text": text}))
    return jsonify(ask("GET", "/classes/Note?where=" + where)[1])


@app.get("/me")
def me():
    return jsonify(ask("GET", "/users/me"))


app.run(port=int(os.environ["PORT"]), threaded=True)
