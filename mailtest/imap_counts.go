package mailtest

import "maps"

// IMAPCounts is what a server has seen so far, over all sessions.
type IMAPCounts struct {
	Sessions  int            // connections accepted
	Open      int            // of these, still running
	Commands  map[string]int // by verb, in upper case ("UID FETCH"); "DONE" counts too, and "+" what the server asked for
	Messages  int            // texts sent by FETCH, whole messages or parts of them
	Octets    int64          // sent in responses, before compression and TLS
	Logins    int            // accepted
	Refused   int            // logins refused
	Cleartext int            // LOGIN and AUTHENTICATE that came in without TLS
	Flights   int            // times the server had to wait for the client: round trips
	Depth     int            // most commands that lay waiting at once, the one in work included
}

// Counts returns the counters as they are now.
func (s *IMAP) Counts() IMAPCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	counts.Commands = maps.Clone(counts.Commands)
	return counts
}

// count changes the counters under the lock.
func (s *IMAP) count(change func(*IMAPCounts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}
