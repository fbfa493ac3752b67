require('@google-cloud/functions-framework').http('hello', (req, res) => res.send('hello\n'));
