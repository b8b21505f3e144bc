package imap

import (
	"context"
	"errors"
	"testing"
)

func TestGreeting(t *testing.T) {
	for _, tt := range []struct{ greeting, want string }{
		{`S: * OK IMAP4rev1 ready`, ""},
		{`S: * OK`, ""},
		{`S: * ok [CAPABILITY IMAP4rev1] ready`, ""},
		{`S~ "* OK\n"`, ""},
		{`S: * BYE [UNAVAILABLE] too many`, "server refused the session: [UNAVAILABLE] too many"},
		{`S: * PREAUTH welcome`, "read the greeting: the server has us logged in before TLS"},
		{`S: * NO`, `read the greeting: not the greeting of an IMAP server: "* NO"`},
		{`S: +OK pop3`, `read the greeting: not the greeting of an IMAP server: "+OK pop3"`},
		{`S: a1 OK hi`, `read the greeting: not the greeting of an IMAP server: "a1 OK hi"`},
		{`CUT`, "read the greeting: unexpected EOF"},
		{`STALL`, "read the greeting: timeout after 1m0s of silence"},
	} {
		t.Run(tt.greeting, func(t *testing.T) {
			dialogue(t, Options{}, tt.greeting, func(t *testing.T, c *Client, err error) {
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tt.want {
					t.Errorf("got error %q, want %q", got, tt.want)
				}
				if (c == nil) != (err != nil) {
					t.Errorf("client %v with error %v", c, err)
				}
			})
		})
	}
}

func TestT55OddGreetingThenOK(t *testing.T) {
	dialogue(t, Options{}, `S~ "hello\r\n* OK ready\r\n"`, func(t *testing.T, c *Client, err error) {
		broken(t, c, err, new(*ProtocolError))
	})
}

// After TLS a PREAUTH is a login.
func TestPreauthUnderTLS(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 IDLE] welcome
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if !c.Authenticated() || c.Login(context.Background(), "a", "b") == nil {
			t.Error("not logged in, or twice")
		}
	})
}

func TestCapabilities(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK ready
		C: A CAPABILITY
		S: * CAPABILITY IMAP4rev1 LITERAL + auth=plain AUTH=XOAUTH2 sasl-ir
		S: A OK
		C: B LOGIN "ada" "x\"y\\z"
		S: B OK [CAPABILITY IMAP4rev1 IDLE] done
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		for range 2 {
			caps, err := c.Capabilities(ctx)
			noError(t, err)
			if !caps.Has("literal+") || !caps.Has("SASL-IR") || caps.Has("IDLE") || len(caps.SASL()) != 2 {
				t.Errorf("got %v", caps.Names())
			}
		}
		noError(t, c.Login(ctx, "ada", `x"y\z`))
		caps, err := c.Capabilities(ctx)
		noError(t, err)
		if !caps.Has("IDLE") || caps.Has("SASL-IR") {
			t.Errorf("after the login: %v", caps.Names())
		}
	})
}

// IMAP4rev2 holds extensions that a server of both has to name.
func TestCapabilitiesOfRev2(t *testing.T) {
	if c := parseCapabilities("IMAP4rev2"); !c.Has("UIDPLUS") || c.Has("CONDSTORE") {
		t.Error("IMAP4rev2 alone")
	}
	if c := parseCapabilities("IMAP4rev1 IMAP4rev2"); c.Has("UIDPLUS") {
		t.Error("IMAP4rev2 besides IMAP4rev1")
	}
}

// Unknown and malformed responses are skipped by grammar; only what breaks the
// frame ends the session.
func TestUnknownResponses(t *testing.T) {
	for name, junk := range map[string]string{
		"unknown":              `* XVENDOR (a (b "c") {3}` + "\r\nx\r\n) d\r\n",
		"unknown with literal": "* X {12}\r\n\r\na1 OK x\r\n+ \r\n",
		"numbered":             "* 5 XEVENT foo\r\n",
		"empty":                "*\r\n",
		"spaces only":          "*   \r\n",
		"empty line":           "\r\n\r\n",
		"bare code":            "[COPYUID 1 2 3]\r\n* [ALERT] x\r\n",
		"malformed code":       "* OK [Error=\"a]b\" X=[y] z\r\n* OK [] x\r\n* NO [\r\n* OK []\r\n* OK [ [ x\r\n* BAD\r\n",
		"code with brackets":   "* OK [PERMANENTFLAGS (a]b \\*)] limited\r\n",
		"literal-like text":    "* OK this is no literal {100}\r\n",
		"bad list":             "* LIST foo\r\n* LIST\r\n* LIST () \"/\r\n* LIST ((((()))) NIL x\r\n",
		"bad fetch":            "* FETCH\r\n* 0 FETCH (UID)\r\n* 2 FETCH (UID x FLAGS)\r\n* 3 FETCH FLAGS\r\n* 4 FETCH (X[ 1\r\n",
		"bad string":           "* STATUS \"a\\\r\n* STATUS \"abc (MESSAGES 1)\r\n",
		"bad status":           "* STATUS x\r\n* STATUS x (MESSAGES -1 UIDNEXT)\r\n* STATUS x (A (b) C {1}\r\nz D NIL)\r\n",
		"deep":                 "* 1 FETCH (X ((((((((((((((((((((((((((((((((((((((1))\r\n",
		"spare plus":           "+ go ahead\r\n+\r\n",
		"huge numbers":         "* 99999999999999999999 EXISTS\r\n* 4294967296 EXPUNGE\r\n",
		"bare LF":              "* 5 EXISTS\n* OK [X] y\n",
		"binary":               "* 5 FETCH (BINARY[1] ~{4}\r\n\x00\x01\x02\x03 FLAGS NIL)\r\n",
		"trailing text":        "* 5 EXISTS and more\r\n* CAPABILITY\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK\nC: A NOOP\nS~ "+quote(junk+"$A OK done\r\n")+"\nC: B NOOP\nS: B OK", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				noError(t, c.Noop(context.Background()))
				noError(t, c.Noop(context.Background()))
			})
		})
	}
}

