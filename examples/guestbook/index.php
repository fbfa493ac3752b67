<?php
// HOB_BINDINGS_URL speaks the Parse protocol. Who shows the request's own x-hob-invocation acts as its caller.
function ask(string $method, string $path, ?array $body = null)
{
    $headers = ['content-type: application/json', 'x-hob-invocation: ' . $_SERVER['HTTP_X_HOB_INVOCATION']];
    $options = ['method' => $method, 'header' => $headers, 'ignore_errors' => true, 'content' => $body ? json_encode($body) : ''];
    $url = str_starts_with($path, '/cache') ? str_replace('/parse', '', getenv('HOB_BINDINGS_URL')) : getenv('HOB_BINDINGS_URL');
    return json_decode(file_get_contents($url . $path, false, stream_context_create(['http' => $options])), true);
}

$e = fn($text) => htmlspecialchars((string) $text);
$me = ask('GET', '/users/me'); // an error for who has not signed in

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $name = $me['username'] ?? substr($_POST['name'] ?? '', 0, 100);
    $text = substr($_POST['text'] ?? '', 0, 1000);
    if ($name === '' || $text === '') {
        http_response_code(400);
        exit("a name and a text, please\n");
    }
    $made = ask('POST', '/classes/Entry', ['name' => $name, 'text' => $text]);
    http_response_code(isset($made['objectId']) ? 201 : 502);
    exit(isset($made['objectId']) ? "Thank you, $name.\n" : $made['error'] . "\n");
}

$visits = ask('POST', '/cache/visits?incr=1');
$entries = ask('GET', '/classes/Entry?order=-createdAt&limit=50')['results'] ?? [];
header('content-type: text/html; charset=utf-8');
?>
<!doctype html>
<title>Guest book</title>
<h1>Guest book</h1>
<p>Visit number <?= $e($visits) ?>.</p>
<form method="post"><input name="name" placeholder="name"><input name="text" placeholder="text"><button>Write</button></form>
<?php foreach ($entries as $entry): ?>
<p><b><?= $e($entry['name']) ?></b>: <?= $e($entry['text']) ?></p>
<?php endforeach;
