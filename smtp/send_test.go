package smtp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const envelope1 = "C: MAIL FROM:<me@a.example>\nC: RCPT TO:<b@b.example>\nC: DATA\n"

// TestSend plays what servers do to messages, and shows each line in its turn.
func TestSend(t *testing.T) {
	pipelining := greeted("PIPELINING")
	lockstep := greeted("8BITMIME")
	two := func() []*Mail { return []*Mail{letter("one", "b@b.example"), letter("two", "b@b.example")} }
	for _, tt := range []struct {
		name, transcript string
		mails            []*Mail
		told             string
		is               any // of Send's error
	}{
		{name: "nothing", transcript: pipelining},
		{name: "next behind the dot", mails: two(),
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\n" + envelope1 +
				"S: 250 queued\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "dot 0 ok; done 0 sent ok; dot 1 ok; done 1 sent ok"},
		{name: "T81 mixed recipients", mails: []*Mail{letter("x", "a@b.example", "b@b.example", "c d@b.example", "e@b.example")},
			transcript: pipelining + "C: MAIL FROM:<me@a.example>\nC: RCPT TO:<a@b.example>\nC: RCPT TO:<b@b.example>\nC: RCPT TO:<e@b.example>\nC: DATA\n" +
				"S: 250 ok\nS: 450 4.2.1 later\nS: 250 ok\nS: 550 5.1.1 who\nS: 354 go\nC: x\nC: .\nS: 250 ok",
			told: "dot 0 450,ok,unfit,550; done 0 sent 450,ok,unfit,550"},
		{name: "nobody, 354: lone dot", mails: two(),
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 550 no\nS: 354 go\nC: .\n" + envelope1 +
				"S: 554 nobody\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "done 0 unsent 550; dot 1 ok; done 1 sent ok"},
		{name: "nobody, DATA refused: RSET", mails: two(),
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 550 no\nS: 503 nobody\nC: RSET\n" + envelope1 +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "done 0 unsent 550; dot 1 ok; done 1 sent ok"},
		{name: "sender refused", mails: two(),
			transcript: pipelining + envelope1 + "S: 550 5.7.1 not you\nS: 503 first\nS: 503 first\n" + envelope1 +
				"S: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "done 0 unsent 550; dot 1 ok; done 1 sent ok"},
		{name: "DATA refused", mails: two(),
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 451 later\nC: RSET\n" + envelope1 +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "done 0 unsent 451; dot 1 ok; done 1 sent ok"},
		{name: "T82 message refused", mails: two(),
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\n" + envelope1 +
				"S: 554 5.7.1 spam\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told: "dot 0 ok; done 0 unsent 554; dot 1 ok; done 1 sent ok"},
		{name: "lockstep", mails: []*Mail{letter("one", "a@b.example", "b@b.example"), letter("two", "b@b.example")},
			transcript: lockstep + "C: MAIL FROM:<me@a.example>\nS: 250 ok\nC: RCPT TO:<a@b.example>\nS: 550 no\nC: RCPT TO:<b@b.example>\nS: 251 forwards\nC: DATA\nS: 354 go\nC: one\nC: .\nS: 250 ok\n" +
				"C: MAIL FROM:<me@a.example>\nS: 250 ok\nC: RCPT TO:<b@b.example>\nS: 250 ok\nC: DATA\nS: 354 go\nC: two\nC: .\nS: 250 ok",
			told: "dot 0 550,ok; done 0 sent 550,ok; dot 1 ok; done 1 sent ok"},
		{name: "lockstep, refused", mails: two(),
			transcript: lockstep + "C: MAIL FROM:<me@a.example>\nS: 452 full\n" +
				"C: MAIL FROM:<me@a.example>\nS: 250 ok\nC: RCPT TO:<b@b.example>\nS: 550 no\n",
			told: "done 0 unsent 452; done 1 unsent 550"},
		{name: "lockstep, RSET", mails: two(),
			transcript: lockstep + "C: MAIL FROM:<me@a.example>\nS: 250 ok\nC: RCPT TO:<b@b.example>\nS: 550 no\nC: RSET\nS: 250 ok\n" +
				"C: MAIL FROM:<me@a.example>\nS: 452 full\n",
			told: "done 0 unsent 550; done 1 unsent 452"},
		{name: "unfit ones cost nothing", mails: []*Mail{letter("one"), letter("two", "b\r\nDATA@b.example"), {From: "a b", To: []Recipient{{Address: "b@b.example"}}}, letter("two", "b@b.example")},
			transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: two\nC: .\nS: 250 queued",
			told:       "done 0 unsent ; done 1 unsent unfit; done 2 unsent unfit; dot 3 ok; done 3 sent ok"},
		{name: "T78 250 to DATA", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 250 ok\n",
			told: "done 0 unsent session", is: new(*ProtocolError)},
		{name: "T78 354 too early", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nS: 354 go\n",
			told: "done 0 unsent session", is: new(*ProtocolError)},
		{name: "T78 354 to the message", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\n" + envelope1 + "S: 354 go\n",
			told: "dot 0 ok; done 0 uncertain session; done 1 unsent session", is: new(*ProtocolError)},
		{name: "T78 354 late", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nWAIT 4m59s\nS: 354 go\nC: one\nC: .\nS: 250 ok\n",
			told: "dot 0 ok; done 0 sent ok"},
		{name: "recipient without sender", mails: two()[:1], transcript: pipelining + envelope1 + "S: 550 no\nS: 250 ok\n",
			told: "done 0 unsent session", is: new(*ProtocolError)},
		{name: "T78 421 to MAIL", mails: two()[:1], transcript: pipelining + envelope1 + "S: 421 bye\n",
			told: "done 0 unsent session", is: new(*ReplyError)},
		{name: "T78 421 to RCPT", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 421 bye\nCUT",
			told: "done 0 unsent session", is: new(*ReplyError)},
		{name: "T78 421 to the message", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\n" + envelope1 + "S: 421 4.3.2 bye\n",
			told: "dot 0 ok; done 0 unsent 421; done 1 unsent session", is: new(*ReplyError)},
		{name: "T80 reply after 9 min", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\nWAIT 9m\nS: 250 queued",
			told: "dot 0 ok; done 0 sent ok"},
		{name: "T80 reply after 11 min", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\nWAIT 11m\nS: 250 queued",
			told: "dot 0 ok; done 0 uncertain session", is: new(*ConnError)},
		{name: "lost after the dot", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\nCUT",
			told: "dot 0 ok; done 0 uncertain session", is: io.ErrUnexpectedEOF},
		{name: "nonsense after the dot", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\nS: OK queued\n",
			told: "dot 0 ok; done 0 uncertain session", is: new(*ProtocolError)},
		{name: "T77 two codes after the dot", mails: two()[:1], transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\nC: .\nS: 550-no\nS: 250 queued\n",
			told: "dot 0 ok; done 0 uncertain session", is: new(*ProtocolError)},
		{name: "lost in the envelope", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nCUT",
			told: "done 0 unsent session", is: new(*ConnError)},
		{name: "stalled in the envelope", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nSTALL",
			told: "done 0 unsent session", is: new(*ConnError)},
		{name: "login wanted", mails: two()[:1], transcript: pipelining + envelope1 + "S: 530 5.7.0 log in\nS: 503 no\nS: 503 no\n",
			told: "done 0 unsent 530"},
		{name: "RSET refused", mails: two(), transcript: pipelining + envelope1 + "S: 250 ok\nS: 250 ok\nS: 554 no\nC: RSET\n" + envelope1 + "S: 554 no",
			told: "done 0 unsent 554; done 1 unsent session", is: new(*ProtocolError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				for _, m := range tt.mails {
					if r, ok := m.Text.(*strings.Reader); ok {
						r.Seek(0, io.SeekStart)
					}
				}
				box := newOutbox(tt.mails...)
				err = c.Send(context.Background(), box)
				if tt.is == nil {
					noError(t, err)
				} else {
					broken(t, c, err, tt.is)
					var class interface{ Permanent() bool }
					if errors.As(err, &class) && class.Permanent() {
						t.Errorf("the error of the session is permanent: %v", err)
					}
				}
				box.told(t, tt.told)
				for _, o := range box.fates {
					if (o.Err == nil) != (o.Fate == Sent) {
						t.Errorf("%v with the error %v", o.Fate, o.Err)
					}
				}
			})
		})
	}
}

// The server dislikes the text before it has all of it, and says so or not.
func TestRefusedInTheText(t *testing.T) {
	line := strings.Repeat("x", 70)
	for words, told := range map[string]string{
		"S~ \"552 5.3.4 too big\\r\\n\"\nCUT": "done 0 unsent 552",
		"S~ \"421 bye\\r\\n\"\nCUT":           "done 0 unsent 421",
		"CUT":                                 "done 0 unsent session",
		"DEAF":                                "done 0 unsent session",
	} {
		t.Run(words, func(t *testing.T) {
			start := greeted("PIPELINING") + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\n"
			dialogue(t, Options{}, start+words, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				box := newOutbox(letter(strings.Repeat(line+"\n", 4000), "b@b.example"))
				broken(t, c, c.Send(context.Background(), box), nil)
				box.told(t, told)
			})
		})
	}
}

// deaf is a connection that takes no dot, or only part of what it is given with it.
type deaf struct {
	pieces
	takes int
}

func (d *deaf) Write(p []byte) (int, error) {
	if !strings.HasPrefix(string(p), ".\r\n") {
		return d.Conn.Write(p)
	}
	n, _ := d.Conn.Write(p[:d.takes])
	return n, io.ErrClosedPipe
}

// The dot, or what follows it, does not get through, but perhaps a reply does.
func TestDotDoesNotGetThrough(t *testing.T) {
	for _, tt := range []struct {
		name, reply, told string
		takes             int
	}{
		{"refused meanwhile", "451 4.4.2 too slow", "done 0 unsent 451", 0},
		{"ended meanwhile", "421 4.4.2 too slow", "done 0 unsent 421", 0},
		{"nothing heard", "", "done 0 unsent session", 0},
		{"a success that cannot be", "250 ok", "done 0 unsent session", 0},
		{"given away", "", "done 0 uncertain session", 3},
		{"given away and accepted", "250 ok", "done 0 sent ok", 3},
		{"given away and refused", "550 no", "done 0 unsent 550", 3},
		{"given away and ended", "421 bye", "done 0 unsent 421", 3},
		{"in part", "", "done 0 uncertain session", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				var playing sync.WaitGroup
				playing.Go(func() {
					in := bufio.NewReader(far)
					hear := func(last string) {
						for line := ""; line != last; {
							line, _ = in.ReadString('\n')
						}
					}
					io.WriteString(far, "220 hi\r\n")
					hear("EHLO me.example\r\n")
					io.WriteString(far, "250-x\r\n250 PIPELINING\r\n")
					hear("DATA\r\n")
					io.WriteString(far, "250 ok\r\n250 ok\r\n354 go\r\n")
					hear("one\r\n")
					io.ReadFull(in, make([]byte, tt.takes))
					if tt.reply != "" {
						io.WriteString(far, tt.reply+"\r\n")
					}
					io.Copy(io.Discard, in)
				})
				c, err := New(context.Background(), &deaf{pieces{near, func() int { return 1 << 20 }}, tt.takes}, Options{Name: "me.example"})
				noError(t, err)
				box := newOutbox(letter("one", "b@b.example"), letter("two", "b@b.example"))
				broken(t, c, c.Send(context.Background(), box), nil)
				box.told(t, "dot 0 ok; "+tt.told+"; done 1 unsent session")
				far.Close()
				playing.Wait()
			})
		})
	}
}

