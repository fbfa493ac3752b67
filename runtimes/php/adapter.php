<?php
// The php runtime: frames of the channel (base/frame.h) on descriptor 3, one invocation at a time. The entry returns
// a callable, or defines handler(array $event, object $context); events and answers are Lambda's (docs/functions.md).
const CREDIT = 2, PING = 3, PONG = 4, BYE = 5, INVOKE = 16, BODY = 17, CANCEL = 18, DRAIN = 19;
const READY = 32, INIT_ERROR = 33, HEAD = 34, DATA = 35, ERROR = 36, DONE = 37, F_END = 1, F_META = 2, WINDOW = 65536;
const PAYLOAD_MAX = 6 << 20;
$wire = fopen('php://fd/3', 'r+');
$credit = 1 << 20; // what may still be sent on the connection
$taken = 0;        // body bytes whose credit was not given back yet
$call = null;      // the invocation that runs
[$backlog, $draining, $hello] = [[], false, []];

function read_exactly(int $n): string {
    global $wire;
    for ($data = ''; strlen($data) < $n; $data .= $part)
        if (($part = fread($wire, $n - strlen($data))) === false || $part === '') exit(0); // hobd has gone
    return $data;
}
function send(int $type, int $stream = 0, string $payload = '', int $flags = 0, int $arg = 0, int $code = 0): void {
    global $wire;
    $frame = pack('VCCvVV', strlen($payload), $type, $flags, $code, $stream, $arg) . $payload;
    for ($at = 0; $at < strlen($frame); $at += $n) if (!($n = fwrite($wire, substr($frame, $at)))) exit(0);
}
function pairs(array $items): string {
    $out = pack('V', count($items));
    foreach ($items as [$name, $value]) $out .= pack('VV', strlen($name), strlen($value)) . $name . $value;
    return $out;
}
function unpairs(string $block): array {
    $items = [];
    for ($at = 4, $left = strlen($block) >= 4 ? unpack('V', $block)[1] : 0; $left > 0; $left--) {
        ['n' => $n, 'v' => $v] = unpack('Vn/Vv', $block, $at);
        [$items[], $at] = [[substr($block, $at + 8, $n), substr($block, $at + 8 + $n, $v)], $at + 8 + $n + $v];
    }
    return $items;
}
/** Takes one frame; everything but INVOKE is dealt with here. */
function take(): void {
    global $credit, $taken, $backlog, $call, $draining;
    ['n' => $n, 't' => $type, 'f' => $flags, 's' => $stream, 'a' => $arg, 'c' => $code] = unpack('Vn/Ct/Cf/vc/Vs/Va', read_exactly(16));
    if ($n > 1 << 20) exit(1);
    $payload = $n ? read_exactly($n) : '';
    $mine = $call !== null && $call->stream === $stream;
    if ($type === INVOKE) $backlog[] = [$stream, $flags, $payload];
    elseif ($type === PING) send(PONG, 0, '', 0, $arg);
    elseif ($type === DRAIN) $draining = true;
    elseif ($type === CREDIT && $stream === 0) $credit += $arg;
    elseif ($type === CREDIT && $mine) $call->credit += $arg;
    elseif ($type === CANCEL && $mine) $call->cancelled = $code ?: 2;
    elseif ($type === BODY) {
        if ($flags & F_META) $payload = substr($payload, 4 + unpack('V', $payload)[1]);
        if ($mine && strlen($call->body) <= PAYLOAD_MAX) $call->body .= $payload;
        if ($mine) $call->whole = (bool)($flags & F_END);
        if (($taken += strlen($payload)) >= 1 << 19) { send(CREDIT, 0, '', 0, $taken); $taken = 0; }
        if ($mine && !$call->whole && ($call->taken += strlen($payload)) >= WINDOW / 2) { send(CREDIT, $stream, '', 0, $call->taken); $call->taken = 0; }
    }
}
function open_call(int $stream, int $flags, string $payload): object {
    $meta = substr($payload, 4, $meta_n = unpack('V', $payload)[1]);
    $m = unpack('Ckind/Clayout/vmethod/Vtarget/Pdeadline/vid/vroute/Vfields/Vextras', $meta);
    $call = (object)['stream' => $stream, 'kind' => $m['kind'], 'deadline' => $m['deadline'], 'whole' => (bool)($flags & F_END),
        'body' => substr($payload, 4 + $meta_n), 'taken' => 0, 'credit' => WINDOW, 'cancelled' => 0, 'over' => false];
    $at = 40;
    foreach (['method', 'target', 'id', 'fields', 'extras'] as $part) [$call->$part, $at] = [substr($meta, $at, $m[$part]), $at + $m[$part]];
    return $call;
}
function http_event(object $call): array {
    [[$path, $query], $headers, $params, $cookies, $extras, $asked, $now] = [explode('?', $call->target, 2) + [1 => ''], [], [], [], [], [], microtime(true)];
    $path = preg_replace_callback('/(?:%(?!2f)[0-9a-f]{2})+/i', fn($m) => rawurldecode($m[0]), $path);
    foreach (unpairs($call->fields) as [$name, $value])
        if ($name === 'cookie') array_push($cookies, ...preg_split('/;\s*/', $value, -1, PREG_SPLIT_NO_EMPTY));
        else $headers[$name] = isset($headers[$name]) ? "{$headers[$name]},$value" : $value;
    foreach (unpairs($call->extras) as [$name, $value])
        if (str_starts_with($name, 'param.')) $params[substr($name, 6)] = $value; else $extras[$name] = $value;
    foreach (array_filter(explode('&', $query), 'strlen') as $item) {
        [$name, $value] = array_map('urldecode', explode('=', $item, 2) + [1 => '']);
        $asked[$name] = isset($asked[$name]) ? "{$asked[$name]},$value" : $value;
    }
    $text = preg_match('/text|json|xml|javascript/i', $headers['content-type'] ?? '') && preg_match('//u', $call->body);
    $domain = explode(':', $headers['host'] ?? 'localhost')[0];
    return ['version' => '2.0', 'routeKey' => '$default', 'rawPath' => $path, 'rawQueryString' => $query] + ($cookies ? ['cookies' => $cookies] : []) + ['headers' => $headers] + ($asked ? ['queryStringParameters' => $asked] : [])
        + ['requestContext' => ['accountId' => 'anonymous', 'apiId' => getenv('AWS_LAMBDA_FUNCTION_NAME') ?: '', 'domainName' => $domain,
            'domainPrefix' => explode('.', $domain)[0], 'http' => ['method' => $call->method, 'path' => $path, 'protocol' => 'HTTP/1.1', 'sourceIp' => preg_replace('/:\d+$/', '', $extras['remote'] ?? ''), 'userAgent' => $headers['user-agent'] ?? ''],
            'requestId' => $call->id, 'routeKey' => '$default', 'stage' => '$default', 'time' => gmdate('d/M/Y:H:i:s +0000', (int)$now), 'timeEpoch' => (int)($now * 1000)]]
        + ($params ? ['pathParameters' => $params] : []) + ['isBase64Encoded' => $call->body !== '' && !$text] + ($call->body === '' ? [] : ['body' => $text ? $call->body : base64_encode($call->body)]);
}
function answer(object $call, mixed $result): void {
    global $credit;
    [$status, $fields, $body] = [200, [], null];
    if ($call->kind === 1 && is_array($result) && isset($result['statusCode'])) {
        $status = (int)$result['statusCode'];
        foreach ($result['headers'] ?? [] as $name => $value) $fields[] = [strtolower($name), (string)$value];
        foreach ($result['cookies'] ?? [] as $value) $fields[] = ['set-cookie', $value];
        $body = $result['body'] ?? '';
        if (!empty($result['isBase64Encoded'])) $body = base64_decode($body);
    } elseif ($call->kind === 1 && is_string($result)) $body = $result;
    if (!is_string($body)) $body = json_encode($body ?? $result, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    if ($status < 200 || $status > 599) throw new RangeException("the handler answered statusCode $status: use a number from 200 to 599");
    if (strlen($body) > PAYLOAD_MAX) throw new RangeException('the answer is over ' . PAYLOAD_MAX . ' bytes');
    if (!in_array('content-type', array_column($fields, 0))) $fields[] = ['content-type', 'application/json'];
    if ($call->method === 'HEAD' || $status === 204 || $status === 304) {
        if ($call->method === 'HEAD') $fields[] = ['content-length', (string)strlen($body)];
        $body = '';
    }
    $meta = pack('vv', $status, 0) . pairs($fields);
    for ($at = 0, $type = HEAD; !$call->over && !$call->cancelled; $at += $n, $type = DATA) {
        while (($n = min(strlen($body) - $at, $call->credit, $credit, WINDOW)) <= 0 && $at < strlen($body) && !$call->cancelled) take();
        if ($call->cancelled) return;
        $call->over = $at + $n === strlen($body);
        [$call->credit, $credit] = [$call->credit - $n, $credit - $n];
        send($type, $call->stream, ($type === HEAD ? pack('V', strlen($meta)) . $meta : '') . substr($body, $at, $n), ($type === HEAD ? F_META : 0) | ($call->over ? F_END : 0));
    }
}
function error_pairs(Throwable $e): string {
    return pairs([['errorType', get_class($e)], ['errorMessage', $e->getMessage()], ['stackTrace', "{$e->getFile()}:{$e->getLine()}\n{$e->getTraceAsString()}"]]);
}
function run(object $call, callable $handler): void {
    try {
        while (!$call->whole && !$call->cancelled && strlen($call->body) <= PAYLOAD_MAX) take();
        if (strlen($call->body) > PAYLOAD_MAX) { answer($call, ['statusCode' => 413, 'body' => '{"title":"Content Too Large","status":413}']); return; }
        $event = $call->kind === 2 ? json_decode($call->body === '' ? '{}' : $call->body, true, 512, JSON_THROW_ON_ERROR) : http_event($call);
        $context = (object)['awsRequestId' => $call->id, 'getRemainingTimeInMillis' => fn() => max(0, $call->deadline - (int)(microtime(true) * 1000))];
        if (!$call->cancelled) answer($call, $handler($event, $context));
    } catch (Throwable $e) {
        if (!$call->over && !$call->cancelled) send(ERROR, $call->stream, error_pairs($e));
    }
}
foreach (unpairs(read_exactly(unpack('V', read_exactly(16))[1])) as [$name, $value])
    if (str_starts_with($name, 'env.') || (str_starts_with($name, 'secret.') && ($hello['secrets_in_env'] ?? '') === '1')) putenv(explode('.', $name, 2)[1] . "=$value");
    else $hello[$name] = $value;
putenv('AWS_LAMBDA_FUNCTION_NAME=' . $hello['function']);
try {
    if (!is_file($hello['entry'])) throw new RuntimeException("the entry '{$hello['entry']}' is not a file of the code");
    $handler = (static fn($file) => require $file)(getcwd() . '/' . $hello['entry']);
    if (!is_callable($handler)) $handler = $hello['handler'] ?: 'handler';
    if (!is_callable($handler)) throw new RuntimeException("{$hello['entry']} must return a callable or define handler(\$event, \$context)");
} catch (Throwable $e) {
    send(INIT_ERROR, 0, error_pairs($e));
    exit(1);
}
send(READY, 0, pairs([['protocol', '1'], ['kind', 'lambda'], ['concurrency', '1']]));
for (; !$draining || $backlog; ) {
    if (!$backlog) { take(); continue; }
    run($call = open_call(...array_shift($backlog)), $handler);
    send(DONE, $call->stream);
    $call = null;
}
send(BYE);
