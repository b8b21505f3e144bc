package outbox

import (
	"net/mail"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Routed is an account that sends, and the addresses it sends for.
type Routed struct {
	Name    string
	Address string
	Aliases []string // addresses, or *@DOMAIN for all of a domain
}

// Route returns the name of the account that sends for an address: the one with
// this address, else with this alias, else with its domain as a wildcard; among
// equals the first. There is no account for all else: a message never goes out
// by another one's login. Capital letters, and the script a domain is written
// in, make no difference.
func Route(from string, accounts []Routed) (name string, ok bool) {
	want, domain, ok := routeKey(from)
	if !ok {
		return "", false
	}
	var byAlias, byDomain *Routed
	for i := range accounts {
		account := &accounts[i]
		if key, _, ok := routeKey(account.Address); ok && key == want {
			return account.Name, true
		}
		for _, alias := range account.Aliases {
			key, _, ok := routeKey(alias)
			switch {
			case strings.HasPrefix(alias, "*@"):
				if ascii, ok := asciiDomain(alias[2:]); ok && ascii == domain && byDomain == nil {
					byDomain = account
				}
			case ok && key == want && byAlias == nil:
				byAlias = account
			}
		}
	}
	switch {
	case byAlias != nil:
		return byAlias.Name, true
	case byDomain != nil:
		return byDomain.Name, true
	}
	return "", false
}

// routeKey returns the form in which equal addresses are equal, and its domain.
func routeKey(address string) (key, domain string, ok bool) {
	a, err := ParseAddress("", address)
	if err != nil || a.Domain == "" {
		return "", "", false
	}
	return strings.ToLower(norm.NFC.String(a.Local)) + "@" + a.Domain, a.Domain, true
}

// MessageID returns a Message-ID in its angle brackets. Unique must be new, and
// of letters, digits and dots; it is made so by the domain of from, or by the
// name of the host if that is no domain either, within this machine.
func MessageID(unique string, from Address, host string) string {
	domain := from.Domain
	if domain == "" {
		var ok bool
		if domain, ok = asciiDomain(host); !ok {
			domain = "localhost"
		}
	}
	return "<" + unique + "@" + domain + ">"
}

// FormatMailbox returns the value of a From field: the address, and the name in
// front, quoted or encoded (RFC 2047) if it must be.
func FormatMailbox(name string, a Address) (string, error) {
	if hasControl(name) {
		return "", refuse("the name "+show(name)+" has a control character in it", "write it in one line of text")
	}
	if name == "" {
		return a.String(), nil
	}
	// The address may be in quotes and is right as it is: only the name is made there.
	phrase := strings.TrimSuffix((&mail.Address{Name: name, Address: "x@y"}).String(), "<x@y>")
	return phrase + "<" + a.String() + ">", nil
}

// formatDate writes a time as RFC 5322 section 3.3 has it, with the zone of t.
func formatDate(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// hasControl reports whether a text that is to be one line of a header is none.
func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
