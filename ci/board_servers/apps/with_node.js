// Node's http server.  With the word `graceful` SIGTERM closes it and lets requests finish.
'use strict';
const http = require('http');

const large = Buffer.alloc(1 << 20, 'x');
const server = http.createServer({ connectionsCheckingInterval: 1000 }, (request, response) => {
  request.resume().on('end', () => {
    const answer = () => response.end(request.url === '/large' ? large : 'hello\n');
    if (request.url === '/slow') setTimeout(answer, 2000);
    else answer();
  });
});
server.keepAliveTimeout = 2000; // and a second of its own: keepAliveTimeoutBuffer
server.headersTimeout = 3000;
server.requestTimeout = 3000;
server.listen(Number(process.env.PORT), '127.0.0.1');
if (process.argv[2] === 'graceful') process.on('SIGTERM', () => server.close());
