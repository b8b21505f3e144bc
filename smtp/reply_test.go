package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name, lines string
		reply       string // or what the error says
		is          any
	}{
		{name: "plain", lines: "S: 550 no", reply: "550 no"},
		{name: "code alone", lines: "S: 550", reply: "550"},
		{name: "code and space", lines: "S: 550 ", reply: "550"},
		{name: "bare LF", lines: `S~ "550 no\n"`, reply: "550 no"},
		{name: "enhanced", lines: "S: 550 5.1.1 no", reply: "550 5.1.1 no"},
		{name: "enhanced alone", lines: "S: 450 4.2.0", reply: "450 4.2.0"},
		{name: "enhanced of another class", lines: "S: 550 4.1.1 no", reply: "550 4.1.1 no"},
		{name: "no enhanced", lines: "S: 550 5.1 no", reply: "550 5.1 no"},
		{name: "an address", lines: "S: 550 5.1.1.1 no", reply: "550 5.1.1.1 no"},
		{name: "many lines", lines: "S: 535-5.7.8 Not accepted. Learn\nS: 535-5.7.8 more\nS: 535 5.7.8  at x", reply: "535 5.7.8 Not accepted. Learn more at x"},
		{name: "another enhanced", lines: "S: 550-5.7.8 a\nS: 550 5.7.9 b", reply: "550 5.7.8 a 5.7.9 b"},
		{name: "T77 differing codes", lines: "S: 550-no\nS: 250 ok", reply: "one reply with the codes 550 and 250", is: new(*ProtocolError)},
		{name: "T77 code 000", lines: "S: 000 no", reply: `no reply: "000 no"`, is: new(*ProtocolError)},
		{name: "T77 code 999", lines: "S: 999 no", reply: `no reply: "999 no"`, is: new(*ProtocolError)},
		{name: "code 150", lines: "S: 150 wait", reply: `no reply: "150 wait"`, is: new(*ProtocolError)},
		{name: "four digits", lines: "S: 5500 no", reply: `no reply: "5500 no"`, is: new(*ProtocolError)},
		{name: "empty", lines: `S~ "\r\n"`, reply: `no reply: ""`, is: new(*ProtocolError)},
		{name: "two digits", lines: "S: 55", reply: `no reply: "55"`, is: new(*ProtocolError)},
		{name: "T89 escapes", lines: `S~ "\x1b[2J\u202e\r\n"`, reply: `no reply: "\u001b[2J\u202e"`, is: new(*ProtocolError)},
		{name: "T77 long line", lines: "S: 550 " + strings.Repeat("x", maxLine) + "\nSTALL", reply: "line longer than 16 KiB", is: new(*ProtocolError)},
		{name: "T77 endless lines", lines: strings.Repeat("S: 550-x\n", maxReplyLines) + "S: 550 x\n", reply: "the reply is too long", is: new(*ProtocolError)},
		{name: "T77 too many octets", lines: strings.Repeat("S: 550-"+strings.Repeat("x", 16000)+"\n", 5) + "STALL", reply: "the reply is too long", is: new(*ProtocolError)},
		{name: "cut in a reply", lines: `S~ "550-no\r\n550"` + "\nCUT", reply: "unexpected EOF", is: new(*ConnError)},
		{name: "silence", lines: "STALL", reply: "read reply to NOOP: timeout after 5m0s", is: new(*ConnError)},
		{name: "drops", lines: strings.Repeat("S~ \"550-x\\r\\n\"\nWAIT 1m\n", 6) + "S: 550 x", reply: "read reply to NOOP: timeout after 5m0s", is: new(*ConnError)},
		{name: "421", lines: "S: 421 4.3.0 bye", reply: "server refused NOOP: 421 4.3.0 bye", is: new(*ReplyError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, "S: 220 hi\nC: NOOP\n"+tt.lines, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.Noop(context.Background())
				if tt.is == nil {
					if got := refusal(t, err).Reply.String(); got != tt.reply {
						t.Errorf("got  %s\nwant %s", got, tt.reply)
					}
					return
				}
				if !strings.HasSuffix(err.Error(), tt.reply) {
					t.Errorf("got  %v\nwant %s", err, tt.reply)
				}
				broken(t, c, err, tt.is)
			})
		})
	}
	long := strings.Repeat("x", 5000)
	dialogue(t, Options{}, "S: 220 hi\nC: NOOP\nS: 550-5.1.1 "+long+"\nS: 550 5.1.1 "+long, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if e := refusal(t, c.Noop(context.Background())); e.Text != long[:maxText] {
			t.Errorf("kept %d octets of the text", len(e.Text))
		}
	})
}

func TestGreeting(t *testing.T) {
	for lines, want := range map[string]string{
		"S: 220-hi\nS: 220 there":      "",
		"S: 220":                       "",
		"S: 554 5.3.2 no":              "server refused the session: 554 5.3.2 no",
		"S: 421 later":                 "server refused the session: 421 later",
		"S: 250 ok":                    `read the greeting: that is no answer to it: "250 ok"`,
		"S: +OK POP3":                  `read the greeting: no reply: "+OK POP3"`,
		"S: SSH-2.0-x\nS: 220 hi":      `read the greeting: no reply: "SSH-2.0-x"`,
		"CUT":                          "read the greeting: unexpected EOF",
		"STALL":                        "read the greeting: timeout after 5m0s",
		"S: 220 hi\nCUT":               "",
		"S~ \"220 hi\\r\\n250 ok\\n\"": "",
	} {
		t.Run(lines, func(t *testing.T) {
			dialogue(t, Options{}, lines, func(t *testing.T, c *Client, err error) {
				if want == "" {
					noError(t, err)
				} else if err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			})
		})
	}
}

