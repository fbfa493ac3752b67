"""The bindings: context.env.data, auth, files, cache, sql, secrets and fn, asked over the channel as the caller of the
invocation. Plain handlers get values; in async handlers every call is awaited. Imported only when hob.json names some."""

import json

from . import channel


class HobError(Exception):
    """A call that failed: code (Parse's number), status (HTTP's), retryable, reason."""

    def __init__(self, message, code=-1, status=500, retryable=False, reason="internal"):
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.reason = reason


def _ended():
    return HobError("the invocation has ended: its bindings have, too", status=499, reason="invocation_ended")


class Reply:
    """What came back: `value` of the JSON, `data` the bytes beside it."""

    __slots__ = ("value", "data")

    def __init__(self, value, data):
        self.value = value
        self.data = data


class Calls:
    """CALL and REPLY. How one waits for the answer is the server's business (serial.py, threads.py, aio.py)."""

    def __init__(self, wire):
        self.wire = wire
        self.next = 0
        self.parts = {}
        self.replies = {}  # stream -> (code, whether META, payload), once it is here
        self.futures = {}  # of async servers
        self.expected = set()

    def send(self, call, op, args, data):
        if call.is_done or call.cancelled:
            raise _ended()
        head = json.dumps({"op": op, "args": args}, separators=(",", ":")).encode()
        flags = channel.END
        payload = head
        if data is not None:
            flags |= channel.META
            payload = len(head).to_bytes(4, "little") + head + data
        if len(payload) > 1 << 20:
            raise HobError("the call is over 1048576 bytes (call.bytes)", 116, 413, reason="too_large")
        self.next = 2 if self.next >= 0xFFFFFFFE else self.next + 2
        self.expected.add(self.next)
        self.wire.send(channel.frame(channel.CALL, self.next, flags, arg=call.stream, payload=payload))
        return self.next

    def on_reply(self, flags, code, stream, payload):
        if stream not in self.expected:
            return
        if stream in self.parts:
            payload = self.parts.pop(stream) + payload
        if not flags & channel.END:
            self.parts[stream] = payload
            return
        self.expected.discard(stream)
        reply = (code, flags & channel.META, payload)
        future = self.futures.pop(stream, None)
        if future is None:
            self.replies[stream] = reply
        elif not future.done():
            future.set_result(reply)

    @staticmethod
    def read(reply):
        code, has_meta, payload = reply
        if code:
            pairs = {name.decode(): value.decode("utf-8", "replace") for name, value in channel.read_pairs(payload, 0)}
            raise HobError(
                pairs.get("errorMessage", "the call failed"), int(pairs.get("code", -1)), int(pairs.get("status", 500)),
                pairs.get("retryable") == "1", pairs.get("reason", "internal"),
            )  # fmt: skip
        if not has_meta:
            return Reply(json.loads(payload), b"")
        n = int.from_bytes(payload[:4], "little")
        return Reply(json.loads(payload[4 : 4 + n]), payload[4 + n :])


def _value(reply):
    return reply.value


def _nothing(reply):
    return None


def _given(**args):
    return {name: value for name, value in args.items() if value is not None}


class Data:
    """Objects of the app, as the JSON of the Parse protocol."""

    def __init__(self, ask, who=None):
        self._ask = ask
        self._who = who

    def as_(self, who):
        """ "caller", "master" (hob.json must name data:master) or {"sessionToken": ...}."""
        return Data(self._ask, who)

    def _call(self, op, shape=_value, **args):
        if self._who is not None:
            args["as"] = self._who
        return self._ask(op, args, None, shape)

    def get(self, class_name, object_id, include=None, keys=None):
        return self._call("data.get", **{"class": class_name}, id=object_id, **_given(include=include, keys=keys))

    def find(self, class_name, where=None, order=None, limit=None, skip=None, include=None, keys=None):
        more = _given(where=where, order=order, limit=limit, skip=skip, include=include, keys=keys)
        return self._call("data.find", **{"class": class_name}, **more)

    def count(self, class_name, where=None):
        return self._call("data.count", **{"class": class_name}, **_given(where=where))

    def insert(self, class_name, object):
        return self._call("data.insert", **{"class": class_name}, object=object)

    def update(self, class_name, object_id, ops):
        return self._call("data.update", **{"class": class_name}, id=object_id, object=ops)

    def delete(self, class_name, object_id):
        return self._call("data.delete", _nothing, **{"class": class_name}, id=object_id)

    def batch(self, ops, transaction=False):
        return self._call("data.batch", ops=ops, transaction=transaction)

    def aggregate(self, class_name, pipeline):
        return self._call("data.aggregate", **{"class": class_name}, pipeline=pipeline)


