package mailtest

import "maps"

// POP3Counts is what a server has seen so far, over all sessions.
type POP3Counts struct {
	Sessions  int            // connections accepted
	Open      int            // of these, still running
	Commands  map[string]int // by verb, in upper case; "+" counts SASL challenges
	Octets    int64          // sent in replies, without TLS's own
	Logins    int            // accepted
	Refused   int            // logins refused
	Cleartext int            // USER, PASS, APOP and AUTH that came in without TLS
	Depth     int            // most commands that lay waiting at once, the one in work included
	Early     int64          // NoPipelining: octets that came before the reply they had to wait for
}

// Counts returns the counters as they are now.
func (s *POP3) Counts() POP3Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	counts.Commands = maps.Clone(counts.Commands)
	return counts
}

// count changes the counters under the lock.
func (s *POP3) count(change func(*POP3Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}
