package smtp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestT79CutAtEveryOctet cuts the line after each octet of a session with
// several messages, in either direction, and has the rest sent again by what the
// outcomes say: no message may be lost, and none may arrive twice but one that is
// uncertain and was accepted.
func TestT79CutAtEveryOctet(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("pipelining=%t", pipelining), func(t *testing.T) {
			whole := &cutSession{pipelining: pipelining, up: 1 << 30, down: 1 << 30}
			whole.run(t)
			if t.Failed() {
				return
			}
			for up := range whole.wentUp + 1 {
				(&cutSession{pipelining: pipelining, up: up, down: 1 << 30}).run(t)
			}
			for down := range whole.wentDown + 1 {
				(&cutSession{pipelining: pipelining, up: 1 << 30, down: down}).run(t)
			}
			t.Logf("%d octets up, %d down", whole.wentUp, whole.wentDown)
		})
	}
}

type cutSession struct {
	pipelining       bool
	up, down         int
	wentUp, wentDown int
}

func (s *cutSession) run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &mta{answer: func(_, argument string) string {
			if strings.Contains(argument, "nobody") {
				return "550 5.1.1 who"
			}
			return ""
		}}
		if s.pipelining {
			server.capabilities = []string{"PIPELINING"}
		}
		w := newWire(0, func(up bool, octets int) int {
			went, most := &s.wentDown, s.down
			if up {
				went, most = &s.wentUp, s.up
			}
			n := min(octets, most-*went)
			*went += n
			return n
		})
		served := make(chan struct{})
		go func() { defer close(served); server.serve(w.ends[1]) }()

		texts := []string{"one\n", "\n.two\n", "three\n"}
		mails := []*Mail{letter(texts[0], "a@b.example"), letter(texts[1], "nobody@b.example", "b@b.example"), letter(texts[2], "nobody@b.example"), letter(texts[2], "c@b.example")}
		for i, m := range mails {
			m.Text = strings.NewReader(texts[min(i, 2)])
		}
		box := newOutbox(mails...)
		c, err := New(context.Background(), &pieces{Conn: w.ends[0], size: func() int { return 1 << 20 }}, Options{Name: "me.example"})
		if err == nil {
			err = c.Send(context.Background(), box)
			c.Quit()
		}
		w.close()
		<-served
		s.check(t, server, box, mails, err)
	})
}

func (s *cutSession) check(t *testing.T, server *mta, box *outbox, mails []*Mail, err error) {
	where := fmt.Sprintf("cut at %d up, %d down: %v: ", s.up, s.down, err)
	has := make(map[string]int)
	for _, a := range server.accepted {
		has[a.text]++
	}
	for text, n := range has {
		if n > 1 {
			t.Errorf("%sthe server has %q %d times", where, text, n)
		}
	}
	asked := strings.Join(box.log, ";")
	for i, m := range mails[:box.given] {
		o, ok := box.fates[m]
		text := []string{"one\n", "\n.two\n", "", "three\n"}[i]
		switch {
		case !ok:
			t.Errorf("%smessage %d has no outcome", where, i)
		case o.Fate == Sent && has[text] == 0:
			t.Errorf("%smessage %d is lost", where, i)
		case o.Fate == Unsent && has[text] > 0:
			t.Errorf("%smessage %d would arrive twice", where, i)
		case o.Fate == Uncertain && !strings.Contains(asked, fmt.Sprintf("dot %d", i)):
			t.Errorf("%smessage %d is uncertain without a dot", where, i)
		case o.Fate == Uncertain && s.down < 1<<30 && has[text] == 0:
			t.Errorf("%smessage %d is uncertain though the dot was not sent", where, i)
		case err == nil && i != 2 && o.Fate != Sent, i == 2 && o.Fate != Unsent:
			t.Errorf("%smessage %d is %v", where, i, o.Fate)
		}
	}
	uncertain := 0
	for _, o := range box.fates {
		if o.Fate == Uncertain {
			uncertain++
		}
	}
	if uncertain > 1 || box.twice {
		t.Errorf("%s%d messages are uncertain: %v", where, uncertain, box.log)
	}
	if err == nil && box.given != len(mails) {
		t.Errorf("%sonly %d messages were taken", where, box.given)
	}
}