class Admin:
    def __init__(self, ask):
        self._ask = ask

    def create_user(self, user):
        return self._ask("auth.createUser", {"user": user}, None, _value)

    def update_user(self, user_id, patch):
        return self._ask("auth.updateUser", {"id": user_id, "user": patch}, None, _value)

    def delete_user(self, user_id):
        return self._ask("auth.deleteUser", {"id": user_id}, None, _nothing)

    def list_users(self, where=None, limit=None, skip=None, order=None):
        return self._ask("auth.listUsers", _given(where=where, limit=limit, skip=skip, order=order), None, _value)

    def revoke(self, user_id):
        return self._ask("auth.revoke", {"id": user_id}, None, _nothing)

    def mint(self, user_id, ttl=None, audience=None):
        args = {"id": user_id, **_given(ttl=ttl, audience=audience)}
        return self._ask("auth.mint", args, None, lambda reply: reply.value["token"])


class Auth:
    def __init__(self, ask):
        self._ask = ask
        self.admin = Admin(ask)

    def user(self):
        return self._ask("auth.user", {}, None, _value)

    def get_user(self, token_or_id):
        args = {"token": token_or_id} if token_or_id.startswith("r:") else {"id": token_or_id}
        return self._ask("auth.getUser", args, None, _value)

    def verify(self, token):
        return self._ask("auth.verify", {"token": token}, None, _value)


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


class Cache:
    """Values by key: text, "json" or "bytes"."""

    def __init__(self, ask):
        self._ask = ask

    @staticmethod
    def _as(data, kind):
        return data.decode() if kind == "text" else json.loads(data) if kind == "json" else data

    def get(self, key, type="text"):
        def shape(reply):
            return None if reply.value[0] is None else self._as(reply.data, type)

        return self._ask("cache.get", {"keys": [key]}, None, shape)

    def get_with_metadata(self, key, type="text"):
        """(value, metadata, revision); (None, None, 0) when there is none."""

        def shape(reply):
            row = reply.value[0]
            return (None, None, 0) if row is None else (self._as(reply.data, type), row.get("metadata"), row["revision"])

        return self._ask("cache.get", {"keys": [key]}, None, shape)

    def put(self, key, value, expiration=None, expiration_ttl=None, metadata=None):
        more = _given(expiration=expiration, expirationTtl=expiration_ttl, metadata=metadata)
        return self._ask("cache.put", {"key": key, **more}, _bytes(value), _nothing)

    def cas(self, key, revision, value, expiration=None, expiration_ttl=None, metadata=None):
        more = _given(expiration=expiration, expirationTtl=expiration_ttl, metadata=metadata)
        return self._ask("cache.cas", {"key": key, "revision": revision, **more}, _bytes(value), _value)

    def incr(self, key, by=1):
        return self._ask("cache.incr", {"key": key, "by": by}, None, _value)

    def delete(self, key):
        return self._ask("cache.delete", {"key": key}, None, _nothing)

    def list(self, prefix=None, limit=None, cursor=None):
        return self._ask("cache.list", _given(prefix=prefix, limit=limit, cursor=cursor), None, _value)


