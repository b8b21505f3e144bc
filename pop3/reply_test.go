package pop3

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		line      string
		valid, ok bool
		text      string
	}{
		{"+OK", true, true, ""},
		{"+OK ", true, true, ""},
		{"+OK 2 320", true, true, "2 320"},
		{"+OK\tready", true, true, "ready"},
		{"+OK, ready", true, true, ", ready"},
		{"+ok", true, true, ""},
		{"-ERR", true, false, ""},
		{"-ERR[IN-USE] busy", true, false, "[IN-USE] busy"},
		{"-Err no", true, false, "no"},
		{"+OKAY", false, false, ""},
		{"+OK1", false, false, ""},
		{"+OK\xff", false, false, ""},
		{"-ERROR", false, false, ""},
		{"+", false, false, ""},
		{"+ OK", false, false, ""},
		{" +OK", false, false, ""},
		{"+O", false, false, ""},
		{"OK", false, false, ""},
		{"", false, false, ""},
	} {
		s, valid := parseStatus([]byte(tt.line))
		if valid != tt.valid || s.ok != tt.ok || string(s.text) != tt.text {
			t.Errorf("%q: got %t %t %q, want %t %t %q", tt.line, valid, s.ok, s.text, tt.valid, tt.ok, tt.text)
		}
	}
}

func TestT51ResponseCodes(t *testing.T) {
	for _, tt := range []struct {
		command, text      string
		code, rest         string
		permanent, refused bool
	}{
		{"PASS", "[IN-USE] Do you have another POP session running?", "IN-USE", "Do you have another POP session running?", false, false},
		{"PASS", "[in-use] lock", "IN-USE", "lock", false, false},
		{"PASS", "[LOGIN-DELAY] minimum time between logins", "LOGIN-DELAY", "minimum time between logins", false, false},
		{"AUTH", "[SYS/TEMP] disk", "SYS/TEMP", "disk", false, false},
		{"AUTH", "[SYS/TEMP/DISK] disk", "SYS/TEMP/DISK", "disk", false, false},
		{"PASS", "[SYS/PERM] no such mailbox", "SYS/PERM", "no such mailbox", true, false},
		{"PASS", "[AUTH] wrong", "AUTH", "wrong", true, true},
		{"RETR", "[AUTH] wrong", "AUTH", "wrong", true, true},
		{"PASS", "wrong", "", "wrong", false, true},
		{"PASS", "", "", "", false, true},
		{"APOP", "permission denied", "", "permission denied", false, true},
		{"AUTH", "[ALERT] log in via your web browser", "ALERT", "log in via your web browser", false, true},
		{"USER", "clear text logins are disabled", "", "clear text logins are disabled", false, true},
		{"RETR", "no such message", "", "no such message", false, false},
		{"", "too many sessions", "", "too many sessions", false, false},
		{"PASS", "[unclosed code", "", "[unclosed code", false, true},
		{"PASS", "text [AUTH]", "", "text [AUTH]", false, true},
		{"PASS", "[]", "", "", false, true},
	} {
		e := &ReplyError{Command: tt.command}
		e.Code, e.Text = splitCode(tt.text)
		if e.Code != tt.code || e.Text != tt.rest {
			t.Errorf("%q: got code %q text %q", tt.text, e.Code, e.Text)
		}
		if e.Permanent() != tt.permanent || e.LoginRefused() != tt.refused {
			t.Errorf("%s %q: permanent %t, login refused %t", tt.command, tt.text, e.Permanent(), e.LoginRefused())
		}
	}
}

// A line is held up to its limit and not beyond, however it goes on.
func TestT26EndlessLine(t *testing.T) {
	for name, start := range map[string]string{
		"reply":         `S~ "` + strings.Repeat("x", 1000) + `"`,
		"response code": `S~ "-ERR [` + strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			start = strings.TrimSuffix(start, `"`) + strings.Repeat("x", maxLine) + `"`
			dialogue(t, Options{}, "S: +OK\nC: NOOP\n"+start+"\n STALL", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				broken(t, c, c.Noop(context.Background()), new(*ProtocolError))
			})
		})
	}
	long := strings.Repeat("x", maxLine-100)
	dialogue(t, Options{}, "S: +OK\nC: NOOP\nS: -ERR "+long, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if e := refusal(t, c.Noop(context.Background())); e.Text != long[:maxText] {
			t.Errorf("kept %d octets of the text", len(e.Text))
		}
	})
}

