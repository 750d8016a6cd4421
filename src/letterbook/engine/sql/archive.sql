SELECT version, address, policy FROM engine_archive
