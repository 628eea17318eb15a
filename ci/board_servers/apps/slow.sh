# CGI: lighttpd's and apache's slow page.
sleep 1
printf 'Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n'
