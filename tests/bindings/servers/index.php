<?php
// PHP's own server and its own HTTP client: nothing is installed for this.
function ask(string $method, string $path, $body = null): array
{
    $headers = ['content-type: application/json'];
    if (!isset($_GET['public'])) {
        $headers[] = 'x-hob-invocation: ' . $_SERVER['HTTP_X_HOB_INVOCATION'];
    }
    $context = stream_context_create(['http' => ['method' => $method, 'header' => $headers, 'ignore_errors' => true,
        'content' => $body === null ? '' : json_encode($body), 'protocol_version' => 1.1]]);
    $text = file_get_contents(getenv('HOB_BINDINGS_URL') . $path, false, $context);
    return [(int) explode(' ', $http_response_header[0])[1], json_decode($text, true)];
}

header('content-type: application/json');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    echo json_encode(ask('POST', '/classes/Note', json_decode(file_get_contents('php://input'), true)));
} elseif ($path === '/me') {
    echo json_encode(ask('GET', '/users/me'));
} else {
    echo json_encode(ask('GET', '/classes/Note?where=' . urlencode(json_encode(['text' => substr($path, 1)]))));
}
