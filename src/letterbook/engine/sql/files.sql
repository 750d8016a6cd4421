SELECT sha256, data FROM engine_file WHERE sha256 = ANY (%(digests)s::text[])
