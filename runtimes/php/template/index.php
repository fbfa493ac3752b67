<?php

return function (array $event, object $context) {
    $name = $event['queryStringParameters']['name'] ?? 'world';
    return ['statusCode' => 200, 'headers' => ['content-type' => 'text/plain; charset=utf-8'], 'body' => "Hello, $name!\n"];
};
