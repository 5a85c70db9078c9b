//! A real server on a port of this machine, asked by a client of HTTP/2.