func TestT33BrokenFrames(t *testing.T) {
	for name, tt := range map[string]struct{ junk, want string }{
		"unknown tag":      {"zzz OK\r\n", `read response to NOOP: a response to an unknown tag: "zzz"`},
		"no status":        {"$A YES\r\n", `read response to NOOP: neither OK, NO nor BAD: "`},
		"text":             {"\x1b[2Jhello\r\n", `read response to NOOP: neither OK, NO nor BAD: "\u001b[2Jhello"`},
		"huge literal":     {"* X {99999999999999999999}\r\n", "read response to NOOP: the length of a literal is out of range"},
		"negative literal": {"* STATUS {-1}\r\n", "read response to NOOP: the length of a literal is out of range"},
		"large literal":    {"* X {2147483649}\r\n", "read response to NOOP: the length of a literal is out of range"},
		"vanished":         {"* VANISHED 1:x\r\n", "read response to NOOP: a number that is no UID"},
		"bye":              {"* BYE [UNAVAILABLE] going\r\n", "server ended the session during NOOP: [UNAVAILABLE] going"},
		"wrong literal":    {"* 1 FETCH (UID 6 BODY[] {3}\r\nabcdef)\r\n", "read response to NOOP: a word is missing"},
		"yandex":           {"* BYE a\r\n* BYE a\r\n* BYE a\r\n", "server ended the session during NOOP: a"},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK\nC: A NOOP\nS~ "+quote(tt.junk)+"\nSTALL", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.Noop(context.Background())
				if err == nil || !hasPrefix(err.Error(), tt.want) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				if again := c.Noop(context.Background()); !errors.Is(again, err) {
					t.Errorf("then %v", again)
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK
		C: A NOOP
		S: A no [UNAVAILABLE] later
		C: B NOOP
		S: B BAD Request is throttled. Suggested Backoff Time: 1500 milliseconds
		C: C NOOP
		S: C NO
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		if e := refusal(t, c.Noop(ctx)); e.Code != "UNAVAILABLE" || e.Status != "NO" || e.Error() != "server refused NOOP: [UNAVAILABLE] later" {
			t.Errorf("got %+v: %v", e, e)
		}
		e := refusal(t, c.Noop(ctx))
		if d, ok := e.Backoff(); d.Milliseconds() != 1500 || !ok || e.Status != "BAD" {
			t.Errorf("got %+v, %v", e, d)
		}
		if e := refusal(t, c.Noop(ctx)); e.Error() != "server refused NOOP" {
			t.Errorf("got %v", e)
		}
	})
}

func TestLogoutAndLeave(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK
		C: A LOGOUT
		S: * BYE see you
		S: A OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Logout(context.Background()))
		if c.Noop(context.Background()) == nil {
			t.Error("the session goes on")
		}
	})
	dialogue(t, Options{}, `
		S: * OK
		C: A LOGOUT
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Leave())
	})
}

func TestIDEnableNamespace(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK
		C: A ID ("name" "postrider" "version" "1")
		S: * ID ("name" "Cyrus" "Version" NIL "support-url" "x y")
		S: A OK
		C: B ID NIL
		S: * ID NIL
		S: B OK
		C: C ENABLE QRESYNC UTF8=ACCEPT
		S: * ENABLED QRESYNC utf8=accept
		S: C OK
		C: D ENABLE CONDSTORE
		S: D OK
		C: E NAMESPACE
		S: * NAMESPACE (("" "/")("~" NIL "X" ("y"))) NIL (("Shared." "."))
		S: E OK
		C: F STATUS "é&" (MESSAGES)
		S~ "* STATUS {3}\r\né& (MESSAGES 3)\r\n"
		S: F OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		id, err := c.ID(ctx, map[string]string{"version": "1", "name": "postrider"})
		noError(t, err)
		if id["name"] != "Cyrus" || id["support-url"] != "x y" {
			t.Errorf("got %v", id)
		}
		id, err = c.ID(ctx, nil)
		if err != nil || len(id) != 0 {
			t.Errorf("got %v, %v", id, err)
		}
		on, err := c.Enable(ctx, "QRESYNC", "UTF8=ACCEPT")
		if err != nil || len(on) != 2 || on[1] != "UTF8=ACCEPT" {
			t.Errorf("got %v, %v", on, err)
		}
		on, err = c.Enable(ctx, "CONDSTORE") // as iCloud
		if err != nil || len(on) != 0 {
			t.Errorf("got %v, %v", on, err)
		}
		if _, err := c.Enable(ctx, "X\r\nY"); err == nil {
			t.Error("an injection passed")
		}
		n, err := c.Namespace(ctx)
		noError(t, err)
		if len(n.Personal) != 2 || n.Personal[0].Delimiter != "/" || n.Personal[1].Prefix != "~" || n.Others != nil || n.Shared[0].Prefix != "Shared." {
			t.Errorf("got %+v", n)
		}
		c.learn("IMAP4rev1")
		s, err := c.Status(ctx, c.Name("é&"), StatusMessages)
		if err != nil || s.Messages != 3 {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}
