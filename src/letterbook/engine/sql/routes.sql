SELECT name, security, host, port, username, sealed_password, ca, insecure, changed_at
  FROM engine_route