func TestT89ServerTextIsEscaped(t *testing.T) {
	const evil = "\x1b[31m\x9b1m\x00\x07 \u0085 \u202egnp.exe \u2028 \xff\xfe %s%n ünï"
	const tame = `\u001b[31m\x9b1m\u0000\u0007 \u0085 \u202egnp.exe \u2028 \xff\xfe %s%n ünï`
	e := &ReplyError{Command: "RETR", Code: "X\x1b", Text: evil}
	if got, want := e.Error(), `server refused RETR: [X\u001b] `+tame; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if e.Text != evil {
		t.Error("the text itself was changed")
	}
	dialogue(t, Options{}, "S: +OK\nC: STAT\nS~ \"\\x1b]0;\\u202e\\r\\n\"", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		_, _, err = c.Stat(context.Background())
		broken(t, c, err, new(*ProtocolError))
		if want := `read reply to STAT: neither +OK nor -ERR: "\u001b]0;\u202e"`; err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	})
}

// Some servers repeat the command that they do not like.
func TestSecretsAreNotRepeated(t *testing.T) {
	const password, inBase64 = "tiger 7", "AGFkYQB0aWdlciA3"
	for name, tt := range map[string]struct {
		transcript string
		call       func(ctx context.Context, c *Client) error
	}{
		"refused": {
			"S: +OK\nC: USER ada\nS: +OK\nC: PASS tiger 7\nS: -ERR what is PASS tiger 7 supposed to mean?",
			func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", password) },
		},
		"code": {
			"S: +OK\nC: USER ada\nS: +OK\nC: PASS tiger 7\nS: -ERR [tiger 7]",
			func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", password) },
		},
		"odd": {
			"S: +OK\nC: USER ada\nS: +OK\nC: PASS tiger 7\nS: PASS tiger 7: bad command",
			func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", password) },
		},
		"at the limit": {
			"S: +OK\nC: USER ada\nS: +OK\nC: PASS tiger 7\nS: " + strings.Repeat("x", maxQuote-5) + "tiger 7",
			func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", password) },
		},
		"AUTH": {
			"S: +OK\nC: AUTH PLAIN " + inBase64 + "\nS: -ERR bad: AUTH PLAIN " + inBase64,
			func(ctx context.Context, c *Client) error { return c.Auth(ctx, plain("ada", password)) },
		},
		"ahead": {
			"S: +OK\nC: CAPA\nC: USER ada\nC: PASS tiger 7\nS: PASS tiger 7: bad command",
			func(ctx context.Context, c *Client) error {
				if err := c.Ahead(ctx, AheadCapabilities(), AheadLogin("ada", password)); err != nil {
					return err
				}
				_, err := c.Capabilities(ctx)
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = tt.call(context.Background(), c)
				if err == nil {
					t.Fatal("no error")
				}
				var e *ReplyError
				if errors.As(err, &e) && strings.Contains(strings.ToLower(e.Text+e.Code), "tiger") {
					t.Errorf("the password is in %+v", e)
				}
				if s := err.Error(); strings.Contains(s, "tiger") || strings.Contains(s, inBase64) {
					t.Errorf("the password is in %q", s)
				}
			})
		})
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"+OK 2 320", "-ERR [IN-USE] x", "+OK", "-ERR", "+ ", "-ERR [", "\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, valid := parseStatus([]byte(line))
		if valid && !strings.HasSuffix(line, string(s.text)) {
			t.Fatalf("text %q is not the end of %q", s.text, line)
		}
		e := &ReplyError{Command: "PASS"}
		e.Code, e.Text = splitCode(string(s.text))
		if e.LoginRefused() && e.circumstance() {
			t.Fatal("refused and not refused")
		}
		for _, r := range e.Error() {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %q in it", e.Error(), r)
			}
		}
		if !utf8.ValidString(e.Error()) {
			t.Fatalf("%q is not UTF-8", e.Error())
		}
	})
}
