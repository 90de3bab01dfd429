package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// kind is what distinguishes ROUTER, XPUB and REP.
type kind struct {
	name    string
	peers   []string                    // the socket types that it talks to
	message func(*peer, [][]byte) error // takes a whole message; an error cuts the peer off
	joined  func(p *peer, topic string) // called after a subscription; nil but for XPUB
}

func (k *kind) takes(socketType string) bool { return slices.Contains(k.peers, socketType) }

// socket is one listening endpoint and the clients connected to it.
type socket struct {
	kind     kind
	limits   Limits
	listener net.Listener
	ledger   *ledger
	done     chan struct{} // closed when the socket is
	work     sync.WaitGroup

	mu      sync.Mutex
	peers   []*peer // in order of arrival
	shaking []*peer // connections in the handshake, in order of arrival
	arrived uint64
	closed  bool
}

// serve accepts clients from now on.
func serve(l net.Listener, k kind, lim Limits, notes *ledger) *socket {
	s := &socket{kind: k, limits: lim, listener: l, ledger: notes, done: make(chan struct{})}
	s.work.Add(1)
	go s.accept()
	return s
}

func (s *socket) accept() {
	defer s.work.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: those connected go on, and newcomers wait for a while.
			s.ledger.note("connection refused", err)
			select {
			case <-s.done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.admit(conn)
	}
}

func (s *socket) admit(conn net.Conn) {
	p := &peer{socket: s, conn: conn, topics: map[string]int{}, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		conn.Close()
		return
	}
	s.arrived++
	p.number = s.arrived
	s.shaking = append(s.shaking, p)
	var oldest *peer
	if len(s.shaking) > s.limits.Handshakes {
		// Those who have waited longest to say who they are make room, so that silent connections keep nobody out.
		oldest, s.shaking = s.shaking[0], s.shaking[1:]
	}
	s.work.Add(1)
	s.mu.Unlock()
	if oldest != nil {
		s.ledger.note("connection dropped", errors.New("too many connections that do not greet"))
		oldest.close()
	}
	go s.serve(p)
}

func (s *socket) serve(p *peer) {
	defer s.work.Done()
	defer s.drop(p)
	r := bufio.NewReaderSize(p.conn, 16<<10)
	err := p.handshake(r)
	if err == nil {
		if err = s.welcome(p); err == nil {
			s.work.Add(1)
			go func() {
				defer s.work.Done()
				p.write()
			}()
			err = p.read(r)
		}
	}
	select {
	case <-s.done:
		return
	default:
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isReset(err) {
		s.ledger.note("connection dropped", fmt.Errorf("%s: %w", s.kind.name, err))
	}
}

// welcome moves a peer from those in the handshake to those that are served.
func (s *socket) welcome(p *peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.shaking, p)
	if i < 0 || s.closed {
		return net.ErrClosed
	}
	s.shaking = slices.Delete(s.shaking, i, i+1)
	if len(s.peers) >= s.limits.Peers {
		// One that has never shown that it knows the key, and listens to nothing, makes room.
		i := slices.IndexFunc(s.peers, func(q *peer) bool { return !q.proven.Load() && len(q.topics) == 0 })
		if i < 0 {
			return fmt.Errorf("%w: %d clients are connected already", errMalformed, len(s.peers))
		}
		q := s.peers[i]
		s.peers = slices.Delete(s.peers, i, i+1)
		go q.close()
	}
	s.peers = append(s.peers, p)
	return nil
}

// drop forgets a peer and closes its connection.
func (s *socket) drop(p *peer) {
	s.mu.Lock()
	if i := slices.Index(s.peers, p); i >= 0 {
		s.peers = slices.Delete(s.peers, i, i+1)
	} else if i := slices.Index(s.shaking, p); i >= 0 {
		s.shaking = slices.Delete(s.shaking, i, i+1)
	}
	s.mu.Unlock()
	p.close()
}

func (s *socket) subscribe(p *peer, topic string) error {
	if s.kind.joined == nil {
		return nil
	}
	s.mu.Lock()
	if p.topics[topic] == 0 && len(p.topics) >= s.limits.Subscriptions {
		s.mu.Unlock()
		return fmt.Errorf("%w: more than %d subscriptions", errMalformed, s.limits.Subscriptions)
	}
	p.topics[topic]++
	s.mu.Unlock()
	s.kind.joined(p, topic)
	return nil
}

func (s *socket) unsubscribe(p *peer, topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.topics[topic] > 1 {
		p.topics[topic]--
	} else {
		delete(p.topics, topic)
	}
}

// publish queues one encoded message for every peer that subscribes to a prefix of topic, and returns for how many of
// them there was no room.
func (s *socket) publish(topic string, encoded []byte) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		for prefix := range p.topics {
			if len(prefix) <= len(topic) && topic[:len(prefix)] == prefix {
				if !p.send(encoded) {
					dropped++
				}
				break
			}
		}
	}
	return dropped
}

// reach finds the connections of a client: the one that a message came on if it is still there, else all that claim the
// client's identity. (All, because an impostor that claims it too must not be able to take the client's messages away.)
func (s *socket) reach(from *peer, identity string) []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != nil && from.socket == s && slices.Contains(s.peers, from) {
		return []*peer{from}
	}
	var found []*peer
	for _, p := range s.peers {
		if identity != "" && p.identity == identity {
			found = append(found, p)
		}
	}
	return found
}

// close stops listening, gives what is queued until the deadline to leave, and cuts everybody off.
func (s *socket) close(deadline time.Time) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.done)
	s.listener.Close()
	peers := slices.Concat(s.peers, s.shaking)
	s.mu.Unlock()
	for _, p := range peers {
		for !p.idle() && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	for _, p := range peers {
		p.close()
	}
	s.work.Wait()
}
