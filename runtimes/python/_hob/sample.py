"""What a rehearsal loads in place of a function."""


def handler(event, context):
    return {"statusCode": 200}
