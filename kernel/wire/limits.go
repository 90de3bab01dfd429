package wire

import "time"

// Limits bound what clients can make the kernel hold. They are for each of the five sockets.
type Limits struct {
	MessageBytes  int           // a message from a client that has sent a signed one before
	UnprovenBytes int           // a message from a client that has not
	Frames        int           // frames in a message
	QueueBytes    int           // bytes that wait for one client; more is dropped for that client
	QueueMessages int           // messages that wait for one client
	Peers         int           // clients connected at once
	Handshakes    int           // connections that have not yet said who they are
	Handshake     time.Duration // how long they have to say it
	Subscriptions int           // topics of one subscriber
	Strikes       int           // refused messages after which an unproven client is cut off
}

// DefaultLimits suit a kernel with a few front-ends, and widgets that send files.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes:  256 << 20,
		UnprovenBytes: 4 << 20,
		Frames:        1024,
		QueueBytes:    64 << 20,
		QueueMessages: 16 << 10,
		Peers:         256,
		Handshakes:    64,
		Handshake:     10 * time.Second,
		Subscriptions: 1024,
		Strikes:       100,
	}
}
