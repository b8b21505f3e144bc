package pop3

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseCapabilities(t *testing.T) {
	c := parseCapabilities(strings.Split("TOP|resp-codes|PIPELINING|UIDL|USER|STLS|UTF8 USER|"+
		"SASL PLAIN xoauth2|SASL CRAM-MD5|LOGIN-DELAY 300 USER|EXPIRE 60|X-Odd  a\tb|IMPLEMENTATION Some server 1.0|", "|"))
	if !c.TOP || !c.RespCodes || !c.Pipelining || !c.UIDL || !c.USER || !c.STLS || !c.UTF8 {
		t.Errorf("got %+v", c)
	}
	if got := c.SASL(); !reflect.DeepEqual(got, []string{"PLAIN", "XOAUTH2", "CRAM-MD5"}) {
		t.Errorf("SASL: %q", got)
	}
	if d, perUser := c.LoginDelay(); d != 5*time.Minute || !perUser {
		t.Errorf("LoginDelay: %v %t", d, perUser)
	}
	if days, ok := c.Expire(); days != 60 || !ok {
		t.Errorf("Expire: %d %t", days, ok)
	}
	if !c.Has("x-odd") || c.Has("X") || !reflect.DeepEqual(c.Params("x-ODD"), []string{"a", "b"}) {
		t.Errorf("unknown ones: %+v", c)
	}
	if c.Implementation != "Some server 1.0" {
		t.Errorf("Implementation: %q", c.Implementation)
	}
}

func TestExpireAndDelay(t *testing.T) {
	for _, tt := range []struct {
		lines string
		days  int
		ok    bool
		delay time.Duration
	}{
		{"", 0, false, 0},
		{"EXPIRE 0|LOGIN-DELAY 0", 0, true, 0},
		{"EXPIRE never|LOGIN-DELAY 60", Never, true, time.Minute},
		{"EXPIRE 30 USER|LOGIN-DELAY 900 USER", 30, true, 15 * time.Minute},
		{"EXPIRE|LOGIN-DELAY", 0, false, 0},
		{"EXPIRE soon|LOGIN-DELAY -1", 0, false, 0},
		{"EXPIRE -1|LOGIN-DELAY 9223372036854775807", 0, false, 0},
		{"EXPIRE 99999999999999999999|LOGIN-DELAY 9300000000", 0, false, 0},
	} {
		c := parseCapabilities(strings.Split(tt.lines, "|"))
		if days, ok := c.Expire(); days != tt.days || ok != tt.ok {
			t.Errorf("%s: expire %d %t", tt.lines, days, ok)
		}
		if d, _ := c.LoginDelay(); d != tt.delay {
			t.Errorf("%s: delay %v", tt.lines, d)
		}
	}
}

func TestCapabilitiesAreAskedOnce(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK
		C: CAPA
		S: +OK here it is
		S: PIPELINING
		S: UIDL
		S: .
		C: USER ada
		C: PASS secret
		S: +OK
		S: +OK
		C: LIST
		C: UIDL
		S: +OK
		S: .
		S: +OK
		S: .
		C: CAPA
		S~ "+OK\nTOP\n.\n"
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		for range 2 {
			caps, err := c.Capabilities(ctx)
			if err != nil || !caps.Pipelining || !caps.UIDL || caps.TOP {
				t.Errorf("before the login: %+v %v", caps, err)
			}
		}
		noError(t, c.Login(ctx, "ada", "secret"))
		// PIPELINING does not end with the login.
		_, err = c.Listing(ctx, nil)
		noError(t, err)
		for range 2 {
			caps, err := c.Capabilities(ctx)
			if err != nil || caps.Pipelining || caps.UIDL || !caps.TOP {
				t.Errorf("after the login: %+v %v", caps, err)
			}
		}
		if c.pipelining {
			t.Error("the second answer does not count")
		}
	})
}

func TestNoCapabilities(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK
		C: CAPA
		S: -ERR unknown command
		C: USER ada
		S: +OK
		C: PASS secret
		S: +OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		caps, err := c.Capabilities(ctx)
		if err != nil || !reflect.DeepEqual(caps, Capabilities{}) || caps.Has("UIDL") || caps.SASL() != nil {
			t.Errorf("got %+v %v", caps, err)
		}
		noError(t, c.Login(ctx, "ada", "secret"))
		_, err = c.Capabilities(ctx)
		noError(t, err)
	})
}

func TestT26EndlessCapabilities(t *testing.T) {
	for name, line := range map[string]string{
		"many":  "X",
		"empty": "",
		"long":  "X " + strings.Repeat("y", 8000),
	} {
		t.Run(name, func(t *testing.T) {
			lines := maxCapabilities/(len(line)+2) + 1
			body := `S~ "` + strings.Repeat(line+`\r\n`, lines) + `"`
			dialogue(t, Options{}, "S: +OK\nC: CAPA\nS: +OK\n"+body+"\nSTALL", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				_, err = c.Capabilities(context.Background())
				var e *ProtocolError
				broken(t, c, err, &e)
			})
		})
	}
}

func FuzzCapabilities(f *testing.F) {
	f.Add("SASL PLAIN\r\nEXPIRE NEVER\r\nLOGIN-DELAY 5 USER\r\n\t\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseCapabilities(strings.Split(text, "\n"))
		if d, _ := c.LoginDelay(); d < 0 {
			t.Fatalf("a delay of %v", d)
		}
		if days, ok := c.Expire(); days < 0 || !ok && days != 0 {
			t.Fatalf("expire in %d days, %t", days, ok)
		}
		for _, name := range c.SASL() {
			if strings.ContainsAny(name, " \t\n") {
				t.Fatalf("mechanism %q", name)
			}
		}
		if c.UIDL != c.Has("uidl") {
			t.Fatal("UIDL is and is not")
		}
	})
}
