package daemon

import (
	"sync"

	"postrider/fetch"
)

// tally is the progress of an account whose mailboxes are fetched beside each
// other, told to one fetch.Progress.
type tally struct {
	whole fetch.Progress

	mu     sync.RWMutex // held for writing while whole learns what is wanted
	shares []*share
}

// share is the progress of one mailbox.
type share struct {
	of *tally

	mu       sync.Mutex
	messages int // still to come
	octets   int64
}

// newShare returns what one mailbox reports to; nil if nobody listens.
func (t *tally) newShare() fetch.Progress {
	if t.whole == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &share{of: t}
	t.shares = append(t.shares, s)
	return s
}

// Wanted implements fetch.Progress.
func (s *share) Wanted(messages int, octets int64) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.mu.Lock()
	s.messages, s.octets = messages, octets
	s.mu.Unlock()
	var allMessages int
	var allOctets int64
	for _, other := range s.of.shares {
		other.mu.Lock()
		allMessages += max(other.messages, 0)
		allOctets += max(other.octets, 0)
		other.mu.Unlock()
	}
	if messages > 0 {
		s.of.whole.Wanted(allMessages, allOctets)
	}
}

// Octets implements fetch.Progress.
func (s *share) Octets(n int64) {
	s.of.mu.RLock()
	defer s.of.mu.RUnlock()
	s.mu.Lock()
	s.octets -= n
	s.mu.Unlock()
	s.of.whole.Octets(n)
}

// Message implements fetch.Progress.
func (s *share) Message() {
	s.of.mu.RLock()
	defer s.of.mu.RUnlock()
	s.mu.Lock()
	s.messages--
	s.mu.Unlock()
	s.of.whole.Message()
}
