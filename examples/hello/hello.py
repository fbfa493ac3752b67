def handler(event, context):
    name = event.get("queryStringParameters", {}).get("name") or event.get("name", "world")
    return {
        "statusCode": 200,
        "headers": {"content-type": "text/plain; charset=utf-8"},
        "body": f"Hello, {name}, from Python!\n",
    }
