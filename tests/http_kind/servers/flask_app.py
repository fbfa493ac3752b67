"""A Flask application with the port of its tutorial."""
import time

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.route("/")
def index():
    return "Hello from Flask"


@app.post("/echo")
def echo():
    return Response(request.get_data(), mimetype="application/octet-stream")


@app.get("/headers")
def headers():
    return jsonify(dict(request.headers))


@app.get("/events")
def events():
    def lines():
        for n in range(4):
            yield f"data: {n}\n\n"
            time.sleep(0.2)

    return Response(lines(), mimetype="text/event-stream")


@app.get("/fail")
def fail():
    raise RuntimeError("it failed")


if __name__ == "__main__":
    app.run(port=5000)
