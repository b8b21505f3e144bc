package pop3

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxCapabilities bounds the whole answer to CAPA, in octets and in lines.
const maxCapabilities = 16 << 10

// Never is the EXPIRE of a server that keeps messages for ever.
const Never = math.MaxInt

// Capabilities is the answer to CAPA (RFC 2449 section 5). The zero value is
// that of a server without CAPA.
type Capabilities struct {
	Pipelining bool // commands may be sent before the last reply is in
	UIDL       bool
	TOP        bool
	USER       bool // USER and PASS
	STLS       bool
	UTF8       bool // RFC 6856
	RespCodes  bool // -ERR carries response codes

	Implementation string // escaped by nobody

	params map[string][]string // by name in upper case
}

// Has reports whether the server listed a capability, known to this package or
// not. Case does not matter.
func (c Capabilities) Has(name string) bool {
	_, ok := c.params[strings.ToUpper(name)]
	return ok
}

// Params returns the arguments of a capability.
func (c Capabilities) Params(name string) []string { return c.params[strings.ToUpper(name)] }

// SASL returns the names of the mechanisms for Auth, in upper case.
func (c Capabilities) SASL() []string {
	var names []string
	for _, name := range c.params["SASL"] {
		names = append(names, strings.ToUpper(name))
	}
	return names
}

// LoginDelay returns the time that the server wants between two logins, and
// whether it may be another one for this user: then the answer after the login
// counts (RFC 2449 section 6.5).
func (c Capabilities) LoginDelay() (delay time.Duration, perUser bool) {
	seconds, perUser, ok := c.number("LOGIN-DELAY")
	if !ok || seconds > int64(math.MaxInt64/time.Second) {
		return 0, perUser
	}
	return time.Duration(seconds) * time.Second, perUser
}

// Expire returns how many days the server keeps messages at least, Never if for
// ever, and whether it says so at all (RFC 2449 section 6.7). 0 means that
// nothing may be left there.
func (c Capabilities) Expire() (days int, ok bool) {
	if p := c.params["EXPIRE"]; len(p) > 0 && strings.EqualFold(p[0], "NEVER") {
		return Never, true
	}
	n, _, ok := c.number("EXPIRE")
	return int(min(n, Never)), ok
}

// number parses the form "N [USER]".
func (c Capabilities) number(name string) (n int64, perUser, ok bool) {
	p := c.params[name]
	if len(p) == 0 {
		return 0, false, false
	}
	n, err := strconv.ParseInt(p[0], 10, 64)
	if err != nil || n < 0 {
		return 0, false, false
	}
	return n, len(p) > 1 && strings.EqualFold(p[1], "USER"), true
}

// parseCapabilities makes sense of the lines of the list. A name that comes
// twice has the arguments of both.
func parseCapabilities(lines []string) Capabilities {
	c := Capabilities{params: make(map[string][]string)}
	for _, l := range lines {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		name := strings.ToUpper(words[0])
		c.params[name] = append(c.params[name], words[1:]...)
	}
	c.Pipelining, c.UIDL, c.TOP = c.Has("PIPELINING"), c.Has("UIDL"), c.Has("TOP")
	c.USER, c.STLS, c.UTF8 = c.Has("USER"), c.Has("STLS"), c.Has("UTF8")
	c.RespCodes = c.Has("RESP-CODES")
	c.Implementation = strings.Join(c.params["IMPLEMENTATION"], " ")
	return c
}

// Capabilities returns what the server says it can do. It asks once, and again
// after StartTLS and after a login, which may change the answer. A server that
// does not know CAPA has none, which is no error.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Capabilities{}, err
	}
	defer leave()
	asked := len(c.ahead) > 0 && c.ahead[0] == "CAPA"
	if c.capabilities != nil && !asked {
		return *c.capabilities, nil
	}
	if c.silent && !asked {
		return Capabilities{}, nil
	}
	if err := c.send("CAPA", "CAPA"); err != nil {
		return Capabilities{}, err
	}
	var refused *ReplyError
	if _, err = c.reply("CAPA"); errors.As(err, &refused) {
		c.silent, c.pipelining = true, false
		return Capabilities{}, nil
	}
	if err != nil {
		return Capabilities{}, err
	}
	var lines []string
	err = c.list("CAPA", maxCapabilities, maxCapabilities, func(b []byte) error {
		if len(b) > 0 {
			lines = append(lines, string(b))
		}
		return nil
	})
	if err != nil {
		return Capabilities{}, err
	}
	got := parseCapabilities(lines)
	c.capabilities, c.pipelining = &got, got.Pipelining
	return got, nil
}