// An error of the queue ends the session, and none of them lets a dot through.
func TestQueueErrors(t *testing.T) {
	no := errors.New("disk full")
	accepted := greeted("PIPELINING") + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\n"
	t.Run("Dot", func(t *testing.T) {
		dialogue(t, Options{}, accepted, func(t *testing.T, c *Client, err error) {
			noError(t, err)
			box := newOutbox(letter("one", "b@b.example"), letter("two", "b@b.example"))
			box.dot = func(context.Context, int) error { return no }
			broken(t, c, c.Send(context.Background(), box), no)
			box.told(t, "dot 0 ok; done 0 unsent session; done 1 unsent session")
		})
	})
	t.Run("Done", func(t *testing.T) {
		dialogue(t, Options{}, accepted+"C: .\n"+envelope1+"S: 250 ok", func(t *testing.T, c *Client, err error) {
			noError(t, err)
			box := newOutbox(letter("one", "b@b.example"), letter("two", "b@b.example"))
			box.done = func(int) error { return no }
			broken(t, c, c.Send(context.Background(), box), no)
			box.told(t, "dot 0 ok; done 0 sent ok; done 1 unsent session")
		})
	})
	t.Run("Done of an unfit one", func(t *testing.T) {
		dialogue(t, Options{}, accepted, func(t *testing.T, c *Client, err error) {
			noError(t, err)
			box := newOutbox(letter("one", "b@b.example"), letter("two", "b"))
			box.done = func(i int) error {
				if i == 1 {
					return no
				}
				return nil
			}
			broken(t, c, c.Send(context.Background(), box), no)
			box.told(t, "done 1 unsent unfit; done 0 unsent session")
		})
	})
	for name, tt := range map[string]struct {
		mail func() *Mail
		told string
	}{
		"reader":       {func() *Mail { return &Mail{Text: io.MultiReader(strings.NewReader("one\n"), failing{no})} }, "done 0 unsent session"},
		"another size": {func() *Mail { return &Mail{Text: strings.NewReader("one\n"), Size: 6} }, "done 0 unsent session"},
		"NUL":          {func() *Mail { return &Mail{Text: strings.NewReader("one\n\x00")} }, "done 0 unsent unfit"},
		"lone CR":      {func() *Mail { return &Mail{Text: strings.NewReader("one\na\rb\n")} }, "done 0 unsent unfit"},
	} {
		t.Run(name, func(t *testing.T) {
			start := greeted("PIPELINING") + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\n"
			dialogue(t, Options{}, start, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				m := tt.mail()
				m.From, m.To = "me@a.example", []Recipient{{Address: "b@b.example"}}
				box := newOutbox(m)
				err = c.Send(context.Background(), box)
				broken(t, c, err, nil)
				box.told(t, tt.told)
				var class interface{ Permanent() bool }
				if errors.As(err, &class) && class.Permanent() {
					t.Errorf("the error of the session is permanent: %v", err)
				}
			})
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Cancellation before the dot is given away leaves nothing in doubt, and after it
// everything.
func TestCancelAroundTheDot(t *testing.T) {
	start := greeted("PIPELINING") + envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: one\n"
	for _, tt := range []struct {
		name, transcript, told string
		when                   func(cancel func()) (next func(), dot func(context.Context, int) error)
	}{
		{"before Dot", start, "done 0 unsent session", func(cancel func()) (func(), func(context.Context, int) error) {
			n := 0
			return func() {
				if n++; n == 2 {
					cancel()
				}
			}, nil
		}},
		{"in Dot", start, "dot 0 ok; done 0 unsent session", func(cancel func()) (func(), func(context.Context, int) error) {
			return nil, func(ctx context.Context, _ int) error {
				cancel()
				<-ctx.Done()
				time.Sleep(time.Millisecond)
				return nil
			}
		}},
		{"behind the dot", start + "C: .\nSTALL", "dot 0 ok; done 0 uncertain session", func(cancel func()) (func(), func(context.Context, int) error) {
			return nil, func(context.Context, int) error { time.AfterFunc(time.Second, cancel); return nil }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				box := newOutbox(letter("one", "b@b.example"))
				box.next, box.dot = tt.when(cancel)
				broken(t, c, c.Send(ctx, box), context.Canceled)
				box.told(t, tt.told)
			})
		})
	}
}

func TestSendAgain(t *testing.T) {
	one := envelope1 + "S: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 2.0.0 queued as 42\n"
	nobody := envelope1 + "S: 250 ok\nS: 550 no\nS: 554 no\n"
	dialogue(t, Options{}, greeted("PIPELINING")+one+"C: NOOP\nS: 250 ok\n"+nobody+"C: RSET\n"+
		envelope1+"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 ok\nC: QUIT\n", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		m := letter("x", "b@b.example")
		box := newOutbox(m)
		noError(t, c.Send(context.Background(), box))
		if r := box.fates[m].Reply; r != (Reply{250, "2.0.0", "queued as 42"}) {
			t.Errorf("reply is %#v", r)
		}
		noError(t, c.Noop(context.Background()))
		for range 2 {
			noError(t, c.Send(context.Background(), newOutbox(letter("x", "b@b.example"))))
		}
		noError(t, c.Quit())
		if c.Noop(context.Background()) == nil {
			t.Error("a call after Quit succeeded")
		}
	})
}
