// Package wire speaks the Jupyter messaging protocol, version 5.5, to any number of clients.
//
// What flows in: a connection file, and signed messages from clients on the shell, control and stdin sockets.
// What flows out: verified [Message] values, one channel a socket; replies, questions and published messages go back.
//
// Below the messages lies a small ZMTP 3.1 transport of our own with the NULL mechanism (https://rfc.zeromq.org/spec/37/)
// over TCP and Unix sockets: ROUTER for shell, control and stdin, XPUB for iopub, REP for the heartbeat. Every client has
// a reading and a writing goroutine and a bounded queue, so that one that is slow, silent or hostile costs bounded memory
// and delays nobody else.
package wire
