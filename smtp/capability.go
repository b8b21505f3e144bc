package smtp

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxCapabilities bounds what EHLO says that is kept, in octets.
const maxCapabilities = 16 << 10

// Capabilities is the answer to EHLO (RFC 5321 section 4.1.1.1). The zero value
// is that of a server which knows HELO only.
type Capabilities struct {
	Pipelining   bool
	EightBitMIME bool
	SMTPUTF8     bool
	DSN          bool
	StartTLS     bool
	Size         int64 // the largest message in octets; 0: not said (RFC 1870 section 4)

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
	for _, name := range c.params["AUTH"] {
		names = append(names, strings.ToUpper(name))
	}
	return names
}

// parseCapabilities makes sense of the lines behind the first. A name that comes
// twice has the arguments of both. Old servers write "AUTH=LOGIN PLAIN", with or
// without the right form beside it.
func parseCapabilities(lines []string) Capabilities {
	c := Capabilities{params: make(map[string][]string)}
	for _, l := range lines {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		name, args := strings.ToUpper(words[0]), words[1:]
		if mechanism, old := strings.CutPrefix(name, "AUTH="); old {
			name = "AUTH"
			if mechanism != "" {
				args = append([]string{mechanism}, args...)
			}
		}
		known := c.params[name]
		for _, a := range args {
			if name != "AUTH" || !containsFold(known, a) {
				known = append(known, a)
			}
		}
		c.params[name] = known
	}
	c.Pipelining, c.EightBitMIME, c.SMTPUTF8 = c.Has("PIPELINING"), c.Has("8BITMIME"), c.Has("SMTPUTF8")
	c.DSN, c.StartTLS = c.Has("DSN"), c.Has("STARTTLS")
	if p := c.params["SIZE"]; len(p) > 0 {
		if n, err := strconv.ParseInt(p[0], 10, 64); err == nil && n > 0 {
			c.Size = n
		}
	}
	return c
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// Capabilities returns what the server says it can do. It is asked once, and
// again after StartTLS; never after a login, which some servers would forget.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Capabilities{}, err
	}
	defer leave()
	if err := c.hello(true); err != nil {
		return Capabilities{}, err
	}
	return *c.capabilities, nil
}

// hello says EHLO, or HELO to a server that does not know it and has therefore
// nothing to offer, unless something has to be offered.
func (c *Client) hello(old bool) error {
	if c.capabilities != nil {
		return nil
	}
	var lines []string
	octets := 0
	r, err := c.ask("EHLO", "EHLO "+c.options.Name, func(text []byte) {
		if octets += len(text); octets <= maxCapabilities {
			lines = append(lines, string(text))
		}
	})
	switch {
	case err != nil:
		return err
	case r.refusal():
		refusal := refused("EHLO", r)
		if !old || !unknownCommand(r.code) {
			return refusal
		}
		return c.helo()
	case !r.success():
		return c.odd("EHLO", r)
	}
	got := parseCapabilities(lines[1:]) // the first line is the server's name
	c.capabilities = &got
	return nil
}

func (c *Client) helo() error {
	r, err := c.ask("HELO", "HELO "+c.options.Name, nil)
	switch {
	case err != nil:
		return err
	case r.refusal():
		return refused("HELO", r)
	case !r.success():
		return c.odd("HELO", r)
	}
	c.capabilities = new(Capabilities)
	return nil
}

// unknownCommand reports the codes of a server that was made before EHLO (RFC
// 5321 section 3.2, with 501, 504 and 550 as they occur).
func unknownCommand(code int) bool {
	switch code {
	case 500, 501, 502, 504, 550:
		return true
	}
	return false
}

// pipelining reports that commands may be sent before the last reply is in.
func (c *Client) pipelining() bool { return c.capabilities.Pipelining && !c.options.Lockstep }

// literal makes an address literal (RFC 5321 section 4.1.3). Servers refuse
// names that cannot be, and the name of a host at home is one of those.
func literal(a net.Addr) string {
	if a != nil {
		if at, err := netip.ParseAddrPort(a.String()); err == nil {
			ip := at.Addr().Unmap().WithZone("")
			if ip.Is4() {
				return "[" + ip.String() + "]"
			}
			return "[IPv6:" + ip.String() + "]"
		}
	}
	return "[127.0.0.1]"
}
