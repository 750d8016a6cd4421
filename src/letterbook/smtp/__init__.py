"""SMTP without sockets: bytes in, bytes and events out.

============= ================================================================
client        the pipelining client machine
opening       its way to Ready: greeting, EHLO, STARTTLS, AUTH
transaction   what it is given: one message for one recipient
events        what it tells
server        the server machine, whose replies are the caller's to give
server_events what it offers, and what it tells
envelope      MAIL and RCPT as a server reads them
intake        what a client sent, cut into lines and contents
reply         replies, and the reader that finds them in a stream
grammar       MAIL and RCPT as a client writes them, xtext
content       dot-stuffing, and the one form of content: CRLF only, ending in CRLF
extensions    what an EHLO reply offers
sasl          PLAIN and LOGIN
errors        what can go wrong
============= ================================================================

A shell owns the socket, the clock and TLS; these machines own the order of things.
"""
