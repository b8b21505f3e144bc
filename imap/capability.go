package imap

import (
	"context"
	"slices"
	"strings"
)

// maxCapabilities bounds the whole list, in octets.
const maxCapabilities = 16 << 10

// Capabilities is what the server says it can do (RFC 9051 section 7.2.2).
type Capabilities struct{ names map[string]bool }

// Has reports whether the server listed a capability. Case does not matter. What
// IMAP4rev2 holds counts as listed where only that is spoken.
func (c Capabilities) Has(name string) bool {
	name = strings.ToUpper(name)
	return c.names[name] || c.names["IMAP4REV2"] && !c.names["IMAP4REV1"] && slices.Contains(inRev2(), name)
}

// Names returns all names in upper case, sorted.
func (c Capabilities) Names() []string {
	var names []string
	for name := range c.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// SASL returns the names of the mechanisms for Authenticate, in upper case.
func (c Capabilities) SASL() []string {
	var names []string
	for _, name := range c.Names() {
		if mechanism, ok := strings.CutPrefix(name, "AUTH="); ok {
			names = append(names, mechanism)
		}
	}
	return names
}

// inRev2 lists the extensions that are part of IMAP4rev2 (RFC 9051 appendix E).
func inRev2() []string {
	return []string{"NAMESPACE", "UNSELECT", "UIDPLUS", "ESEARCH", "ENABLE", "IDLE", "SASL-IR",
		"LIST-EXTENDED", "LIST-STATUS", "MOVE", "LITERAL-", "SPECIAL-USE", "STATUS=SIZE"}
}

// parseCapabilities makes sense of the words of the list. Some server writes
// "LITERAL +".
func parseCapabilities(list string) Capabilities {
	c := Capabilities{names: make(map[string]bool)}
	last := ""
	for word := range strings.FieldsSeq(list) {
		word = strings.ToUpper(word)
		if last == "LITERAL" && (word == "+" || word == "-") {
			word = "LITERAL" + word
		}
		c.names[word] = true
		last = word
	}
	return c
}

// learn takes a list of capabilities from wherever it stood.
func (c *Client) learn(list string) {
	got := parseCapabilities(clip(list, maxCapabilities))
	c.capabilities = &got
}

// offers reports what is known now.
func (c *Client) offers(name string) bool {
	return c.capabilities != nil && c.capabilities.Has(name)
}

// need makes sure that the server offers a capability, and asks it if it has not
// told any since it changed.
func (c *Client) need(verb, name string) error {
	if err := c.known(); err != nil {
		return err
	}
	if !c.offers(name) {
		return unsupported(verb, name)
	}
	return nil
}

// known asks for the capabilities if there are none.
func (c *Client) known() error {
	if c.capabilities != nil || len(c.ahead) > 0 {
		return nil
	}
	return c.askCapabilities()
}

// Capabilities returns what the server says it can do. It said so in its
// greeting or with the login, or it is asked: once, and again after StartTLS and
// after a login.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Capabilities{}, err
	}
	defer leave()
	asked := len(c.ahead) > 0 && c.ahead[0].octets == "CAPABILITY"
	if c.capabilities == nil || asked {
		if err := c.askCapabilities(); err != nil {
			return Capabilities{}, err
		}
	}
	return *c.capabilities, nil
}

func (c *Client) askCapabilities() error {
	if err := c.exec(c.command("CAPABILITY"), nil); err != nil {
		return err
	}
	if c.capabilities == nil {
		c.learn("")
	}
	return nil
}

// readCapabilities reads an untagged CAPABILITY.
func (c *Client) readCapabilities() error {
	b, err := c.p.until(isEnd)
	if err == nil && len(b) > maxCapabilities {
		err = &ProtocolError{Detail: "the list of capabilities is too long"}
	}
	if err == nil {
		c.learn(string(b))
	}
	return err
}