// A reply that is there before its command is nobody's answer to it.
func TestT57RepliesAhead(t *testing.T) {
	dialogue(t, Options{}, `S~ "220 hi\r\n250 ok\r\n"`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if c.line.in.Buffered() == 0 {
			return // the pieces were too small to show it
		}
		broken(t, c, c.Noop(context.Background()), new(*ProtocolError))
	})
	dialogue(t, Options{}, `S~ "220 hi\r\n421 idle\r\n"`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if c.line.in.Buffered() > 0 && refusal(t, c.Noop(context.Background())).Code != 421 {
			t.Error("another reply")
		}
	})
}

func TestSecretsAreNotRepeated(t *testing.T) {
	secret := strings.Repeat("c2VjcmV0", 300)
	for _, lines := range []string{
		"S: 535 what is " + secret + "?", "S: " + secret, "S: 250 " + secret, "S: 535-" + strings.Repeat("x", 900) + "\nS: 535 " + secret,
		"S: 334 AAAA\nC: *\nS: 250 " + secret,
	} {
		t.Run(lines[:12], func(t *testing.T) {
			dialogue(t, Options{}, greeted("AUTH PLAIN")+"C: AUTH PLAIN\nS: 334\nC: "+secret+"\n"+lines, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.Auth(context.Background(), &mechanism{name: "PLAIN", initial: bytes.Repeat([]byte("secret"), 300), err: errors.New("no")})
				if err == nil || strings.Contains(err.Error(), "c2Vjcm") {
					t.Errorf("got %v", err)
				}
				var e *ReplyError
				if errors.As(err, &e) && strings.Contains(e.Text, "c2Vjcm") {
					t.Errorf("the secret is in %q", e.Text)
				}
			})
		})
	}
}

// endless is a connection on which the server never stops to speak.
type endless struct {
	net.Conn
	greeting, more string
	read           int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.greeting)
	if e.greeting = e.greeting[n:]; n > 0 {
		return n, nil
	}
	for n < len(p) {
		n += copy(p[n:], e.more)
	}
	e.read += n
	return n, nil
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

// TestT77EndlessReplies counts what a server can make a client take and keep.
func TestT77EndlessReplies(t *testing.T) {
	for _, more := range []string{"x", "250-x\r\n", "250-" + strings.Repeat("x", 4000) + "\r\n", "\n"} {
		near, far := net.Pipe()
		defer far.Close()
		conn := &endless{Conn: near, greeting: "220 hi\r\n", more: more}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := New(context.Background(), conn, Options{})
		if err == nil {
			_, err = c.Capabilities(context.Background())
		}
		runtime.ReadMemStats(&after)
		if !errors.As(err, new(*ProtocolError)) {
			t.Errorf("%.10q: got %v", more, err)
		}
		if conn.read > 256<<10 {
			t.Errorf("%.10q: read %d octets", more, conn.read)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%.10q: took %d octets", more, n)
		}
	}
}

// Close ends a call from another goroutine, at once.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			io.WriteString(far, "220 hi\r\n")
			io.Copy(io.Discard, far)
		}()
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		start := time.Now()
		time.AfterFunc(time.Second, func() { c.Close(); c.Close() })
		broken(t, c, c.Noop(context.Background()), new(*ConnError))
		if d := time.Since(start); d != time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// FuzzReply has a server say anything at all to a few commands and a message.
func FuzzReply(f *testing.F) {
	f.Add("220 hi\r\n250-a\r\n250-PIPELINING\r\n250 SIZE 9\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 ok\r\n")
	f.Add("220 hi\n502\n250\n250 ok\n251 ok\n354\n554-5.7.1 a\n554 5.7.1 b\n")
	f.Add("220 hi\r\n250 AUTH=LOGIN\r\n530 5.7.0 x\r\n503 x\r\n503 x\r\n")
	f.Fuzz(func(t *testing.T, words string) {
		near, far := net.Pipe()
		defer far.Close()
		c, err := New(context.Background(), &said{Conn: near, text: words}, Options{})
		if err != nil {
			return
		}
		box := newOutbox(letter("one", "a@b.example", "b@b.example"), letter("two", "b@b.example"))
		err = c.Send(context.Background(), box)
		if err != nil && (!utf8.ValidString(err.Error()) || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) })) {
			t.Fatalf("unprintable: %q", err)
		}
		if box.twice {
			t.Fatal("two outcomes")
		}
		dots := strings.Count(strings.Join(box.log, ";"), "dot ")
		for _, m := range box.mails[:box.given] {
			o, ok := box.fates[m]
			if !ok {
				t.Fatal("no outcome")
			}
			if o.Fate != Unsent {
				dots--
			}
			if (o.Err == nil) != (o.Fate == Sent) || len(o.To) != len(m.To) || o.Fate == Sent && o.Reply.Code/100 != 2 {
				t.Fatalf("outcome %+v", o)
			}
		}
		if dots < 0 {
			t.Fatalf("sent without a dot: %v", box.log)
		}
	})
}

// said is a connection on which the server's words are there at once, each line
// by itself, and which takes anything.
type said struct {
	net.Conn
	text string
}

func (s *said) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	line := s.text[:strings.IndexByte(s.text+"\n", '\n')]
	n := copy(p, s.text[:min(len(s.text), len(line)+1)])
	s.text = s.text[n:]
	return n, nil
}

func (s *said) Write(p []byte) (int, error) { return len(p), nil }
