package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

const (
	maxPairs = 30 // of an ID (RFC 2971 section 3.3)
	maxKey   = 30
	maxValue = 1024
)

// ID tells the server who we are and returns who it is (RFC 2971). No fields at
// all is NIL. Keys come back in lower case; the answer may be empty.
func (c *Client) ID(ctx context.Context, fields map[string]string) (map[string]string, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	server := make(map[string]string)
	err = c.exec(c.idCommand(fields), func(u *untagged) (bool, error) {
		if u.name != "ID" {
			return false, nil
		}
		return true, c.readID(server) // what follows NIL is skipped
	})
	if err != nil {
		return nil, err
	}
	return server, nil
}

// idCommand has the fields in the order of their names.
func (c *Client) idCommand(fields map[string]string) *command {
	m := c.command("ID")
	if len(fields) == 0 {
		return m.raw(" NIL")
	}
	if len(fields) > maxPairs {
		m.err = fmt.Errorf("send ID: more than %d fields", maxPairs)
	}
	var keys []string
	for k, v := range fields {
		keys = append(keys, k)
		if len(k) > maxKey || len(v) > maxValue {
			m.err = fmt.Errorf("send ID: a field is too long")
		}
	}
	slices.Sort(keys)
	m.open()
	for _, k := range keys {
		m.str("name of a field", k).str("value of a field", fields[k])
	}
	return m.raw(")")
}

// readID reads NIL, or a list of keys and values, of which the values may be NIL.
func (c *Client) readID(fields map[string]string) error {
	if next, err := c.p.peek(); err != nil || next != '(' {
		return err
	}
	key, n := "", 0
	return c.p.list(0, func() error {
		b, null, err := c.p.str()
		if n++; n%2 == 1 {
			key = strings.ToLower(clip(string(b), maxKey))
		} else if !null && len(fields) < maxPairs {
			fields[key] = clip(string(b), maxValue)
		}
		return err
	})
}

// Enable switches extensions on (RFC 5161). It returns, in upper case, what the
// server says is on now. Some servers say nothing and do it, so that no names and
// no error mean: perhaps. Names are UTF-8 only if the server says so.
func (c *Client) Enable(ctx context.Context, names ...string) ([]string, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var enabled []string
	err = c.exec(c.enableCommand(names), func(u *untagged) (bool, error) {
		if u.name != "ENABLED" {
			return false, nil
		}
		b, err := c.p.until(isEnd)
		enabled = append(enabled, strings.Fields(strings.ToUpper(clip(string(b), maxCapabilities)))...)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(enabled, "UTF8=ACCEPT") || slices.Contains(enabled, "IMAP4REV2") {
		c.utf8 = true
	}
	return enabled, nil
}

func (c *Client) enableCommand(names []string) *command {
	m := c.command("ENABLE")
	for _, name := range names {
		if !isWord(name) {
			m.err = fmt.Errorf("send ENABLE: %q is not the name of an extension", name)
		}
		m.raw(" " + name)
	}
	return m
}

// isWord reports that s can go into a command as it is.
func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// Prefix is a place where mailboxes are.
type Prefix struct {
	Prefix    Name
	Delimiter string // between the levels of a name; empty if there are none
}

// Namespaces is the answer to NAMESPACE (RFC 2342).
type Namespaces struct{ Personal, Others, Shared []Prefix }

// Namespace asks where mailboxes are.
func (c *Client) Namespace(ctx context.Context) (Namespaces, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Namespaces{}, err
	}
	defer leave()
	var n Namespaces
	err = c.exec(c.command("NAMESPACE"), func(u *untagged) (bool, error) {
		if u.name != "NAMESPACE" {
			return false, nil
		}
		for _, into := range []*[]Prefix{&n.Personal, &n.Others, &n.Shared} {
			if err := c.p.spaces(); err != nil {
				return true, err
			}
			if err := c.readPrefixes(into); err != nil {
				return true, err
			}
		}
		return true, nil
	})
	return n, err
}

// readPrefixes reads NIL or a list of lists: prefix, delimiter, extensions.
func (c *Client) readPrefixes(into *[]Prefix) error {
	p := &c.p
	if next, err := p.peek(); err != nil {
		return err
	} else if next != '(' {
		_, err := p.atom()
		return err
	}
	return p.list(0, func() error {
		var texts []string
		n := 0
		err := p.list(1, func() error {
			if n++; n > 2 {
				return p.skip(2)
			}
			b, _, err := p.str()
			if isNil(b) {
				b = nil
			}
			texts = append(texts, string(b))
			return err
		})
		if err == nil && len(texts) == 2 {
			*into = append(*into, Prefix{Prefix: Name(texts[0]), Delimiter: texts[1]})
		}
		return err
	})
}
