"""Event 2.0 of an HTTP request, and what a handler's result means as an answer."""

import time

PAYLOAD_MAX = 6 * 1024 * 1024
JSON_TYPE = [(b"content-type", b"application/json")]
OCTETS = [(b"content-type", b"application/octet-stream")]
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TEXT_TYPES = ("text", "json", "xml", "javascript")
_HEX = b"0123456789abcdefABCDEF"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class BadAnswer(Exception):
    """What the handler gave cannot be sent."""


class TooLarge(BadAnswer):
    pass


def _text(value):
    return value.decode("utf-8", "replace")


def unquote(raw, is_query=False):
    """Percent-decoding of bytes; what is no escape stays raw, and so does %2F in a path."""
    if is_query:
        raw = raw.replace(b"+", b" ")
    if b"%" not in raw:
        return _text(raw)
    first, *rest = raw.split(b"%")
    out = [first]
    for part in rest:
        is_escape = len(part) >= 2 and part[0] in _HEX and part[1] in _HEX
        byte = int(part[:2], 16) if is_escape else -1
        if byte < 0 or (byte == 0x2F and not is_query):
            out.append(b"%" + part)
        else:
            out.append(bytes((byte,)) + part[2:])
    return _text(b"".join(out))


def _join(into, name, value):
    into[name] = f"{into[name]},{value}" if name in into else value


def _query(raw):
    out = {}
    for item in raw.split(b"&"):
        if item:
            name, _, value = item.partition(b"=")
            _join(out, unquote(name, True), unquote(value, True))
    return out


def http_event(call, body, function_name):
    target = call.target.encode("latin-1")
    raw_path, _, query = target.partition(b"?")
    path = unquote(raw_path)
    headers = {}
    cookies = []
    for name, value in call.fields():
        name = name.decode("latin-1")
        if name == "cookie":
            cookies += [c.strip() for c in _text(value).split(";") if c.strip()]
        else:
            _join(headers, name, _text(value))
    params = {}
    source_ip = ""
    protocol = "HTTP/1.1"
    for name, value in call.extras():
        if name == b"remote":
            source_ip = _text(value)
            if source_ip.startswith("["):
                source_ip = source_ip[1:].partition("]")[0]
            elif source_ip.count(":") == 1:
                source_ip = source_ip.partition(":")[0]
        elif name == b"protocol":
            protocol = _text(value)
        elif name.startswith(b"param."):
            params[_text(name[6:])] = _text(value)
    domain = headers.get("host", "localhost").partition(":")[0]
    now = time.time()
    t = time.gmtime(now)
    event = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": _text(query)}
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    if query:
        event["queryStringParameters"] = _query(query)
    event["requestContext"] = {
        "accountId": "anonymous",
        "apiId": function_name,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": call.method,
            "path": path,
            "protocol": protocol,
            "sourceIp": source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": call.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{t[2]:02}/{_MONTHS[t[1] - 1]}/{t[0]}:{t[3]:02}:{t[4]:02}:{t[5]:02} +0000",
        "timeEpoch": int(now * 1000),
    }
    if params:
        event["pathParameters"] = params
    event["isBase64Encoded"] = False
    if body:
        kind = headers.get("content-type", "").lower()
        try:
            if not any(t in kind for t in _TEXT_TYPES):
                raise ValueError
            event["body"] = body.decode()
        except ValueError:
            from binascii import b2a_base64

            event["body"] = b2a_base64(body, newline=False).decode()
            event["isBase64Encoded"] = True
    return event


def _field(name, value):
    name = str(name).lower().encode("utf-8")
    value = (value if isinstance(value, str) else str(value)).strip().encode("utf-8")
    if not name or not _TOKEN.issuperset(name):
        raise BadAnswer(f"{name.decode()!r} is not a header name: use letters, digits and '-'")
    if b"\r" in value or b"\n" in value or b"\0" in value:
        raise BadAnswer(f"the value of header {name.decode()!r} has a line break or NUL")
    return name, value


def prelude(result, default_type="application/json"):
    """Status and fields of {'statusCode', 'headers', 'cookies'}."""
    status = result.get("statusCode", 200)
    if isinstance(status, str) and len(status) == 3 and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadAnswer(f"the handler answered statusCode {status!r}: use a number from 200 to 599")
    fields = []
    has_type = False
    for name, value in (result.get("headers") or {}).items():
        if value is None:
            continue
        for one in value if isinstance(value, (list, tuple)) else (value,):
            fields.append(_field(name, one))
        has_type = has_type or fields[-1][0] == b"content-type"
    for cookie in result.get("cookies") or ():
        fields.append(_field("set-cookie", cookie))
    if not has_type:
        fields.append((b"content-type", default_type.encode()))
    return status, fields


def to_json(value):
    import json

    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError) as error:
        raise BadAnswer(f"the handler's result cannot be written as JSON: {error}") from None


def answer(call, result):
    """(status, fields, body) of a handler's result."""
    if call.kind == 2:
        status, fields, body = 200, JSON_TYPE, to_json(result)
    elif isinstance(result, dict) and "statusCode" in result:
        status, fields = prelude(result)
        body = result.get("body")
        if status in (204, 304) or body is None:
            body = b""
        elif result.get("isBase64Encoded"):
            from binascii import a2b_base64

            body = a2b_base64(body)
        elif isinstance(body, str):
            body = body.encode("utf-8", "replace")
        elif not isinstance(body, (bytes, bytearray)):
            body = to_json(body)
    else:
        status, fields = 200, JSON_TYPE
        body = result.encode("utf-8", "replace") if isinstance(result, str) else to_json(result)
    if len(body) > PAYLOAD_MAX:
        raise TooLarge(f"the answer has {len(body)} bytes; at most {PAYLOAD_MAX} can be returned, yield more")
    if call.kind == 1 and call.method == "HEAD" and status not in (204, 304):
        if not any(name == b"content-length" for name, _ in fields):
            fields = fields + [(b"content-length", str(len(body)).encode())]
        body = b""
    return status, fields, body


def chunk(value):
    """What a generator gave, as bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise BadAnswer(f"a generator must yield str or bytes (first perhaps {{'statusCode': ...}}), not {type(value).__name__}")


def first_of_stream(value):
    """(status, fields, first chunk or None) from the first thing that a generator gave."""
    if isinstance(value, dict) and "statusCode" in value or isinstance(value, dict) and "headers" in value:
        return (*prelude(value, "application/octet-stream"), None)
    kind = "text/plain; charset=utf-8" if isinstance(value, str) else "application/octet-stream"
    return 200, [(b"content-type", kind.encode())], chunk(value)
