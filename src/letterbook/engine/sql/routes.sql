SELECT name, security, host, port, username, sealed_password, ca, insecure, changed_at,
       per_connection, rate
  FROM engine_route
