package pop3

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		name, transcript, refused string
		pipelining                bool
	}{
		{"lockstep", "C: USER ada\nS: +OK\nC: PASS  with spaces \nS: +OK", "", false},
		{"in one flight", "C: USER ada\nC: PASS  with spaces \nS: +OK\nS: +OK", "", true},
		{"name refused", "C: USER ada\nS: -ERR who?", "USER", false},
		{"name refused in flight", "C: USER ada\nC: PASS  with spaces \nS: -ERR who?\nS: -ERR first USER", "USER", true},
		{"password refused", "C: USER ada\nS: +OK\nC: PASS  with spaces \nS: -ERR no", "PASS", false},
		{"password refused in flight", "C: USER ada\nC: PASS  with spaces \nS: +OK\nS: -ERR no", "PASS", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A transcript's lines are trimmed: the password ends in a dot.
			transcript := strings.ReplaceAll(tt.transcript, " with spaces ", " with  spaces.")
			dialogue(t, Options{}, "S: +OK\n"+transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				c.pipelining = tt.pipelining
				err = c.Login(context.Background(), "ada", " with  spaces.")
				if tt.refused == "" {
					noError(t, err)
				} else if e := refusal(t, err); e.Command != tt.refused || !e.LoginRefused() {
					t.Errorf("got %+v", e)
				}
			})
		})
	}
}

// What would make a second command of an argument is refused; the rest goes as
// it is.
func TestT65ArgumentsThatAreCommands(t *testing.T) {
	ctx := context.Background()
	for _, bad := range []string{"a\r\nDELE 1", "a\n", "\ra", "a\x00b"} {
		dialogue(t, Options{}, "S: +OK", func(t *testing.T, c *Client, err error) {
			noError(t, err)
			for name, err := range map[string]error{
				"user":        c.Login(ctx, bad, "secret"),
				"password":    c.Login(ctx, "ada", bad),
				"APOP user":   c.APOP(ctx, bad, "digest"),
				"APOP digest": c.APOP(ctx, "ada", bad),
				"ahead":       c.Ahead(ctx, AheadCapabilities(), AheadLogin("ada", bad)),
				"mechanism":   c.Auth(ctx, &mechanism{name: "PLAIN " + bad}),
			} {
				if err == nil || strings.Contains(err.Error(), bad) || errors.As(err, new(*ConnError)) {
					t.Errorf("%s %q: got %v", name, bad, err)
				}
			}
			if c.failed != nil {
				t.Errorf("the session has failed: %v", c.failed)
			}
		})
	}
	for _, good := range []string{`"quoted"`, `back\slash`, "{10}", "pässwörd", "\xff\xfe", "*", "=", "a  b"} {
		dialogue(t, Options{}, "S: +OK\nC: USER "+good+"\nS: +OK\nC: PASS "+good+"\nS: +OK", func(t *testing.T, c *Client, err error) {
			noError(t, err)
			noError(t, c.Login(ctx, good, good))
		})
	}
}

func TestT52Timestamp(t *testing.T) {
	for greeting, want := range map[string]string{
		"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>": "<1896.697170952@dbc.mtview.ca.us>",
		"+OK <a> <1@b> bye": "<1@b>",
		"+OK ready":         "",
		"+OK <1@b":          "",
		"+OK <1b>":          "",
		"+OK 1@b>":          "",
		"+OK":               "",
		"+OK <>":            "",
	} {
		dialogue(t, Options{}, "S: "+greeting, func(t *testing.T, c *Client, err error) {
			noError(t, err)
			if got := c.Timestamp(); got != want {
				t.Errorf("%s: got %q", greeting, got)
			}
		})
	}
}

func TestAPOP(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK <1896.697170952@dbc.mtview.ca.us>
		C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
		S: -ERR permission denied
		C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
		S: +OK maildrop has 1 message
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		e := refusal(t, c.APOP(ctx, "mrose", "c4c9334bac560ecc979e58001b3e22fb"))
		if e.Command != "APOP" || !e.LoginRefused() {
			t.Errorf("got %+v", e)
		}
		noError(t, c.APOP(ctx, "mrose", "c4c9334bac560ecc979e58001b3e22fb"))
	})
}

func TestT50Quit(t *testing.T) {
	for reply, want := range map[string]any{
		"S: +OK bye":               nil,
		"S: -ERR some remain":      new(ReplyError),
		"S: bye":                   new(*ProtocolError),
		"CUT":                      new(*ConnError),
		"STALL":                    new(*ConnError),
		`S~ "+O"` + "\nCUT":        new(*ConnError),
		`S~ "+OK bye"` + "\nCUT":   new(*ConnError),
		`S~ "+OK bye"` + "\nSTALL": new(*ConnError),
	} {
		dialogue(t, Options{}, "S: +OK\nC: QUIT\n"+reply, func(t *testing.T, c *Client, err error) {
			noError(t, err)
			err = c.Quit(context.Background())
			switch want := want.(type) {
			case nil:
				noError(t, err)
			case *ReplyError:
				refusal(t, err)
			default:
				broken(t, c, err, want)
			}
			if c.Noop(context.Background()) == nil {
				t.Error("the session goes on after Quit")
			}
			noError(t, c.Close())
		})
	}
}

func TestLeave(t *testing.T) {
	dialogue(t, Options{}, "S: +OK\nC: QUIT", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Leave())
		if c.Noop(context.Background()) == nil {
			t.Error("the session goes on after Leave")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := delayed(t, 0)
		go (&maildrop{}).serve(far)
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		noError(t, c.Leave())
	})
}
