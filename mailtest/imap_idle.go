package mailtest

import (
	"bufio"
	"fmt"
	"strings"
)

// idled is what the client says to end IDLE.
type idled struct {
	line string
	err  error
}

// idle tells news as they come until the client says DONE (RFC 2177). Its
// response is the "+"; the tagged line belongs to an event of its own.
func (s *imapSession) idle(tag string) error {
	ended := make(chan idled, 1)
	go func(r *bufio.Reader) {
		line, err := r.ReadString('\n')
		ended <- idled{strings.TrimRight(line, "\r\n"), err}
	}(s.r)
	leave := func(err error) error {
		_ = s.raw.Close() // so that the reader ends
		<-ended
		return err
	}
	if err := s.tell(); err != nil {
		return leave(err)
	}
	for {
		select {
		case got := <-ended:
			if got.err != nil {
				return got.err
			}
			return s.endIdle(tag, got.line)
		case <-s.wake:
			if err := s.tell(); err != nil {
				return leave(err)
			}
		case <-s.server.done:
			return leave(errDone)
		}
	}
}

// tell sends the news of this moment.
func (s *imapSession) tell() error {
	if s.server.o.Quirks.IdleDead {
		return nil
	}
	if s.open != nil && s.open.stale() {
		_, _ = s.w.WriteString("* BYE the mailbox is not what it was when it was opened\r\n")
		_ = s.flush()
		return errDone
	}
	news := s.news(true)
	if len(news) == 0 {
		return nil
	}
	s.server.count(func(c *IMAPCounts) { c.Octets += int64(len(news)) })
	for text := range strings.Lines(string(news)) {
		s.server.log(s.number, "S", strings.TrimRight(text, "\r\n"))
	}
	if _, err := s.w.Write(news); err != nil {
		return err
	}
	return s.flush()
}

func (s *imapSession) endIdle(tag, line string) error {
	s.server.log(s.number, "C", line)
	s.server.count(func(c *IMAPCounts) { c.Flights++ })
	if err := s.pause(s.server.o.Latency); err != nil {
		return err
	}
	e := s.event("DONE", tag, line)
	if s.server.o.Quirks.IdleDead {
		return s.hold(0)
	}
	r := imapOK("IDLE ended")
	switch {
	case e.status == "BYE":
		r = imapBye(e.text)
	case e.status != "":
		r.line = e.status + " " + e.text
	case !strings.EqualFold(line, "DONE"):
		r = imapBad("DONE was expected")
	}
	r.news = s.news(true)
	if err := s.answer(e, r); err != nil {
		return err
	}
	if r.end {
		return errDone
	}
	return nil
}

// earlyExists is what some servers say before the "+" of IDLE.
func (s *imapSession) earlyExists() []byte {
	if !s.server.o.Quirks.EarlyExists || s.open == nil {
		return nil
	}
	defer s.account.lock()()
	return fmt.Appendf(nil, "* %d EXISTS\r\n", len(s.open.rows))
}
