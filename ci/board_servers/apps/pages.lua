-- The board's pages from within haproxy.
core.register_service("page", "http", function(applet)
  while applet:receive(65536) ~= "" do end
  if applet.path == "/slow" then core.msleep(2000) end
  local body = applet.path == "/large" and string.rep("x", 1048576) or "hello\n"
  applet:set_status(200)
  applet:add_header("content-length", tostring(#body))
  applet:start_response()
  applet:send(body)
end)