def _to_wire(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return {"$blob": base64.b64encode(value).decode()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a parameter of SQL is None, a number, a text, bytes or a bool, not {type(value).__name__}")


def _from_wire(value):
    if isinstance(value, dict):
        import base64

        return base64.b64decode(value["$blob"])
    return value


def _result(one):
    rows = [dict(zip(one["columns"], map(_from_wire, row))) for row in one["rows"]]
    return {"success": True, "results": rows, "meta": one["meta"]}


class Statement:
    def __init__(self, ask, sql, params=()):
        self._ask = ask
        self.wire = {"sql": sql, "params": [_to_wire(value) for value in params]}

    def bind(self, *values):
        return Statement(self._ask, self.wire["sql"], values)

    def _one(self, shape):
        return self._ask("sql.query", {"statements": [self.wire]}, None, lambda reply: shape(reply.value[0]))

    def all(self):
        return self._one(_result)

    run = all

    def first(self, column=None):
        def shape(one):
            rows = _result(one)["results"]
            return None if not rows else rows[0] if column is None else rows[0][column]

        return self._one(shape)

    def raw(self):
        return self._one(lambda one: [[_from_wire(value) for value in row] for row in one["rows"]])


class Sql:
    def __init__(self, ask):
        self._ask = ask

    def prepare(self, sql):
        return Statement(self._ask, sql)

    def batch(self, statements):
        wire = [one.wire for one in statements]
        return self._ask("sql.query", {"statements": wire}, None, lambda reply: [_result(one) for one in reply.value])

    def exec(self, script):
        return self._ask("sql.exec", {"statements": [{"sql": script}]}, None, lambda reply: reply.value[0])


class Functions:
    def __init__(self, ask):
        self._ask = ask

    def invoke(self, name, payload=None, qualifier=None, timeout_ms=None):
        args = {"name": name, **_given(qualifier=qualifier, timeoutMs=timeout_ms)}
        return self._ask("fn.invoke", args, json.dumps(payload).encode(), lambda reply: json.loads(reply.data or b"null"))


class Files:
    """The app's files by key; what there is of one is a dict."""

    def __init__(self, ask):
        self._ask = ask

    def put(self, key, value, content_type=None, metadata=None):
        args = {"key": key, **_given(contentType=content_type, metadata=metadata)}
        return self._ask("files.put", args, _bytes(value), _value)

    def head(self, key):
        return self._ask("files.head", {"key": key}, None, _value)

    def get(self, key):
        return self._ask("files.get", {"key": key}, None, lambda reply: None if reply.value is None else reply.data)

    def delete(self, key):
        return self._ask("files.delete", {"key": key}, None, _nothing)

    def list(self, prefix=None, limit=None, cursor=None):
        return self._ask("files.list", _given(prefix=prefix, limit=limit, cursor=cursor), None, _value)


class Secrets:
    def __init__(self, base, names, ask):
        self._base, self._names, self._ask = base, names, ask

    def get(self, name):
        if name not in self._names:
            return self._base.get(name)
        return self._ask("secrets.get", {"name": name}, None, lambda reply: reply.data.decode())

    def list(self):
        return list(dict.fromkeys(self._base.list() + self._names))


class Env:
    """One invocation's env."""

    def __init__(self, base, ask, secrets):
        self.vars = base.vars
        self.data, self.auth, self.files = Data(ask), Auth(ask), Files(ask)
        self.cache, self.sql, self.fn = Cache(ask), Sql(ask), Functions(ask)
        self.secrets = Secrets(base.secrets, secrets, ask) if secrets else base.secrets


def install(context, wire, granted):
    """Gives every invocation an env of its own, which asks over `wire`."""
    base = context.env
    secrets = [name[8:] for name in granted.split() if name.startswith("secrets:")]
    wire.bindings = calls = Calls(wire)

    def env_of(self):
        call = self._call

        def ask(op, args, data, shape):
            return wire.server.ask(calls, call, op, args, data, shape)

        made = self.__dict__.get("_env")
        if made is None:
            made = self.__dict__["_env"] = Env(base, ask, secrets)
        return made

    context.env = property(env_of)
