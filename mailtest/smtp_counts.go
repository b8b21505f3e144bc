package mailtest

import "maps"

// SMTPCounts is what a server has seen so far, over all sessions.
type SMTPCounts struct {
	Sessions  int            // connections accepted
	Open      int            // of these, still running
	Commands  map[string]int // by verb, in upper case; "DOT" counts texts that were complete
	Messages  int            // accepted and kept
	Octets    int64          // of texts, as they came
	Logins    int            // accepted
	Refused   int            // logins refused
	Cleartext int            // AUTH that came in without TLS
	Early     int64          // octets that came before they were due; see SMTPOptions.NoPipelining
	LongLines int            // lines of texts with more than 998 octets (RFC 5321 section 4.5.3.1.6)
	Flights   int            // times the server had to wait for the client: round trips
	Depth     int            // most commands that lay waiting at once, the one in work included
}

// Counts returns the counters as they are now.
func (s *SMTP) Counts() SMTPCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	counts.Commands = maps.Clone(counts.Commands)
	counts.Messages = len(s.messages)
	return counts
}

// count changes the counters under the lock.
func (s *SMTP) count(change func(*SMTPCounts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}
