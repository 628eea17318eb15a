# CGI: lighttpd's slow page.
sleep 2
printf 'Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n'
